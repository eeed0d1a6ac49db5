//! The server of a restore, as each of its steps connects to it.
//!
//! Hours may lie between two steps: a token has ended by then, a password was changed. So each step finds its
//! server anew, and tries the door before it begins something that must not break off at it.

use dump::{DumpError, Target};
use shared::connection::{self, Connection};
use shared::models::{Engine, Place, Restore};
use shared::storage::StorageError;

use super::error::RestoreEnd;
use super::load::limits;
use crate::state::AppState;

/// Finds out how to connect to the target, as it is configured now. A password that the server refuses may be
/// one that was remembered and has changed since: it is then read again. Whatever else is wrong with the server,
/// the step itself will say.
pub(super) async fn find(state: &AppState, restore: &Restore) -> Result<Target, RestoreEnd> {
    let engine = engine(state, restore).await?;
    let connection = connection::for_restore(restore, engine.as_ref(), &state.secrets).await?;
    let target = target(restore, &connection);
    let refused = matches!(
        dump::discover(&state.tools, &target, &limits(state)).await,
        Err(DumpError::AuthenticationFailed { .. })
    );
    if !refused {
        return Ok(target);
    }
    // Its row names the password, so that is read again too.
    let engine = self::engine(state, restore).await?;
    let renewed =
        connection::renewed_for_restore(restore, engine.as_ref(), &state.secrets, &connection).await;
    Ok(renewed.map_or(target, |renewed| self::target(restore, &renewed)))
}

/// The same for a later step. What was good for the one before serves when it cannot be found out.
pub(super) async fn find_again(state: &AppState, restore: &Restore, before: Target) -> Target {
    find(state, restore).await.unwrap_or_else(|error| {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(error, "how to connect is not known anew; it is tried as before");
        before
    })
}

async fn engine(state: &AppState, restore: &Restore) -> Result<Option<Engine>, StorageError> {
    Ok(match &restore.place {
        Place::Engine(id) => state.storage.engines.get(id).await?.map(|found| found.value),
        Place::Server { .. } => None,
    })
}

fn target(restore: &Restore, connection: &Connection) -> Target {
    Target {
        kind: connection.database_type,
        host: connection.endpoint.host.to_string(),
        port: connection.endpoint.port,
        tls: connection.endpoint.tls.clone(),
        username: connection.username.to_string(),
        password: connection.password.clone(),
        proof: connection.proof,
        database: restore.database.to_string(),
    }
}
