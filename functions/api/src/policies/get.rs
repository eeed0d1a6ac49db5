//! `GET /backup-policies/{id}`.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::models::{Database, Engine, EngineId, PolicyId};

use crate::error::ApiError;
use crate::if_match::{IfMatch, Version};
use crate::path::Id;
use crate::references;
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
    if_match: IfMatch,
) -> Result<(Version, Json<Answer>), ApiError> {
    let found = references::policy(&state, &id).await?;
    if_match.check(&found.etag)?;
    let engines = state.storage.engines.list().await?;
    let databases = state.storage.databases.list().await?;
    let usage_count = usage_count(&id, &databases, &engines);
    let policy = PolicyView::from(&found.value);
    Ok((found.etag.into(), Json(Answer { policy, usage_count })))
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
