//! `DELETE /databases/{id}`: forgets a database, and its backups when asked to.

use std::collections::BTreeSet;
use std::error::Error;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Serialize;
use shared::models::{
    Actor, AuditAction, AuditEvent, AuditResource, BackupStatus, Database, DatabaseId, DatabaseType, EngineId,
};
use shared::storage::table::ETag;
use shared::storage::{
    BackupFilter, Blob, BlobAddress, CancelOutcome, RemovalError, Removed, StorageError, Versioned, committed,
};

use super::create::forget_password;
use super::trigger::LOOK_BACK;
use crate::actor::Caller;
use crate::backups::cancel::cancelled;
use crate::error::ApiError;
use crate::if_match::{self, IfMatch};
use crate::path::{Id, not_found};
use crate::query::Query;
use crate::state::{AppState, Now};

/// How many blobs are listed with one request.
const PAGE: u32 = 1000;

/// Why a backup that waited for its turn is cancelled.
const WITHDRAWN: &str = "the database was deleted before its backup began";

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    backups_deleted: Option<Outcome>,
}

/// What became of the backups.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Outcome {
    deleted_files: usize,
    deleted_records: usize,
    /// What could not be deleted, and why; the records of such files stay.
    errors: Vec<String>,
}

/// Deletes the configuration. The backups come first: with the configuration gone, nobody could ask
/// for their deletion again.
pub(crate) async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    Now(now): Now,
    Id(id): Id<DatabaseId>,
    if_match: IfMatch,
    query: Query,
) -> Result<Json<Answer>, ApiError> {
    let with_backups = query.flag("delete_backups");
    let found = state.storage.databases.get(&id).await;
    if !with_backups
        && !if_match.is_given()
        && found.as_ref().is_err_and(|error| error.unreadable_property().is_some())
    {
        return remove_unreadable(&state, &caller.actor, &id, now).await;
    }
    let Versioned { value: database, etag } = found?.ok_or_else(|| not_found(&id))?;
    if_match.check(&etag)?;
    let version = if_match.is_given().then_some(&etag);
    let removal = Removal { with_backups, cascade_from: None, version };
    let backups_deleted = remove(&state, &caller.actor, &database, &removal, now).await?;
    let message = format!("The database {} is deleted.", database.name);
    Ok(Json(Answer { message, backups_deleted }))
}

/// Deletes a configuration that cannot be read, of which nothing is known but its id. Its backups stay.
async fn remove_unreadable(
    state: &AppState,
    actor: &Actor,
    id: &DatabaseId,
    now: DateTime<Utc>,
) -> Result<Json<Answer>, ApiError> {
    state.storage.databases.delete(id).await?;
    forget_slots(state, id).await;
    let event =
        AuditEvent::new(AuditAction::DatabaseDeleted, AuditResource::Database, id.as_str(), id.as_str())
            .with("reason", "its configuration could not be read");
    state.storage.audit.record(actor, event, now).await;
    let message = format!("The database {id}, whose configuration could not be read, is deleted.");
    Ok(Json(Answer { message, backups_deleted: None }))
}

/// What goes with a database, and on which condition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Removal<'a> {
    /// Whether its backups go too.
    pub with_backups: bool,
    /// The engine that goes with it.
    pub cascade_from: Option<&'a EngineId>,
    /// The only version of it that may be deleted. With backups it is decided at the beginning: whoever
    /// changes the database later, while they are being deleted, comes too late.
    pub version: Option<&'a ETag>,
}

/// Deletes a database, its backups first when asked to. May be called again for one that is half deleted.
pub(crate) async fn remove(
    state: &AppState,
    actor: &Actor,
    database: &Database,
    removal: &Removal<'_>,
    now: DateTime<Utc>,
) -> Result<Option<Outcome>, ApiError> {
    let (id, databases) = (&database.id, &state.storage.databases);
    let backups = match (removal.with_backups, removal.version) {
        (true, version) => {
            if let Some(version) = version {
                let begun = databases.begin_deletion(id, version, now).await;
                begun.map_err(if_match::changed_or_gone(id))?;
            }
            let outcome = delete_backups(state, database, now).await?;
            databases.delete(id).await?;
            Some(outcome)
        }
        (false, Some(version)) => {
            if !databases.delete_version(id, version).await.map_err(if_match::changed)? {
                return Err(not_found(id));
            }
            None
        }
        (false, None) => {
            databases.delete(id).await?;
            None
        }
    };
    withdraw_pending(state, actor, database, now).await;
    forget_slots(state, id).await;
    forget_password(state, database).await;
    let event = deleted(database, backups.as_ref());
    let event = match removal.cascade_from {
        None => event,
        Some(engine) => event.with("cascade_from_engine", engine.as_str()),
    };
    state.storage.audit.record(actor, event, now).await;
    Ok(backups)
}

/// Forgets when a database was due. Should that fail, only a database of the same id would look at it again.
async fn forget_slots(state: &AppState, id: &DatabaseId) {
    if let Err(error) = state.storage.slots.forget(id).await {
        tracing::warn!(error = &error as &dyn Error, database_id = %id, "the slots of a deleted database stay");
    }
}

impl Outcome {
    /// Adds what became of the backups of another database.
    pub(crate) fn add(&mut self, other: Self) {
        self.deleted_files += other.deleted_files;
        self.deleted_records += other.deleted_records;
        self.errors.extend(other.errors);
    }
}

/// Cancels the backups that wait for their turn. What is not cancelled here, because storage or this
/// program fails, the processor cancels when the message comes.
async fn withdraw_pending(state: &AppState, actor: &Actor, database: &Database, now: DateTime<Utc>) {
    if let Err(error) = try_withdraw(state, actor, database, now).await {
        let error: &dyn Error = &error;
        tracing::warn!(error, database_id = %database.id, "backups of a deleted database wait for their messages");
    }
}

async fn try_withdraw(
    state: &AppState,
    actor: &Actor,
    database: &Database,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let storage = &state.storage;
    let pending = BackupFilter {
        statuses: vec![BackupStatus::Pending],
        from: Some(now - LOOK_BACK),
        ..BackupFilter::of(&database.id)
    };
    for backup in storage.backups.list(&pending).await? {
        let reason = Some(WITHDRAWN);
        let outcome = storage.backups.cancel_because(&backup.id, reason, &*storage.blobs, now).await?;
        if let CancelOutcome::Cancelled { backup, before } = outcome {
            let event = cancelled(&backup, before, database.engine_id.as_ref()).with("reason", WITHDRAWN);
            storage.audit.record(actor, event, now).await;
        }
    }
    Ok(())
}

/// Deletes the files and the records of a database's backups, and files without a record too.
async fn delete_backups(
    state: &AppState,
    database: &Database,
    now: DateTime<Utc>,
) -> Result<Outcome, ApiError> {
    let storage = &state.storage;
    let mut result = Outcome::default();
    let mut containers = BTreeSet::from([storage.default_container().to_owned()]);
    containers.extend(database.backup_destination.as_ref().map(ToString::to_string));
    // A backup that stays keeps all its files, the one with the roles of its server too.
    let mut kept = Vec::new();
    for backup in storage.backups.list(&BackupFilter::of(&database.id)).await? {
        let blob = backup.artifact().map(|artifact| storage.locate(artifact));
        containers.extend(blob.as_ref().map(|blob| blob.container.clone()));
        match storage.remove(&backup, now).await {
            Ok(Removed { file, record }) => {
                result.deleted_files += usize::from(file);
                result.deleted_records += usize::from(record);
            }
            Err(error) => {
                let what = blob.map_or_else(|| format!("record {}", backup.id), |blob| blob.to_string());
                note_removal(&mut result, &what, &error);
                kept.extend(backup.artifact().into_iter().flat_map(|artifact| storage.locate_all(artifact)));
            }
        }
    }
    for container in &containers {
        let leftovers =
            Leftovers { id: &database.id, container, is_ours: container == storage.default_container() };
        for prefix in leftovers.prefixes() {
            if let Err(error) = delete_files(state, &leftovers, &prefix, &kept, &mut result).await {
                note(&mut result, &format!("{container}/{prefix}"), &error);
            }
        }
    }
    Ok(result)
}

/// The files of a database in a container that no record tells of.
struct Leftovers<'a> {
    id: &'a DatabaseId,
    container: &'a str,
    /// Whether the container is the one of this service, in which nobody else has files. The others are
    /// named by whoever configures a database, and so is its id: nothing but a backup of that very database
    /// is deleted there.
    is_ours: bool,
}

impl Leftovers<'_> {
    /// Returns the folders that belong to the database alone: one for each type that it may have had, and
    /// the one of earlier systems, which began with the id. An id that is the name of a type has no such
    /// folder: the files of all databases of the type are in it.
    fn prefixes(&self) -> Vec<String> {
        let typed = DatabaseType::ALL.iter().map(|kind| format!("{kind}/{}/", self.id));
        let is_kind = self.id.as_str().parse::<DatabaseType>().is_ok();
        let older = (self.is_ours && !is_kind).then(|| format!("{}/", self.id));
        typed.chain(older).collect()
    }

    /// Tells whether a file in such a folder is a backup of the database: it says so itself, or it is called
    /// as this service and the earlier ones call theirs.
    fn contains(&self, blob: &Blob) -> bool {
        match blob.properties.metadata.get(committed::DATABASE_ID) {
            Some(id) => id == self.id.as_str(),
            None => self.is_ours || blob.name.rsplit('/').next().is_some_and(is_dump_name),
        }
    }
}

/// Tells whether a file is called as dumps are: the second of its making, and its format.
fn is_dump_name(file: &str) -> bool {
    file.split_once(".sql")
        .is_some_and(|(at, _)| NaiveDateTime::parse_from_str(at, committed::NAMED_AT).is_ok())
}

/// Deletes the files of the database with a prefix, but for those of backups that stay.
async fn delete_files(
    state: &AppState,
    leftovers: &Leftovers<'_>,
    prefix: &str,
    kept: &[BlobAddress],
    result: &mut Outcome,
) -> Result<(), StorageError> {
    let mut marker = None;
    loop {
        let page = state.storage.blobs.list(leftovers.container, prefix, marker.as_deref(), PAGE).await?;
        for blob in page.blobs.into_iter().filter(|blob| leftovers.contains(blob)) {
            let blob = BlobAddress::new(leftovers.container, blob.name);
            if !kept.contains(&blob) {
                delete_file(state, &blob, result).await;
            }
        }
        match page.marker {
            Some(next) => marker = Some(next),
            None => return Ok(()),
        }
    }
}

/// Deletes a file.
async fn delete_file(state: &AppState, blob: &BlobAddress, result: &mut Outcome) {
    match state.storage.blobs.delete(blob).await {
        Ok(existed) => result.deleted_files += usize::from(existed),
        Err(error) => note(result, &blob.to_string(), &error),
    }
}

/// Notes which backup stays. What a person wants kept, or storage protects, stays for that reason.
fn note_removal(result: &mut Outcome, what: &str, error: &RemovalError) {
    match error {
        RemovalError::Pinned(_) | RemovalError::Refused(_) | RemovalError::Committing => {
            result.errors.push(format!("{what}: {error}"));
        }
        RemovalError::Storage(error) => note(result, what, error),
    }
}

/// Notes what stays, in words for the caller; the reason in storage's words goes to the log.
fn note(result: &mut Outcome, what: &str, error: &StorageError) {
    tracing::warn!(error = error as &dyn Error, what, "a backup could not be deleted");
    result.errors.push(format!("{what}: could not be deleted; delete it in the storage account"));
}

fn deleted(database: &Database, backups: Option<&Outcome>) -> AuditEvent {
    let Database { id, name, .. } = database;
    let event = AuditEvent::new(AuditAction::DatabaseDeleted, AuditResource::Database, id.as_str(), name)
        .with("database_type", database.database_type.as_str())
        .with("engine_id", database.engine_id.as_ref().map(EngineId::as_str))
        .with("host", database.endpoint.host.as_str())
        .with("port", database.endpoint.port)
        .with("database_name", database.database_name.as_str());
    match backups {
        None => event,
        Some(result) => event
            .with("backups_deleted", result.deleted_files)
            .with("records_deleted", result.deleted_records),
    }
}
