//! `POST /backup-policies`: makes a policy.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use shared::models::{AuditAction, AuditEvent, AuditResource, BackupPolicy};
use shared::storage::StorageErrorKind;
use shared::storage::table::ETag;

use crate::actor::Caller;
use crate::error::ApiError;
use crate::if_match::Version;
use crate::json::Members;
use crate::requests::policy::PolicyFields;
use crate::state::{AppState, Now};
use crate::views::policy::PolicyView;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    message: String,
    policy: PolicyView,
}

/// Stores a new policy under the id that its name gives.
pub(crate) async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Now(now): Now,
    body: Members,
) -> Result<(StatusCode, Version, Json<Answer>), ApiError> {
    let policy = PolicyFields::read(&body)?.create(now)?;
    let etag = insert(&state, &policy).await?;
    state.storage.audit.record(&caller.actor, created(&policy), now).await;
    let message = format!("The backup policy {} is made.", policy.name);
    let answer = Answer { message, policy: PolicyView::from(&policy) };
    Ok((StatusCode::CREATED, etag.into(), Json(answer)))
}

async fn insert(state: &AppState, policy: &BackupPolicy) -> Result<ETag, ApiError> {
    match state.storage.policies.insert(policy).await {
        Err(error) if error.kind() == StorageErrorKind::AlreadyExists => {}
        other => return Ok(other?),
    }
    match state.storage.policies.get(&policy.id).await? {
        // It is our own row, to the microsecond: its answer was lost on its way.
        Some(known) if known.value == *policy => Ok(known.etag),
        Some(known) => Err(ApiError::Conflict(format!(
            "The backup policy {} has the id {} already, which this name gives too; choose another name.",
            known.value.name, policy.id
        ))),
        None => Err(ApiError::Conflict(format!(
            "Another backup policy had the id {} a moment ago; try again.",
            policy.id
        ))),
    }
}

fn created(policy: &BackupPolicy) -> AuditEvent {
    let BackupPolicy { id, name, .. } = policy;
    AuditEvent::new(AuditAction::PolicyCreated, AuditResource::Policy, id.as_str(), name)
        .with("description", policy.description.as_deref())
        .with("summary", policy.summary())
}
