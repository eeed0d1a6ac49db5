//! `POST /restores/{id}/cancel`: stops a restore. One that waits ends at once; one that runs is stopped by
//! its processor within seconds, unless the loaded database is just taking its place.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use shared::models::{
    AuditAction, AuditEvent, AuditResource, BackupStatus, Failure, Place, RestoreId, RestorePhase,
    StoredSecret,
};
use shared::storage::StorageErrorKind;

use super::create::forget;
use crate::actor::Caller;
use crate::error::ApiError;
use crate::path::{Id, not_found};
use crate::state::{AppState, Now};
use crate::views::restore::RestoreView;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    message: String,
    restore: RestoreView,
}

/// Stops it.
pub(crate) async fn cancel(
    State(state): State<AppState>,
    caller: Caller,
    Now(now): Now,
    Id(id): Id<RestoreId>,
) -> Result<(StatusCode, Json<Answer>), ApiError> {
    // The processor changes the record every few seconds.
    for _ in 0..5 {
        let found = state.storage.restores.get(&id).await?.ok_or_else(|| not_found(&id))?;
        let (mut restore, etag) = (found.value, found.etag);
        if restore.is_finished() {
            return Err(ApiError::Invalid(format!(
                "The restore {id} has ended already: {}.",
                restore.status
            )));
        }
        restore.cancel_requested = true;
        let password = match &mut restore.place {
            Place::Server { password, .. } if restore.status == BackupStatus::Pending => {
                std::mem::take(password)
            }
            Place::Server { .. } | Place::Engine(_) => StoredSecret::None,
        };
        let message = if restore.status == BackupStatus::Pending {
            restore.status = BackupStatus::Cancelled;
            restore.phase = RestorePhase::Ended;
            restore.failed_in = Some(RestorePhase::Waiting);
            restore.run.finished_at = Some(now);
            restore.failure = Some(Failure::new("Cancelled", "The restore was stopped by a person."));
            format!("The restore {id} is cancelled; it had not begun.")
        } else {
            format!("The restore {id} is being stopped.")
        };
        match state.storage.restores.update(&restore, &etag).await {
            Err(error) if error.kind() == StorageErrorKind::Changed => continue,
            other => other?,
        };
        forget(&state, &restore, &password).await;
        let event = AuditEvent::new(
            AuditAction::RestoreCancelled,
            AuditResource::Backup,
            id.as_str(),
            restore.database.as_str(),
        )
        .with("backup_id", restore.backup_id.as_str());
        state.storage.audit.record(&caller.actor, event, now).await;
        return Ok((StatusCode::ACCEPTED, Json(Answer { message, restore: restore.into() })));
    }
    Err(ApiError::Conflict("The restore keeps changing; try again.".to_owned()))
}
