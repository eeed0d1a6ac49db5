//! `POST /engines/{id}/test`: tries to connect to a server with what is stored for it.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use dump::Target;
use serde::Serialize;
use shared::connection::for_engine_afresh;
use shared::models::EngineId;

use crate::connection_probe::{Failure, probe};
use crate::error::ApiError;
use crate::path::Id;
use crate::references;
use crate::state::AppState;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    success: bool,
    message: String,
    latency_ms: f64,
    error_type: Option<&'static str>,
}

/// Connects to the server itself, not to one of its databases.
pub(crate) async fn test(
    State(state): State<AppState>,
    Id(id): Id<EngineId>,
) -> Result<Json<Answer>, ApiError> {
    let engine = references::engine(&state, &id).await?.value;
    let connection = for_engine_afresh(&engine, &state.secrets).await?;
    let target = Target {
        kind: connection.database_type,
        host: connection.endpoint.host.to_string(),
        port: connection.endpoint.port,
        username: connection.username.to_string(),
        password: connection.password,
        database: String::new(),
        tls: connection.endpoint.tls,
    };
    let began = Instant::now();
    let outcome = probe(&state, &target).await;
    let latency_ms = (began.elapsed().as_secs_f64() * 100_000.0).round() / 100.0;
    let (success, message, error_type) = match outcome {
        Ok(version) => (true, format!("Connected to {}; its version is {version}.", engine.name), None),
        Err(Failure { message, class }) => (false, message, Some(class)),
    };
    Ok(Json(Answer { success, message, latency_ms, error_type }))
}
