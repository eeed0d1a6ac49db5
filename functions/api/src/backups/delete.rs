//! `DELETE /backups/delete`, `POST /backups/delete-bulk`, `DELETE /backups/{backup_id}`: files and the
//! records that point to them.
//!
//! The file goes first and its record after it, so that a request that dies in between leaves a record
//! whose file is gone; the same request again deletes that, and nothing is left that nobody knows of.

use std::collections::BTreeSet;
use std::error::Error;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use futures::{StreamExt as _, stream};
use serde::Serialize;
use shared::models::{AuditAction, AuditEvent, AuditResource, Backup, BackupId, EngineId, Globals};
use shared::storage::{BlobAddress, RemovalError, STUCK_AFTER, last_sign_of_life};

use super::download::{blob_name, check_name};
use crate::actor::Caller;
use crate::error::ApiError;
use crate::json::Members;
use crate::path::{Id, not_found};
use crate::query::Query;
use crate::state::{AppState, Now};

/// The most files of one request.
const MOST: usize = 1000;

/// How many files of one request are deleted at a time.
const AT_ONCE: usize = 8;

#[derive(Debug, Serialize)]
pub(crate) struct FileAnswer {
    message: String,
    blob_name: String,
}

/// Deletes one file with its records.
pub(crate) async fn file(
    State(state): State<AppState>,
    caller: Caller,
    Now(now): Now,
    query: Query,
) -> Result<Json<FileAnswer>, ApiError> {
    let name = blob_name(&query)?;
    let Some(Deleted { record }) = delete_file(&state, name, now).await? else {
        return Err(ApiError::NotFound(format!("The backup file {name}")));
    };
    let file_name = name.rsplit('/').next().unwrap_or(name);
    let alias = record.as_ref().map(|backup| backup.database_name.as_str());
    let event =
        AuditEvent::new(AuditAction::BackupDeleted, AuditResource::Backup, name, alias.unwrap_or(file_name))
            .with("blob_name", name)
            .with("file_name", file_name)
            .with("database_type", record.as_ref().map(|backup| backup.database_type.as_str()))
            .with("database_id", record.as_ref().map(|backup| backup.database_id.as_str()))
            .with("database_alias", alias)
            .with("engine_id", engine_of(&state, record.as_ref()).await.as_ref().map(EngineId::as_str))
            .with("type", "file");
    state.storage.audit.record(&caller.actor, event, now).await;
    Ok(Json(FileAnswer {
        message: format!("The backup {file_name} is deleted."),
        blob_name: name.to_owned(),
    }))
}

#[derive(Debug, Serialize)]
pub(crate) struct BulkAnswer {
    message: String,
    deleted_count: usize,
    not_found_count: usize,
    error_count: usize,
    results: Results,
}

/// What became of the files, in the order in which they were asked for.
#[derive(Debug, Default, Serialize)]
struct Results {
    deleted: Vec<String>,
    not_found: Vec<String>,
    errors: Vec<Failed>,
}

#[derive(Debug, Serialize)]
struct Failed {
    blob_name: String,
    error: String,
}

/// Deletes many files with their records; one that cannot be deleted does not stop the others.
pub(crate) async fn bulk(
    State(state): State<AppState>,
    caller: Caller,
    Now(now): Now,
    body: Members,
) -> Result<Json<BulkAnswer>, ApiError> {
    let names = names(&body)?;
    let deletions: Vec<_> = names
        .into_iter()
        .map(|name| {
            let state = state.clone();
            async move {
                let deleted = delete_file(&state, &name, now).await;
                (name, deleted)
            }
        })
        .collect();
    let mut deletions = stream::iter(deletions).buffered(AT_ONCE);
    let mut results = Results::default();
    while let Some((name, deleted)) = deletions.next().await {
        match deleted {
            Ok(Some(_)) => results.deleted.push(name),
            Ok(None) => results.not_found.push(name),
            Err(error) => {
                tracing::warn!(error = &error as &dyn Error, blob = name, "a backup could not be deleted");
                results.errors.push(Failed { blob_name: name, error: why(&error) });
            }
        }
    }
    let answer = BulkAnswer {
        message: format!("{} of {} backups are deleted.", results.deleted.len(), results.all()),
        deleted_count: results.deleted.len(),
        not_found_count: results.not_found.len(),
        error_count: results.errors.len(),
        results,
    };
    if answer.deleted_count > 0 {
        let what = format!("{} backups", answer.deleted_count);
        let event = AuditEvent::new(AuditAction::BackupDeletedBulk, AuditResource::Backup, "bulk", what)
            .with("deleted_count", answer.deleted_count)
            .with("deleted_files", answer.results.deleted.clone())
            .with("not_found_count", answer.not_found_count)
            .with("error_count", answer.error_count);
        state.storage.audit.record(&caller.actor, event, now).await;
    }
    Ok(Json(answer))
}

impl Results {
    fn all(&self) -> usize {
        self.deleted.len() + self.not_found.len() + self.errors.len()
    }
}

/// Reads the names of the files; one that comes twice is deleted once.
fn names(body: &Members) -> Result<Vec<String>, ApiError> {
    let names = body.texts("blob_names", MOST)?;
    for name in &names {
        check_name(name).map_err(|_| {
            ApiError::field("blob_names", "has an item that is not the name of a backup file")
        })?;
    }
    let mut seen = BTreeSet::new();
    Ok(names.into_iter().filter(|name| seen.insert(*name)).map(str::to_owned).collect())
}

/// Says why a file stays, without storage's own words.
fn why(error: &ApiError) -> String {
    if let ApiError::Conflict(text) = error {
        return text.clone();
    }
    "It could not be deleted; try again in a moment.".to_owned()
}

/// A file that is gone, with the newest of the records that are gone with it.
struct Deleted {
    record: Option<Backup>,
}

/// Deletes a file and the records that point to it; `None` when there is neither.
async fn delete_file(state: &AppState, name: &str, now: DateTime<Utc>) -> Result<Option<Deleted>, ApiError> {
    let storage = &state.storage;
    let records = storage.backups.of_blob(name).await?;
    for record in &records {
        check_idle(record, now)?;
        // Several records may name one file: none of them is touched when one is to stay.
        if let Some(pin) = &record.marks.pinned {
            return Err(RemovalError::Pinned(pin.clone()).into());
        }
    }
    if records.is_empty()
        && let Some(dump) = Globals::dump_of(name)
        && storage.backups.of_blob(&dump).await?.iter().any(|record| has_beside(record, name))
    {
        return Err(ApiError::Conflict(format!(
            "The file belongs to the backup {dump}; delete that instead."
        )));
    }
    let mut existed = !records.is_empty();
    if records.iter().all(|record| record.artifact().is_none()) {
        existed |= storage.blobs.delete(&BlobAddress::new(storage.default_container(), name)).await?;
    }
    for record in &records {
        storage.remove(record, now).await?;
    }
    Ok(existed.then(|| Deleted { record: records.into_iter().next() }))
}

/// Tells whether a file of this name lies beside the dump of a backup.
fn has_beside(backup: &Backup, name: &str) -> bool {
    let globals = backup.artifact().and_then(|artifact| artifact.globals.as_ref());
    globals.is_some_and(|globals| globals.blob_name == name)
}

#[derive(Debug, Serialize)]
pub(crate) struct RecordAnswer {
    message: String,
    backup_id: BackupId,
}

/// Deletes one record, with its file if it has one.
pub(crate) async fn record(
    State(state): State<AppState>,
    caller: Caller,
    Now(now): Now,
    Id(id): Id<BackupId>,
) -> Result<Json<RecordAnswer>, ApiError> {
    let backup = state.storage.backups.find(&id).await?.ok_or_else(|| not_found(&id))?;
    check_idle(&backup, now)?;
    state.storage.remove(&backup, now).await?;
    let event = AuditEvent::new(
        AuditAction::BackupDeleted,
        AuditResource::Backup,
        id.as_str(),
        backup.database_name.as_str(),
    )
    .with("backup_id", id.as_str())
    .with("type", "record_only")
    .with("database_name", backup.database_name.as_str())
    .with("database_type", backup.database_type.as_str())
    .with("engine_id", engine_of(&state, Some(&backup)).await.as_ref().map(EngineId::as_str))
    .with("backup_status", backup.status().as_str());
    state.storage.audit.record(&caller.actor, event, now).await;
    let message = format!("The backup of {} is deleted.", backup.database_name);
    Ok(Json(RecordAnswer { message, backup_id: id }))
}

/// Refuses a backup that somebody may be working on.
fn check_idle(backup: &Backup, now: DateTime<Utc>) -> Result<(), ApiError> {
    if !backup.is_finished() && last_sign_of_life(backup) + STUCK_AFTER > now {
        let text = "The backup is queued or running; cancel it first, or wait until it has ended.";
        return Err(ApiError::Conflict(text.to_owned()));
    }
    Ok(())
}

/// Finds the engine of a backup's database. The backup is gone by now, so what cannot be found out is
/// left out of the audit.
pub(super) async fn engine_of(state: &AppState, backup: Option<&Backup>) -> Option<EngineId> {
    let database = state.storage.databases.get(&backup?.database_id).await.ok()??;
    database.value.engine_id
}
