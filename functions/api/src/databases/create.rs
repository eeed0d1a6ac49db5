//! `POST /databases`: configures a database.

use std::error::Error;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use shared::models::{
    AuditAction, AuditEvent, AuditResource, Credentials, Database, DatabaseId, EngineId, PolicyId,
};
use shared::secrets::SecretOwner;
use shared::storage::StorageErrorKind;

use crate::actor::Caller;
use crate::error::ApiError;
use crate::if_match::Version;
use crate::json::{Given, Members};
use crate::references;
use crate::requests::database::{DatabaseFields, Draft, Origin, wished_id};
use crate::state::{AppState, Now};
use crate::trust;
use crate::views::database::DatabaseView;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    message: String,
    database: DatabaseView,
}

/// Stores a new database. Its password is kept first, so that no row is without the one it needs.
pub(crate) async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Now(now): Now,
    body: Members,
) -> Result<(StatusCode, Option<Version>, Json<Answer>), ApiError> {
    let wished = wished_id(&body)?;
    let is_new_id = wished.is_none();
    if let Some(id) = &wished {
        // Before the password is kept: it would only be a secret that no database has.
        refuse_taken(&state, id).await?;
    }
    let id = wished.unwrap_or_else(DatabaseId::random);
    let fields = DatabaseFields::read(&body)?;
    let engine = match &fields.engine_id {
        Given::Value(id) => Some(references::named_engine(&state, id).await?),
        Given::Absent | Given::Null => None,
    };
    if let Given::Value(policy) = &fields.policy_id {
        references::check_policy(&state, policy).await?;
    }
    let compression = match fields.compression {
        Some(given) => given,
        None => state.storage.settings.get(now).await?.default_compression,
    };
    let origin = Origin { id, compression, created_by: caller.actor.email.clone(), now };
    let draft = fields.create(origin, engine.as_ref())?;
    references::check_host(&state, &draft.database.endpoint.host, draft.database.database_type)?;
    trust::check_database(&caller, None, &draft)?;
    let database = keep_password(&state, draft).await?;
    let version = match state.storage.databases.insert(&database).await {
        // With an id of ours it is our own row, whose answer was lost on its way.
        Err(error) if error.kind() == StorageErrorKind::AlreadyExists && is_new_id => None,
        Err(error) if error.kind() == StorageErrorKind::AlreadyExists => {
            forget_password(&state, &database).await;
            return Err(taken(&database.id));
        }
        other => Some(other?.into()),
    };
    if !is_new_id {
        confirm_password(&state, &database).await;
    }
    state.storage.audit.record(&caller.actor, created(&database), now).await;
    let message = format!("The database {} is configured.", database.name);
    Ok((StatusCode::CREATED, version, Json(Answer { message, database: DatabaseView::from(&database) })))
}

async fn refuse_taken(state: &AppState, id: &DatabaseId) -> Result<(), ApiError> {
    if state.storage.databases.get(id).await?.is_some() { Err(taken(id)) } else { Ok(()) }
}

fn taken(id: &DatabaseId) -> ApiError {
    ApiError::Conflict(format!("A database with the id {id} exists already."))
}

/// Keeps the new password of a draft, if it has one, and notes where it is. A password that is kept in
/// another place than the present one moves there.
pub(super) async fn keep_password(state: &AppState, draft: Draft) -> Result<Database, ApiError> {
    let Draft { mut database, new_password } = draft;
    if let Credentials::Own(login) = &mut database.credentials {
        let owner = SecretOwner::Database(&database.id);
        login.password = match new_password {
            Some(password) => state.secrets.keep(owner, password).await?,
            None => state.secrets.settle(owner, std::mem::take(&mut login.password)).await?,
        };
    }
    Ok(database)
}

/// Gets the new password of a database back that somebody deleted in the moment in which it was stored:
/// whoever was deleting an earlier database of this id.
pub(super) async fn confirm_password(state: &AppState, database: &Database) {
    let Some(login) = database.own_login() else { return };
    if let Err(error) = state.secrets.confirm(SecretOwner::Database(&database.id), &login.password).await {
        let error: &dyn Error = &error;
        tracing::warn!(error, database_id = %database.id, "a password that was just kept could not be looked at");
    }
}

/// Deletes the password that a database's own login had, unless its row names it. Where that fails, the vault
/// keeps a secret that nothing names.
pub(crate) async fn forget_password(state: &AppState, database: &Database) {
    let Some(login) = database.own_login() else { return };
    let owner = SecretOwner::Database(&database.id);
    if let Err(error) = state.secrets.forget(&state.storage, owner, &login.password).await {
        let error: &dyn Error = &error;
        tracing::warn!(error, database_id = %database.id, "a password that is not used any more stays in the vault");
    }
}

/// Makes the audit event of a new database.
pub(crate) fn created(database: &Database) -> AuditEvent {
    let Database { id, name, .. } = database;
    AuditEvent::new(AuditAction::DatabaseCreated, AuditResource::Database, id.as_str(), name)
        .with("database_type", database.database_type.as_str())
        .with("engine_id", database.engine_id.as_ref().map(EngineId::as_str))
        .with("host", database.endpoint.host.as_str())
        .with("port", database.endpoint.port)
        .with("database_name", database.database_name.as_str())
        .with("policy_id", database.policy.own.as_ref().map(PolicyId::as_str))
}
