//! `GET /backup-policies/{id}`.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::models::{Database, Engine, EngineId, PolicyId};

use crate::error::ApiError;
use crate::path::{Id, not_found};
use crate::state::AppState;
use crate::views::policy::PolicyView;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    policy: PolicyView,
    usage_count: usize,
}

/// Shows a policy and how many databases use it.
pub(crate) async fn get(
    State(state): State<AppState>,
    Id(id): Id<PolicyId>,
) -> Result<Json<Answer>, ApiError> {
    let policy = state.storage.policies.get(&id).await?.ok_or_else(|| not_found(&id))?.value;
    let engines = state.storage.engines.list().await?;
    let databases = state.storage.databases.list().await?;
    let usage_count = usage_count(&id, &databases, &engines);
    Ok(Json(Answer { policy: PolicyView::from(&policy), usage_count }))
}

/// Counts the databases that have chosen the policy themselves, or take it from their engine.
fn usage_count(id: &PolicyId, databases: &[Database], engines: &[Engine]) -> usize {
    let with_policy: Vec<&EngineId> = engines
        .iter()
        .filter(|engine| engine.policy_id.as_ref() == Some(id))
        .map(|engine| &engine.id)
        .collect();
    let inherits = |database: &Database| {
        database.policy.from_engine && database.engine_id.as_ref().is_some_and(|id| with_policy.contains(&id))
    };
    databases.iter().filter(|database| database.policy.own.as_ref() == Some(id) || inherits(database)).count()
}
