//! The table of the history, with its index kept by every write.
//!
//! Whoever writes to the history writes through this, so no writer can forget the index: the api that
//! queues, the scheduler, the claims of processors, retention, deletes and the end of stuck records.

use std::sync::Arc;

use async_trait::async_trait;

use super::backup_days::BackupDays;
use super::backup_index::BackupIndex;
use super::table::{Continuation, ETag, Entity, Expect, Key, Page, Properties, Query, Table};
use super::{StorageError, StorageErrorKind};

/// The history as its writers see it.
#[derive(Debug, Clone)]
pub(super) struct HistoryTable {
    pub(super) rows: Arc<dyn Table>,
    pub(super) index: BackupIndex,
    pub(super) days: BackupDays,
}

impl HistoryTable {
    /// Prepares a write: entries come before the row that they name, and counts of a past day are
    /// called in question before they become wrong.
    async fn before(&self, key: &Key, properties: &Properties) -> Result<(), StorageError> {
        self.days.touch(key).await?;
        self.index.note(key, properties).await
    }
}

#[async_trait]
impl Table for HistoryTable {
    async fn create(&self) -> Result<(), StorageError> {
        self.rows.create().await
    }

    async fn insert(&self, entity: &Entity) -> Result<ETag, StorageError> {
        entity.key.check()?;
        self.days.touch(&entity.key).await?;
        self.index.note_new(&entity.key, &entity.properties).await?;
        self.rows.insert(entity).await
    }

    async fn merge(&self, key: &Key, properties: &Properties, expect: &Expect) -> Result<ETag, StorageError> {
        key.check()?;
        // Signs of life and plans change no count, and what has a key to be found by comes with a status.
        if properties.contains_key("status") {
            self.before(key, properties).await?;
        }
        self.rows.merge(key, properties, expect).await
    }

    async fn insert_or_merge(&self, key: &Key, properties: &Properties) -> Result<ETag, StorageError> {
        key.check()?;
        self.before(key, properties).await?;
        self.rows.insert_or_merge(key, properties).await
    }

    async fn delete(&self, key: &Key, expect: &Expect) -> Result<(), StorageError> {
        let Some(row) = self.rows.get(key).await? else {
            return Err(StorageError::new(StorageErrorKind::NotFound, "delete row", key.to_string()));
        };
        self.days.touch(key).await?;
        self.rows.delete(key, expect).await?;
        if let Err(error) = self.index.forget(key, &row.properties).await {
            // The row is gone, and an entry that names nothing misleads nobody.
            tracing::warn!(%error, %key, "entries of a deleted backup stay in the index");
        }
        Ok(())
    }

    async fn get(&self, key: &Key) -> Result<Option<Entity>, StorageError> {
        self.rows.get(key).await
    }

    async fn query(&self, query: &Query, from: Option<&Continuation>) -> Result<Page, StorageError> {
        self.rows.query(query, from).await
    }
}
