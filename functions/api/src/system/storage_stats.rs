//! `GET /storage-stats`: what the files take, by database, engine and kind.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::models::{Database, DatabaseId, DatabaseType, Engine, EngineId, EngineType};
use shared::storage::Tally;

use crate::error::ApiError;
use crate::figures::{Files, add_up};
use crate::state::AppState;
use crate::texts::size_text;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    total_size_bytes: u64,
    total_size_formatted: String,
    total_backup_count: u64,
    by_database: Vec<OfDatabase>,
    by_engine: Vec<OfEngine>,
    by_type: BTreeMap<&'static str, OfType>,
}

#[derive(Debug, Serialize)]
struct OfDatabase {
    database_id: DatabaseId,
    database_name: String,
    database_type: DatabaseType,
    engine_id: Option<EngineId>,
    size_bytes: u64,
    size_formatted: String,
    backup_count: u64,
}

#[derive(Debug, Serialize)]
struct OfEngine {
    engine_id: EngineId,
    engine_name: String,
    engine_type: EngineType,
    size_bytes: u64,
    size_formatted: String,
    backup_count: u64,
    /// Those of its databases that have files.
    database_count: u64,
}

#[derive(Debug, Serialize)]
struct OfType {
    size_bytes: u64,
    size_formatted: String,
    count: u64,
}

/// Adds up the files. A person asks, so they are added up anew.
pub(crate) async fn storage_stats(State(state): State<AppState>) -> Result<Json<Answer>, ApiError> {
    let files = add_up(&state.storage).await?;
    let databases = state.storage.databases.list().await?;
    let engines = state.storage.engines.list().await?;
    Ok(Json(answer(&files, databases, engines)))
}

fn answer(files: &Files, databases: Vec<Database>, engines: Vec<Engine>) -> Answer {
    let mut on_engine: BTreeMap<EngineId, (Tally, u64)> = BTreeMap::new();
    let mut by_type = files.by_type.clone();
    let mut by_database = Vec::new();
    for database in databases {
        let Some(tally) = files.by_database.get(database.id.as_str()).copied() else { continue };
        if let Some(older) = files.older.get(database.id.as_str()) {
            by_type.entry(database.database_type).or_default().add(*older);
        }
        if let Some(engine) = &database.engine_id {
            let (sum, count) = on_engine.entry(engine.clone()).or_default();
            sum.add(tally);
            *count += 1;
        }
        by_database.push(OfDatabase {
            database_id: database.id,
            database_name: database.name,
            database_type: database.database_type,
            engine_id: database.engine_id,
            size_bytes: tally.bytes,
            size_formatted: size_text(tally.bytes),
            backup_count: tally.count,
        });
    }
    by_database
        .sort_by(|a, b| b.size_bytes.cmp(&a.size_bytes).then_with(|| a.database_id.cmp(&b.database_id)));
    let mut by_engine: Vec<OfEngine> = engines
        .into_iter()
        .filter_map(|engine| {
            let (tally, database_count) = on_engine.get(&engine.id).copied()?;
            Some(OfEngine {
                engine_id: engine.id,
                engine_name: engine.name,
                engine_type: engine.engine_type,
                size_bytes: tally.bytes,
                size_formatted: size_text(tally.bytes),
                backup_count: tally.count,
                database_count,
            })
        })
        .collect();
    by_engine.sort_by(|a, b| b.size_bytes.cmp(&a.size_bytes).then_with(|| a.engine_id.cmp(&b.engine_id)));
    for kind in DatabaseType::ALL {
        by_type.entry(*kind).or_default();
    }
    let of_type = |tally: Tally| OfType {
        size_bytes: tally.bytes,
        size_formatted: size_text(tally.bytes),
        count: tally.count,
    };
    Answer {
        total_size_bytes: files.total.bytes,
        total_size_formatted: size_text(files.total.bytes),
        total_backup_count: files.total.count,
        by_database,
        by_engine,
        by_type: by_type.into_iter().map(|(kind, tally)| (kind.as_str(), of_type(tally))).collect(),
    }
}
