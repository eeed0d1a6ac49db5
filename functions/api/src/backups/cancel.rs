//! `POST /backups/{backup_id}/cancel`: stops a backup that is queued or running.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::models::{AuditAction, AuditEvent, AuditResource, Backup, BackupId, BackupStatus, EngineId};
use shared::storage::CancelOutcome;

use super::delete::engine_of;
use crate::actor::Caller;
use crate::error::ApiError;
use crate::path::{Id, not_found};
use crate::state::{AppState, Now};

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    message: String,
    backup_id: BackupId,
    status: BackupStatus,
}

/// Cancels a backup. Its record ends here and now; a processor that works on it finds that out at its
/// next sign of life, a few seconds later at most, or right before it would commit.
pub(crate) async fn cancel(
    State(state): State<AppState>,
    caller: Caller,
    Now(now): Now,
    Id(id): Id<BackupId>,
) -> Result<Json<Answer>, ApiError> {
    let storage = &state.storage;
    let (backup, before) = match storage.backups.cancel(&id, &*storage.blobs, now).await? {
        CancelOutcome::Cancelled { backup, before } => (backup, before),
        CancelOutcome::Finished(backup) => {
            let text = format!("The backup has ended already: it is {}.", backup.status());
            return Err(ApiError::Conflict(text));
        }
        CancelOutcome::Committing => {
            let text = "The backup is being completed at this moment; it is too late to cancel it.";
            return Err(ApiError::Conflict(text.to_owned()));
        }
        CancelOutcome::NotFound => return Err(not_found(&id)),
    };
    tracing::info!(backup_id = %id, database_id = %backup.database_id, status_before = %before, "a backup is cancelled");
    let engine = engine_of(&state, Some(&backup)).await;
    let event = cancelled(&backup, before, engine.as_ref());
    storage.audit.record(&caller.actor, event, now).await;
    let message = format!("The backup of {} is cancelled.", backup.database_name);
    Ok(Json(Answer { message, backup_id: id, status: backup.status() }))
}

/// Describes a cancellation for the audit log.
pub(crate) fn cancelled(backup: &Backup, before: BackupStatus, engine: Option<&EngineId>) -> AuditEvent {
    let name = backup.database_name.as_str();
    AuditEvent::new(AuditAction::BackupCancelled, AuditResource::Backup, backup.id.as_str(), name)
        .with("database_id", backup.database_id.as_str())
        .with("database_alias", name)
        .with("database_type", backup.database_type.as_str())
        .with("engine_id", engine.map(EngineId::as_str))
        .with("job_id", backup.job_id.as_str())
        .with("status_before", before.as_str())
}
