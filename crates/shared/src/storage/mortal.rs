//! Storage of a program that dies between two of its effects, for tests.
//!
//! Everything that a program changes outside of itself goes through the three seams. So a program that
//! is killed at any instant is, to everybody else, one that has had its first so many effects and none
//! after them: letting a [`Life`] end after 0, 1, 2, … of them visits every such instant. Their names tell
//! which instants those are.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::{Either, select};
use tokio::sync::Notify;

use super::blob::{BlobAddress, BlobListing, BlobProperties, BlobStore, ByteStream, CommitOptions};
use super::table::{Continuation, ETag, Entity, Expect, Key, Page, Properties, Query, Table};
use super::{Queue, StorageError};

/// The life of one program.
#[derive(Debug, Clone, Default)]
pub struct Life(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// How many effects it has; `None` is as many as it likes.
    most: Option<u64>,
    had: AtomicU64,
    names: Mutex<Vec<String>>,
    /// What decides when others have their turn; `None` while it runs alone.
    pace: Option<AtomicU64>,
    is_over: AtomicBool,
    end: Notify,
}

impl Life {
    /// A life without an end of its own.
    pub fn endless() -> Self {
        Self::default()
    }

    /// A life that ends when one more effect than these would come.
    pub fn of(effects: u64) -> Self {
        Self(Arc::new(State { most: Some(effects), ..State::default() }))
    }

    /// Lives among others: before whatever it does, they may have their turn, which `seed` decides.
    #[must_use]
    pub fn among_others(self, seed: u64) -> Self {
        Self(Arc::new(State { most: self.0.most, pace: Some(AtomicU64::new(seed)), ..State::default() }))
    }

    /// Returns the names of the effects that it has had or was about to have, as in `insert backupslots`.
    pub fn names(&self) -> Vec<String> {
        self.0.names.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns how many effects it has had.
    pub fn effects(&self) -> u64 {
        self.0.had.load(Ordering::SeqCst)
    }

    /// Tells whether it has ended.
    pub fn is_over(&self) -> bool {
        self.0.is_over.load(Ordering::SeqCst)
    }

    /// Runs a program for as long as it lives; `None` when it died on the way. What it was about to do
    /// is dropped, as by a kill.
    pub async fn live<T>(&self, program: impl Future<Output = T>) -> Option<T> {
        let end = pin!(self.0.end.notified());
        match select(pin!(program), end).await {
            Either::Left((outcome, _)) => Some(outcome),
            Either::Right(((), _)) => None,
        }
    }

    /// Has an effect, unless life is over.
    async fn effect<T>(&self, name: String, work: impl Future<Output = T>) -> T {
        self.0.names.lock().unwrap_or_else(PoisonError::into_inner).push(name);
        let number = self.0.had.fetch_add(1, Ordering::SeqCst);
        if self.0.most.is_some_and(|most| number >= most) {
            self.0.is_over.store(true, Ordering::SeqCst);
            self.0.end.notify_one();
        }
        self.look(work).await
    }

    /// Looks at something, unless life is over.
    async fn look<T>(&self, work: impl Future<Output = T>) -> T {
        for _ in 0..self.turns() {
            tokio::task::yield_now().await;
        }
        if self.is_over() {
            return std::future::pending().await;
        }
        work.await
    }

    /// Returns how many turns others have now.
    fn turns(&self) -> u64 {
        let Some(pace) = &self.0.pace else { return 0 };
        // A step of Weyl's sequence, whose upper bits are even enough.
        (pace.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst) >> 61) / 2
    }
}

/// A store that is used by a program that may die.
pub struct Mortal<S: ?Sized> {
    store: Arc<S>,
    name: String,
    life: Life,
}

impl<S: ?Sized> Mortal<S> {
    /// Lets a program with this life use a store, which its effects are named after.
    pub fn new(name: &str, store: Arc<S>, life: &Life) -> Self {
        Self { store, name: name.to_owned(), life: life.clone() }
    }

    async fn effect<T>(&self, verb: &str, work: impl Future<Output = T>) -> T {
        self.life.effect(format!("{verb} {}", self.name), work).await
    }
}

impl<S: ?Sized + fmt::Debug> fmt::Debug for Mortal<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

#[async_trait]
impl Table for Mortal<dyn Table> {
    async fn create(&self) -> Result<(), StorageError> {
        self.effect("create", self.store.create()).await
    }

    async fn insert(&self, entity: &Entity) -> Result<ETag, StorageError> {
        self.effect("insert", self.store.insert(entity)).await
    }

    async fn merge(&self, key: &Key, properties: &Properties, expect: &Expect) -> Result<ETag, StorageError> {
        self.effect("update", self.store.merge(key, properties, expect)).await
    }

    async fn insert_or_merge(&self, key: &Key, properties: &Properties) -> Result<ETag, StorageError> {
        self.effect("upsert", self.store.insert_or_merge(key, properties)).await
    }

    async fn delete(&self, key: &Key, expect: &Expect) -> Result<(), StorageError> {
        self.effect("delete", self.store.delete(key, expect)).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Entity>, StorageError> {
        self.life.look(self.store.get(key)).await
    }

    async fn query(&self, query: &Query, from: Option<&Continuation>) -> Result<Page, StorageError> {
        self.life.look(self.store.query(query, from)).await
    }
}

#[async_trait]
impl Queue for Mortal<dyn Queue> {
    async fn create(&self) -> Result<(), StorageError> {
        self.effect("create", self.store.create()).await
    }

    async fn send(&self, text: &str, delay: Duration) -> Result<String, StorageError> {
        self.effect("send", self.store.send(text, delay)).await
    }

    async fn depth(&self) -> Result<u64, StorageError> {
        self.life.look(self.store.depth()).await
    }

    async fn peek(&self) -> Result<Vec<String>, StorageError> {
        self.life.look(self.store.peek()).await
    }
}

#[async_trait]
impl BlobStore for Mortal<dyn BlobStore> {
    async fn create_container(&self, container: &str) -> Result<(), StorageError> {
        self.effect("create container", self.store.create_container(container)).await
    }

    async fn stage(&self, blob: &BlobAddress, block_id: &[u8], content: Bytes) -> Result<(), StorageError> {
        self.effect("stage", self.store.stage(blob, block_id, content)).await
    }

    async fn commit(
        &self,
        blob: &BlobAddress,
        block_ids: &[Vec<u8>],
        options: &CommitOptions,
    ) -> Result<(), StorageError> {
        self.effect("commit", self.store.commit(blob, block_ids, options)).await
    }

    async fn copy(
        &self,
        from: &BlobAddress,
        to: &BlobAddress,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), StorageError> {
        self.effect("copy", self.store.copy(from, to, metadata)).await
    }

    async fn properties(&self, blob: &BlobAddress) -> Result<Option<BlobProperties>, StorageError> {
        self.life.look(self.store.properties(blob)).await
    }

    async fn download(&self, blob: &BlobAddress) -> Result<ByteStream, StorageError> {
        self.life.look(self.store.download(blob)).await
    }

    async fn delete(&self, blob: &BlobAddress) -> Result<bool, StorageError> {
        self.effect("delete", self.store.delete(blob)).await
    }

    async fn list(
        &self,
        container: &str,
        prefix: &str,
        marker: Option<&str>,
        limit: u32,
    ) -> Result<BlobListing, StorageError> {
        self.life.look(self.store.list(container, prefix, marker, limit)).await
    }

    fn url(&self, blob: &BlobAddress) -> String {
        self.store.url(blob)
    }
}

#[cfg(test)]
mod tests {
    use super::super::MemoryTable;
    use super::*;

    #[tokio::test]
    async fn a_life_ends_before_the_effect_that_is_one_too_many() {
        let memory: Arc<dyn Table> = Arc::new(MemoryTable::default());
        let life = Life::of(2);
        let table = Mortal::new("things", Arc::clone(&memory), &life);
        let row = |name: &str| Entity::new(Key::new("p", name), Properties::new());
        let program = async {
            for name in ["1", "2", "3"] {
                table.insert(&row(name)).await?;
            }
            Ok::<(), StorageError>(())
        };
        assert!(life.live(program).await.is_none());
        assert!(life.is_over());
        assert_eq!(life.names(), ["insert things", "insert things", "insert things"]);
        assert_eq!(memory.query(&Query::default(), None).await.map(|page| page.entities.len()).ok(), Some(2));
        assert!(futures::poll!(table.get(&Key::new("p", "1"))).is_pending(), "the dead see nothing");
    }
}
