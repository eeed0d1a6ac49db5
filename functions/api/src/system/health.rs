//! `GET /health`: does the service live, and does its storage answer.

use std::error::Error;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::request_id::RequestId;
use crate::state::{AppState, Now};

/// How long storage may take; probes in front of a service rarely wait longer.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, Serialize)]
pub(crate) struct Health {
    status: &'static str,
    service: &'static str,
    version: String,
    timestamp: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<RequestId>,
}

/// Answers 200 when storage answers, else 503.
pub(crate) async fn health(
    State(state): State<AppState>,
    Now(now): Now,
    request_id: RequestId,
) -> (StatusCode, Json<Health>) {
    let error = match tokio::time::timeout(PATIENCE, state.storage.ping()).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => {
            tracing::warn!(error = &error as &dyn Error, "the service is unhealthy");
            Some("The storage of this service cannot be used.")
        }
        Err(_) => {
            tracing::warn!(seconds = PATIENCE.as_secs(), "the service is unhealthy: storage does not answer");
            Some("The storage of this service does not answer.")
        }
    };
    let (code, status) = match error {
        None => (StatusCode::OK, "healthy"),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "unhealthy"),
    };
    let version = state.config.about.version.clone();
    let request_id = error.is_some().then_some(request_id);
    (code, Json(Health { status, service: "dilux-backup-api", version, timestamp: now, error, request_id }))
}
