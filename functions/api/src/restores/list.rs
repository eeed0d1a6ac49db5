//! `GET /restores`: the restores, newest first.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::error::ApiError;
use crate::query::Query;
use crate::state::AppState;
use crate::views::restore::RestoreView;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    restores: Vec<RestoreView>,
    count: usize,
    total: usize,
    has_more: bool,
}

/// Lists a page of them.
pub(crate) async fn list(State(state): State<AppState>, query: Query) -> Result<Json<Answer>, ApiError> {
    let limit = query.within("limit", 1..=1000)?.unwrap_or(100);
    let offset = query.within("offset", 0..=usize::MAX)?.unwrap_or(0);
    let all = state.storage.restores.list().await?;
    let total = all.len();
    let restores: Vec<RestoreView> =
        all.into_iter().skip(offset).take(limit).map(RestoreView::from).collect();
    let count = restores.len();
    Ok(Json(Answer { restores, count, total, has_more: offset.saturating_add(count) < total }))
}
