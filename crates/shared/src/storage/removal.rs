//! Deleting a backup: the one way for people and for retention.
//!
//! The record first says that the deletion has begun, then the blob goes, and the record after it. A
//! crash in between leaves a record whose blob may be gone, which the next deletion removes, and never
//! a blob that nobody knows of. A pinned backup is deleted by nobody.

use chrono::{DateTime, Utc};

use super::marks::MarkError;
use super::{CancelOutcome, Storage, StorageError, StorageErrorKind};
use crate::models::{Backup, Pin, Refusal};

/// What was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    /// Whether there was a file.
    pub file: bool,
    /// Whether there was a record.
    pub record: bool,
}

/// Why a backup was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum RemovalError {
    /// Somebody wants it kept.
    #[error("the backup is pinned by {}", .0.by)]
    Pinned(Pin),
    /// Its file is being committed; it is complete in a moment, or found to be dead.
    #[error("the backup is being completed at this moment; delete it in a minute")]
    Committing,
    /// Storage protects the file; the record says so too.
    #[error("{}", .0.reason)]
    Refused(Refusal),
    /// Storage failed; what is left is deleted next time.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Storage {
    /// Deletes a backup: its file with what lies beside it, then its record.
    ///
    /// One that has not ended is cancelled first: whoever works on it could store a file otherwise that
    /// nobody knows of.
    pub async fn remove(&self, backup: &Backup, now: DateTime<Utc>) -> Result<Removed, RemovalError> {
        let backup = &self.ended(backup, now).await?;
        match self.backups.begin_deletion(backup, now).await {
            Err(MarkError::Pinned(pin)) => return Err(RemovalError::Pinned(pin)),
            Err(MarkError::Storage(error)) => return Err(error.into()),
            // One that was begun before goes on, and what is not there any more is no obstacle.
            Ok(_) | Err(MarkError::Gone | MarkError::BeingDeleted | MarkError::NothingStored) => {}
        }
        let files = backup.artifact().map(|artifact| self.locate_all(artifact)).unwrap_or_default();
        let mut file = false;
        // The dump goes first: what lies beside it is worth nothing alone.
        for address in files.iter().rev() {
            file |= match self.blobs.delete(address).await {
                Ok(existed) => existed,
                Err(error) if error.is_transient() => return Err(error.into()),
                Err(error) => return Err(self.refused(backup, &error, now).await),
            };
        }
        let record = self.backups.delete(backup).await?;
        Ok(Removed { file, record })
    }

    /// Ends a backup that has not ended.
    async fn ended(&self, backup: &Backup, now: DateTime<Utc>) -> Result<Backup, RemovalError> {
        if backup.is_finished() {
            return Ok(backup.clone());
        }
        let reason = Some("it was deleted before it ended");
        match self.backups.cancel_because(&backup.id, reason, &*self.blobs, now).await? {
            CancelOutcome::Cancelled { backup, .. } | CancelOutcome::Finished(backup) => Ok(*backup),
            CancelOutcome::Committing => Err(RemovalError::Committing),
            CancelOutcome::NotFound => Ok(backup.clone()),
        }
    }

    /// Notes on the record that storage protects the file.
    async fn refused(&self, backup: &Backup, error: &StorageError, now: DateTime<Utc>) -> RemovalError {
        let refusal = Refusal { at: now, reason: reason(error.kind()).to_owned() };
        if let Err(unnoted) = self.backups.note_refusal(backup, &refusal).await {
            tracing::warn!(error = %unnoted, backup_id = %backup.id, "that a deletion was refused could not be noted");
        }
        RemovalError::Refused(refusal)
    }
}

/// Says why a file stays.
/// <https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes>
fn reason(kind: StorageErrorKind) -> &'static str {
    match kind {
        // What is asked for is in order, so it is the file that storage does not let go.
        StorageErrorKind::AlreadyExists | StorageErrorKind::Invalid => {
            "storage protects the file, by an immutability policy or a legal hold; it can be deleted when that ends"
        }
        StorageErrorKind::Changed => {
            "somebody holds a lease on the file; it can be deleted when that is broken or given back"
        }
        StorageErrorKind::Denied => {
            "this service may not delete files; check its key or its roles on the storage account"
        }
        StorageErrorKind::NotFound | StorageErrorKind::Unavailable => "storage refused to delete the file",
    }
}
