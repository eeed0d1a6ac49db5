//! Tables that fail on purpose, for tests.

use std::sync::Arc;

use async_trait::async_trait;

use super::script::Script;
use super::table::{Continuation, ETag, Entity, Expect, Key, Page, Properties, Query, Table};
use super::{Fault, StorageError};

/// The operations that can be told to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableCall {
    /// [`Table::create`].
    Create,
    /// [`Table::insert`].
    Insert,
    /// [`Table::merge`].
    Merge,
    /// [`Table::insert_or_merge`].
    InsertOrMerge,
    /// [`Table::delete`].
    Delete,
    /// [`Table::get`].
    Get,
    /// [`Table::query`].
    Query,
}

/// A table whose calls fail as scripted. Clones share script and counts.
#[derive(Debug, Clone)]
pub struct FaultyTable {
    inner: Arc<dyn Table>,
    script: Script<TableCall>,
}

impl FaultyTable {
    /// Wraps a table; without a script, calls pass through.
    pub fn new(inner: impl Table + 'static) -> Self {
        Self { inner: Arc::new(inner), script: Script::default() }
    }

    /// Makes the `nth` call of one kind fail, counted from 1 and over all keys.
    #[must_use]
    pub fn with(self, call: TableCall, nth: u64, fault: Fault) -> Self {
        self.script.add(call, nth, fault);
        self
    }

    /// Makes the next call of one kind fail.
    pub fn fail_next(&self, call: TableCall, fault: Fault) {
        self.script.add(call, self.calls(call) + 1, fault);
    }

    /// Returns how many calls of one kind have come in.
    pub fn calls(&self, call: TableCall) -> u64 {
        self.script.calls(call)
    }
}

#[async_trait]
impl Table for FaultyTable {
    async fn create(&self) -> Result<(), StorageError> {
        self.script.play(TableCall::Create, "create", self.inner.create()).await
    }

    async fn insert(&self, entity: &Entity) -> Result<ETag, StorageError> {
        self.script.play(TableCall::Insert, "insert", self.inner.insert(entity)).await
    }

    async fn merge(&self, key: &Key, properties: &Properties, expect: &Expect) -> Result<ETag, StorageError> {
        self.script.play(TableCall::Merge, "update", self.inner.merge(key, properties, expect)).await
    }

    async fn insert_or_merge(&self, key: &Key, properties: &Properties) -> Result<ETag, StorageError> {
        let work = self.inner.insert_or_merge(key, properties);
        self.script.play(TableCall::InsertOrMerge, "update", work).await
    }

    async fn delete(&self, key: &Key, expect: &Expect) -> Result<(), StorageError> {
        self.script.play(TableCall::Delete, "delete", self.inner.delete(key, expect)).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Entity>, StorageError> {
        self.script.play(TableCall::Get, "read", self.inner.get(key)).await
    }

    async fn query(&self, query: &Query, from: Option<&Continuation>) -> Result<Page, StorageError> {
        self.script.play(TableCall::Query, "query", self.inner.query(query, from)).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MemoryTable, StorageErrorKind};
    use super::*;

    #[tokio::test]
    async fn passes_the_conformance_suite_without_a_script() {
        super::super::conformance::table(&FaultyTable::new(MemoryTable::default())).await;
    }

    #[tokio::test]
    async fn fails_the_scripted_call_alone() -> Result<(), StorageError> {
        let memory = MemoryTable::default();
        let kind = StorageErrorKind::Unavailable;
        let table = FaultyTable::new(memory.clone()).with(TableCall::Insert, 1, Fault::Refuse(kind)).with(
            TableCall::Insert,
            2,
            Fault::Lose(kind),
        );
        let entity = Entity::new(Key::new("p", "1"), Properties::new());
        assert_eq!(table.insert(&entity).await.map_err(|error| error.kind()), Err(kind));
        assert_eq!(memory.get(&entity.key).await?, None, "refused means not done");
        assert_eq!(table.insert(&entity).await.map_err(|error| error.kind()), Err(kind));
        assert!(memory.get(&entity.key).await?.is_some(), "lost means done");
        let third = table.insert(&entity).await.map_err(|error| error.kind());
        assert_eq!(third, Err(StorageErrorKind::AlreadyExists));
        table.fail_next(TableCall::Delete, Fault::Hang);
        let hanging = table.delete(&entity.key, &Expect::Any);
        assert!(futures::poll!(hanging).is_pending());
        table.delete(&entity.key, &Expect::Any).await?;
        assert_eq!((table.calls(TableCall::Insert), table.calls(TableCall::Delete)), (3, 2));
        Ok(())
    }
}
