//! `backup_processor`: one message of the queue, one backup.

use std::time::Duration;

use axum::extract::State;
use chrono::{DateTime, Utc};
use custom_handler::{Answer, QueueInvocation};
use shared::models::{
    Actor, AuditAction, AuditEvent, AuditResource, Backup, BackupJob, BackupStatus, Failure, Tier,
};
use shared::storage::{Claim, ClaimError, ClaimOutcome, MOST_RETRIES, StorageError, jobs};
use tracing::Instrument as _;

use crate::attempt::attempt;
use crate::error::AttemptError;
use crate::places::{self, Entry, Places};
use crate::recover::recover;
use crate::state::AppState;

/// The longest pause before a job that found its database busy is delivered again.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// The pause before a job comes again that could not be claimed because storage did not answer.
const UNCLAIMED_PAUSE: Duration = Duration::from_secs(30);

/// Runs the job of one message.
///
/// Success means that the message has had its effect and is deleted; failure that the host delivers
/// it again.
pub(crate) async fn backup_processor(State(state): State<AppState>, message: QueueInvocation) -> Answer {
    let job = match jobs::decode(&message.body, state.clock.now()) {
        Ok(job) => job,
        Err(error) => {
            tracing::error!(error = %error, bytes = message.body.len(), "a message is no backup job");
            return Answer::failure(error.to_string());
        }
    };
    let span = tracing::info_span!("job", job_id = %job.id, database_id = %job.database_id);
    match run(&state, &job).instrument(span).await {
        Ok(line) => Answer::success().with_log(line),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, job_id = %job.id, "the message is given back");
            Answer::failure(error.to_string())
        }
    }
}

/// Runs a job; an error means that it must come back.
async fn run(state: &AppState, job: &BackupJob) -> Result<String, StorageError> {
    match in_turn(state, job).await {
        Err(TurnError::Unasked(error)) if error.is_transient() => {
            // Nothing was tried, so no delivery is used up. Should the queue be away as well, the host
            // delivers the present message again.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the job could not be claimed; it comes again"
            );
            state.storage.jobs.send(job, UNCLAIMED_PAUSE).await?;
            Ok(format!("job {} comes again when storage answers", job.id))
        }
        Err(TurnError::Unasked(error) | TurnError::Other(error)) => Err(error),
        Ok(line) => Ok(line),
    }
}

/// Why a job did not come to an end.
enum TurnError {
    /// Storage failed before anything was tried.
    Unasked(StorageError),
    Other(StorageError),
}

/// Runs a job if there is a place for it.
async fn in_turn(state: &AppState, job: &BackupJob) -> Result<String, TurnError> {
    // One that has ended, by a cancellation most likely, needs no place, nor the next one.
    if is_gone(state, job).await.map_err(TurnError::Unasked)? {
        state.storage.places.give_up(&job.id).await;
        return Ok(dropped(job));
    }
    if let Some(backup) = state.storage.claims.ended(job).await.map_err(TurnError::Unasked)? {
        state.storage.places.give_up(&job.id).await;
        return has_ended(state, job, &backup).await.map_err(TurnError::Other);
    }
    match places::enter(state, job, state.clock.now()).await.map_err(TurnError::Unasked)? {
        Entry::Granted(places) => {
            let outcome = in_place(state, job, &places).await;
            places.leave(state).await;
            outcome
        }
        Entry::Full(pause) => {
            state.storage.claims.waits(job, state.clock.now()).await;
            state.storage.jobs.send(job, pause).await.map_err(TurnError::Other)?;
            tracing::info!(seconds = pause.as_secs(), "as many dumps run as may; the job waits");
            Ok(format!("job {} waits until fewer dumps run", job.id))
        }
    }
}

async fn in_place(state: &AppState, job: &BackupJob, places: &Places) -> Result<String, TurnError> {
    let now = state.clock.now();
    match state.storage.claims.claim(job, now).await.map_err(TurnError::Unasked)? {
        ClaimOutcome::Granted(claim) => work(state, job, *claim, places).await,
        ClaimOutcome::Finished(backup) => has_ended(state, job, &backup).await,
        ClaimOutcome::Busy(until) => wait(state, job, until, now).await,
    }
    .map_err(TurnError::Other)
}

/// Tells that a job has nothing left to do. Whoever has cancelled it may have died before its file was
/// deleted; it is deleted then, and the message comes again while storage is away. A file that storage does
/// not let go stays, and the health monitor reports it.
pub(crate) async fn has_ended(
    state: &AppState,
    job: &BackupJob,
    backup: &Backup,
) -> Result<String, StorageError> {
    match state.storage.backups.discard_cancelled(backup, &*state.storage.blobs).await {
        Err(error) if error.is_transient() => return Err(error),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, backup_id = %backup.id, "a file of a cancelled backup stays");
        }
        Ok(()) => {}
    }
    tracing::info!(status = %backup.status(), "the job has ended already");
    Ok(format!("job {} has ended already: {}", job.id, backup.status()))
}

/// Tells whether the record of a job is gone. The record is stored before the message is sent, so it was
/// deleted, and making it anew would bring back what somebody did not want. Messages of earlier systems
/// name no record.
pub(crate) async fn is_gone(state: &AppState, job: &BackupJob) -> Result<bool, StorageError> {
    let Some(id) = &job.backup_id else { return Ok(false) };
    Ok(state.storage.backups.get(id, job.created_at).await?.is_none())
}

/// Tells that the message of such a job has no effect.
pub(crate) fn dropped(job: &BackupJob) -> String {
    tracing::info!(job_id = %job.id, "the record of a job was deleted; its message is dropped");
    format!("job {} is dropped: its record was deleted", job.id)
}

/// Puts a job back into the queue that has found its database busy. The message itself is
/// acknowledged, so that waiting does not use up its deliveries.
async fn wait(
    state: &AppState,
    job: &BackupJob,
    until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<String, StorageError> {
    let pause = (until - now).to_std().unwrap_or_default().clamp(Duration::from_secs(1), LONGEST_WAIT);
    state.storage.jobs.send(job, pause).await?;
    tracing::info!(seconds = pause.as_secs(), "the database is being dumped already; the job waits");
    Ok(format!("job {} waits for another dump of the same database", job.id))
}

async fn work(
    state: &AppState,
    job: &BackupJob,
    mut claim: Claim,
    places: &Places,
) -> Result<String, StorageError> {
    let retries = claim.backup.retry_count;
    let result = match recover(state, &claim).await {
        Ok(Some(artifact)) => Ok(artifact),
        Ok(None) if retries > MOST_RETRIES => Err(worn_out(&claim)),
        Ok(None) => attempt(state, &mut claim, places).await.map_err(End::of(retries)),
        Err(error) => Err(End::of(retries)(error.into())),
    };
    let now = state.clock.now();
    let ended = match result {
        Ok(artifact) => state.storage.claims.complete(claim, artifact, now).await,
        Err(End::Lost) => Err(ClaimError::Lost),
        Err(End::Retry(failure)) => return retry(state, job, claim, failure).await,
        Err(End::GiveUp(failure)) => state.storage.claims.fail(claim, failure, now).await,
        Err(End::Withdraw(reason)) => state.storage.claims.withdraw(claim, reason, now).await,
    };
    match ended {
        Ok(backup) => {
            let event = audit_event(state, &backup).await;
            state.storage.audit.record(&Actor::system(), event, now).await;
            log_end(&backup);
            Ok(format!("backup {} of {}: {}", backup.id, backup.database_name, backup.status()))
        }
        Err(ClaimError::Lost) => lost(state, job).await,
        Err(ClaimError::Storage(error)) => Err(error),
    }
}

/// Puts a job back into the queue whose claim was lost. The database may have been taken by another
/// job, so nobody else need be working on this one; a record that has ended ends it at its delivery.
async fn lost(state: &AppState, job: &BackupJob) -> Result<String, StorageError> {
    tracing::warn!("the claim was lost; the job is delivered again, unless it has ended");
    state.storage.jobs.send(job, state.config.jobs.claim).await?;
    Ok(format!("job {} lost its claim and comes again", job.id))
}

/// How an attempt ended that brought no artifact.
enum End {
    Lost,
    Retry(Failure),
    GiveUp(Failure),
    Withdraw(String),
}

impl End {
    /// Decides what follows from an error after so many retries.
    fn of(retries: u32) -> impl FnOnce(AttemptError) -> Self {
        move |error| {
            // Storage that is away says nothing about the backup, which may even be there; the next
            // delivery looks, and gives up if need be.
            let storage = matches!(&error, AttemptError::Storage(error) if error.is_transient());
            if matches!(error, AttemptError::Lost(_)) {
                Self::Lost
            } else if error.is_withdrawal() {
                Self::Withdraw(error.to_string())
            } else if error.is_permanent() || (retries >= MOST_RETRIES && !storage) {
                Self::GiveUp(error.failure())
            } else {
                Self::Retry(error.failure())
            }
        }
    }
}

/// All attempts are used up, and the last one ended without a word: its processor was killed, or
/// storage was away. A further one would most likely only repeat that.
fn worn_out(claim: &Claim) -> End {
    let last = claim.last_failure.as_ref();
    let last = last.map(|failure| format!(" The last recorded error was: {}", failure.message));
    End::GiveUp(Failure::new(
        "WorkerLost",
        format!(
            "After {} attempts the processor was lost once more, or storage did not answer. No artifact was \
             recorded. Look at the processor's log and memory; the dump may take longer than the host allows.{}",
            MOST_RETRIES + 1,
            last.unwrap_or_default()
        ),
    ))
}

/// Records that the attempt failed and sends the job again after a pause. The record comes first:
/// when the message cannot be sent, the host delivers the present one again.
async fn retry(
    state: &AppState,
    job: &BackupJob,
    claim: Claim,
    failure: Failure,
) -> Result<String, StorageError> {
    let retries = usize::try_from(claim.backup.retry_count).unwrap_or(usize::MAX);
    let delays = state.config.jobs.retry_delays;
    let pause = delays.get(retries).or(delays.last()).copied().unwrap_or_default();
    tracing::warn!(
        reason = failure.message,
        class = failure.class,
        seconds = pause.as_secs(),
        "the attempt failed; it is repeated"
    );
    let text = failure.message.clone();
    match state.storage.claims.retry_later(claim, failure).await {
        Ok(_) => {}
        Err(ClaimError::Lost) => return lost(state, job).await,
        Err(ClaimError::Storage(error)) => return Err(error),
    }
    state.storage.jobs.send(job, pause).await?;
    Ok(format!("job {} is tried again in {} s: {text}", job.id, pause.as_secs()))
}

/// Describes the end of a backup for the audit log.
pub(crate) async fn audit_event(state: &AppState, backup: &Backup) -> AuditEvent {
    let action = match backup.status() {
        BackupStatus::Completed => AuditAction::BackupCompleted,
        BackupStatus::Cancelled => AuditAction::BackupCancelled,
        BackupStatus::Failed | BackupStatus::Pending | BackupStatus::InProgress => AuditAction::BackupFailed,
    };
    let event = AuditEvent::new(action, AuditResource::Backup, backup.id.as_str(), &backup.database_name)
        .with("database_id", backup.database_id.as_str())
        .with("database_alias", backup.database_name.as_str())
        .with("database_type", backup.database_type.as_str())
        .with("engine_id", engine_of(state, backup).await)
        .with("job_id", backup.job_id.as_str())
        .with("tier", backup.tier.map(Tier::as_str))
        .with("triggered_by", backup.triggered_by.as_str());
    match (backup.artifact(), backup.failure()) {
        (Some(artifact), _) => event
            .with("blob_name", artifact.blob_name.as_str())
            .with("file_size_bytes", artifact.bytes)
            .with("duration_seconds", backup.run().seconds),
        (None, Some(failure)) => {
            event.with("duration_seconds", backup.run().seconds).failed(&failure.message)
        }
        (None, None) => match backup.reason() {
            Some(reason) => event.with("reason", reason),
            None => event,
        },
    }
}

/// Finds the engine of a backup's database; what cannot be found out is left out.
async fn engine_of(state: &AppState, backup: &Backup) -> Option<String> {
    let database = state.storage.databases.get(&backup.database_id).await.ok()??;
    database.value.engine_id.map(|id| id.to_string())
}

fn log_end(backup: &Backup) {
    let seconds = backup.run().seconds;
    match (backup.artifact(), backup.failure()) {
        (Some(artifact), _) => {
            tracing::info!(
                blob = artifact.blob_name,
                bytes = artifact.bytes,
                seconds,
                "the backup is complete"
            );
        }
        (None, Some(failure)) => {
            tracing::error!(class = failure.class, reason = failure.message, seconds, "the backup failed");
        }
        (None, None) => tracing::info!(status = %backup.status(), "the backup has ended"),
    }
}
