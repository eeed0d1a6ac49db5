//! `GET /engines`: the engines that match, by name.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::models::{EngineId, EngineType};

use crate::error::ApiError;
use crate::query::Query;
use crate::state::AppState;
use crate::views::engine::EngineView;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    items: Vec<EngineView>,
    total: usize,
    limit: usize,
    offset: usize,
}

/// Lists a page.
pub(crate) async fn list(State(state): State<AppState>, query: Query) -> Result<Json<Answer>, ApiError> {
    let limit = query.clamped("limit", 1..=1000)?.unwrap_or(100);
    let offset = query.clamped("offset", 0..=usize::MAX)?.unwrap_or(0);
    let engine_type: Option<EngineType> = query.name("engine_type")?;
    let search = query.text("search").map(str::to_lowercase);
    let mut engines = state.storage.engines.list().await?;
    engines.retain(|engine| {
        let has = |text: &str, part: &str| text.to_lowercase().contains(part);
        engine_type.is_none_or(|kind| engine.engine_type == kind)
            && search
                .as_ref()
                .is_none_or(|part| has(&engine.name, part) || has(engine.endpoint.host.as_str(), part))
    });
    engines.sort_by_cached_key(|engine| (engine.name.to_lowercase(), engine.id.clone()));
    let mut counts: BTreeMap<EngineId, usize> = BTreeMap::new();
    for database in state.storage.databases.list().await? {
        if let Some(id) = database.engine_id {
            *counts.entry(id).or_default() += 1;
        }
    }
    let count = |id: &EngineId| counts.get(id).copied().unwrap_or(0);
    let page = engines.iter().skip(offset).take(limit);
    let items = page.map(|engine| EngineView::new(engine, count(&engine.id))).collect();
    Ok(Json(Answer { items, total: engines.len(), limit, offset }))
}
