//! `GET /restores/{id}`: one restore.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::models::RestoreId;

use crate::error::ApiError;
use crate::path::{Id, not_found};
use crate::state::AppState;
use crate::views::restore::RestoreView;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    restore: RestoreView,
}

/// Shows it, with its progress.
pub(crate) async fn get(
    State(state): State<AppState>,
    Id(id): Id<RestoreId>,
) -> Result<Json<Answer>, ApiError> {
    let found = state.storage.restores.get(&id).await?.ok_or_else(|| not_found(&id))?;
    Ok(Json(Answer { restore: found.value.into() }))
}
