//! `POST /databases/test-connection`: tries to connect with what a form holds.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use dump::Target;
use serde::Serialize;
use shared::connection::{Connection, Proof, for_engine_afresh};
use shared::models::{AuditAction, AuditEvent, AuditResource, DatabaseType};

use crate::actor::Caller;
use crate::connection_probe::probe;
use crate::error::ApiError;
use crate::json::Members;
use crate::references;
use crate::requests::connection_test::{ConnectionTest, TestCredentials, check_place};
use crate::state::{AppState, Now};
use crate::texts::one_line;

/// The longest message, in characters.
const LONGEST: usize = 500;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    success: bool,
    message: String,
    error_type: Option<&'static str>,
    duration_ms: f64,
}

/// Connects with the same client program, credentials and encryption as a backup. That it cannot
/// connect is a good answer too.
pub(crate) async fn test_connection(
    State(state): State<AppState>,
    caller: Caller,
    Now(now): Now,
    body: Members,
) -> Result<Json<Answer>, ApiError> {
    let test = ConnectionTest::read(&body)?;
    let (connection, engine_id) = connection(&state, &test).await?;
    references::check_host(&state, &connection.endpoint.host, connection.database_type)?;
    let target = Target {
        kind: connection.database_type,
        host: connection.endpoint.host.to_string(),
        port: connection.endpoint.port,
        tls: connection.endpoint.tls,
        username: connection.username.to_string(),
        password: connection.password,
        proof: connection.proof,
        database: test.database_name.to_string(),
    };
    let began = Instant::now();
    let outcome = probe(&state, &target).await;
    let answer = Answer {
        success: outcome.is_ok(),
        duration_ms: (began.elapsed().as_secs_f64() * 100_000.0).round() / 100.0,
        error_type: outcome.as_ref().err().map(|failure| failure.class),
        message: match outcome {
            Ok(version) => {
                let message = format!("Connected to {}; the server's version is {version}.", target.database);
                one_line(&message, LONGEST)
            }
            Err(failure) => failure.message,
        },
    };
    let event = tested(&target, engine_id.as_deref(), &answer);
    state.storage.audit.record(&caller.actor, event, now).await;
    Ok(Json(answer))
}

/// Finds out what to connect to and with what. Stored credentials of an engine go to its own place.
async fn connection(
    state: &AppState,
    test: &ConnectionTest,
) -> Result<(Connection, Option<String>), ApiError> {
    let engine = match &test.engine_id {
        Some(id) => Some(references::named_engine(state, id).await?),
        None => None,
    };
    let engine_id = engine.as_ref().map(|engine| engine.id.to_string());
    let connection = match (&test.credentials, engine) {
        (TestCredentials::Engine { host, port }, Some(engine)) => {
            check_place(&engine, host.as_ref(), *port)?;
            let mut connection = for_engine_afresh(&engine, &state.secrets).await?;
            if (connection.database_type, test.database_type)
                == (DatabaseType::Sqlserver, DatabaseType::AzureSql)
            {
                connection.database_type = DatabaseType::AzureSql;
            }
            connection
        }
        (TestCredentials::Engine { .. }, None) => {
            return Err(ApiError::Internal("a required member was not checked"));
        }
        (TestCredentials::Own { endpoint, username, password }, _) => Connection {
            database_type: test.database_type,
            endpoint: endpoint.clone(),
            username: username.clone(),
            password: password.clone(),
            proof: Proof::Password,
        },
    };
    Ok((connection, engine_id))
}

fn tested(target: &Target, engine_id: Option<&str>, answer: &Answer) -> AuditEvent {
    let place = format!("{}:{}", target.host, target.port);
    let event = AuditEvent::new(
        AuditAction::DatabaseTestConnection,
        AuditResource::Database,
        engine_id.unwrap_or(&place),
        target.database.as_str(),
    )
    .with("database_type", target.kind.as_str())
    .with("engine_id", engine_id)
    .with("host", target.host.as_str())
    .with("port", target.port)
    .with("success", answer.success);
    if answer.success { event } else { event.failed(answer.message.as_str()) }
}
