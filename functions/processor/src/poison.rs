//! `backup_poison`: messages that the host has given up.
//!
//! They come here after too many deliveries that ended in an error or a crash. The record of the job
//! ends as failed, so that nobody waits for it for ever.

use axum::extract::State;
use chrono::{DateTime, Utc};
use custom_handler::{Answer, QueueInvocation};
use shared::models::{Actor, Backup, BackupJob, Failure};
use shared::storage::{ClaimError, ClaimOutcome, StorageError, StorageErrorKind, jobs};

use crate::error::AttemptError;
use crate::job::{audit_event, dropped, has_ended, is_gone};
use crate::recover::recover;
use crate::state::AppState;

/// Ends the job of a message that was given up.
pub(crate) async fn backup_poison(State(state): State<AppState>, message: QueueInvocation) -> Answer {
    let now = state.clock.now();
    let job = match jobs::decode(&message.body, now) {
        Ok(job) => job,
        Err(error) => {
            // Nothing in storage can stand for a text that is no job. The text itself is not logged:
            // nobody knows what is in it.
            let bytes = message.body.len();
            tracing::error!(error = %error, bytes, "a message that is no backup job is dropped");
            return Answer::success().with_log(format!("dropped: {error}"));
        }
    };
    match end(&state, &job).await {
        Ok(line) => Answer::success().with_log(line),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, job_id = %job.id, "the job could not be ended");
            Answer::failure(error.to_string())
        }
    }
}

async fn end(state: &AppState, job: &BackupJob) -> Result<String, StorageError> {
    let now = state.clock.now();
    if is_gone(state, job).await? {
        return Ok(dropped(job));
    }
    let claim = match state.storage.claims.claim(job, now).await? {
        ClaimOutcome::Granted(claim) => claim,
        ClaimOutcome::Finished(backup) => return has_ended(state, job, &backup).await,
        // Somebody still works on this database: perhaps on this very job. It comes again.
        ClaimOutcome::Busy(until) => {
            let pause = (until - now).to_std().unwrap_or_default();
            state.storage.jobs.send(job, pause.max(std::time::Duration::from_secs(1))).await?;
            return Ok(format!("job {} is given one more chance when its database is free", job.id));
        }
    };
    if let Some(artifact) = recover(state, &claim).await? {
        return record(state, job, state.storage.claims.complete(*claim, artifact, now).await, now).await;
    }
    let is_configured = match state.storage.databases.get(&job.database_id).await {
        Ok(database) => database.is_some(),
        // Its row is there, and may be what the job has failed of.
        Err(error) if error.kind() == StorageErrorKind::Invalid => true,
        Err(error) => return Err(error),
    };
    if !is_configured {
        let reason = AttemptError::ConfigurationGone.to_string();
        return record(state, job, state.storage.claims.withdraw(*claim, reason, now).await, now).await;
    }
    let reason =
        claim.last_failure.as_ref().map(|failure| format!(" The last error was: {}", failure.message));
    let failure = Failure::new(
        "GivenUp",
        format!(
            "The job was delivered too often without coming to an end, because its processor crashed or storage \
             failed. No artifact was recorded.{}",
            reason.unwrap_or_default()
        ),
    );
    record(state, job, state.storage.claims.fail(*claim, failure, now).await, now).await
}

/// Tells the log and the audit how the job ended.
async fn record(
    state: &AppState,
    job: &BackupJob,
    ended: Result<Backup, ClaimError>,
    now: DateTime<Utc>,
) -> Result<String, StorageError> {
    match ended {
        Ok(backup) => {
            let event = audit_event(state, &backup).await;
            state.storage.audit.record(&Actor::system(), event, now).await;
            tracing::error!(job_id = %job.id, status = %backup.status(), "a job was delivered too often and has ended");
            Ok(format!("job {} has ended: {}", job.id, backup.status()))
        }
        Err(ClaimError::Lost) => Ok(format!("job {} was ended by somebody else", job.id)),
        Err(ClaimError::Storage(error)) => Err(error),
    }
}
