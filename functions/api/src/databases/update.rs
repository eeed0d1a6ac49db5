//! `PUT /databases/{id}`: changes a database.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};
use shared::models::{
    AuditAction, AuditEvent, AuditResource, Credentials, Database, DatabaseId, Engine, EngineId,
};
use shared::secrets::SecretOwner;
use shared::storage::table::ETag;
use shared::storage::{StorageErrorKind, Versioned};

use super::create::{confirm_password, forget_password, keep_password};
use crate::actor::Caller;
use crate::error::ApiError;
use crate::if_match::{IfMatch, Version};
use crate::json::{Given, Members};
use crate::path::Id;
use crate::references;
use crate::requests::database::DatabaseFields;
use crate::state::{AppState, Now};
use crate::trust;
use crate::views::database::DatabaseView;

/// Members that say nothing about what somebody changed.
const NOT_CHANGES: [&str; 2] = ["updated_at", "password_secret_name"];

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    message: String,
    database: DatabaseView,
}

/// Changes the members that the body has. When somebody else changes the database at the same time,
/// the change is made once more on what they left; then it is given up.
pub(crate) async fn update(
    State(state): State<AppState>,
    caller: Caller,
    Now(now): Now,
    Id(id): Id<DatabaseId>,
    if_match: IfMatch,
    body: Members,
) -> Result<(Version, Json<Answer>), ApiError> {
    let fields = DatabaseFields::read(&body)?;
    if let Given::Value(policy) = &fields.policy_id {
        references::check_policy(&state, policy).await?;
    }
    let mut refused = None;
    let mut outcome = Ok(None);
    for _ in 0..2 {
        outcome = attempt(&state, &caller, &id, &if_match, fields.clone(), &mut refused, now).await;
        if !matches!(outcome, Ok(None)) {
            break;
        }
    }
    if let (Ok(None) | Err(_), Some(database)) = (&outcome, &refused) {
        forget_password(&state, database).await;
    }
    let (etag, database) = outcome?.ok_or_else(|| {
        ApiError::Conflict("Somebody else keeps changing this database; load it again and repeat.".to_owned())
    })?;
    let message = format!("The database {} is changed.", database.name);
    Ok((etag.into(), Json(Answer { message, database: DatabaseView::from(&database) })))
}

/// Makes the change once; `None` when somebody else was faster. What was not stored for that reason is then
/// in `refused`: its password may be one that no row names.
async fn attempt(
    state: &AppState,
    caller: &Caller,
    id: &DatabaseId,
    if_match: &IfMatch,
    fields: DatabaseFields,
    refused: &mut Option<Database>,
    now: DateTime<Utc>,
) -> Result<Option<(ETag, Database)>, ApiError> {
    let current = references::database(state, id).await?;
    if_match.check(&current.etag)?;
    let engine = engine_after(state, &fields.engine_id, &current.value).await?;
    let draft = fields.update(current.value.clone(), engine.as_ref(), now)?;
    let endpoint = &draft.database.endpoint;
    // The rule may be newer than the row, which can be changed, and switched off, all the same.
    if endpoint.host != current.value.endpoint.host
        || draft.database.database_type != current.value.database_type
    {
        references::check_host(state, &endpoint.host, draft.database.database_type)?;
    }
    trust::check_database(caller, Some(&current.value), &draft)?;
    let is_new = draft.new_password.is_some();
    let etag = if is_new { pinned(state, &current).await? } else { current.etag };
    let database = keep_password(state, draft).await?;
    let etag = match state.storage.databases.update(&database, &etag).await {
        // With If-Match, the next round finds another version and says so.
        Err(error) if matches!(error.kind(), StorageErrorKind::Changed | StorageErrorKind::NotFound) => {
            *refused = Some(database);
            return Ok(None);
        }
        Err(error) => {
            // It may be stored all the same.
            *refused = None;
            return Err(error.into());
        }
        Ok(etag) => etag,
    };
    if is_new {
        confirm_password(state, &database).await;
    }
    if database.uses_engine_credentials() {
        forget_password(state, &current.value).await;
    }
    let event = updated(&current.value, &database, is_new);
    state.storage.audit.record(&caller.actor, event, now).await;
    Ok(Some((etag, database)))
}

/// Notes in the row of an earlier system which version of its password it means, and returns the row's
/// version: once a new password is in the vault, that could not be told any more.
async fn pinned(state: &AppState, current: &Versioned<Database>) -> Result<ETag, ApiError> {
    let Credentials::Own(login) = &current.value.credentials else { return Ok(current.etag.clone()) };
    let owner = SecretOwner::Database(&current.value.id);
    let Some(password) = state.secrets.pin(owner, &login.password).await? else {
        return Ok(current.etag.clone());
    };
    let mut pinned = current.value.clone();
    if let Credentials::Own(login) = &mut pinned.credentials {
        login.password = password;
    }
    Ok(state.storage.databases.update(&pinned, &current.etag).await?)
}

/// Finds the engine that the database has after the change. One that the body names must exist; one
/// that the database has had may be gone by now.
async fn engine_after(
    state: &AppState,
    given: &Given<String>,
    current: &Database,
) -> Result<Option<Engine>, ApiError> {
    match (given, &current.engine_id) {
        (Given::Value(id), _) => references::named_engine(state, id).await.map(Some),
        (Given::Absent, Some(id)) => Ok(state.storage.engines.get(id).await?.map(|found| found.value)),
        (Given::Null, _) | (Given::Absent, None) => Ok(None),
    }
}

/// Makes the audit event of a changed database.
pub(crate) fn updated(before: &Database, after: &Database, new_password: bool) -> AuditEvent {
    let event = AuditEvent::new(
        AuditAction::DatabaseUpdated,
        AuditResource::Database,
        after.id.as_str(),
        after.name.as_str(),
    )
    .with("database_type", after.database_type.as_str())
    .with("engine_id", after.engine_id.as_ref().map(EngineId::as_str));
    let changes = changes(&shown(before), &shown(after), new_password);
    if changes.is_empty() { event } else { event.with("changes", changes) }
}

/// Compares what answers show, in which there is no secret.
fn changes(
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    new_password: bool,
) -> Map<String, Value> {
    let mut changes: Map<String, Value> = after
        .iter()
        .filter(|(name, to)| before.get(*name) != Some(*to) && !NOT_CHANGES.contains(&name.as_str()))
        .map(|(name, to)| (name.clone(), json!({"from": before.get(name), "to": to})))
        .collect();
    if new_password {
        changes.insert("password".to_owned(), json!({"from": "***", "to": "***"}));
    }
    changes
}

fn shown(database: &Database) -> Map<String, Value> {
    match serde_json::to_value(DatabaseView::from(database)) {
        Ok(Value::Object(members)) => members,
        // A view always renders as an object.
        Ok(_) | Err(_) => Map::new(),
    }
}
