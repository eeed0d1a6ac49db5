//! `GET /settings`.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::error::ApiError;
use crate::state::{AppState, Now};
use crate::views::settings::SettingsView;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    settings: SettingsView,
}

/// Shows the settings; the defaults where none are stored.
pub(crate) async fn get(State(state): State<AppState>, Now(now): Now) -> Result<Json<Answer>, ApiError> {
    let settings = state.storage.settings.get(now).await?;
    Ok(Json(Answer { settings: settings.into() }))
}
