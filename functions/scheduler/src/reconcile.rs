//! Jobs that got lost between their record and their message: whoever made the record died before it could
//! send the message, or the queue was cleared.

use chrono::{DateTime, TimeDelta, Utc};
use shared::models::{Backup, BackupJob, BackupStatus, Cause, Lane, Tier, TriggeredBy};
use shared::storage::{BackupFilter, STUCK_AFTER, StorageError, last_sign_of_life};

use crate::state::AppState;

/// How long a record may be without a message: longer than anybody takes from one to the other.
const QUIET: TimeDelta = TimeDelta::minutes(10);

/// Sends the messages of unfinished records anew when the queue is empty, so that nobody can have them.
/// Returns how many.
///
/// The queue counts what is hidden too: messages that are delayed, and those that are being worked on. Should
/// the count be wrong for a moment, a job comes twice, which has its effect once. Records that are older than
/// two hours are not brought back: the tick ends them.
pub(crate) async fn send_lost(state: &AppState) -> Result<usize, StorageError> {
    let now = state.clock.now();
    if state.storage.jobs.depth().await?.0 > 0 {
        return Ok(0);
    }
    let filter = BackupFilter {
        statuses: vec![BackupStatus::Pending, BackupStatus::InProgress],
        from: Some(now - STUCK_AFTER),
        ..BackupFilter::default()
    };
    let mut sent = 0;
    for backup in state.storage.backups.list(&filter).await? {
        if last_sign_of_life(&backup) + QUIET > now {
            continue;
        }
        let database = match state.storage.databases.get(&backup.database_id).await {
            Ok(Some(database)) => database,
            Ok(None) => continue,
            // One that cannot be read stops nobody else's job.
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, backup_id = %backup.id, "a job without a message cannot be sent anew");
                continue;
            }
        };
        let ids = (backup.job_id.clone(), backup.id.clone());
        let job = BackupJob::new(&database.value, cause(&backup), ids, backup.created_at);
        state.storage.jobs.send(&job, std::time::Duration::ZERO).await?;
        tracing::warn!(backup_id = %backup.id, job_id = %backup.job_id, status = %backup.status(), "a job had lost its message; it was sent anew");
        sent += 1;
    }
    Ok(sent)
}

/// Returns why a backup is made. Its slot is not in the record, and it was made right after it.
fn cause(backup: &Backup) -> Cause {
    let slot: DateTime<Utc> = backup.created_at;
    match backup.triggered_by {
        TriggeredBy::Scheduler => Cause::Scheduled { lane: lane(backup.tier), slot },
        TriggeredBy::Manual => Cause::Manual,
    }
}

fn lane(tier: Option<Tier>) -> Lane {
    tier.map_or(Lane::Schedule, Lane::Tier)
}
