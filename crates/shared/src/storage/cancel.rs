//! Cancelling a backup that is queued or running.
//!
//! What must stay true: a backup that was cancelled has no artifact, and one that has an artifact was
//! not cancelled. The record is the arbiter: the processor marks it right before it commits, and a
//! cancellation ends it; each is a write to a version that must not have changed.

use chrono::{DateTime, Utc};

use super::backups::Backups;
use super::committed::is_of;
use super::repository::unreadable;
use super::rows::{self, Reader, Row as _};
use super::table::{Entity, Expect};
use super::{BlobAddress, BlobStore, StorageError, StorageErrorKind};
use crate::models::{Backup, BackupId, BackupState, BackupStatus, Globals, Run};

/// How often a record is looked at again that changes at the same time, by signs of life mostly.
const TRIES: usize = 10;

/// What came of a cancellation.
#[derive(Debug, Clone, PartialEq)]
pub enum CancelOutcome {
    /// The backup is cancelled.
    Cancelled {
        /// The record as it is now.
        backup: Box<Backup>,
        /// Where it stood before.
        before: BackupStatus,
    },
    /// It had ended already.
    Finished(Box<Backup>),
    /// Its artifact is being committed; it will be complete in a moment.
    Committing,
    /// There is no such backup.
    NotFound,
}

impl Backups {
    /// Ends a backup that has not ended as cancelled, since somebody has asked for that.
    pub async fn cancel(
        &self,
        id: &BackupId,
        blobs: &dyn BlobStore,
        now: DateTime<Utc>,
    ) -> Result<CancelOutcome, StorageError> {
        self.cancel_because(id, None, blobs, now).await
    }

    /// Ends a backup that has not ended as cancelled, and notes why.
    ///
    /// A message that still comes for it finds it ended. A processor that works on it loses its claim at
    /// its next sign of life, or when it is about to commit. What an attempt that died had committed
    /// without recording it is deleted; should that fail, or this program die before, it is deleted by
    /// [`Backups::discard_cancelled`], or by a repeated cancellation, although that answers that the
    /// backup has ended.
    pub async fn cancel_because(
        &self,
        id: &BackupId,
        reason: Option<&str>,
        blobs: &dyn BlobStore,
        now: DateTime<Utc>,
    ) -> Result<CancelOutcome, StorageError> {
        let mut before = None;
        for _ in 0..TRIES {
            let Some((key, _)) = self.locate(id).await? else { return Ok(CancelOutcome::NotFound) };
            let Some(entity) = self.table.get(&key).await? else { continue };
            let mut backup = Backup::from_entity(&entity).map_err(unreadable)?;
            match &backup.state {
                BackupState::Pending { .. } => {}
                BackupState::InProgress(_) => {
                    if Reader(&entity).instant(rows::COMMIT_BEGUN_AT).is_some() {
                        return Ok(CancelOutcome::Committing);
                    }
                }
                BackupState::Cancelled { run, .. } => {
                    discard_or_warn(blobs, &entity, &backup).await;
                    // Our own write, whose answer was lost on its way.
                    let ours = before.filter(|_| run.finished_at == Some(now));
                    let backup = Box::new(backup);
                    return Ok(match ours {
                        Some(before) => CancelOutcome::Cancelled { backup, before },
                        None => CancelOutcome::Finished(backup),
                    });
                }
                BackupState::Completed { .. } | BackupState::Failed { .. } => {
                    return Ok(CancelOutcome::Finished(Box::new(backup)));
                }
            }
            let status = backup.status();
            before = Some(status);
            let run = match backup.run().started_at {
                Some(started_at) => Run::between(started_at, now),
                None => Run { started_at: None, finished_at: Some(now), seconds: Some(0.0) },
            };
            let changed = rows::backup_cancelled(&run, reason);
            let expect = entity.etag.clone().map_or(Expect::Any, Expect::Version);
            match self.table.merge(&key, &changed, &expect).await {
                Ok(_) => {
                    backup.state = BackupState::Cancelled { run, reason: reason.map(str::to_owned) };
                    discard_or_warn(blobs, &entity, &backup).await;
                    return Ok(CancelOutcome::Cancelled { backup: Box::new(backup), before: status });
                }
                Err(error)
                    if matches!(error.kind(), StorageErrorKind::Changed | StorageErrorKind::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StorageError::new(
            StorageErrorKind::Unavailable,
            "cancel",
            format!("backup {id}, which keeps changing"),
        ))
    }

    /// Deletes what an attempt has stored for a backup that was cancelled since. A backup that has not
    /// ended so keeps its files.
    pub async fn discard_cancelled(
        &self,
        backup: &Backup,
        blobs: &dyn BlobStore,
    ) -> Result<(), StorageError> {
        let Some(entity) = self.table.get(&backup.entity().key).await? else { return Ok(()) };
        let stored = Backup::from_entity(&entity).map_err(unreadable)?;
        if stored.status() == BackupStatus::Cancelled {
            discard(blobs, &entity, &stored).await?;
        }
        Ok(())
    }
}

/// Deletes the files of a backup that is cancelled by now. That it is cancelled holds even where a file
/// stays: the processor deletes it when the message of the job comes, and the health monitor reports it
/// after a day, because no record that counts names it.
async fn discard_or_warn(blobs: &dyn BlobStore, entity: &Entity, backup: &Backup) {
    if let Err(error) = discard(blobs, entity, backup).await {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(error, backup_id = %backup.id, "a file of a cancelled backup stays for now");
    }
}

/// Deletes what an attempt had committed at the planned place, and what it had stored beside that. Its
/// record has ended, so nobody else will look for it, and no attempt can commit any more.
async fn discard(blobs: &dyn BlobStore, entity: &Entity, backup: &Backup) -> Result<(), StorageError> {
    let Some(planned) = rows::planned_blob(entity) else { return Ok(()) };
    let dump = BlobAddress::from(&planned);
    let beside = BlobAddress::new(&dump.container, Globals::beside(&dump.name));
    // The dump goes first: what lies beside it is worth nothing alone.
    for file in [dump, beside] {
        if is_of(blobs, backup, &file).await? {
            blobs.delete(&file).await?;
        }
    }
    Ok(())
}
