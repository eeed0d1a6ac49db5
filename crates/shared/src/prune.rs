//! Retention carried out: what is decided for each database, and its deletion. Used by the processor's
//! timer, by previews, and by the command line, so that all of them decide the same.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock::Clock;
use crate::effective_policy::{PolicyBook, Unreadable};
use crate::models::{Actor, AuditAction, AuditEvent, AuditResource, Backup, Database, DatabaseId, Tier};
use crate::retention::{KeepReason, Record, Rules, Verdict, retention};
use crate::storage::{Lease, RemovalError, Storage, StorageError};

/// The lease that keeps two runs apart.
const LEASE: &str = "retention";

/// How long a run may show no life before another one may begin.
const LEASE_TTL: Duration = Duration::from_mins(10);

/// What decides, read once for all databases.
#[derive(Debug, Clone)]
pub struct Rulebook {
    book: PolicyBook,
    default_days: u16,
}

/// A record, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The record.
    pub record: Record,
    /// What becomes of it, and why.
    pub verdict: Verdict,
}

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Databases that were looked at.
    pub databases: usize,
    /// Backups that were deleted.
    pub deleted: usize,
    /// Records that stay.
    pub kept: usize,
    /// Backups whose deletion storage refused.
    pub refused: usize,
    /// Deletions that failed, and databases that could not be decided on.
    pub failed: usize,
    /// Databases where nothing is pruned because their backups fail.
    pub paused: usize,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done(Pruned),
    /// Another run is going on.
    Busy,
    /// It took so long without a sign of life that another run may have begun; this one stopped.
    Stopped(Pruned),
}

impl Rulebook {
    /// Reads policies, engines and settings.
    pub async fn read(storage: &Storage, now: DateTime<Utc>) -> Result<Self, StorageError> {
        let unreadable = Unreadable {
            policies: storage.policies.unreadable().await?,
            engines: storage.engines.unreadable().await?,
        };
        let book = PolicyBook::new(storage.policies.list().await?, &storage.engines.list().await?);
        let book = book.knowing(unreadable);
        Ok(Self { book, default_days: storage.settings.get(now).await?.default_retention_days })
    }

    /// Decides for the records of one database. All of them must be given. Without any policy nothing
    /// is decided, nor with one that cannot be read.
    pub fn decide(&self, database: &Database, records: Vec<Record>, now: DateTime<Utc>) -> Vec<Decided> {
        if self.book.is_in_doubt(database) {
            tracing::warn!(database_id = %database.id, "its policy or its engine cannot be read; none of its backups is deleted");
            return Vec::new();
        }
        let Some(policy) = self.book.of(database) else { return Vec::new() };
        let rules = Rules::new(policy, database.retention_days, self.default_days);
        let decisions = retention(&rules, &records, now);
        let decided = records.into_iter().zip(decisions);
        decided.map(|(record, decision)| Decided { record, verdict: decision.verdict }).collect()
    }
}

/// Decides for all configured databases, and deletes nothing. What belongs to databases that are not
/// configured any more is left out, because nobody decides on it.
pub async fn preview(
    storage: &Storage,
    now: DateTime<Utc>,
) -> Result<Vec<(Database, Vec<Decided>)>, StorageError> {
    let rulebook = Rulebook::read(storage, now).await?;
    let databases = storage.databases.list().await?;
    let mut holdings = storage.backups.holdings(None).await?;
    Ok(databases
        .into_iter()
        .map(|database| {
            let records = holdings.remove(&database.id).unwrap_or_default();
            let decided = rulebook.decide(&database, records, now);
            (database, decided)
        })
        .collect())
}

/// Deletes what retention says, of every configured database, enabled or not. Only one run goes on at
/// a time, wherever it was started.
pub async fn run(storage: &Storage, clock: &Clock) -> Result<Outcome, StorageError> {
    let now = clock.now();
    let Some(mut lease) = storage.leases.take(LEASE, LEASE_TTL, now).await? else {
        return Ok(Outcome::Busy);
    };
    let outcome = prune(storage, clock, &mut lease, now).await;
    storage.leases.give_back(lease).await;
    outcome
}

async fn prune(
    storage: &Storage,
    clock: &Clock,
    lease: &mut Lease,
    now: DateTime<Utc>,
) -> Result<Outcome, StorageError> {
    storage.policies.seed(now).await?;
    let rulebook = Rulebook::read(storage, now).await?;
    let databases = storage.databases.list().await?;
    let mut holdings: BTreeMap<DatabaseId, Vec<Record>> = storage.backups.holdings(None).await?;
    let mut pruned = Pruned { databases: databases.len(), ..Pruned::default() };
    for database in &databases {
        let records = holdings.remove(&database.id).unwrap_or_default();
        let decided = rulebook.decide(database, records, now);
        pruned.paused += usize::from(decided.iter().any(|decided| is_paused(decided.verdict)));
        for Decided { record, verdict } in decided {
            if !verdict.is_delete() {
                pruned.kept += 1;
                continue;
            }
            if lease.is_ageing(clock.now()) && !storage.leases.extend(lease, clock.now()).await? {
                return Ok(Outcome::Stopped(pruned));
            }
            delete(storage, database, &record, verdict, now, &mut pruned).await;
        }
    }
    Ok(Outcome::Done(pruned))
}

/// Tells whether a record stays only because the backups of its database fail.
pub fn is_paused(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Keep(KeepReason::FailureStreak { .. }))
}

/// Deletes one backup. What goes wrong with it stops nobody.
async fn delete(
    storage: &Storage,
    database: &Database,
    record: &Record,
    verdict: Verdict,
    now: DateTime<Utc>,
    pruned: &mut Pruned,
) {
    match remove(storage, database, record, verdict, now).await {
        Ok(()) => pruned.deleted += 1,
        Err(error @ (RemovalError::Refused(_) | RemovalError::Pinned(_) | RemovalError::Committing)) => {
            pruned.refused += 1;
            tracing::warn!(%error, backup_id = %record.id, database_id = %database.id, "a backup stays; the next run tries again");
        }
        Err(RemovalError::Storage(error)) => {
            pruned.failed += 1;
            tracing::error!(error = &error as &dyn std::error::Error, backup_id = %record.id, "a backup could not be deleted; the next run tries again");
        }
    }
}

async fn remove(
    storage: &Storage,
    database: &Database,
    record: &Record,
    verdict: Verdict,
    now: DateTime<Utc>,
) -> Result<(), RemovalError> {
    let found = storage.backups.get(&record.id, record.created_at).await?.map(|found| found.value);
    let found = match found {
        Some(backup) => Some(backup),
        None => storage.backups.find(&record.id).await?,
    };
    // Somebody else has deleted it since.
    let Some(backup) = found else { return Ok(()) };
    storage.remove(&backup, now).await?;
    tracing::info!(backup_id = %backup.id, database_id = %backup.database_id, %verdict, "a backup was pruned");
    if let Some(event) = pruned_event(database, &backup, verdict) {
        storage.audit.record(&Actor::system(), event, now).await;
    }
    Ok(())
}

fn pruned_event(database: &Database, backup: &Backup, verdict: Verdict) -> Option<AuditEvent> {
    let blob_name = &backup.artifact()?.blob_name;
    let event = AuditEvent::new(
        AuditAction::BackupDeletedRetention,
        AuditResource::Backup,
        blob_name,
        &backup.database_name,
    )
    .with("database_id", backup.database_id.as_str())
    .with("database_alias", backup.database_name.as_str())
    .with("database_type", backup.database_type.as_str())
    .with("engine_id", database.engine_id.as_ref().map(ToString::to_string))
    .with("tier", backup.tier.map(Tier::as_str))
    .with("blob_name", blob_name.as_str())
    .with("reason", verdict.to_string());
    Some(event)
}

#[cfg(test)]
#[path = "prune_test.rs"]
mod tests;
