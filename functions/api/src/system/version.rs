//! `GET /version`: which installation this is.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::state::AppState;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    version: String,
    installation_id: String,
    environment: String,
}

/// Tells version and installation.
pub(crate) async fn version(State(state): State<AppState>) -> Json<Answer> {
    let about = &state.config.about;
    Json(Answer {
        version: about.version.clone(),
        installation_id: about.installation.clone(),
        environment: about.environment.clone(),
    })
}
