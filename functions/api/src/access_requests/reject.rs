//! `POST /access-requests/{id}/reject`.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::models::{AccessRequest, AccessRequestId, AuditAction, AuditEvent, AuditResource, Resolution};
use shared::storage::{StorageErrorKind, Versioned};

use super::{pending, resolved};
use crate::actor::Caller;
use crate::error::ApiError;
use crate::json::MaybeMembers;
use crate::path::Id;
use crate::requests::user::reason;
use crate::state::{AppState, Now};

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    message: String,
}

/// Refuses a stranger; for a day, no new request of the same person is made.
pub(crate) async fn reject(
    State(state): State<AppState>,
    caller: Caller,
    Now(now): Now,
    Id(id): Id<AccessRequestId>,
    MaybeMembers(body): MaybeMembers,
) -> Result<Json<Answer>, ApiError> {
    let reason = reason(&body)?;
    let Versioned { value: request, etag } = pending(&state, &id).await?;
    let by = Some(caller.user.id.to_string());
    let resolution = Resolution::Rejected { at: Some(now), by, reason: reason.clone() };
    let rejected = AccessRequest { resolution, ..request };
    match state.storage.access_requests.update(&rejected, &etag).await {
        Err(error) if error.kind() == StorageErrorKind::Changed => return Err(resolved()),
        other => other?,
    };
    let event = AuditEvent::new(
        AuditAction::AccessRequestRejected,
        AuditResource::AccessRequest,
        rejected.id.as_str(),
        rejected.email.as_str(),
    );
    let event = match reason {
        Some(reason) => event.with("reason", reason),
        None => event,
    };
    state.storage.audit.record(&caller.actor, event, now).await;
    Ok(Json(Answer { message: format!("The request of {} is rejected.", rejected.email) }))
}
