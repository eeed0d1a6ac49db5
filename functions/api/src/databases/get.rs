//! `GET /databases/{id}`.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::models::DatabaseId;

use crate::error::ApiError;
use crate::path::Id;
use crate::references;
use crate::state::{AppState, Now};
use crate::views::database::{DatabaseView, ScheduledView};

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    database: ScheduledView,
}

/// Shows a database, and when it is backed up next.
pub(crate) async fn get(
    State(state): State<AppState>,
    Now(now): Now,
    Id(id): Id<DatabaseId>,
) -> Result<Json<Answer>, ApiError> {
    let database = references::database(&state, &id).await?.value;
    let book = references::policy_book(&state).await?;
    let view = DatabaseView::from(&database);
    Ok(Json(Answer { database: ScheduledView::new(view, &database, &book, now) }))
}
