//! What the scheduler remembers: for each database and lane, the last slot that was served.
//!
//! A slot is reserved here, with the ids and the time of its job, before anything is queued. A
//! scheduler that dies in between, or a second one at the same time, finds the reservation and sends
//! the same job again, which has its effect once; it never makes another one.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::filter::{Filter, PARTITION as PARTITION_KEY};
use super::rows::{Reader, date_time};
use super::table::{ETag, Entity, Expect, Key, Properties, Query, Table};
use super::{StorageError, StorageErrorKind};
use crate::models::{Backup, BackupId, DatabaseId, JobId, Lane, Tier};
use crate::schedule::Recorded;

const PARTITION: &str = "slots";

/// The property names of a lane: slot, job, record, time, queued.
type Columns = (Lane, [&'static str; 5]);

const COLUMNS: [Columns; 6] = [
    (
        Lane::Tier(Tier::Hourly),
        ["hourly_slot", "hourly_job_id", "hourly_backup_id", "hourly_created_at", "hourly_queued"],
    ),
    (
        Lane::Tier(Tier::Daily),
        ["daily_slot", "daily_job_id", "daily_backup_id", "daily_created_at", "daily_queued"],
    ),
    (
        Lane::Tier(Tier::Weekly),
        ["weekly_slot", "weekly_job_id", "weekly_backup_id", "weekly_created_at", "weekly_queued"],
    ),
    (
        Lane::Tier(Tier::Monthly),
        ["monthly_slot", "monthly_job_id", "monthly_backup_id", "monthly_created_at", "monthly_queued"],
    ),
    (
        Lane::Tier(Tier::Yearly),
        ["yearly_slot", "yearly_job_id", "yearly_backup_id", "yearly_created_at", "yearly_queued"],
    ),
    (
        Lane::Schedule,
        ["schedule_slot", "schedule_job_id", "schedule_backup_id", "schedule_created_at", "schedule_queued"],
    ),
];

/// The slots of all databases.
#[derive(Debug, Clone)]
pub struct Slots {
    pub(super) table: Arc<dyn Table>,
}

/// The slots of one database.
#[derive(Debug, Clone, Default)]
pub struct SlotState {
    /// The last reservation of each lane.
    pub lanes: BTreeMap<Lane, Reservation>,
    etag: Option<ETag>,
}

/// A slot that is served by a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// The slot.
    pub slot: DateTime<Utc>,
    /// The job that serves it.
    pub job_id: JobId,
    /// The record of the job.
    pub backup_id: BackupId,
    /// When the job was made.
    pub created_at: DateTime<Utc>,
    /// Whether its message is known to have been sent.
    pub queued: bool,
}

impl Reservation {
    /// Reserves a slot. The job's id follows from database, lane and slot, so that a slot has one
    /// job, whoever computes it.
    pub fn new(database: &DatabaseId, lane: Lane, slot: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        let slot_text = slot.to_rfc3339();
        let job_id = JobId::derived(&["job", database.as_str(), lane.as_str(), &slot_text]);
        let backup_id = BackupId::derived(&["backup", job_id.as_str()]);
        Self { slot, job_id, backup_id, created_at: now, queued: false }
    }

    /// Reserves the same slot for a further job, after the present one has failed. Its ids follow from
    /// those of the one before, so that a slot is served again once, whoever computes it.
    #[must_use]
    pub fn again(&self, now: DateTime<Utc>) -> Self {
        let job_id = JobId::derived(&["job again", self.job_id.as_str()]);
        let backup_id = BackupId::derived(&["backup", job_id.as_str()]);
        Self { slot: self.slot, job_id, backup_id, created_at: now, queued: false }
    }

    /// Notes a backup that an earlier system made: its lane is served until a later slot comes.
    pub fn of_earlier(backup: &Backup) -> Self {
        Self {
            slot: backup.created_at,
            job_id: backup.job_id.clone(),
            backup_id: backup.id.clone(),
            created_at: backup.created_at,
            queued: true,
        }
    }
}

impl SlotState {
    /// Returns the last slot that was served of each lane.
    pub fn recorded(&self) -> Recorded {
        self.lanes.iter().map(|(lane, reserved)| (*lane, reserved.slot)).collect()
    }

    /// Tells whether the scheduler has ever stored anything for this database.
    pub fn is_stored(&self) -> bool {
        self.etag.is_some()
    }
}

impl Slots {
    /// Reads the slots of all databases, a page at a time. What cannot be read counts as never
    /// served.
    pub async fn all(&self) -> Result<BTreeMap<DatabaseId, SlotState>, StorageError> {
        let query = Query::matching(Filter::eq(PARTITION_KEY, PARTITION));
        let (mut slots, mut from) = (BTreeMap::new(), None);
        loop {
            let page = self.table.query(&query, from.as_ref()).await?;
            let known = page.entities.iter().filter_map(|row| Some((row.key.row.parse().ok()?, read(row))));
            slots.extend(known);
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(slots),
            }
        }
    }

    /// Reads the slots of one database; never served when there are none.
    pub async fn get(&self, database: &DatabaseId) -> Result<SlotState, StorageError> {
        let found = self.table.get(&Key::new(PARTITION, database.as_str())).await?;
        Ok(found.as_ref().map(read).unwrap_or_default())
    }

    /// Stores reservations over the slots that were read. `false` when somebody else has changed
    /// them since: then they are his to serve.
    pub async fn reserve(
        &self,
        database: &DatabaseId,
        state: &mut SlotState,
        reservations: &[(Lane, Reservation)],
    ) -> Result<bool, StorageError> {
        let key = Key::new(PARTITION, database.as_str());
        let properties = properties(reservations);
        let written = match &state.etag {
            None => self.table.insert(&Entity::new(key, properties)).await,
            Some(etag) => self.table.merge(&key, &properties, &Expect::Version(etag.clone())).await,
        };
        match written {
            Ok(etag) => {
                state.etag = Some(etag);
                state.lanes.extend(reservations.iter().cloned());
                Ok(true)
            }
            Err(error)
                if matches!(
                    error.kind(),
                    StorageErrorKind::AlreadyExists | StorageErrorKind::Changed | StorageErrorKind::NotFound
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Notes that the messages of these lanes were sent.
    pub async fn mark_queued(
        &self,
        database: &DatabaseId,
        state: &mut SlotState,
        lanes: &[Lane],
    ) -> Result<(), StorageError> {
        let marked: Properties = COLUMNS
            .iter()
            .filter(|(lane, _)| lanes.contains(lane))
            .map(|(_, [.., queued])| ((*queued).to_owned(), true.into()))
            .collect();
        let key = Key::new(PARTITION, database.as_str());
        let expect = state.etag.clone().map_or(Expect::Any, Expect::Version);
        match self.table.merge(&key, &marked, &expect).await {
            Ok(etag) => {
                state.etag = Some(etag);
                for lane in lanes {
                    if let Some(reservation) = state.lanes.get_mut(lane) {
                        reservation.queued = true;
                    }
                }
                Ok(())
            }
            // Somebody else has marked or moved them on in the meantime.
            Err(error) if matches!(error.kind(), StorageErrorKind::Changed | StorageErrorKind::NotFound) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Forgets a database.
    pub async fn forget(&self, database: &DatabaseId) -> Result<(), StorageError> {
        super::repository::delete(&*self.table, &Key::new(PARTITION, database.as_str())).await.map(drop)
    }
}

fn properties(reservations: &[(Lane, Reservation)]) -> Properties {
    let mut properties = Properties::new();
    for (lane, reservation) in reservations {
        for (_, [slot, job_id, backup_id, created_at, queued]) in
            COLUMNS.iter().filter(|(known, _)| known == lane)
        {
            properties.insert((*slot).to_owned(), date_time(reservation.slot));
            properties.insert((*job_id).to_owned(), reservation.job_id.as_str().into());
            properties.insert((*backup_id).to_owned(), reservation.backup_id.as_str().into());
            properties.insert((*created_at).to_owned(), date_time(reservation.created_at));
            properties.insert((*queued).to_owned(), reservation.queued.into());
        }
    }
    properties
}

fn read(entity: &Entity) -> SlotState {
    let row = Reader(entity);
    let lanes = COLUMNS
        .iter()
        .filter_map(|(lane, [slot, job_id, backup_id, created_at, queued])| {
            let reservation = Reservation {
                slot: row.instant(slot)?,
                job_id: row.parse(job_id).ok()?,
                backup_id: row.parse(backup_id).ok()?,
                created_at: row.instant(created_at)?,
                queued: row.flag(queued, false),
            };
            Some((*lane, reservation))
        })
        .collect();
    SlotState { lanes, etag: entity.etag.clone() }
}
