//! `POST /databases/{id}/backup`: asks for a backup now.
//!
//! What must stay true: the record is there before the message, and no record is left behind by a
//! request that failed. Several requests at once make one job, as a rule; where two slip through, the
//! claim keeps their dumps apart. Requests with the same `Idempotency-Key` are answered with the same job,
//! whichever program answers them.

use std::error::Error;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use shared::connection;
use shared::models::{
    AuditAction, AuditEvent, AuditResource, Backup, BackupId, BackupJob, BackupStatus, Cause, Database,
    DatabaseId, EngineId, JobId, TriggeredBy,
};
use shared::storage::{
    BackupFilter, BackupRequest, STUCK_AFTER, StorageError, StorageErrorKind, last_sign_of_life,
};

use crate::actor::Caller;
use crate::error::ApiError;
use crate::path::Id;
use crate::references;
use crate::state::{AppState, Now};

/// How far back an unfinished job is looked for; with all its retries, none lives this long.
pub(super) const LOOK_BACK: TimeDelta = TimeDelta::days(2);

/// The longest name that a request may give itself.
const LONGEST_KEY: usize = 255;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    message: String,
    job_id: JobId,
    /// `null` when a job that was there already is answered.
    queue_message_id: Option<String>,
}

/// Queues a manual backup, or answers with the one that is queued or running already.
pub(crate) async fn trigger(
    State(state): State<AppState>,
    caller: Caller,
    Now(now): Now,
    Id(id): Id<DatabaseId>,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<Answer>), ApiError> {
    let name = idempotency_key(&headers)?;
    let database = references::database(&state, &id).await?.value;
    let Some(name) = name else { return queue(&state, &caller, now, &database, None).await };
    let request = state.storage.backups.reserve_request(&id, name, now).await?;
    if let Some(job_id) = request.answered {
        return Ok(repeated(&database, job_id));
    }
    // The program died between its message and the note of its answer, or that note is forgotten by now.
    if let Some(ended) = state.storage.backups.made_for(&request.job_id).await?.filter(Backup::is_finished) {
        return Ok(repeated(&database, ended.job_id));
    }
    let answer = queue(&state, &caller, now, &database, Some(&request)).await?;
    if let Err(error) = state.storage.backups.note_answer(&request, &answer.1.job_id).await {
        // The same request would queue the same job again, which has its effect once.
        tracing::warn!(error = &error as &dyn Error, "the answer to a request with a key could not be noted");
    }
    Ok(answer)
}

/// Reads the name that a request has given itself.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut values = headers.get_all("idempotency-key").iter();
    let (Some(value), further) = (values.next(), values.next()) else { return Ok(None) };
    let text = value.as_bytes();
    let usable = (1..=LONGEST_KEY).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic);
    match value.to_str() {
        Ok(text) if usable && further.is_none() => Ok(Some(text)),
        Ok(_) | Err(_) => {
            let rule = format!("must come once, with 1 to {LONGEST_KEY} visible ASCII characters");
            Err(ApiError::field("Idempotency-Key", rule))
        }
    }
}

/// Makes and queues a job, unless one is queued or running already.
async fn queue(
    state: &AppState,
    caller: &Caller,
    now: DateTime<Utc>,
    database: &Database,
    request: Option<&BackupRequest>,
) -> Result<(StatusCode, Json<Answer>), ApiError> {
    let id = &database.id;
    check_credentials(state, database).await?;
    if let Some(live) = live_jobs(state, id, now).await?.into_iter().next() {
        if live.status() == BackupStatus::Pending {
            // The program may have died between its record and its message. A second message has no
            // effect of its own.
            let ids = (live.job_id.clone(), live.id.clone());
            let job = BackupJob::new(database, Cause::Manual, ids, live.created_at);
            state.storage.jobs.send(&job, Duration::ZERO).await?;
        }
        return Ok(already(live));
    }
    let (ids, created_at) = match request {
        Some(request) => ((request.job_id.clone(), request.backup_id.clone()), request.created_at),
        None => ((JobId::random(), BackupId::random()), now),
    };
    let job = BackupJob::new(database, Cause::Manual, ids, created_at);
    let record = job.record();
    let first = match state.storage.backups.insert(&record).await {
        // The ids are new: it is our own record, whose answer was lost on its way. With a key it may be
        // that of the same request.
        Err(error) if error.kind() == StorageErrorKind::AlreadyExists => request.is_none(),
        other => {
            other?;
            true
        }
    };
    let message_id = match send(state, &job, now).await {
        Ok(Sent::Message(id)) => id,
        // A record that another request of the same key has made is not ours to take back: whoever made it
        // was promised a backup.
        Ok(Sent::NotNeeded(earlier)) => {
            if first {
                take_back(state, &record).await;
            }
            return Ok(already(*earlier));
        }
        Err(error) => {
            if first {
                take_back(state, &record).await;
            }
            return Err(error.into());
        }
    };
    tracing::info!(database_id = %id, job_id = %job.id, "a backup is queued");
    if first {
        state.storage.audit.record(&caller.actor, triggered(database, &job), now).await;
    }
    let message = format!("A backup of {} is queued.", database.name);
    Ok((StatusCode::ACCEPTED, Json(Answer { message, job_id: job.id, queue_message_id: Some(message_id) })))
}

/// Refuses a database that no processor could sign in to.
async fn check_credentials(state: &AppState, database: &Database) -> Result<(), ApiError> {
    let engine = match &database.engine_id {
        Some(id) => state.storage.engines.get(id).await?.map(|found| found.value),
        None => None,
    };
    connection::for_database(database, engine.as_ref(), &state.secrets).await?;
    Ok(())
}

enum Sent {
    Message(String),
    NotNeeded(Box<Backup>),
}

/// Sends the message of a job whose record is stored, unless a second look finds an earlier job:
/// then two requests came at once, each stored its record, and the first record wins.
async fn send(state: &AppState, job: &BackupJob, now: DateTime<Utc>) -> Result<Sent, StorageError> {
    let first = live_jobs(state, &job.database_id, now).await?.into_iter().next();
    match first.filter(|first| first.job_id != job.id) {
        Some(earlier) => Ok(Sent::NotNeeded(Box::new(earlier))),
        None => state.storage.jobs.send(job, Duration::ZERO).await.map(Sent::Message),
    }
}

/// Returns the manual backups of a database that are queued or running and show life, earliest first.
async fn live_jobs(
    state: &AppState,
    id: &DatabaseId,
    now: DateTime<Utc>,
) -> Result<Vec<Backup>, StorageError> {
    let filter = BackupFilter {
        statuses: vec![BackupStatus::Pending, BackupStatus::InProgress],
        triggered_by: Some(TriggeredBy::Manual),
        from: Some(now - LOOK_BACK),
        ..BackupFilter::of(id)
    };
    let mut live = state.storage.backups.list(&filter).await?;
    live.retain(|backup| last_sign_of_life(backup) + STUCK_AFTER > now);
    live.reverse();
    Ok(live)
}

/// Deletes the record of a job that was not sent. When that fails as well, the record is ended by the
/// search for stuck ones.
async fn take_back(state: &AppState, record: &Backup) {
    if let Err(error) = state.storage.backups.delete(record).await {
        tracing::warn!(
            error = &error as &dyn Error,
            backup_id = %record.id,
            "the record of a job that was not sent could not be deleted; it ends as failed after two hours"
        );
    }
}

fn repeated(database: &Database, job_id: JobId) -> (StatusCode, Json<Answer>) {
    let message = format!("This backup of {} was asked for before; its job is answered.", database.name);
    (StatusCode::ACCEPTED, Json(Answer { message, job_id, queue_message_id: None }))
}

fn already(backup: Backup) -> (StatusCode, Json<Answer>) {
    let how = if backup.status() == BackupStatus::Pending { "queued" } else { "running" };
    let message = format!("A backup of {} is {how} already; its job is answered.", backup.database_name);
    (StatusCode::ACCEPTED, Json(Answer { message, job_id: backup.job_id, queue_message_id: None }))
}

fn triggered(database: &Database, job: &BackupJob) -> AuditEvent {
    AuditEvent::new(AuditAction::BackupTriggered, AuditResource::Backup, job.id.as_str(), &database.name)
        .with("database_id", database.id.as_str())
        .with("database_alias", database.name.as_str())
        .with("database_type", database.database_type.as_str())
        .with("engine_id", database.engine_id.as_ref().map(EngineId::as_str))
        .with("triggered_by", job.triggered_by.as_str())
}
