//! `GET /backups`: the history, newest first.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::models::{Database, DatabaseId, EngineId};
use shared::storage::BackupFilter;

use crate::error::ApiError;
use crate::query::Query;
use crate::state::AppState;
use crate::views::backup::{BackupView, EngineOfBackup};

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    backups: Vec<BackupView>,
    count: usize,
    total_count: usize,
    page: usize,
    page_size: usize,
    has_more: bool,
}

/// Lists a page of the records that match.
pub(crate) async fn list(State(state): State<AppState>, query: Query) -> Result<Json<Answer>, ApiError> {
    let page = query.clamped("page", 1..=usize::MAX)?.unwrap_or(1);
    let page_size = match query.clamped("page_size", 1..=100)? {
        Some(size) => size,
        None => query.clamped("limit", 1..=100)?.unwrap_or(25),
    };
    let mut filter = BackupFilter {
        statuses: query.name("status")?.into_iter().collect(),
        triggered_by: query.name("triggered_by")?,
        database_type: query.name("database_type")?,
        from: query.start_of_day("start_date")?,
        before: query.end_of_day("end_date")?,
        ..BackupFilter::default()
    };
    let databases = state.storage.databases.list().await?;
    filter.databases = wanted(query.text("database_id"), query.text("engine_id"), &databases);
    let offset = (page - 1).saturating_mul(page_size);
    let found = state.storage.backups.page(&filter, offset, page_size).await?;
    let engines = state.storage.engines.list().await?;
    let names: BTreeMap<EngineId, String> =
        engines.into_iter().map(|engine| (engine.id, engine.name)).collect();
    let engines: BTreeMap<DatabaseId, EngineOfBackup> = databases
        .into_iter()
        .filter_map(|database| {
            let engine_id = database.engine_id?;
            Some((database.id, EngineOfBackup { engine_name: names.get(&engine_id).cloned(), engine_id }))
        })
        .collect();
    let total_count = found.total;
    let backups: Vec<BackupView> = found
        .backups
        .into_iter()
        .map(|backup| {
            let engine = engines.get(&backup.database_id).cloned();
            BackupView::new(backup, engine)
        })
        .collect();
    let has_more = page.saturating_mul(page_size) < total_count;
    Ok(Json(Answer { count: backups.len(), backups, total_count, page, page_size, has_more }))
}

/// Says which databases are asked for; `None` is all, an empty list is none. A text that no database
/// or engine can be called by matches nothing, like any other unknown one.
fn wanted(
    database_id: Option<&str>,
    engine_id: Option<&str>,
    databases: &[Database],
) -> Option<Vec<DatabaseId>> {
    let on_engine = engine_id.map(|engine| {
        let on = |database: &&Database| database.engine_id.as_ref().is_some_and(|id| id.as_str() == engine);
        databases.iter().filter(on).map(|database| database.id.clone()).collect::<Vec<_>>()
    });
    match (database_id, on_engine) {
        (None, on_engine) => on_engine,
        // A database that was deleted may still have a history.
        (Some(id), None) => Some(id.parse().ok().into_iter().collect()),
        (Some(wanted), Some(on_engine)) => {
            Some(on_engine.into_iter().filter(|id| id.as_str() == wanted).collect())
        }
    }
}
