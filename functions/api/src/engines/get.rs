//! `GET /engines/{id}`.

use axum::Json;
use axum::extract::State;
use shared::models::EngineId;

use crate::error::ApiError;
use crate::path::Id;
use crate::references;
use crate::state::AppState;
use crate::views::engine::EngineView;

/// Shows an engine; not wrapped, unlike the other nouns.
pub(crate) async fn get(
    State(state): State<AppState>,
    Id(id): Id<EngineId>,
) -> Result<Json<EngineView>, ApiError> {
    let engine = references::engine(&state, &id).await?.value;
    let databases = state.storage.databases.list().await?;
    let count = databases.iter().filter(|database| database.engine_id.as_ref() == Some(&id)).count();
    Ok(Json(EngineView::new(&engine, count)))
}
