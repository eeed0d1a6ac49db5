//! `DELETE /users/{id}`.

use std::error::Error;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::models::{AuditAction, AuditEvent, AuditResource, User, UserId, UserRole};
use shared::storage::{Leaving, StorageError};

use crate::actor::Caller;
use crate::error::ApiError;
use crate::path::Id;
use crate::references;
use crate::state::{AppState, Now};

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    message: String,
}

/// Deletes a user, and what is left of a registration of the same address: whoever is deleted must not
/// come back by it.
pub(crate) async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    Now(now): Now,
    Id(id): Id<UserId>,
) -> Result<Json<Answer>, ApiError> {
    let user = references::user(&state, &id).await?.value;
    if id == caller.user.id {
        let text = "You cannot delete yourself; ask another administrator to do it.";
        return Err(ApiError::Invalid(text.to_owned()));
    }
    // Whether it is one by now is decided by the row; what was read above may be old.
    let leaves = user.role == UserRole::Admin && user.enabled;
    if leaves && state.storage.users.reserve_leaving(&id, now).await? == Leaving::LastOne {
        return Err(last_admin());
    }
    let outcome = remove(&state, &user).await;
    if leaves {
        settle(&state, &id).await;
    }
    outcome?;
    state.storage.audit.record(&caller.actor, deleted(&user), now).await;
    Ok(Json(Answer { message: format!("The user {} is deleted.", user.email) }))
}

async fn remove(state: &AppState, user: &User) -> Result<(), StorageError> {
    let users = state.storage.users.list().await?;
    for leftover in users.iter().filter(|other| other.is_pending() && other.has_email(&user.email)) {
        state.storage.users.delete(&leftover.id).await?;
    }
    state.storage.users.delete(&user.id).await.map(drop)
}

/// Takes back that an administrator is about to leave; a reservation that stays ends by itself.
pub(super) async fn settle(state: &AppState, id: &UserId) {
    if let Err(error) = state.storage.users.settle_leaving(id).await {
        tracing::warn!(error = &error as &dyn Error, "a reservation on the administrators stays for a while");
    }
}

pub(super) fn last_admin() -> ApiError {
    ApiError::Invalid(
        "This is the last enabled administrator; make another user an administrator first.".to_owned(),
    )
}

fn deleted(user: &User) -> AuditEvent {
    AuditEvent::new(AuditAction::UserDeleted, AuditResource::User, user.id.as_str(), user.email.as_str())
        .with("name", user.name.as_str())
        .with("role", user.role.as_str())
}
