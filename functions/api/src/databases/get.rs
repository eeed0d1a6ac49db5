//! `GET /databases/{id}`.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::models::DatabaseId;

use crate::error::ApiError;
use crate::path::Id;
use crate::references;
use crate::state::AppState;
use crate::views::database::DatabaseView;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    database: DatabaseView,
}

/// Shows a database.
pub(crate) async fn get(
    State(state): State<AppState>,
    Id(id): Id<DatabaseId>,
) -> Result<Json<Answer>, ApiError> {
    let database = references::database(&state, &id).await?.value;
    Ok(Json(Answer { database: DatabaseView::from(&database) }))
}
