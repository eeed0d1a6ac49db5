//! The backup history.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::committed::committed;
use super::filter::{Filter, PARTITION, ROW};
use super::repository::{self, Versioned};
use super::rows::{self, Reader, Row as _, history_key, id_in};
use super::table::{Entity, Expect, Query, Table, query_all};
use super::{BlobStore, StorageError, StorageErrorKind};
use crate::models::{
    Artifact, Backup, BackupId, BackupState, BackupStatus, DatabaseId, DatabaseType, Failure, Run, Tier,
    TriggeredBy,
};

/// How long a record may be pending or in progress without a sign of life.
pub const STUCK_AFTER: TimeDelta = TimeDelta::hours(2);

/// The backup history.
#[derive(Debug, Clone)]
pub struct Backups {
    pub(super) table: Arc<dyn Table>,
}

/// Which records are asked for; all conditions hold together.
#[derive(Debug, Clone, Default)]
pub struct BackupFilter {
    /// Those of one of these databases; an empty list matches nothing.
    pub databases: Option<Vec<DatabaseId>>,
    /// Those in one of these states.
    pub statuses: Vec<BackupStatus>,
    /// Those that were asked for so.
    pub triggered_by: Option<TriggeredBy>,
    /// Those of this kind of database.
    pub database_type: Option<DatabaseType>,
    /// Those of this tier; `Some(None)` means without a tier.
    pub tier: Option<Option<Tier>>,
    /// Those made at this instant or later.
    pub from: Option<DateTime<Utc>>,
    /// Those made before this instant.
    pub before: Option<DateTime<Utc>>,
}

impl BackupFilter {
    /// Asks for the records of one database.
    pub fn of(database: &DatabaseId) -> Self {
        Self { databases: Some(vec![database.clone()]), ..Self::default() }
    }

    pub(super) fn query(&self) -> Query {
        // Only what every system writes in the same form is left to the service; `matches` does the
        // rest, since rows of earlier systems may lack a property or hold another word for it.
        let mut all = Vec::new();
        let any = |filters: Vec<Filter>| Filter::Or(filters);
        if !self.statuses.is_empty() {
            all.push(any(self.statuses.iter().map(|status| Filter::eq("status", status.as_str())).collect()));
        }
        // The service takes 15 comparisons in a filter; with a list of this length there are never more.
        // <https://learn.microsoft.com/rest/api/storageservices/querying-tables-and-entities>
        if let Some(databases) =
            self.databases.as_ref().filter(|databases| (1..=5).contains(&databases.len()))
        {
            all.push(any(databases.iter().map(|id| Filter::eq("database_id", id.as_str())).collect()));
        }
        if self.triggered_by == Some(TriggeredBy::Manual) {
            all.push(Filter::eq("triggered_by", TriggeredBy::Manual.as_str()));
        }
        if let Some(kind) = self.database_type {
            all.push(Filter::eq("database_type", kind.as_str()));
        }
        if let Some(Some(tier)) = self.tier {
            all.push(Filter::eq("tier", tier.as_str()));
        }
        if let Some(from) = self.from {
            all.push(Filter::ge(PARTITION, from.format("%Y-%m-%d").to_string()));
        }
        if let Some(before) = self.before {
            // Years beyond four digits do not sort as texts, and no record is of that time.
            let day = before.format("%Y-%m-%d").to_string();
            all.push(Filter::le(PARTITION, if day.len() == 10 { day } else { "9999-12-31".to_owned() }));
        }
        Query { filter: (!all.is_empty()).then_some(Filter::And(all)), ..Query::default() }
    }

    fn matches(&self, backup: &Backup) -> bool {
        self.databases.as_ref().is_none_or(|databases| databases.contains(&backup.database_id))
            && (self.statuses.is_empty() || self.statuses.contains(&backup.status()))
            && self.triggered_by.is_none_or(|by| backup.triggered_by == by)
            && self.database_type.is_none_or(|kind| backup.database_type == kind)
            && self.tier.is_none_or(|tier| backup.tier == tier)
            && self.from.is_none_or(|from| backup.created_at >= from)
            && self.before.is_none_or(|before| backup.created_at < before)
    }
}

impl Backups {
    /// Stores the record of a new backup. `AlreadyExists` when it is stored already.
    pub async fn insert(&self, backup: &Backup) -> Result<(), StorageError> {
        self.table.insert(&backup.entity()).await.map(drop)
    }

    /// Reads the record with this id that was made at `created_at`.
    pub async fn get(
        &self,
        id: &BackupId,
        created_at: DateTime<Utc>,
    ) -> Result<Option<Versioned<Backup>>, StorageError> {
        repository::get(&*self.table, &history_key(created_at, id.as_str())).await
    }

    /// Reads the record with this id, whenever it was made. Reads every partition.
    pub async fn find(&self, id: &BackupId) -> Result<Option<Backup>, StorageError> {
        // The id ends the row key, which no filter of the service can ask for; rows of the oldest
        // systems have it as the whole key.
        let legacy = Query::matching(Filter::eq(ROW, id.as_str()));
        let found: Vec<Backup> = repository::list(&*self.table, &legacy).await?;
        if let Some(backup) = found.into_iter().next() {
            return Ok(Some(backup));
        }
        let all = self.list(&BackupFilter::default()).await?;
        Ok(all.into_iter().find(|backup| backup.id == *id))
    }

    /// Reads the records that match, newest first.
    pub async fn list(&self, filter: &BackupFilter) -> Result<Vec<Backup>, StorageError> {
        if filter.databases.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Vec::new());
        }
        let mut found: Vec<Backup> = repository::list(&*self.table, &filter.query()).await?;
        found.retain(|backup| filter.matches(backup));
        found.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| b.id.cmp(&a.id)));
        Ok(found)
    }

    /// Deletes a record, wherever its row is; `false` when there was none.
    pub async fn delete(&self, backup: &Backup) -> Result<bool, StorageError> {
        if repository::delete(&*self.table, &history_key(backup.created_at, backup.id.as_str())).await? {
            return Ok(true);
        }
        // Earlier systems computed the ticks with rounding errors and in local time, or had the id
        // alone as the row key.
        let day = Filter::eq(PARTITION, history_key(backup.created_at, "").partition);
        let legacy = Filter::eq(ROW, backup.id.as_str());
        for filter in [day, legacy] {
            let query = Query { select: vec!["job_id"], ..Query::matching(filter) };
            let found = query_all(&*self.table, &query).await?;
            let own = |entity: &&Entity| id_in(&entity.key.row) == backup.id.as_str();
            if let Some(entity) = found.iter().find(own) {
                return repository::delete(&*self.table, &entity.key).await;
            }
        }
        Ok(false)
    }

    /// Ends the records that have shown no sign of life for two hours, and returns them: as completed
    /// where the artifact is there after all, else as failed.
    ///
    /// A message that still comes for such a record finds it ended and is acknowledged.
    pub async fn end_stuck(
        &self,
        blobs: &dyn BlobStore,
        now: DateTime<Utc>,
    ) -> Result<Vec<Backup>, StorageError> {
        let alive =
            [BackupStatus::Pending, BackupStatus::InProgress].map(|s| Filter::eq("status", s.as_str()));
        let query = Query::matching(Filter::Or(alive.into()));
        let mut ended = Vec::new();
        for entity in query_all(&*self.table, &query).await? {
            let Ok(mut backup) = Backup::from_entity(&entity) else {
                tracing::warn!(key = %entity.key, "an unfinished record cannot be read and is skipped");
                continue;
            };
            // A record that waits has the sign of life of its last delivery.
            let heartbeat = Reader(&entity).instant("heartbeat_at").unwrap_or(backup.created_at);
            if last_sign_of_life(&backup).max(heartbeat) + STUCK_AFTER > now {
                continue;
            }
            let artifact = match rows::planned_blob(&entity) {
                Some(planned) => committed(blobs, &backup, &planned).await?,
                None => None,
            };
            backup.state = lost(&backup, artifact, now);
            let expect = entity.etag.map_or(Expect::Any, Expect::Version);
            match self.table.merge(&entity.key, &backup.entity().properties, &expect).await {
                Ok(_) => ended.push(backup),
                Err(error)
                    if matches!(error.kind(), StorageErrorKind::Changed | StorageErrorKind::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(ended)
    }
}

/// Decides how the record of a backup ends whose processor was lost.
fn lost(backup: &Backup, artifact: Option<Artifact>, now: DateTime<Utc>) -> BackupState {
    let run = Run::between(backup.run().started_at.unwrap_or(backup.created_at), now);
    if artifact.is_some() {
        return BackupState::Completed { run, artifact };
    }
    let failure = Failure::new(
        "WorkerLost",
        "The processor that was to make this backup gave no sign of life for 2 hours. No artifact was \
         recorded. Check that the processor runs, and its log for a crash; a scheduled backup is tried again.",
    );
    BackupState::Failed { run, failure }
}

/// Returns the last instant at which somebody worked on a backup, or asked for it.
pub fn last_sign_of_life(backup: &Backup) -> DateTime<Utc> {
    match &backup.state {
        BackupState::InProgress(attempt) => {
            attempt.heartbeat_at.or(attempt.started_at).unwrap_or(backup.created_at).max(backup.created_at)
        }
        BackupState::Pending { .. }
        | BackupState::Completed { .. }
        | BackupState::Failed { .. }
        | BackupState::Cancelled { .. } => backup.created_at,
    }
}
