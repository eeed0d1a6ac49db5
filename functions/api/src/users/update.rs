//! `PUT /users/{id}`: changes a user's name and rights.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Map, Value, json};
use shared::models::{AuditAction, AuditEvent, AuditResource, User, UserId, UserRole};
use shared::storage::{Leaving, StorageErrorKind};

use super::delete::{last_admin, settle};
use crate::actor::Caller;
use crate::error::ApiError;
use crate::json::Members;
use crate::path::Id;
use crate::references;
use crate::requests::user::UserChange;
use crate::state::{AppState, Now};
use crate::views::user::UserView;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    message: String,
    user: UserView,
}

/// Changes the members that the body has. When somebody else changes the user at the same time, the
/// change is made once more on what they left; then it is given up.
pub(crate) async fn update(
    State(state): State<AppState>,
    caller: Caller,
    Now(now): Now,
    Id(id): Id<UserId>,
    body: Members,
) -> Result<Json<Answer>, ApiError> {
    let change = UserChange::read(&body)?;
    let current = references::user(&state, &id).await?.value;
    if id == caller.user.id && loses_rights(&current, &change.apply(current.clone(), now)) {
        let text = "You cannot take your own rights; ask another administrator to do it.";
        return Err(ApiError::Invalid(text.to_owned()));
    }
    let leaves = loses_rights(&current, &change.apply(current.clone(), now));
    if leaves && state.storage.users.reserve_leaving(&id, now).await? == Leaving::LastOne {
        return Err(last_admin());
    }
    let outcome = store(&state, &caller, &id, &change, leaves, now).await;
    if leaves {
        settle(&state, &id).await;
    }
    outcome.map(Json)
}

async fn store(
    state: &AppState,
    caller: &Caller,
    id: &UserId,
    change: &UserChange,
    may_lose_rights: bool,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<Answer, ApiError> {
    for _ in 0..2 {
        let current = references::user(state, id).await?;
        let user = change.apply(current.value.clone(), now);
        if loses_rights(&current.value, &user) && !may_lose_rights {
            // Somebody has made it an administrator just now; that nobody else is left was not checked.
            break;
        }
        match state.storage.users.update(&user, &current.etag).await {
            Err(error) if error.kind() == StorageErrorKind::Changed => {}
            Err(error) => return Err(error.into()),
            Ok(()) => {
                let event = updated(&current.value, &user);
                state.storage.audit.record(&caller.actor, event, now).await;
                let message = format!("The user {} is changed.", user.email);
                return Ok(Answer { message, user: user.into() });
            }
        }
    }
    Err(ApiError::Conflict(
        "Somebody else is changing this user at the same time; load it again and repeat.".to_owned(),
    ))
}

/// Tells whether an enabled administrator would be none any more.
fn loses_rights(before: &User, after: &User) -> bool {
    let able = |user: &User| user.role == UserRole::Admin && user.enabled;
    able(before) && !able(after)
}

fn updated(before: &User, after: &User) -> AuditEvent {
    let event = AuditEvent::new(
        AuditAction::UserUpdated,
        AuditResource::User,
        after.id.as_str(),
        after.email.as_str(),
    );
    let shown = |user: &User| {
        [
            ("name", Value::from(user.name.as_str())),
            ("role", Value::from(user.role.as_str())),
            ("enabled", Value::from(user.enabled)),
        ]
    };
    let changes: Map<String, Value> = shown(before)
        .into_iter()
        .zip(shown(after))
        .filter(|(from, to)| from != to)
        .map(|((name, from), (_, to))| (name.to_owned(), json!({"from": from, "to": to})))
        .collect();
    if changes.is_empty() { event } else { event.with("changes", changes) }
}
