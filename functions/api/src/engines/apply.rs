//! What an engine has, applied to its databases: its credentials, its policy.
//!
//! Each database is changed by itself. One that follows already is left as it is, so that the same
//! request may be sent again after one that did not end.

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::models::{Actor, Credentials, Database, DatabaseType, Endpoint, Engine};
use shared::storage::StorageErrorKind;

use crate::databases;
use crate::error::ApiError;
use crate::requests::database::type_on;
use crate::state::AppState;

/// How often a change is made again on what somebody else has left.
const ATTEMPTS: usize = 5;

/// What the databases are to take from their engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct What {
    pub credentials: bool,
    pub policy: bool,
}

/// How many databases were changed; left out where nothing was asked for.
#[derive(Debug, Default, Serialize)]
pub(super) struct Applied {
    #[serde(skip_serializing_if = "Option::is_none")]
    databases_updated: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    databases_policy_updated: Option<usize>,
}

/// Changes all databases of an engine; returns also how many it has.
pub(super) async fn apply(
    state: &AppState,
    actor: &Actor,
    engine: &Engine,
    what: What,
    now: DateTime<Utc>,
) -> Result<(Applied, usize), ApiError> {
    let mut own = state.storage.databases.list().await?;
    own.retain(|database| database.engine_id.as_ref() == Some(&engine.id));
    let count = own.len();
    let what = What { policy: what.policy && engine.policy_id.is_some(), ..what };
    let mut applied = Applied {
        databases_updated: what.credentials.then_some(0),
        databases_policy_updated: what.policy.then_some(0),
    };
    for database in own {
        let Some((before, after)) = change(state, &database, engine, what, now).await? else { continue };
        if after.uses_engine_credentials() {
            databases::create::forget_password(state, &before).await;
        }
        let policy_differs = before.policy != after.policy;
        if let Some(count) = applied.databases_policy_updated.as_mut().filter(|_| policy_differs) {
            *count += 1;
        }
        let place_differs = signs_in(&before) != signs_in(&after);
        if let Some(count) = applied.databases_updated.as_mut().filter(|_| place_differs) {
            *count += 1;
        }
        let event = databases::update::updated(&before, &after, false);
        state.storage.audit.record(actor, event, now).await;
    }
    Ok((applied, count))
}

/// Changes one database and returns it as it was and as it is; `None` when there was nothing to change.
async fn change(
    state: &AppState,
    listed: &Database,
    engine: &Engine,
    what: What,
    now: DateTime<Utc>,
) -> Result<Option<(Database, Database)>, ApiError> {
    if followed(listed, engine, what, now).is_none() {
        return Ok(None);
    }
    for _ in 0..ATTEMPTS {
        let Some(current) = state.storage.databases.get(&listed.id).await? else { return Ok(None) };
        let Some(mut after) = followed(&current.value, engine, what, now) else { return Ok(None) };
        state.secrets.settle_database(&mut after).await?;
        match state.storage.databases.update(&after, &current.etag).await {
            Err(error) if error.kind() == StorageErrorKind::Changed => {}
            Err(error) if error.kind() == StorageErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(Some((current.value, after))),
        }
    }
    Err(ApiError::Conflict(format!(
        "Somebody else keeps changing the database {}; the server is changed, send the request again for \
         its databases.",
        listed.name
    )))
}

/// Returns the database as it follows its engine; `None` when it does so already, or has another one.
fn followed(database: &Database, engine: &Engine, what: What, now: DateTime<Utc>) -> Option<Database> {
    if database.engine_id.as_ref() != Some(&engine.id) {
        return None;
    }
    let mut after = database.clone();
    if what.credentials {
        after.credentials = Credentials::Engine;
        after.endpoint = engine.endpoint.clone();
        after.database_type = type_on(engine, Some(database.database_type));
    }
    after.policy.from_engine |= what.policy;
    let differs = signs_in(database) != signs_in(&after) || database.policy != after.policy;
    differs.then_some(Database { updated_at: now, ..after })
}

/// Returns where and how a database is signed in to, as far as following changes it.
fn signs_in(database: &Database) -> (bool, DatabaseType, &Endpoint) {
    (database.uses_engine_credentials(), database.database_type, &database.endpoint)
}
