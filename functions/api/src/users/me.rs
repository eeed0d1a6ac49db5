//! `GET /users/me`: who am I.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::models::{User, UserId};
use shared::storage::StorageErrorKind;

use crate::actor::{Caller, mock_user};
use crate::error::ApiError;
use crate::path::not_found;
use crate::state::{AppState, Now};
use crate::views::user::UserView;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    user: UserView,
    is_first_run: bool,
}

/// Shows the calling user. The user of mock mode is stored when it is asked for the first time; that
/// is taken as the first run, as nobody else can sign in to an installation in that mode.
pub(crate) async fn me(
    State(state): State<AppState>,
    caller: Caller,
    Now(now): Now,
) -> Result<Json<Answer>, ApiError> {
    let id: UserId =
        caller.actor.user_id.parse().map_err(|_| ApiError::Internal("the caller's id is no user id"))?;
    let (user, is_first_run) = match state.storage.users.get(&id).await? {
        Some(stored) => (stored.value, false),
        None => create(&state, mock_user(id, now)).await?,
    };
    Ok(Json(Answer { user: user.into(), is_first_run }))
}

/// Stores the user and tells whether this call did it; of two first calls at once, one did.
async fn create(state: &AppState, user: User) -> Result<(User, bool), ApiError> {
    match state.storage.users.insert(&user).await {
        Ok(()) => Ok((user, true)),
        Err(error) if error.kind() == StorageErrorKind::AlreadyExists => {
            let stored = state.storage.users.get(&user.id).await?;
            stored.map(|stored| (stored.value, false)).ok_or_else(|| not_found(&user.id))
        }
        Err(error) => Err(error.into()),
    }
}
