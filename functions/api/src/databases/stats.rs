//! `GET /databases/{id}/backup-stats`: how much a database has in its history.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::models::DatabaseId;
use shared::storage::{BackupFilter, Tally};

use crate::error::ApiError;
use crate::path::Id;
use crate::references;
use crate::state::AppState;
use crate::texts::size_text;

#[derive(Debug, Serialize)]
pub(crate) struct Stats {
    database_id: DatabaseId,
    count: u64,
    total_size_bytes: u64,
    total_size_formatted: String,
}

/// Counts the records of a database and adds up their files.
pub(crate) async fn stats(
    State(state): State<AppState>,
    Id(id): Id<DatabaseId>,
) -> Result<Json<Stats>, ApiError> {
    references::database(&state, &id).await?;
    let Tally { count, bytes } = state.storage.backups.counts().await?.total(&BackupFilter::of(&id));
    Ok(Json(Stats {
        database_id: id,
        count,
        total_size_bytes: bytes,
        total_size_formatted: size_text(bytes),
    }))
}
