//! `GET /users/{id}`.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::models::{UserId, UserRole};

use crate::actor::Caller;
use crate::error::ApiError;
use crate::path::Id;
use crate::references;
use crate::state::AppState;
use crate::views::user::UserView;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    user: UserView,
}

/// Shows a user to administrators and to the user. Everybody else is refused before anything is looked
/// up, so that nobody finds out which ids there are.
pub(crate) async fn get(
    State(state): State<AppState>,
    caller: Caller,
    id: Result<Id<UserId>, ApiError>,
) -> Result<Json<Answer>, ApiError> {
    let oneself = id.as_ref().is_ok_and(|Id(id)| *id == caller.user.id);
    if !oneself && caller.user.role != UserRole::Admin {
        return Err(ApiError::RoleTooLow(UserRole::Admin));
    }
    let user = references::user(&state, &id?.0).await?.value;
    Ok(Json(Answer { user: user.into() }))
}
