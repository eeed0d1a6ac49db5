//! `GET /audit/stats`: how many records there are of each kind.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::storage::AuditFilter;

use crate::error::ApiError;
use crate::query::Query;
use crate::state::{AppState, Now};

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    total: usize,
    by_action: BTreeMap<String, usize>,
    by_resource_type: BTreeMap<String, usize>,
    by_status: BTreeMap<String, usize>,
    by_user: Vec<UserCount>,
}

#[derive(Debug, Serialize)]
struct UserCount {
    user_id: String,
    email: String,
    count: usize,
}

/// Counts the records of the days that are asked for; users by how often they appear.
pub(crate) async fn stats(
    State(state): State<AppState>,
    Now(now): Now,
    query: Query,
) -> Result<Json<Answer>, ApiError> {
    let filter = AuditFilter {
        from: query.date("start_date")?,
        through: query.date("end_date")?,
        ..AuditFilter::default()
    };
    let counted = state.storage.audit.stats(&filter, now).await?;
    let mut by_user: Vec<UserCount> = counted
        .by_user
        .into_iter()
        .map(|((user_id, email), count)| UserCount { user_id, email, count })
        .collect();
    by_user.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.user_id.cmp(&b.user_id)));
    Ok(Json(Answer {
        total: counted.total,
        by_action: counted.by_action,
        by_resource_type: counted.by_resource_type,
        by_status: counted.by_status,
        by_user,
    }))
}
