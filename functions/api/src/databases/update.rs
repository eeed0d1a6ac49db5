//! `PUT /databases/{id}`: changes a database.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Map, Value, json};
use shared::models::{
    AuditAction, AuditEvent, AuditResource, Database, DatabaseId, Engine, EngineId, UserRole,
};
use shared::storage::StorageErrorKind;

use super::create::{forget_password, keep_password};
use crate::actor::Caller;
use crate::error::ApiError;
use crate::if_match::{IfMatch, Version};
use crate::json::{Given, Members};
use crate::path::Id;
use crate::references;
use crate::requests::database::{DatabaseFields, Draft};
use crate::state::{AppState, Now};
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
    let has_new_password = body.secret("password")?.is_some();
    if let Given::Value(policy) = &fields.policy_id {
        references::check_policy(&state, policy).await?;
    }
    for _ in 0..2 {
        let current = references::database(&state, &id).await?;
        if_match.check(&current.etag)?;
        let engine = engine_after(&state, &fields.engine_id, &current.value).await?;
        let draft = fields.clone().update(current.value.clone(), engine.as_ref(), now)?;
        references::check_host(&state, &draft.database.endpoint.host)?;
        check_moved_password(&caller, &current.value, &draft)?;
        let database = keep_password(&state, draft).await?;
        match state.storage.databases.update(&database, &current.etag).await {
            // With If-Match, the next round finds another version and says so.
            Err(error) if error.kind() == StorageErrorKind::Changed => {}
            Err(error) => return Err(error.into()),
            Ok(etag) => {
                if database.uses_engine_credentials() {
                    forget_password(&state, &current.value).await;
                }
                let new_password = has_new_password && !database.uses_engine_credentials();
                let event = updated(&current.value, &database, new_password);
                state.storage.audit.record(&caller.actor, event, now).await;
                let message = format!("The database {} is changed.", database.name);
                let answer = Answer { message, database: DatabaseView::from(&database) };
                return Ok((etag.into(), Json(answer)));
            }
        }
    }
    Err(ApiError::Conflict(
        "Somebody else keeps changing this database; load it again and repeat.".to_owned(),
    ))
}

/// Refuses to let a kept password go to another server on the word of somebody who may not know it.
/// Administrators may move a database without entering its password again.
fn check_moved_password(caller: &Caller, before: &Database, draft: &Draft) -> Result<(), ApiError> {
    let after = &draft.database;
    let place = |database: &Database| (database.endpoint.host.clone(), database.endpoint.port);
    let goes_elsewhere = place(before) != place(after) || before.database_type != after.database_type;
    let is_kept =
        draft.new_password.is_none() && after.own_login().is_some_and(|login| login.password.is_kept());
    if is_kept && goes_elsewhere && caller.user.role != UserRole::Admin {
        return Err(ApiError::field(
            "password",
            "must be entered again for another server: only an administrator may move a database with the \
             password that is stored",
        ));
    }
    Ok(())
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
