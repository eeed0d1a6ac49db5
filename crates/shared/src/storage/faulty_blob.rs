//! Blobs that fail on purpose, for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream};

use super::blob::{BlobAddress, BlobListing, BlobProperties, BlobStore, ByteStream, CommitOptions};
use super::script::Script;
use super::{StorageError, StorageErrorKind};

/// The operations that can be told to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BlobCall {
    /// [`BlobStore::create_container`].
    CreateContainer,
    /// [`BlobStore::stage`].
    Stage,
    /// [`BlobStore::commit`].
    Commit,
    /// [`BlobStore::copy`].
    Copy,
    /// [`BlobStore::properties`].
    Properties,
    /// [`BlobStore::download`].
    Download,
    /// [`BlobStore::delete`].
    Delete,
    /// [`BlobStore::list`].
    List,
}

/// What happens in place of the ordinary answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done and the call fails.
    Refuse(StorageErrorKind),
    /// The work is done and the call fails all the same, as when an answer is lost. A download
    /// gives its first part and then fails.
    Lose(StorageErrorKind),
    /// Nothing is done and the call never ends.
    Hang,
}

/// A store whose calls fail as scripted. Clones share script and counts.
#[derive(Debug, Clone)]
pub struct FaultyBlobs {
    inner: Arc<dyn BlobStore>,
    script: Script<BlobCall>,
}

impl FaultyBlobs {
    /// Wraps a store; without a script, calls pass through.
    pub fn new(inner: impl BlobStore + 'static) -> Self {
        Self::over(Arc::new(inner))
    }

    /// Wraps a store that others use too.
    pub fn over(inner: Arc<dyn BlobStore>) -> Self {
        Self { inner, script: Script::default() }
    }

    /// Makes the `nth` call of one kind fail, counted from 1 and over all blobs.
    #[must_use]
    pub fn with(self, call: BlobCall, nth: u64, fault: Fault) -> Self {
        self.script.add(call, nth, fault);
        self
    }

    /// Returns how many calls of one kind have come in.
    pub fn calls(&self, call: BlobCall) -> u64 {
        self.script.calls(call)
    }
}

#[async_trait]
impl BlobStore for FaultyBlobs {
    async fn create_container(&self, container: &str) -> Result<(), StorageError> {
        self.script
            .play(BlobCall::CreateContainer, "create container", self.inner.create_container(container))
            .await
    }

    async fn stage(&self, blob: &BlobAddress, block_id: &[u8], content: Bytes) -> Result<(), StorageError> {
        let work = self.inner.stage(blob, block_id, content);
        self.script.play(BlobCall::Stage, "upload a block of blob", work).await
    }

    async fn commit(
        &self,
        blob: &BlobAddress,
        block_ids: &[Vec<u8>],
        options: &CommitOptions,
    ) -> Result<(), StorageError> {
        self.script.play(BlobCall::Commit, "commit blob", self.inner.commit(blob, block_ids, options)).await
    }

    async fn copy(
        &self,
        from: &BlobAddress,
        to: &BlobAddress,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), StorageError> {
        self.script.play(BlobCall::Copy, "copy to blob", self.inner.copy(from, to, metadata)).await
    }

    async fn properties(&self, blob: &BlobAddress) -> Result<Option<BlobProperties>, StorageError> {
        self.script
            .play(BlobCall::Properties, "read the properties of blob", self.inner.properties(blob))
            .await
    }

    async fn download(&self, blob: &BlobAddress) -> Result<ByteStream, StorageError> {
        let mut lost = false;
        let played = self.script.play(BlobCall::Download, "download blob", async {
            lost = true;
            Ok(())
        });
        match played.await {
            Ok(()) => self.inner.download(blob).await,
            Err(error) if lost => {
                let begin = self.inner.download(blob).await?.take(1);
                Ok(begin.chain(stream::iter([Err(error)])).boxed())
            }
            Err(error) => Err(error),
        }
    }

    async fn delete(&self, blob: &BlobAddress) -> Result<bool, StorageError> {
        self.script.play(BlobCall::Delete, "delete blob", self.inner.delete(blob)).await
    }

    async fn list(
        &self,
        container: &str,
        prefix: &str,
        marker: Option<&str>,
        limit: u32,
    ) -> Result<BlobListing, StorageError> {
        let work = self.inner.list(container, prefix, marker, limit);
        self.script.play(BlobCall::List, "list the blobs of container", work).await
    }

    fn url(&self, blob: &BlobAddress) -> String {
        self.inner.url(blob)
    }
}

#[cfg(test)]
mod tests {
    use super::super::MemoryBlobs;
    use super::*;

    #[tokio::test]
    async fn passes_the_conformance_suite_without_a_script() {
        super::super::conformance::blob_store(&FaultyBlobs::new(MemoryBlobs::default())).await;
    }

    #[tokio::test]
    async fn fails_the_scripted_call_alone() -> Result<(), StorageError> {
        let memory = MemoryBlobs::default();
        let kind = StorageErrorKind::Unavailable;
        let store = FaultyBlobs::new(memory.clone()).with(BlobCall::Stage, 2, Fault::Refuse(kind)).with(
            BlobCall::Commit,
            1,
            Fault::Lose(kind),
        );
        let blob = BlobAddress::new("backups", "a");
        store.create_container("backups").await?;
        store.stage(&blob, b"1", Bytes::from_static(b"one")).await?;
        let refused = store.stage(&blob, b"2", Bytes::from_static(b"two")).await;
        assert_eq!(refused.err().map(|error| error.kind()), Some(kind));
        assert_eq!(memory.staged_blocks(&blob), 1);
        let lost = store.commit(&blob, &[b"1".to_vec()], &CommitOptions::default()).await;
        assert_eq!(lost.err().map(|error| error.kind()), Some(kind));
        assert!(memory.properties(&blob).await?.is_some());
        assert_eq!((store.calls(BlobCall::Stage), store.calls(BlobCall::Commit)), (2, 1));
        Ok(())
    }
}
