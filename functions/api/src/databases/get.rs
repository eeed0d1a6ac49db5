//! `GET /databases/{id}`.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::models::DatabaseId;

use crate::error::ApiError;
use crate::if_match::{IfMatch, Version};
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
    if_match: IfMatch,
) -> Result<(Version, Json<Answer>), ApiError> {
    let found = references::database(&state, &id).await?;
    if_match.check(&found.etag)?;
    let book = references::policy_book(&state).await?;
    let view = DatabaseView::from(&found.value);
    let answer = Answer { database: ScheduledView::new(view, &found.value, &book, now) };
    Ok((found.etag.into(), Json(answer)))
}
