//! The backup history.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::backup_days::BackupDays;
use super::backup_index::BackupIndex;
use super::committed::committed;
use super::filter::{Filter, PARTITION};
use super::history_table::HistoryTable;
use super::priority::Priority;
use super::repository::{self, Versioned};
use super::rows::{self, Reader, Row as _, history_key};
use super::table::{Expect, Query, Table, query_all};
use super::{BlobStore, StorageError, StorageErrorKind};
use crate::clock::Clock;
use crate::models::{
    Artifact, Backup, BackupId, BackupState, BackupStatus, DatabaseId, DatabaseType, Failure, Run, Tier,
    TriggeredBy,
};

/// How long a record may be pending or in progress without a sign of life.
pub const STUCK_AFTER: TimeDelta = TimeDelta::hours(2);

/// The backup history.
#[derive(Debug, Clone)]
pub struct Backups {
    /// The rows; what is written through it is indexed.
    pub(super) table: Arc<dyn Table>,
    /// The same rows for those who keep the index themselves.
    pub(super) rows: Arc<dyn Table>,
    pub(super) index: BackupIndex,
    pub(super) days: BackupDays,
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
        let conditions = self.conditions();
        Query { filter: (!conditions.is_empty()).then_some(Filter::And(conditions)), ..Query::default() }
    }

    /// Returns the conditions that the service can check; `matches` has all of them.
    pub(super) fn conditions(&self) -> Vec<Filter> {
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
        all
    }

    pub(super) fn matches(&self, backup: &Backup) -> bool {
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
    /// Makes the history of its rows and of the two tables of its index.
    pub(super) fn new(
        rows: Arc<dyn Table>,
        index: Arc<dyn Table>,
        days: Arc<dyn Table>,
        priority: Priority,
        clock: Clock,
    ) -> Self {
        let days = BackupDays::new(days, rows.clone(), priority, clock);
        let index = BackupIndex { table: index };
        let table = Arc::new(HistoryTable { rows: rows.clone(), index: index.clone(), days: days.clone() });
        Self { table, rows, index, days }
    }

    /// Makes a history whose index is in memory.
    #[cfg(test)]
    pub(super) fn over(rows: impl Table + 'static, clock: Clock) -> Self {
        let [index, days]: [Arc<dyn Table>; 2] =
            std::array::from_fn(|_| -> Arc<dyn Table> { Arc::new(super::MemoryTable::default()) });
        Self::new(Arc::new(rows), index, days, Priority::default(), clock)
    }

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

    /// Reads the records that match, newest first.
    pub async fn list(&self, filter: &BackupFilter) -> Result<Vec<Backup>, StorageError> {
        if filter.databases.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Vec::new());
        }
        let _asking = self.days.priority.ask();
        let mut found: Vec<Backup> = repository::list(&*self.table, &filter.query()).await?;
        found.retain(|backup| filter.matches(backup));
        found.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| b.id.cmp(&a.id)));
        Ok(found)
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
        self.end_stuck_since(blobs, (None, None), now).await
    }

    /// The same for the records that were made at `since` or later, so that a long history is not read
    /// each time. `oldest` is when the oldest job that waits in the queue was made: a record that is not older
    /// than it by two hours may have its message behind it, and has its turn in time.
    pub async fn end_stuck_since(
        &self,
        blobs: &dyn BlobStore,
        (since, oldest): (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
        now: DateTime<Utc>,
    ) -> Result<Vec<Backup>, StorageError> {
        let statuses = vec![BackupStatus::Pending, BackupStatus::InProgress];
        let query = BackupFilter { statuses, from: since, ..BackupFilter::default() }.query();
        let mut ended = Vec::new();
        for entity in query_all(&*self.table, &query).await? {
            let Ok(mut backup) = Backup::from_entity(&entity) else {
                tracing::warn!(key = %entity.key, "an unfinished record cannot be read and is skipped");
                continue;
            };
            // A record that waits has the sign of life of its last delivery.
            let heartbeat = Reader(&entity).instant("heartbeat_at").unwrap_or(backup.created_at);
            let lost_at = last_sign_of_life(&backup).max(heartbeat) + STUCK_AFTER;
            if lost_at > now || oldest.is_some_and(|oldest| lost_at > oldest) {
                continue;
            }
            let artifact = match rows::planned_blob(&entity) {
                Some(planned) => match committed(blobs, &backup, &planned).await {
                    Ok(artifact) => artifact,
                    // Without a look, it may be complete. The others have their turn.
                    Err(error) => {
                        stays(&backup, &error);
                        continue;
                    }
                },
                None => None,
            };
            backup.state = lost(&backup, artifact, now);
            let expect = entity.etag.map_or(Expect::Any, Expect::Version);
            match self.table.merge(&entity.key, &backup.entity().properties, &expect).await {
                Ok(_) => ended.push(backup),
                Err(error)
                    if matches!(error.kind(), StorageErrorKind::Changed | StorageErrorKind::NotFound) => {}
                // Those that have ended by now are told of, so that they are audited.
                Err(error) => stays(&backup, &error),
            }
        }
        Ok(ended)
    }
}

/// Tells the log of a record that is to end and cannot yet.
fn stays(backup: &Backup, error: &StorageError) {
    let error: &dyn std::error::Error = error;
    tracing::warn!(error, backup_id = %backup.id, "a backup whose processor was lost cannot be ended yet");
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
