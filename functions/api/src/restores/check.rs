//! `POST /backups/{id}/restore/check`: will this backup load there, and if not, why. Writes nothing.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use dump::{Limits, Origin, Plan, Target};
use serde::Serialize;
use shared::connection::{Connection, Proof, for_engine};
use shared::models::{BackupId, Check, CheckResult};

use super::source::source;
use crate::error::ApiError;
use crate::json::Members;
use crate::path::Id;
use crate::references;
use crate::requests::restore::{RestoreRequest, TargetRequest};
use crate::state::AppState;

/// The time for each question to the server; the host ends a request after 230 seconds.
const LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    /// The worst of all results.
    result: CheckResult,
    checks: Vec<Check>,
}

/// Asks all that can be known beforehand.
pub(crate) async fn check(
    State(state): State<AppState>,
    Id(backup_id): Id<BackupId>,
    body: Members,
) -> Result<Json<Answer>, ApiError> {
    let (backup, artifact) = source(&state, &backup_id).await?;
    let request = RestoreRequest::read(&body, backup.database_type, false)?;
    let connection = match request.target {
        TargetRequest::Engine(engine) => {
            for_engine(&references::named_engine(&state, &engine).await?, &state.secrets).await?
        }
        TargetRequest::Server { endpoint, username, password } => {
            references::check_host(&state, &endpoint.host, backup.database_type)?;
            Connection {
                database_type: backup.database_type,
                endpoint,
                username,
                password,
                proof: Proof::Password,
            }
        }
    };
    let blob = state.storage.locate(&artifact);
    let mut checks = Vec::new();
    let found = state.storage.blobs.properties(&blob).await?;
    let (result, message) = match &found {
        None => (CheckResult::Fail, "the stored backup does not exist any more".to_owned()),
        Some(found) if artifact.bytes.is_some_and(|bytes| bytes != found.bytes) => (
            CheckResult::Fail,
            format!("the stored backup has {} bytes, which is not what was recorded", found.bytes),
        ),
        Some(found) => (CheckResult::Ok, format!("the stored backup has {} bytes, as recorded", found.bytes)),
    };
    checks.push(Check { name: "backup", result, message });
    let origin = found.map(|found| Origin::read(&found.metadata)).unwrap_or_default();
    let target = Target {
        kind: connection.database_type,
        host: connection.endpoint.host.to_string(),
        port: connection.endpoint.port,
        tls: connection.endpoint.tls,
        username: connection.username.to_string(),
        password: connection.password,
        proof: connection.proof,
        database: request.database.to_string(),
    };
    let plan = Plan { backup: backup.database_type, origin: &origin, target: &target, mode: request.mode };
    let limits = Limits { deadline: LIMIT, ..Limits::default() };
    checks.extend(dump::preflight(&state.tools, &plan, &limits).await);
    let result = checks.iter().map(|check| check.result).max().unwrap_or(CheckResult::Ok);
    Ok(Json(Answer { result, checks }))
}
