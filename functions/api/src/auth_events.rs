//! `POST /auth/events`: the web application says that somebody has signed in or out.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::models::{AuditAction, AuditEvent, AuditResource};

use crate::actor::Caller;
use crate::error::ApiError;
use crate::json::{Given, Members};
use crate::state::{AppState, Now};

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    success: bool,
}

/// Writes the event into the audit log.
pub(crate) async fn record(
    State(state): State<AppState>,
    caller: Caller,
    Now(now): Now,
    body: Members,
) -> Result<Json<Answer>, ApiError> {
    let user = &caller.user;
    let event = |action| AuditEvent::new(action, AuditResource::User, user.id.as_str(), user.email.as_str());
    let event = match body.text("event")? {
        Given::Value("login") => {
            event(AuditAction::UserLogin).with("event", "login").with("role", user.role.as_str())
        }
        Given::Value("logout") => event(AuditAction::UserLogout).with("event", "logout"),
        Given::Absent | Given::Null | Given::Value(_) => {
            return Err(ApiError::field("event", "use login or logout"));
        }
    };
    state.storage.audit.record(&caller.actor, event, now).await;
    Ok(Json(Answer { success: true }))
}
