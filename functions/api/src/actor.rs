//! Who calls: the gate in front of every handler, and the extractor that tells a handler.

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use chrono::{DateTime, Utc};
use shared::config::AuthMode;
use shared::models::{Actor, User, UserId, UserRole};

use crate::client_address::client_address;
use crate::error::ApiError;
use crate::observe;
use crate::roles::{self, Access};
use crate::state::AppState;

/// The id of the user that everybody is in mock mode.
const MOCK_ID: &str = "dev-user-00000000-0000-0000-0000-000000000000";
const MOCK_EMAIL: &str = "admin@dilux.tech";
const MOCK_NAME: &str = "Dev Admin";

/// The user who calls. Taken by handlers; put there by [`authorize`].
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The user, as audit records name them.
    pub actor: Actor,
    /// What the user may do.
    pub role: UserRole,
}

/// Lets a request through when its caller may call the route that the router matched.
///
/// A route that is not in the table of roles is refused, so that forgetting it opens nothing.
pub(crate) async fn authorize(
    State(state): State<AppState>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
    let needed = match access(&state, &request, matched) {
        Some(Access::Anonymous) => return Ok(next.run(request).await),
        Some(Access::Role(role)) => role,
        Some(Access::AdminOrSelf) => UserRole::Viewer,
        None => return Err(ApiError::Internal("a route is not in the table of roles")),
    };
    let caller = identify(&state, request.headers())?;
    observe::note_user(&caller.actor.user_id);
    admit(caller.role, needed)?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

fn admit(role: UserRole, needed: UserRole) -> Result<(), ApiError> {
    if roles::includes(role, needed) { Ok(()) } else { Err(ApiError::RoleTooLow(needed)) }
}

fn access(state: &AppState, request: &Request, matched: &str) -> Option<Access> {
    let path = match state.prefix() {
        "" => matched,
        prefix => matched.strip_prefix('/')?.strip_prefix(prefix)?,
    };
    roles::access(request.method(), path)
}

/// Finds out who calls.
fn identify(state: &AppState, headers: &HeaderMap) -> Result<Caller, ApiError> {
    match state.config.auth_mode {
        AuthMode::Mock => Ok(Caller {
            actor: Actor {
                user_id: MOCK_ID.to_owned(),
                email: MOCK_EMAIL.to_owned(),
                ip_address: client_address(headers, state.config.trusted_proxies),
            },
            role: UserRole::Admin,
        }),
        // No way to prove an identity is built yet, so there is none that would be believed.
        AuthMode::Azure => Err(ApiError::SignInRequired),
    }
}

/// Makes the user of mock mode as it is stored at first; later its row may have other preferences.
pub(crate) fn mock_user(id: UserId, now: DateTime<Utc>) -> User {
    User {
        id,
        email: MOCK_EMAIL.to_owned(),
        name: MOCK_NAME.to_owned(),
        role: UserRole::Admin,
        enabled: true,
        dark_mode: false,
        page_size: 25,
        created_at: now,
        updated_at: now,
        last_login: None,
        created_by: None,
    }
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or(ApiError::Internal("a handler of an anonymous route asks who calls"))
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;

    use super::*;

    #[test]
    fn a_role_that_is_too_low_is_a_403_that_names_the_needed_one() {
        let mut lines = Vec::new();
        for needed in UserRole::ALL {
            for role in UserRole::ALL {
                let line = match admit(*role, *needed) {
                    Ok(()) => "passes".to_owned(),
                    Err(error) => {
                        let text = error.to_string();
                        format!("{} {text}", error.into_response().status().as_u16())
                    }
                };
                lines.push(format!("{role} where {needed} is needed: {line}"));
            }
        }
        insta::assert_snapshot!(lines.join("\n"), @"
        admin where admin is needed: passes
        operator where admin is needed: 403 This needs the role admin; ask an administrator to give it to you.
        viewer where admin is needed: 403 This needs the role admin; ask an administrator to give it to you.
        admin where operator is needed: passes
        operator where operator is needed: passes
        viewer where operator is needed: 403 This needs the role operator; ask an administrator to give it to you.
        admin where viewer is needed: passes
        operator where viewer is needed: passes
        viewer where viewer is needed: passes
        ");
    }
}
