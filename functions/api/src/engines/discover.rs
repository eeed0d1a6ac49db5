//! `POST /engines/{id}/discover`: lists the databases of a server.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::models::EngineId;

use super::discovery;
use crate::error::ApiError;
use crate::path::Id;
use crate::references;
use crate::state::{AppState, Now};
use crate::views::engine::DiscoveredView;

const LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    databases: Vec<DiscoveredView>,
    engine_id: EngineId,
    engine_name: String,
    last_discovery: DateTime<Utc>,
}

/// Lists them, together with those that are configured. A server that cannot be reached is an error,
/// also when some of its databases are known.
pub(crate) async fn discover(
    State(state): State<AppState>,
    Now(now): Now,
    Id(id): Id<EngineId>,
) -> Result<Json<Answer>, ApiError> {
    let mut engine = references::engine(&state, &id).await?.value;
    let databases = discovery::discover(&state, &mut engine, LIMIT, now).await?;
    Ok(Json(Answer { databases, engine_id: id, engine_name: engine.name, last_discovery: now }))
}
