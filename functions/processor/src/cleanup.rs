//! `cleanup_old_backups`: retention, once a day.
//!
//! The blob goes first and its record after it, so that a crash in between leaves a record whose
//! blob is gone, which the next run removes, and never a blob that nobody knows of.

use axum::extract::State;
use chrono::{DateTime, Utc};
use custom_handler::{Answer, TimerInvocation};
use shared::effective_policy::PolicyBook;
use shared::models::{Actor, AuditAction, AuditEvent, AuditResource, Backup, Database, Tier};
use shared::retention::{Record, Rules, Verdict, retention};
use shared::storage::{BackupFilter, StorageError};

use crate::state::AppState;

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    databases: usize,
    deleted: usize,
    kept: usize,
    failed: usize,
}

/// Deletes what retention says, of every configured database, enabled or not. What belongs to
/// databases that are not configured any more is never touched.
pub(crate) async fn cleanup_old_backups(State(state): State<AppState>, _timer: TimerInvocation) -> Answer {
    match clean_up(&state).await {
        Ok(Counts { databases, deleted, kept, failed }) => {
            tracing::info!(databases, deleted, kept, failed, "retention is done");
            let line =
                format!("{databases} databases, {deleted} backups deleted, {kept} kept, {failed} failed");
            if failed == 0 { Answer::success().with_log(line) } else { Answer::failure(line) }
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "retention failed");
            Answer::failure(error.to_string())
        }
    }
}

async fn clean_up(state: &AppState) -> Result<Counts, StorageError> {
    let now = state.clock.now();
    let storage = &state.storage;
    storage.policies.seed(now).await?;
    let databases = storage.databases.list().await?;
    let book = PolicyBook::new(storage.policies.list().await?, &storage.engines.list().await?);
    let default_days = storage.settings.get(now).await?.default_retention_days;
    let mut counts = Counts { databases: databases.len(), ..Counts::default() };
    for database in &databases {
        let Some(policy) = book.of(database) else { continue };
        let rules = Rules::new(policy, database.retention_days, default_days);
        if let Err(error) = clean_up_database(state, database, &rules, now, &mut counts).await {
            counts.failed += 1;
            tracing::error!(error = &error as &dyn std::error::Error, database_id = %database.id, "the backups of a database could not be read");
        }
    }
    Ok(counts)
}

async fn clean_up_database(
    state: &AppState,
    database: &Database,
    rules: &Rules,
    now: DateTime<Utc>,
    counts: &mut Counts,
) -> Result<(), StorageError> {
    let backups = state.storage.backups.list(&BackupFilter::of(&database.id)).await?;
    let records: Vec<Record> = backups.iter().map(Record::from).collect();
    for (backup, decision) in backups.iter().zip(retention(rules, &records, now)) {
        if !decision.verdict.is_delete() {
            counts.kept += 1;
            continue;
        }
        match delete(state, database, backup, decision.verdict, now).await {
            Ok(()) => counts.deleted += 1,
            Err(error) => {
                counts.failed += 1;
                tracing::error!(error = &error as &dyn std::error::Error, backup_id = %backup.id, "a backup could not be deleted; the next run tries again");
            }
        }
    }
    Ok(())
}

async fn delete(
    state: &AppState,
    database: &Database,
    backup: &Backup,
    verdict: Verdict,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    if let Some(artifact) = backup.artifact() {
        state.storage.blobs.delete(&state.storage.locate(artifact)).await?;
    }
    state.storage.backups.delete(backup).await?;
    tracing::info!(backup_id = %backup.id, database_id = %backup.database_id, %verdict, "a backup was pruned");
    if let Some(artifact) = backup.artifact() {
        let event = AuditEvent::new(
            AuditAction::BackupDeletedRetention,
            AuditResource::Backup,
            &artifact.blob_name,
            &backup.database_name,
        )
        .with("database_id", backup.database_id.as_str())
        .with("database_alias", backup.database_name.as_str())
        .with("database_type", backup.database_type.as_str())
        .with("engine_id", database.engine_id.as_ref().map(ToString::to_string))
        .with("tier", backup.tier.map(Tier::as_str))
        .with("blob_name", artifact.blob_name.as_str())
        .with("reason", verdict.to_string());
        state.storage.audit.record(&Actor::system(), event, now).await;
    }
    Ok(())
}
