//! What the history says that the slots do not.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use shared::models::{Backup, BackupStatus, Database, DatabaseId, JobId, Lane, TriggeredBy};
use shared::storage::{
    BackupFilter, Reservation, STUCK_AFTER, SlotState, Storage, StorageError, last_sign_of_life,
};

/// How long a slot rests whose job has failed, before it is served again.
const REST: TimeDelta = TimeDelta::hours(1);

/// How far back failures are looked for. A slot that failed longer ago was served again since, or
/// nobody ran the scheduler; then its next slot is near.
const LOOK_BACK: TimeDelta = TimeDelta::days(2);

/// Classes of failures that need a person first. Serving such a slot again would only fail again, and
/// with a refused password perhaps lock the account.
const FOR_PEOPLE: [&str; 5] =
    ["AuthenticationFailed", "ConfigurationGone", "Credentials", "InvalidTarget", "Unsupported"];

/// Returns, for the databases without slots, the newest backup of each lane as a reservation.
///
/// All databases are without slots after a take-over from an earlier system, whose scheduler kept
/// nothing but the history: without a look at it, every tier of every database would be due at once.
/// One pass over the history serves them all; when every database has slots, nothing is read.
pub(crate) async fn of_unknown(
    storage: &Storage,
    databases: &[Database],
    slots: &BTreeMap<DatabaseId, SlotState>,
    now: DateTime<Utc>,
) -> Result<BTreeMap<DatabaseId, BTreeMap<Lane, Reservation>>, StorageError> {
    let unknown: Vec<DatabaseId> =
        databases.iter().map(|database| &database.id).filter(|id| !slots.contains_key(id)).cloned().collect();
    if unknown.is_empty() {
        return Ok(BTreeMap::new());
    }
    let filter = BackupFilter {
        databases: Some(unknown),
        statuses: vec![BackupStatus::Completed, BackupStatus::Pending, BackupStatus::InProgress],
        triggered_by: Some(TriggeredBy::Scheduler),
        ..BackupFilter::default()
    };
    let mut newest: BTreeMap<DatabaseId, BTreeMap<Lane, Reservation>> = BTreeMap::new();
    for backup in storage.backups.list(&filter).await? {
        if !backup.is_finished() && last_sign_of_life(&backup) + STUCK_AFTER <= now {
            continue;
        }
        let lane = backup.tier.map_or(Lane::Schedule, Lane::Tier);
        // Newest first, so the first one stays.
        let lanes = newest.entry(backup.database_id.clone()).or_default();
        lanes.entry(lane).or_insert_with(|| Reservation::of_earlier(&backup));
    }
    Ok(newest)
}

/// The jobs of slots that have failed, have rested, and may be served again.
#[derive(Debug, Default)]
pub(crate) struct Failed(HashMap<JobId, DateTime<Utc>>);

impl Failed {
    /// Reads the failures of the last two days.
    pub(crate) async fn read(storage: &Storage, now: DateTime<Utc>) -> Result<Self, StorageError> {
        let filter = BackupFilter {
            statuses: vec![BackupStatus::Failed],
            triggered_by: Some(TriggeredBy::Scheduler),
            from: Some(now - LOOK_BACK),
            ..BackupFilter::default()
        };
        let failed = storage.backups.list(&filter).await?;
        Ok(Self(failed.iter().filter(|backup| can_pass(backup)).map(ended).collect()))
    }

    /// Tells whether the job of a reservation is one of them.
    pub(crate) fn may_be_served_again(&self, reservation: &Reservation, now: DateTime<Utc>) -> bool {
        self.0.get(&reservation.job_id).is_some_and(|ended| *ended + REST <= now)
    }
}

fn can_pass(backup: &Backup) -> bool {
    let class = backup.failure().and_then(|failure| failure.class.as_deref());
    class.is_none_or(|class| !FOR_PEOPLE.contains(&class))
}

fn ended(backup: &Backup) -> (JobId, DateTime<Utc>) {
    (backup.job_id.clone(), backup.run().finished_at.unwrap_or(backup.created_at))
}
