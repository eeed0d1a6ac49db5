//! `DELETE /engines/{id}`: forgets a server, with its databases and their backups when asked to.

use std::error::Error;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::models::{AuditAction, AuditEvent, AuditResource, Engine, EngineId};
use shared::secrets::SecretOwner;
use shared::storage::Versioned;

use crate::actor::Caller;
use crate::databases::delete::{Outcome, Removal, remove};
use crate::error::ApiError;
use crate::if_match::{self, IfMatch};
use crate::path::{Id, not_found};
use crate::query::Query;
use crate::references;
use crate::state::{AppState, Now};
use crate::texts::counted;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    deleted: bool,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    databases_deleted: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backups_deleted: Option<Outcome>,
}

/// Which of the things on the server go with it.
#[derive(Debug, Clone, Copy)]
struct Cascade {
    databases: bool,
    backups: bool,
}

/// Deletes the databases first and the engine last, so that a request which did not end can be sent
/// again and goes on with what is left.
///
/// A request for one version deletes that version or nothing. With databases it is decided at the
/// beginning: whoever changes the engine later, while they are being deleted, comes too late.
pub(crate) async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    Now(now): Now,
    Id(id): Id<EngineId>,
    if_match: IfMatch,
    query: Query,
) -> Result<Json<Answer>, ApiError> {
    let databases = query.flag("delete_databases");
    let cascade = Cascade { databases, backups: databases && query.flag("delete_backups") };
    let Versioned { value: engine, etag } = references::engine(&state, &id).await?;
    if_match.check(&etag)?;
    if !cascade.databases {
        refuse_with_databases(&state, &engine).await?;
    }
    if cascade.databases && if_match.is_given() {
        let begun = state.storage.engines.begin_deletion(&id, &etag, now).await;
        begun.map_err(if_match::changed_or_gone(&id))?;
    }
    let mut databases_deleted = cascade.databases.then_some(0);
    let mut backups_deleted = cascade.backups.then(Outcome::default);
    if cascade.databases {
        let mut own = state.storage.databases.list().await?;
        own.retain(|database| database.engine_id.as_ref() == Some(&id));
        for database in own {
            let going = Removal { with_backups: cascade.backups, cascade_from: Some(&id), version: None };
            let outcome = remove(&state, &caller.actor, &database, &going, now).await?;
            databases_deleted = databases_deleted.map(|count| count + 1);
            if let (Some(all), Some(outcome)) = (&mut backups_deleted, outcome) {
                all.add(outcome);
            }
        }
    }
    let deleted_now = if if_match.is_given() && !cascade.databases {
        state.storage.engines.delete_version(&id, &etag).await.map_err(if_match::changed)?
    } else {
        state.storage.engines.delete(&id).await?
    };
    if !deleted_now && !cascade.databases {
        return Err(not_found(&id));
    }
    forget_secrets(&state, &engine).await;
    state.storage.audit.record(&caller.actor, deleted(&engine, cascade, databases_deleted), now).await;
    let message = match databases_deleted {
        None => format!("The server {} is deleted.", engine.name),
        Some(count) => format!("The server {} and {} are deleted.", engine.name, counted(count, "database")),
    };
    Ok(Json(Answer { deleted: true, message, databases_deleted, backups_deleted }))
}

async fn refuse_with_databases(state: &AppState, engine: &Engine) -> Result<(), ApiError> {
    match state.storage.databases.count_on_engine(&engine.id).await? {
        0 => Ok(()),
        count => Err(ApiError::Invalid(format!(
            "The server {} still has {}; delete them first, or ask for delete_databases.",
            engine.name,
            counted(count, "database")
        ))),
    }
}

/// Deletes what the engine signed in with, unless its row names it. Where that fails, the vault keeps a secret
/// that nothing names.
pub(super) async fn forget_secrets(state: &AppState, engine: &Engine) {
    let secrets = [
        (SecretOwner::Engine(&engine.id), &engine.login.password),
        (SecretOwner::EngineConnectionString(&engine.id), &engine.connection_string),
    ];
    for (owner, stored) in secrets {
        if let Err(error) = state.secrets.forget(&state.storage, owner, stored).await {
            let error: &dyn Error = &error;
            tracing::warn!(error, engine_id = %engine.id, "a secret that is not used any more stays in the vault");
        }
    }
}

fn deleted(engine: &Engine, cascade: Cascade, databases: Option<usize>) -> AuditEvent {
    AuditEvent::new(AuditAction::Delete, AuditResource::Engine, engine.id.as_str(), engine.name.as_str())
        .with("engine_id", engine.id.as_str())
        .with("engine_type", engine.engine_type.as_str())
        .with("host", engine.endpoint.host.as_str())
        .with("cascade_databases", cascade.databases)
        .with("cascade_backups", cascade.backups)
        .with("databases_deleted", databases.unwrap_or(0))
}
