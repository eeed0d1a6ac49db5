//! `PUT /users/me/preferences`.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::actor::Caller;
use crate::error::ApiError;
use crate::json::Members;
use crate::references;
use crate::requests::user::Preferences;
use crate::state::AppState;
use crate::views::user::UserView;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    message: &'static str,
    user: UserView,
}

/// Changes what the body has of the caller's preferences, and nothing else of the row.
pub(crate) async fn update(
    State(state): State<AppState>,
    caller: Caller,
    body: Members,
) -> Result<Json<Answer>, ApiError> {
    let Preferences { dark_mode, page_size } = Preferences::read(&body)?;
    state.storage.users.prefer(&caller.user.id, dark_mode, page_size).await?;
    let user = references::user(&state, &caller.user.id).await?.value;
    Ok(Json(Answer { message: "Your preferences are stored.", user: user.into() }))
}
