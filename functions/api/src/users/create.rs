//! `POST /users`: registers somebody who has not signed in yet.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use shared::models::{AuditAction, AuditEvent, AuditResource, User, same_email};
use shared::storage::StorageErrorKind;

use crate::actor::Caller;
use crate::error::ApiError;
use crate::json::Members;
use crate::requests::user::NewUser;
use crate::state::{AppState, Now};
use crate::views::user::UserView;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    message: String,
    user: UserView,
}

/// Stores a user whose id is made up until the first sign-in.
pub(crate) async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Now(now): Now,
    body: Members,
) -> Result<(StatusCode, Json<Answer>), ApiError> {
    let user = NewUser::read(&body)?.into_user(caller.user.id.to_string(), now);
    let taken =
        || ApiError::Conflict(format!("A user with the e-mail address {} exists already.", user.email));
    if state.storage.users.list().await?.iter().any(|known| same_email(&known.email, &user.email)) {
        return Err(taken());
    }
    match state.storage.users.insert(&user).await {
        // The id follows from the address: somebody else was faster.
        Err(error) if error.kind() == StorageErrorKind::AlreadyExists => return Err(taken()),
        other => other?,
    }
    state.storage.audit.record(&caller.actor, created(&user), now).await;
    let message = format!("The user {} is registered.", user.email);
    Ok((StatusCode::CREATED, Json(Answer { message, user: user.into() })))
}

fn created(user: &User) -> AuditEvent {
    AuditEvent::new(AuditAction::UserCreated, AuditResource::User, user.id.as_str(), user.email.as_str())
        .with("role", user.role.as_str())
        .with("name", user.name.as_str())
}
