//! `GET /audit`: the log, newest first.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::storage::AuditFilter;

use crate::error::ApiError;
use crate::query::Query;
use crate::state::{AppState, Now};
use crate::views::audit::AuditView;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    logs: Vec<AuditView>,
    count: usize,
    total: usize,
    has_more: bool,
}

/// Lists a page of the records that match.
pub(crate) async fn list(
    State(state): State<AppState>,
    Now(now): Now,
    query: Query,
) -> Result<Json<Answer>, ApiError> {
    let limit = query.clamped("limit", 1..=500)?.unwrap_or(50);
    let offset = query.clamped("offset", 0..=usize::MAX)?.unwrap_or(0);
    let filter = filter(&query)?;
    let page = state.storage.audit.list(&filter, offset, limit, now).await?;
    let logs: Vec<AuditView> = page.records.into_iter().map(AuditView::from).collect();
    let has_more = offset.saturating_add(logs.len()) < page.total;
    Ok(Json(Answer { count: logs.len(), logs, total: page.total, has_more }))
}

fn filter(query: &Query) -> Result<AuditFilter, ApiError> {
    let text = |name| query.text(name).map(str::to_owned);
    Ok(AuditFilter {
        from: query.date("start_date")?,
        through: query.date("end_date")?,
        user_id: text("user_id"),
        action: query.name("action")?,
        resource: query.name("resource_type")?,
        status: query.name("status")?,
        search: text("search"),
        database_type: text("database_type"),
        engine_id: text("engine_id"),
        resource_name: text("resource_name"),
    })
}
