//! `POST /backups/{backup_id}/pin` and `…/unpin`: a pinned backup is deleted by nobody.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::models::{AuditAction, AuditEvent, AuditResource, Backup, BackupId, Pin, Tier};
use shared::storage::MarkError;

use crate::actor::Caller;
use crate::error::ApiError;
use crate::path::{Id, not_found};
use crate::state::{AppState, Now};
use crate::views::backup::BackupView;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    message: String,
    backup: BackupView,
}

/// Pins a backup. One that is pinned already keeps the name of who did it first.
pub(crate) async fn pin(
    State(state): State<AppState>,
    caller: Caller,
    Now(now): Now,
    Id(id): Id<BackupId>,
) -> Result<Json<Answer>, ApiError> {
    let found = find(&state, &id).await?;
    let pin = Pin { at: now, by: caller.actor.email.clone() };
    let pinned = state.storage.backups.pin(&found, &pin).await.map_err(|error| refused(error, &id))?;
    if found.marks.pinned.is_none() {
        state.storage.audit.record(&caller.actor, event(AuditAction::BackupPinned, &pinned), now).await;
    }
    let message = "The backup is pinned: nobody deletes it until that is taken back.".to_owned();
    Ok(Json(Answer { message, backup: BackupView::new(pinned, None) }))
}

/// Takes a pin back; retention then decides as if it had never been.
pub(crate) async fn unpin(
    State(state): State<AppState>,
    caller: Caller,
    Now(now): Now,
    Id(id): Id<BackupId>,
) -> Result<Json<Answer>, ApiError> {
    let found = find(&state, &id).await?;
    let unpinned = state.storage.backups.unpin(&found).await.map_err(|error| refused(error, &id))?;
    if found.marks.pinned.is_some() {
        state.storage.audit.record(&caller.actor, event(AuditAction::BackupUnpinned, &unpinned), now).await;
    }
    let message = "The backup is not pinned any more.".to_owned();
    Ok(Json(Answer { message, backup: BackupView::new(unpinned, None) }))
}

async fn find(state: &AppState, id: &BackupId) -> Result<Backup, ApiError> {
    state.storage.backups.find(id).await?.ok_or_else(|| not_found(id))
}

fn refused(error: MarkError, id: &BackupId) -> ApiError {
    match error {
        MarkError::Gone => not_found(id),
        MarkError::BeingDeleted => {
            ApiError::Conflict("The backup is being deleted; its file may be gone already.".to_owned())
        }
        MarkError::NothingStored => {
            ApiError::Invalid("Only a completed backup can be pinned; this one holds no file.".to_owned())
        }
        MarkError::Pinned(_) => ApiError::Conflict("The backup is pinned.".to_owned()),
        MarkError::Storage(error) => error.into(),
    }
}

fn event(action: AuditAction, backup: &Backup) -> AuditEvent {
    AuditEvent::new(action, AuditResource::Backup, backup.id.as_str(), &backup.database_name)
        .with("database_id", backup.database_id.as_str())
        .with("database_alias", backup.database_name.as_str())
        .with("database_type", backup.database_type.as_str())
        .with("tier", backup.tier.map(Tier::as_str))
        .with("blob_name", backup.artifact().map(|artifact| artifact.blob_name.as_str()))
}
