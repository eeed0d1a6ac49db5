//! `POST /access-requests/{id}/approve`: makes a user of a stranger.

use std::error::Error;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::models::{
    AccessRequest, AccessRequestId, AuditAction, AuditEvent, AuditResource, Resolution, User, UserId,
    UserRole,
};
use shared::storage::table::ETag;
use shared::storage::{StorageErrorKind, Versioned};

use super::{pending, resolved};
use crate::actor::Caller;
use crate::error::ApiError;
use crate::json::MaybeMembers;
use crate::path::Id;
use crate::requests::user::role;
use crate::state::{AppState, Now};
use crate::views::user::UserView;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    message: String,
    user: UserView,
}

/// Stores the applicant as a user.
///
/// The answer is stored first, on condition that nobody else has answered. Should the program die
/// before the user is stored, the applicant's next visit makes a new request.
pub(crate) async fn approve(
    State(state): State<AppState>,
    caller: Caller,
    Now(now): Now,
    Id(id): Id<AccessRequestId>,
    MaybeMembers(body): MaybeMembers,
) -> Result<Json<Answer>, ApiError> {
    let role = role(&body)?.value().unwrap_or(UserRole::Viewer);
    let Versioned { value: request, etag } = pending(&state, &id).await?;
    let user_id: UserId = request
        .azure_ad_id
        .parse()
        .map_err(|_| ApiError::Invalid("The request names no id of the directory; reject it.".to_owned()))?;
    if state.storage.users.get(&user_id).await?.is_some() {
        return Err(exists(&request));
    }
    let registered = state.storage.users.list().await?;
    let registered: Vec<User> =
        registered.into_iter().filter(|user| user.is_pending() && user.has_email(&request.email)).collect();
    let user = new_user(user_id, &request, registered.first(), role, caller.user.id.as_str(), now);
    let by = Some(caller.user.id.to_string());
    let approved =
        AccessRequest { resolution: Resolution::Approved { at: Some(now), by }, ..request.clone() };
    let etag = match state.storage.access_requests.update(&approved, &etag).await {
        Err(error) if error.kind() == StorageErrorKind::Changed => return Err(resolved()),
        other => other?,
    };
    if let Err(error) = state.storage.users.insert(&user).await {
        undo(&state, &request, &etag).await;
        let taken = error.kind() == StorageErrorKind::AlreadyExists;
        return Err(if taken { exists(&request) } else { error.into() });
    }
    for user in &registered {
        if let Err(error) = state.storage.users.delete(&user.id).await {
            // Whoever deletes the user deletes it too, and nothing else looks at it.
            tracing::warn!(error = &error as &dyn Error, "a registration stays beside its user");
        }
    }
    let event = AuditEvent::new(
        AuditAction::AccessRequestApproved,
        AuditResource::AccessRequest,
        request.id.as_str(),
        request.email.as_str(),
    )
    .with("role", role.as_str());
    state.storage.audit.record(&caller.actor, event, now).await;
    let message = format!("{} has access now, as {role}.", user.email);
    Ok(Json(Answer { message, user: user.into() }))
}

/// Makes the user; preferences and origin of a registration for the same address are kept.
fn new_user(
    id: UserId,
    request: &AccessRequest,
    registered: Option<&User>,
    role: UserRole,
    by: &str,
    now: DateTime<Utc>,
) -> User {
    let name = if request.name.is_empty() { request.email.clone() } else { request.name.clone() };
    User {
        id,
        email: request.email.clone(),
        name,
        role,
        enabled: true,
        dark_mode: registered.is_some_and(|user| user.dark_mode),
        page_size: registered.map_or(25, |user| user.page_size),
        created_at: registered.map_or(now, |user| user.created_at),
        updated_at: now,
        last_login: None,
        created_by: registered.and_then(|user| user.created_by.clone()).or_else(|| Some(by.to_owned())),
    }
}

/// Makes a request wait again whose user could not be stored.
async fn undo(state: &AppState, request: &AccessRequest, etag: &ETag) {
    if let Err(error) = state.storage.access_requests.update(request, etag).await {
        tracing::warn!(error = &error as &dyn Error, "an access request stays approved without a user");
    }
}

fn exists(request: &AccessRequest) -> ApiError {
    ApiError::Conflict(format!("{} is a user already; reject the request.", request.email))
}
