//! Who calls: the gate in front of every handler, and the extractor that tells a handler.

use std::net::IpAddr;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use chrono::{DateTime, Utc};
use shared::config::AuthMode;
use shared::models::{Actor, User, UserId, UserRole};
use tracing::Instrument as _;

use crate::admission::{self, Admitted};
use crate::client_address::client_address;
use crate::error::ApiError;
use crate::identity::Proof;
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
    /// The user, as stored when the request came.
    pub user: User,
    /// Whether this very request found an installation without users.
    pub is_first_run: bool,
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
    let caller = identify_to_the_end(&state, request.headers()).await?;
    observe::note_user(&caller.actor.user_id);
    admit(caller.user.role, needed)?;
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

/// Finds out who calls, in a task of its own: the first request of somebody writes who that is, and a caller
/// who goes away must not stop that in its middle.
async fn identify_to_the_end(state: &AppState, headers: &HeaderMap) -> Result<Caller, ApiError> {
    let (state, headers) = (state.clone(), headers.clone());
    let identifying = async move { identify(&state, &headers).await };
    let identified = tokio::spawn(identifying.in_current_span()).await;
    identified.map_err(|_| ApiError::Internal("a sign-in was interrupted"))?
}

/// Finds out who calls.
async fn identify(state: &AppState, headers: &HeaderMap) -> Result<Caller, ApiError> {
    let address = client_address(headers, state.config.trusted_proxies);
    let ip_address = address.map(|address| address.to_string());
    let now = state.clock.now();
    let admitted = match state.config.auth_mode {
        AuthMode::Mock => mock(state, now).await?,
        AuthMode::Azure => directory(state, headers, address, now).await?,
    };
    let Admitted { user, is_first_run } = admitted;
    let actor = Actor { user_id: user.id.to_string(), email: user.email.clone(), ip_address };
    Ok(Caller { actor, user, is_first_run })
}

/// Admits whom the directory knows. Whoever fails too often is told to wait; those who succeed are not,
/// whatever others behind the same address do.
async fn directory(
    state: &AppState,
    headers: &HeaderMap,
    address: Option<IpAddr>,
    now: DateTime<Utc>,
) -> Result<Admitted, ApiError> {
    let refused = match state.identities.proof(headers, address, now).await? {
        // Whoever has not signed in yet has not failed to.
        Proof::Nothing => return Err(ApiError::SignInRequired),
        Proof::Rejected => ApiError::SignInRequired,
        Proof::Of(identity) => {
            let ip_address = address.map(|address| address.to_string());
            match admission::admit(state, &identity, ip_address, now).await {
                Err(refused @ (ApiError::NotRegistered(_) | ApiError::AccountDisabled(_))) => refused,
                other => return other,
            }
        }
    };
    Err(match state.identities.count_failure(address, now) {
        Some(seconds) => ApiError::TooManyFailures { seconds },
        None => refused,
    })
}

/// Admits the user of mock mode, who is stored like any other.
async fn mock(state: &AppState, now: DateTime<Utc>) -> Result<Admitted, ApiError> {
    let id: UserId = MOCK_ID.parse().map_err(|_| ApiError::Internal("the mock user's id is no user id"))?;
    if let Some(stored) = state.storage.users.get(&id).await? {
        return Ok(Admitted { user: mock_rights(stored.value), is_first_run: false });
    }
    let was_empty = state.storage.users.is_empty().await?;
    let (user, created) = admission::insert_or_get(state, mock_user(id, now)).await?;
    Ok(Admitted { user: mock_rights(user), is_first_run: created && was_empty })
}

/// Everybody is an administrator in mock mode, whatever became of the row.
fn mock_rights(user: User) -> User {
    User { role: UserRole::Admin, enabled: true, ..user }
}

/// Makes the user of mock mode as it is stored at first; later its row may have other preferences.
fn mock_user(id: UserId, now: DateTime<Utc>) -> User {
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
