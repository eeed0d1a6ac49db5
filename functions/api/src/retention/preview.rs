//! `GET /retention/preview`: what the next run would delete of one database, and why.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::models::{Backup, BackupId, BackupStatus, DatabaseId, Tier};
use shared::prune::{Decided, Rulebook, is_paused};
use shared::retention::Record;
use shared::storage::BackupFilter;

use crate::error::ApiError;
use crate::query::Query;
use crate::references;
use crate::state::{AppState, Now};

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    database_id: DatabaseId,
    /// Whether nothing is pruned because the last backups failed.
    paused: bool,
    delete_count: usize,
    keep_count: usize,
    /// Newest first.
    backups: Vec<DecidedView>,
}

#[derive(Debug, Serialize)]
struct DecidedView {
    backup_id: BackupId,
    status: BackupStatus,
    tier: Option<Tier>,
    created_at: DateTime<Utc>,
    blob_name: Option<String>,
    file_size_bytes: Option<u64>,
    decision: &'static str,
    reason: String,
}

/// Decides and deletes nothing.
pub(crate) async fn preview(
    State(state): State<AppState>,
    Now(now): Now,
    query: Query,
) -> Result<Json<Answer>, ApiError> {
    let required = || ApiError::field("database_id", "is required");
    let id: DatabaseId = query.name("database_id")?.ok_or_else(required)?;
    let database = references::database(&state, &id).await?.value;
    let rulebook = Rulebook::read(&state.storage, now).await?;
    let backups = state.storage.backups.list(&BackupFilter::of(&id)).await?;
    let records = backups.iter().map(Record::from).collect();
    let decided = rulebook.decide(&database, records, now);
    let delete_count = decided.iter().filter(|decided| decided.verdict.is_delete()).count();
    Ok(Json(Answer {
        database_id: id,
        paused: decided.iter().any(|decided| is_paused(decided.verdict)),
        delete_count,
        keep_count: decided.len() - delete_count,
        backups: backups.iter().zip(decided).map(view).collect(),
    }))
}

fn view((backup, decided): (&Backup, Decided)) -> DecidedView {
    let artifact = backup.artifact();
    DecidedView {
        backup_id: decided.record.id,
        status: decided.record.status,
        tier: decided.record.tier,
        created_at: decided.record.created_at,
        blob_name: artifact.map(|artifact| artifact.blob_name.clone()),
        file_size_bytes: artifact.and_then(|artifact| artifact.bytes),
        decision: if decided.verdict.is_delete() { "delete" } else { "keep" },
        reason: decided.verdict.reason(),
    }
}
