//! `GET /backup-policies`.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::error::ApiError;
use crate::state::AppState;
use crate::views::policy::PolicyView;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    policies: Vec<PolicyView>,
    count: usize,
}

/// Lists all policies: those that every installation has first, then by name.
pub(crate) async fn list(State(state): State<AppState>) -> Result<Json<Answer>, ApiError> {
    let mut policies = state.storage.policies.list().await?;
    policies.sort_by_key(|policy| (!policy.is_system, policy.name.to_lowercase(), policy.id.clone()));
    let policies: Vec<PolicyView> = policies.iter().map(PolicyView::from).collect();
    Ok(Json(Answer { count: policies.len(), policies }))
}
