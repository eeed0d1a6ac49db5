//! Discovery: which databases a server has, beside those that are configured.

use std::error::Error;
use std::time::Duration;

use chrono::{DateTime, Utc};
use dump::{DumpError, Limits, Target};
use shared::connection::{Connection, ConnectionError, for_engine, renewed_for_engine};
use shared::models::{Database, DatabaseType, Engine};
use shared::storage::{StorageError, StorageErrorKind};

use crate::error::ApiError;
use crate::state::AppState;
use crate::texts::one_line;
use crate::views::engine::DiscoveredView;

/// The longest text of a client program's failure, in characters.
const LONGEST: usize = 500;

/// Why the databases of a server could not be listed.
#[derive(Debug)]
pub(super) enum DiscoveryError {
    /// Its credentials do not suffice.
    Connection(ConnectionError),
    /// The server did not give them.
    Server(DumpError),
    /// It took too long.
    Timeout(Duration),
    /// Storage failed.
    Storage(StorageError),
}

impl DiscoveryError {
    /// Renders the reason for the caller.
    pub(super) fn text(self) -> String {
        match self {
            Self::Connection(error) => error.to_string(),
            Self::Server(error) => one_line(&error.to_string(), LONGEST),
            Self::Timeout(limit) => format!("the server did not answer within {} seconds", limit.as_secs()),
            Self::Storage(error) => {
                tracing::warn!(error = &error as &dyn Error, "discovery failed");
                "the storage of this service cannot be used at the moment; discover again later".to_owned()
            }
        }
    }
}

impl From<DiscoveryError> for ApiError {
    fn from(error: DiscoveryError) -> Self {
        match error {
            DiscoveryError::Connection(error) => error.into(),
            DiscoveryError::Storage(error) => error.into(),
            DiscoveryError::Server(_) | DiscoveryError::Timeout(_) => {
                Self::Invalid(format!("The databases could not be listed: {}.", error.text()))
            }
        }
    }
}

/// Asks a server for its databases and notes on the engine when that last succeeded.
pub(super) async fn discover(
    state: &AppState,
    engine: &mut Engine,
    limit: Duration,
    now: DateTime<Utc>,
) -> Result<Vec<DiscoveredView>, DiscoveryError> {
    let connection = for_engine(engine, &state.secrets).await.map_err(DiscoveryError::Connection)?;
    let kind = connection.database_type;
    let names = tokio::time::timeout(limit, names(state, engine, connection, limit))
        .await
        .map_err(|_| DiscoveryError::Timeout(limit))?
        .map_err(DiscoveryError::Server)?;
    let mut configured = state.storage.databases.list().await.map_err(DiscoveryError::Storage)?;
    configured.retain(|database| database.engine_id.as_ref() == Some(&engine.id));
    note_success(state, engine, now).await.map_err(DiscoveryError::Storage)?;
    Ok(joined(kind, names, &configured))
}

/// Asks the server. A password that it refuses may be one that was remembered and has changed since.
async fn names(
    state: &AppState,
    engine: &Engine,
    connection: Connection,
    limit: Duration,
) -> Result<Vec<String>, DumpError> {
    let limits = Limits { deadline: limit, ..Limits::default() };
    match dump::discover(&state.tools, &target(&connection), &limits).await {
        Err(error @ DumpError::AuthenticationFailed { .. }) => {
            match renewed_for_engine(engine, &state.secrets, &connection).await {
                Some(renewed) => dump::discover(&state.tools, &target(&renewed), &limits).await,
                None => Err(error),
            }
        }
        listed => listed,
    }
}

fn target(connection: &Connection) -> Target {
    Target {
        kind: connection.database_type,
        host: connection.endpoint.host.to_string(),
        port: connection.endpoint.port,
        tls: connection.endpoint.tls.clone(),
        username: connection.username.to_string(),
        password: connection.password.clone(),
        proof: connection.proof,
        database: String::new(),
    }
}

/// Joins what the server has with what is configured for it, by name.
fn joined(kind: DatabaseType, mut names: Vec<String>, configured: &[Database]) -> Vec<DiscoveredView> {
    names.extend(configured.iter().map(|database| database.database_name.to_string()));
    names.sort();
    names.dedup();
    let view = |name: String| {
        let existing = configured.iter().find(|database| database.database_name.as_str() == name);
        DiscoveredView {
            exists: existing.is_some(),
            existing_id: existing.map(|database| database.id.clone()),
            is_system: kind.is_system_database(&name),
            name,
        }
    };
    names.into_iter().map(view).collect()
}

/// Notes the time of the discovery. Somebody who changes the engine at the same moment wins twice at
/// most; the note is then left out, since the list itself is what was asked for.
async fn note_success(state: &AppState, engine: &mut Engine, now: DateTime<Utc>) -> Result<(), StorageError> {
    engine.last_discovery = Some(now);
    for _ in 0..2 {
        let Some(mut stored) = state.storage.engines.get(&engine.id).await? else { return Ok(()) };
        stored.value.last_discovery = Some(now);
        if let Err(error) = state.secrets.settle_engine(&mut stored.value).await {
            tracing::warn!(error = &error as &dyn Error, engine_id = %engine.id, "its secrets stay where they are");
            return Ok(());
        }
        match state.storage.engines.update(&stored.value, &stored.etag).await {
            Err(error) if error.kind() == StorageErrorKind::Changed => {}
            other => return other.map(drop),
        }
    }
    tracing::warn!(engine_id = %engine.id, "the time of a discovery could not be noted");
    Ok(())
}
