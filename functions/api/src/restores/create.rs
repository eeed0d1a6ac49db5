//! `POST /backups/{id}/restore`: asks for a restore.
//!
//! What must stay true: the password is kept before the record, the record is there before the message,
//! and none of them is left behind by a request that failed. The message holds the id and nothing else.
//! Where the program dies between record and message, the scheduler sends the message.

use std::error::Error;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use shared::models::{
    AuditAction, AuditEvent, AuditResource, BackupId, BackupStatus, DatabaseType, EngineId, Place, Restore,
    RestoreId, RestorePhase, RestoreProgress, Run, StoredSecret, Warnings,
};
use shared::secrets::SecretOwner;

use super::source::source;
use crate::actor::Caller;
use crate::error::ApiError;
use crate::json::Members;
use crate::path::Id;
use crate::references;
use crate::requests::restore::{RestoreRequest, TargetRequest};
use crate::state::{AppState, Now};

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    message: String,
    restore_id: RestoreId,
}

/// Queues a restore.
pub(crate) async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Now(now): Now,
    Id(backup_id): Id<BackupId>,
    body: Members,
) -> Result<(StatusCode, Json<Answer>), ApiError> {
    let (backup, artifact) = source(&state, &backup_id).await?;
    let request = RestoreRequest::read(&body, backup.database_type, true)?;
    let blob = state.storage.locate(&artifact);
    let container = blob.container.parse();
    let container = container.map_err(|_| ApiError::Internal("the container of a backup cannot be used"))?;
    let id = RestoreId::random();
    let place = place(&state, &id, backup.database_type, request.target).await?;
    let restore = Restore {
        id,
        backup_id,
        database_type: backup.database_type,
        container,
        blob_name: blob.name,
        blob_bytes: artifact.bytes,
        sha256: artifact.sha256,
        place,
        database: request.database,
        mode: request.mode,
        keep_failed: request.keep_failed,
        requested_by: caller.actor.email.clone(),
        created_at: now,
        sent_at: None,
        status: BackupStatus::Pending,
        phase: RestorePhase::Waiting,
        failed_in: None,
        cancel_requested: false,
        claim: None,
        heartbeat_at: None,
        progress: RestoreProgress::default(),
        work_database: None,
        has_made: false,
        run: Run::default(),
        failure: None,
        failed_line: None,
        adapted: Warnings::default(),
        warnings: Warnings::default(),
    };
    if let Err(error) = queue(&state, &restore).await {
        take_back(&state, &restore).await;
        return Err(error);
    }
    state.storage.restores.note_sent(&restore.id, now).await;
    tracing::info!(restore_id = %restore.id, backup_id = %restore.backup_id, "a restore is queued");
    state.storage.audit.record(&caller.actor, requested(&restore), now).await;
    let message = format!("The restore of {} into {} is queued.", backup.database_name, restore.database);
    Ok((StatusCode::ACCEPTED, Json(Answer { message, restore_id: restore.id })))
}

/// Finds the target, and keeps its password if it is given here.
async fn place(
    state: &AppState,
    id: &RestoreId,
    kind: DatabaseType,
    target: TargetRequest,
) -> Result<Place, ApiError> {
    match target {
        TargetRequest::Engine(engine) => {
            let engine = references::named_engine(state, &engine).await?;
            if !kind.fits(engine.engine_type.into()) {
                return Err(ApiError::field("target_engine_id", format!("is no {kind} server")));
            }
            shared::connection::for_engine(&engine, &state.secrets).await?;
            Ok(Place::Engine(engine.id))
        }
        TargetRequest::Server { endpoint, username, password } => {
            references::check_host(state, &endpoint.host, kind)?;
            let password = state.secrets.keep(SecretOwner::Restore(id), password).await?;
            Ok(Place::Server { endpoint, username, password })
        }
    }
}

async fn queue(state: &AppState, restore: &Restore) -> Result<(), ApiError> {
    state.storage.restores.insert(restore).await?;
    state.storage.jobs.send_restore(&restore.id, Duration::ZERO).await?;
    Ok(())
}

/// Ends a restore that could not be queued, and forgets its password.
async fn take_back(state: &AppState, restore: &Restore) {
    let Place::Server { password, .. } = &restore.place else {
        return state.storage.restores.discard(restore).await;
    };
    state.storage.restores.discard(restore).await;
    forget(state, restore, password).await;
}

/// Forgets the password of a restore that is over.
pub(super) async fn forget(state: &AppState, restore: &Restore, password: &StoredSecret) {
    if let Err(error) =
        state.secrets.forget(&state.storage, SecretOwner::Restore(&restore.id), password).await
    {
        tracing::warn!(error = &error as &dyn Error, "the password of a restore could not be forgotten");
    }
}

fn requested(restore: &Restore) -> AuditEvent {
    let event = AuditEvent::new(
        AuditAction::RestoreRequested,
        AuditResource::Backup,
        restore.id.as_str(),
        restore.database.as_str(),
    )
    .with("backup_id", restore.backup_id.as_str())
    .with("blob_name", restore.blob_name.as_str())
    .with("database_type", restore.database_type.as_str())
    .with("database_name", restore.database.as_str())
    .with("mode", restore.mode.as_str());
    match &restore.place {
        Place::Engine(id) => event.with("engine_id", EngineId::as_str(id)),
        Place::Server { endpoint, .. } => {
            event.with("host", endpoint.host.as_str()).with("port", endpoint.port)
        }
    }
}
