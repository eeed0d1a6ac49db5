//! Notes on backups: pins, proofs, and deletions that begin or are refused.
//!
//! A note is written over the very version of the record that it was decided on. So a pin and a
//! deletion that come at the same time are put in an order: whoever comes second sees the first.

use chrono::{DateTime, Utc};

use super::filter::{Filter, PARTITION, ROW};
use super::repository::unreadable;
use super::rows::{self, Row as _, history_key, id_in};
use super::table::{Entity, Expect, Properties, Query, query_all};
use super::{Backups, StorageError, StorageErrorKind};
use crate::models::{Backup, Pin, Refusal};

/// How often a note is tried again when the record changes in the meantime.
const TRIES: usize = 5;

/// Why a note was not taken.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// The record is gone.
    #[error("the record of the backup is gone")]
    Gone,
    /// Somebody deletes it.
    #[error("the backup is being deleted")]
    BeingDeleted,
    /// Only a stored backup can be kept.
    #[error("there is no artifact that could be kept")]
    NothingStored,
    /// Somebody wants it kept.
    #[error("the backup is pinned")]
    Pinned(Pin),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Backups {
    /// Pins a backup, so that nobody deletes it. One that is pinned already stays as it is.
    pub async fn pin(&self, backup: &Backup, pin: &Pin) -> Result<Backup, MarkError> {
        self.mark(backup, |current| {
            if current.artifact().is_none() {
                return Err(MarkError::NothingStored);
            }
            if current.marks.deletion_begun_at.is_some() {
                return Err(MarkError::BeingDeleted);
            }
            let is_new = current.marks.pinned.is_none();
            Ok(is_new.then(|| rows::pin(Some(pin))))
        })
        .await
    }

    /// Takes a pin back.
    pub async fn unpin(&self, backup: &Backup) -> Result<Backup, MarkError> {
        self.mark(backup, |current| Ok(current.marks.pinned.is_some().then(|| rows::pin(None)))).await
    }

    /// Notes that a backup was proved to be restorable.
    pub async fn note_verified(&self, backup: &Backup, at: DateTime<Utc>) -> Result<Backup, MarkError> {
        self.mark(backup, |_| Ok(Some(rows::verified(at)))).await
    }

    /// Begins to delete a backup: from here on it cannot be pinned any more.
    pub(super) async fn begin_deletion(
        &self,
        backup: &Backup,
        now: DateTime<Utc>,
    ) -> Result<Backup, MarkError> {
        self.mark(backup, |current| match &current.marks.pinned {
            Some(pin) => Err(MarkError::Pinned(pin.clone())),
            None => Ok(Some(rows::deletion_begun(now))),
        })
        .await
    }

    /// Notes that storage refused to delete a backup, which thereby stays.
    pub(super) async fn note_refusal(&self, backup: &Backup, refusal: &Refusal) -> Result<Backup, MarkError> {
        self.mark(backup, |_| Ok(Some(rows::deletion_refused(refusal)))).await
    }

    /// Writes what is decided on the record as it is now, and returns the record after it.
    async fn mark(
        &self,
        backup: &Backup,
        decide: impl Fn(&Backup) -> Result<Option<Properties>, MarkError>,
    ) -> Result<Backup, MarkError> {
        for _ in 0..TRIES {
            let mut entity = self.row_of(backup).await?.ok_or(MarkError::Gone)?;
            let current = Backup::from_entity(&entity).map_err(unreadable)?;
            let Some(properties) = decide(&current)? else { return Ok(current) };
            let expect = entity.etag.clone().map_or(Expect::Any, Expect::Version);
            match self.table.merge(&entity.key, &properties, &expect).await {
                Ok(_) => {
                    entity.properties.extend(properties);
                    return Ok(Backup::from_entity(&entity).map_err(unreadable)?);
                }
                Err(error) if error.kind() == StorageErrorKind::Changed => {}
                Err(error) if error.kind() == StorageErrorKind::NotFound => return Err(MarkError::Gone),
                Err(error) => return Err(error.into()),
            }
        }
        Err(StorageError::new(StorageErrorKind::Changed, "update", format!("backup {}", backup.id)).into())
    }

    /// Finds the row of a record, also where an earlier system put it: earlier ones computed the ticks
    /// with rounding errors and in local time, or had the id alone as the row key.
    async fn row_of(&self, backup: &Backup) -> Result<Option<Entity>, StorageError> {
        let key = history_key(backup.created_at, backup.id.as_str());
        if let Some(entity) = self.table.get(&key).await? {
            return Ok(Some(entity));
        }
        for filter in [Filter::eq(PARTITION, key.partition.as_str()), Filter::eq(ROW, backup.id.as_str())] {
            let found = query_all(&*self.table, &Query::matching(filter)).await?;
            let own = |entity: &Entity| id_in(&entity.key.row) == backup.id.as_str();
            if let Some(entity) = found.into_iter().find(own) {
                return Ok(Some(entity));
            }
        }
        Ok(None)
    }
}
