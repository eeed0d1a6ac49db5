//! `GET /databases`: the databases that match, by name.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::effective_policy::PolicyBook;
use shared::models::{Database, DatabaseType, EngineId, PolicyId};

use crate::error::ApiError;
use crate::query::Query;
use crate::state::{AppState, Now};
use crate::views::database::{DatabaseView, ScheduledView};

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    databases: Vec<ScheduledView>,
    count: usize,
    total: usize,
    has_more: bool,
}

/// Lists a page; without a limit all that match, which clients compute totals from.
pub(crate) async fn list(
    State(state): State<AppState>,
    Now(now): Now,
    query: Query,
) -> Result<Json<Answer>, ApiError> {
    let wanted = Wanted::read(&query)?;
    let limit = query.clamped("limit", 1..=1000)?.unwrap_or(usize::MAX);
    let offset = query.clamped("offset", 0..=usize::MAX)?.unwrap_or(0);
    let mut databases = state.storage.databases.list().await?;
    let engines = state.storage.engines.list().await?;
    let book = PolicyBook::new(state.storage.policies.list().await?, &engines);
    databases.retain(|database| wanted.matches(database));
    databases.sort_by_cached_key(|database| (database.name.to_lowercase(), database.id.clone()));
    let names: BTreeMap<EngineId, String> =
        engines.into_iter().map(|engine| (engine.id, engine.name)).collect();
    let name_of = |database: &Database| names.get(database.engine_id.as_ref()?).cloned();
    let total = databases.len();
    let view = |database: &Database| {
        let view = DatabaseView::with_engine_name(database, name_of(database));
        ScheduledView::new(view, database, &book, now)
    };
    let databases: Vec<ScheduledView> = databases.iter().skip(offset).take(limit).map(view).collect();
    let count = databases.len();
    Ok(Json(Answer { databases, count, total, has_more: offset.saturating_add(count) < total }))
}

/// Which databases are asked for; all conditions hold together.
struct Wanted<'a> {
    enabled_only: bool,
    database_type: Option<DatabaseType>,
    search: Option<String>,
    host: Option<&'a str>,
    policy_id: Option<&'a str>,
    engine_id: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    fn read(query: &'a Query) -> Result<Self, ApiError> {
        Ok(Self {
            enabled_only: query.flag("enabled_only"),
            database_type: query.name("type")?,
            search: query.text("search").map(str::to_lowercase),
            host: query.text("host"),
            policy_id: query.text("policy_id"),
            engine_id: query.text("engine_id"),
        })
    }

    fn matches(&self, database: &Database) -> bool {
        let has = |text: &str, part: &str| text.to_lowercase().contains(part);
        let found = |part: &String| {
            has(&database.name, part)
                || has(database.endpoint.host.as_str(), part)
                || has(database.database_name.as_str(), part)
        };
        let policy = database.policy.own.as_ref().map(PolicyId::as_str);
        let engine = database.engine_id.as_ref().map(EngineId::as_str);
        (database.enabled || !self.enabled_only)
            && self.database_type.is_none_or(|kind| database.database_type == kind)
            && self.search.as_ref().is_none_or(found)
            && self.host.is_none_or(|host| database.endpoint.host.as_str() == host)
            && self.policy_id.is_none_or(|id| policy == Some(id))
            && self.engine_id.is_none_or(|id| engine == Some(id))
    }
}
