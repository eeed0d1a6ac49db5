//! `GET /users/me`: who am I.

use axum::Json;
use serde::Serialize;

use crate::actor::Caller;
use crate::views::user::UserView;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    user: UserView,
    is_first_run: bool,
}

/// Shows the calling user, and whether this very request made it the first one.
pub(crate) async fn me(caller: Caller) -> Json<Answer> {
    Json(Answer { user: caller.user.into(), is_first_run: caller.is_first_run })
}
