//! `GET /engines/{id}`.

use axum::Json;
use axum::extract::State;
use shared::models::EngineId;

use crate::error::ApiError;
use crate::if_match::{IfMatch, Version};
use crate::path::Id;
use crate::references;
use crate::state::AppState;
use crate::views::engine::EngineView;

/// Shows an engine; not wrapped, unlike the other nouns.
pub(crate) async fn get(
    State(state): State<AppState>,
    Id(id): Id<EngineId>,
    if_match: IfMatch,
) -> Result<(Version, Json<EngineView>), ApiError> {
    let found = references::engine(&state, &id).await?;
    if_match.check(&found.etag)?;
    let databases = state.storage.databases.list().await?;
    let count = databases.iter().filter(|database| database.engine_id.as_ref() == Some(&id)).count();
    Ok((found.etag.into(), Json(EngineView::new(&found.value, count))))
}
