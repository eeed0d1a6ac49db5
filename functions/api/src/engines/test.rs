//! `POST /engines/{id}/test`: tries to connect to a server with what is stored for it.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use dump::Target;
use serde::Serialize;
use shared::connection::{ConnectionError, for_engine_afresh};
use shared::models::{Engine, EngineId};

use crate::connection_probe::{Failure, probe};
use crate::error::{ApiError, sentence};
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
    let began = Instant::now();
    let connection = match for_engine_afresh(&engine, &state.secrets).await {
        Ok(connection) => connection,
        Err(error) => {
            return not_tried(&error).map(|failure| answer(&engine, began, Err(failure))).ok_or(error.into());
        }
    };
    let target = Target {
        kind: connection.database_type,
        host: connection.endpoint.host.to_string(),
        port: connection.endpoint.port,
        username: connection.username.to_string(),
        password: connection.password,
        proof: connection.proof,
        database: String::new(),
        tls: connection.endpoint.tls,
    };
    let outcome = probe(&state, &target).await;
    Ok(answer(&engine, began, outcome))
}

/// Says why a test came to nothing before anybody was asked. Without anything stored to sign in with, and
/// when the place of the secrets is away, there is no test to report on.
fn not_tried(error: &ConnectionError) -> Option<Failure> {
    let class = match error {
        ConnectionError::ConnectionString { .. }
        | ConnectionError::OtherPlace(_)
        | ConnectionError::NoTokenHost { .. }
        | ConnectionError::Token(_) => "ConnectionFailed",
        ConnectionError::EngineGone
        | ConnectionError::TargetGone
        | ConnectionError::NoUsername(_)
        | ConnectionError::NoPassword(_)
        | ConnectionError::NoConnectionString(_)
        | ConnectionError::OnlyEngines(_)
        | ConnectionError::Secret(_) => return None,
    };
    Some(Failure { message: sentence(&error.to_string()), class })
}

fn answer(engine: &Engine, began: Instant, outcome: Result<String, Failure>) -> Json<Answer> {
    let latency_ms = (began.elapsed().as_secs_f64() * 100_000.0).round() / 100.0;
    let (success, message, error_type) = match outcome {
        Ok(version) => (true, format!("Connected to {}; its version is {version}.", engine.name), None),
        Err(Failure { message, class }) => (false, message, Some(class)),
    };
    Json(Answer { success, message, latency_ms, error_type })
}
