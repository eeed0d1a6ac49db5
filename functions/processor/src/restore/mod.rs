//! `restore_processor`: one message of the queue, one restore.
//!
//! What must stay true: nothing is written before the whole backup was read and proved; a restore that may
//! have written anything is never begun again; what was there under the name stays until the loaded
//! database takes its place.

mod error;
mod load;
mod poison;
mod record;
mod target;

use std::pin::pin;
use std::time::Duration;

use axum::extract::State;
use custom_handler::{Answer, QueueInvocation};
use futures::future::{Either, select};
use shared::models::{
    Actor, AuditAction, AuditEvent, AuditResource, BackupStatus, Failure, Restore, RestoreId, RestoreMode,
    RestorePhase, Run, StoredSecret,
};
use shared::secrets::SecretOwner;
use shared::storage::{RestoreClaim, StorageError, Versioned, restores};
use tokio::sync::Notify;
use tracing::Instrument as _;

use self::error::RestoreEnd;
use self::record::Record;
use crate::state::AppState;

pub(crate) use self::poison::restore_poison;

/// The longest pause before a restore that somebody works on is delivered again.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Runs the restore of one message.
pub(crate) async fn restore_processor(State(state): State<AppState>, message: QueueInvocation) -> Answer {
    let Some(id) = restores::decode(&message.body) else {
        tracing::error!(bytes = message.body.len(), "a message is no restore");
        return Answer::failure("the message names no restore");
    };
    let span = tracing::info_span!("restore", restore_id = %id);
    match run(&state, &id).instrument(span).await {
        Ok(line) => Answer::success().with_log(line),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, restore_id = %id, "the message is given back");
            Answer::failure(error.to_string())
        }
    }
}

async fn run(state: &AppState, id: &RestoreId) -> Result<String, StorageError> {
    let now = state.clock.now();
    match state.storage.restores.claim(id, now).await? {
        RestoreClaim::Unknown => Ok(format!("there is no restore {id}")),
        RestoreClaim::Finished(restore) => Ok(format!("restore {id} has ended already: {}", restore.status)),
        RestoreClaim::Busy(until) => {
            let pause =
                (until - now).to_std().unwrap_or_default().clamp(Duration::from_secs(1), LONGEST_WAIT);
            state.storage.jobs.send_restore(id, pause).await?;
            Ok(format!("restore {id} waits for the processor that works on it"))
        }
        RestoreClaim::Abandoned(found) => abandoned(state, *found).await,
        RestoreClaim::Granted(found) => work(state, *found).await,
    }
}

/// Loads the backup, and records how that ended.
async fn work(state: &AppState, found: Versioned<Restore>) -> Result<String, StorageError> {
    let record = Record::new(state, found);
    let stop = Notify::new();
    let ended = {
        let loading = pin!(load::load(state, &record));
        let heartbeat = pin!(record.keep_alive(&stop));
        match select(loading, heartbeat).await {
            Either::Left((ended, heartbeat)) => {
                // A heartbeat that is being written is let end, so that the record's version is known.
                stop.notify_one();
                let _ = heartbeat.await;
                ended
            }
            Either::Right((Err(end), _)) => Err(end),
            Either::Right((Ok(()), loading)) => loading.await,
        }
    };
    match ended {
        Ok(()) => finish(state, &record, BackupStatus::Completed, None, None).await,
        Err(RestoreEnd::Lost) => Ok("the restore was taken over by another processor".to_owned()),
        Err(RestoreEnd::Storage(error))
            if !record.phase().await.may_have_written() && error.is_transient() =>
        {
            // Nothing was written: it may be run again when storage answers.
            Err(error)
        }
        Err(end) => {
            if record.phase().await == RestorePhase::Exchanging
                && let Some(line) = exchange_broke_off(state, &record, &end.to_string()).await?
            {
                return Ok(line);
            }
            let left = load::clean_up(state, &record).await;
            let (status, failure, line) = end.outcome(&left);
            finish(state, &record, status, Some(failure), line).await
        }
    }
}

/// Ends a restore whose processor died while it may have been writing.
async fn abandoned(state: &AppState, found: Versioned<Restore>) -> Result<String, StorageError> {
    let phase = found.value.phase;
    let record = Record::new(state, found);
    if phase == RestorePhase::Exchanging
        && let Some(line) = exchange_broke_off(state, &record, "the processor was lost").await?
    {
        return Ok(line);
    }
    let left = load::clean_up(state, &record).await;
    let message = format!(
        "The processor was lost in the phase {phase}. The restore is not begun again by itself, since it had \
         begun to write; ask for it again. {left}"
    );
    finish(state, &record, BackupStatus::Failed, Some(Failure::new("WorkerLost", message)), None).await
}

/// Ends a restore that broke off while it exchanged databases, by what is found on the server: neither a
/// client that failed nor a processor that died can tell how far it came. Returns `None` when the old
/// database is in its place, so that what was loaded may be dropped.
async fn exchange_broke_off(
    state: &AppState,
    record: &Record<'_>,
    why: &str,
) -> Result<Option<String>, StorageError> {
    let restore = record.restore().await;
    match load::was_exchanged(state, &restore).await {
        Some(true) => {
            let old = match restore.mode {
                RestoreMode::New => String::new(),
                RestoreMode::Replace => {
                    format!("; the old one may still be there as \"{}\"", restore.aside())
                }
            };
            record.remarks.warn(format!("after the loaded database had taken its place: {why}{old}"));
            finish(state, record, BackupStatus::Completed, None, None).await.map(Some)
        }
        Some(false) => {
            load::let_everybody_in(state, record).await;
            Ok(None)
        }
        None => {
            let message = format!(
                "It cannot be told how far the exchange of \"{}\" for the loaded database came: {why}. Look at \
                 \"{}\", which may have the loaded data, and at \"{}\", which may have the old tables; nothing was \
                 dropped.",
                restore.database,
                restore.beside(),
                restore.aside()
            );
            let failure = Failure::new("ExchangeBrokenOff", message);
            finish(state, record, BackupStatus::Failed, Some(failure), None).await.map(Some)
        }
    }
}

/// Records the end, forgets the password and tells the audit.
async fn finish(
    state: &AppState,
    record: &Record<'_>,
    status: BackupStatus,
    failure: Option<Failure>,
    line: Option<u64>,
) -> Result<String, StorageError> {
    let now = state.clock.now();
    let password = record.password().await;
    let ended = record
        .change(|restore| {
            restore.run = Run::between(restore.run.started_at.unwrap_or(restore.created_at), now);
            restore.failed_in = failure.as_ref().map(|_| restore.phase);
            restore.status = status;
            if status == BackupStatus::Completed {
                restore.work_database = None;
            }
            restore.phase = RestorePhase::Ended;
            restore.failure.clone_from(&failure);
            restore.failed_line = line;
            restore.claim = None;
            restore.warnings = record.remarks.warnings();
            if let shared::models::Place::Server { password, .. } = &mut restore.place {
                *password = StoredSecret::None;
            }
        })
        .await;
    let restore = match ended {
        Ok(restore) => restore,
        Err(RestoreEnd::Storage(error)) => return Err(error),
        Err(_) => return Ok("the restore was ended by somebody else".to_owned()),
    };
    let owner = SecretOwner::Restore(&restore.id);
    if let Err(error) = state.secrets.forget(&state.storage, owner, &password).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the password of a restore could not be forgotten"
        );
    }
    state.storage.audit.record(&Actor::system(), audit_event(&restore), now).await;
    match &restore.failure {
        None => tracing::info!(database = %restore.database, "the restore is complete"),
        Some(failure) => {
            tracing::error!(class = failure.class, reason = failure.message, "the restore ended");
        }
    }
    Ok(format!("restore {} into {}: {}", restore.id, restore.database, restore.status))
}

/// Describes the end of a restore for the audit log.
fn audit_event(restore: &Restore) -> AuditEvent {
    let action = match restore.status {
        BackupStatus::Completed => AuditAction::RestoreCompleted,
        BackupStatus::Cancelled => AuditAction::RestoreCancelled,
        BackupStatus::Failed | BackupStatus::Pending | BackupStatus::InProgress => AuditAction::RestoreFailed,
    };
    let event =
        AuditEvent::new(action, AuditResource::Backup, restore.id.as_str(), restore.database.as_str())
            .with("backup_id", restore.backup_id.as_str())
            .with("blob_name", restore.blob_name.as_str())
            .with("database_name", restore.database.as_str())
            .with("mode", restore.mode.as_str())
            .with("requested_by", restore.requested_by.as_str())
            .with("duration_seconds", restore.run.seconds);
    match &restore.failure {
        Some(failure) => event.failed(&failure.message),
        None => event,
    }
}
