//! Blobs in memory, for tests.
//!
//! Instants are made up: the first commit is at the beginning of 2025 and each one a second later.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta};
use futures::{StreamExt as _, stream};

use super::blob::{Blob, BlobAddress, BlobListing, BlobProperties, BlobStore, ByteStream, CommitOptions};
use super::{StorageError, StorageErrorKind, blob_rules};

/// 2025-01-01T00:00:00Z.
const BEGINNING: i64 = 1_735_689_600;

/// An account's blobs in memory. Clones share them.
#[derive(Clone, Default)]
pub struct MemoryBlobs {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    containers: BTreeMap<String, Container>,
    commits: i64,
}

#[derive(Default)]
struct Container {
    committed: BTreeMap<String, Committed>,
    staged: BTreeMap<String, BTreeMap<Vec<u8>, Bytes>>,
}

#[derive(Clone)]
struct Committed {
    blocks: Vec<Bytes>,
    properties: BlobProperties,
}

impl MemoryBlobs {
    /// Returns the names of all containers.
    pub fn containers(&self) -> Vec<String> {
        self.state().containers.keys().cloned().collect()
    }

    /// Returns how many blocks of a blob are staged and not committed.
    pub fn staged_blocks(&self, blob: &BlobAddress) -> usize {
        let state = self.state();
        let staged =
            state.containers.get(&blob.container).and_then(|container| container.staged.get(&blob.name));
        staged.map_or(0, BTreeMap::len)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for MemoryBlobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("MemoryBlobs").field(&self.containers()).finish()
    }
}

impl State {
    fn container(
        &mut self,
        blob: &BlobAddress,
        operation: &'static str,
    ) -> Result<&mut Container, StorageError> {
        blob_rules::check_address(blob, operation)?;
        self.containers
            .get_mut(&blob.container)
            .ok_or_else(|| StorageError::new(StorageErrorKind::NotFound, operation, blob.to_string()))
    }

    fn committed(&self, blob: &BlobAddress) -> Option<&Committed> {
        self.containers.get(&blob.container)?.committed.get(&blob.name)
    }
}

#[async_trait]
impl BlobStore for MemoryBlobs {
    async fn create_container(&self, container: &str) -> Result<(), StorageError> {
        blob_rules::check_container(container, "create container")?;
        self.state().containers.entry(container.to_owned()).or_default();
        Ok(())
    }

    async fn stage(&self, blob: &BlobAddress, block_id: &[u8], content: Bytes) -> Result<(), StorageError> {
        let operation = "upload a block of blob";
        let mut state = self.state();
        let staged = state.container(blob, operation)?.staged.entry(blob.name.clone()).or_default();
        let alike = staged.keys().next().is_none_or(|other| other.len() == block_id.len());
        if !alike || content.is_empty() || block_id.is_empty() || block_id.len() > 64 {
            return Err(StorageError::new(StorageErrorKind::Invalid, operation, blob.to_string())
                .because("a block is empty or its identifier has another length than its siblings'"));
        }
        staged.insert(block_id.to_vec(), content);
        Ok(())
    }

    async fn commit(
        &self,
        blob: &BlobAddress,
        block_ids: &[Vec<u8>],
        options: &CommitOptions,
    ) -> Result<(), StorageError> {
        let operation = "commit blob";
        blob_rules::check_metadata(blob, &options.metadata)?;
        let mut state = self.state();
        let at =
            DateTime::from_timestamp(BEGINNING, 0).map(|start| start + TimeDelta::seconds(state.commits));
        let container = state.container(blob, operation)?;
        if container.committed.contains_key(&blob.name) {
            return Err(StorageError::new(StorageErrorKind::AlreadyExists, operation, blob.to_string()));
        }
        let staged = container.staged.get(&blob.name);
        let blocks: Option<Vec<Bytes>> =
            block_ids.iter().map(|id| staged.and_then(|staged| staged.get(id)).cloned()).collect();
        let Some(blocks) = blocks else {
            return Err(StorageError::new(StorageErrorKind::NotFound, operation, blob.to_string())
                .because("one of its blocks is not there"));
        };
        container.staged.remove(&blob.name);
        let bytes = blocks.iter().map(Bytes::len).sum::<usize>();
        let properties = BlobProperties {
            bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
            content_type: Some(options.content_type.clone()),
            created_at: at,
            last_modified: at,
            metadata: blob_rules::as_sent(&options.metadata),
        };
        container.committed.insert(blob.name.clone(), Committed { blocks, properties });
        state.commits += 1;
        Ok(())
    }

    async fn copy(
        &self,
        from: &BlobAddress,
        to: &BlobAddress,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), StorageError> {
        let operation = "copy to blob";
        blob_rules::check_address(from, operation)?;
        blob_rules::check_metadata(to, metadata)?;
        let mut state = self.state();
        let at =
            DateTime::from_timestamp(BEGINNING, 0).map(|start| start + TimeDelta::seconds(state.commits));
        let source = state.committed(from).cloned();
        let container = state.container(to, operation)?;
        if container.committed.contains_key(&to.name) {
            return Err(StorageError::new(StorageErrorKind::AlreadyExists, operation, to.to_string()));
        }
        let mut copy = source
            .ok_or_else(|| StorageError::new(StorageErrorKind::NotFound, operation, from.to_string()))?;
        copy.properties.created_at = at;
        copy.properties.last_modified = at;
        copy.properties.metadata = blob_rules::as_sent(metadata);
        container.committed.insert(to.name.clone(), copy);
        state.commits += 1;
        Ok(())
    }

    async fn properties(&self, blob: &BlobAddress) -> Result<Option<BlobProperties>, StorageError> {
        blob_rules::check_address(blob, "read the properties of blob")?;
        Ok(self.state().committed(blob).map(|committed| committed.properties.clone()))
    }

    async fn download(&self, blob: &BlobAddress) -> Result<ByteStream, StorageError> {
        let operation = "download blob";
        blob_rules::check_address(blob, operation)?;
        let committed = self.state().committed(blob).cloned();
        let committed = committed
            .ok_or_else(|| StorageError::new(StorageErrorKind::NotFound, operation, blob.to_string()))?;
        Ok(stream::iter(committed.blocks.into_iter().map(Ok)).boxed())
    }

    async fn delete(&self, blob: &BlobAddress) -> Result<bool, StorageError> {
        blob_rules::check_address(blob, "delete blob")?;
        let mut state = self.state();
        let container = state.containers.get_mut(&blob.container);
        Ok(container.is_some_and(|container| container.committed.remove(&blob.name).is_some()))
    }

    async fn list(
        &self,
        container: &str,
        prefix: &str,
        marker: Option<&str>,
        limit: u32,
    ) -> Result<BlobListing, StorageError> {
        blob_rules::check_container(container, "list the blobs of container")?;
        let limit = usize::try_from(limit.clamp(1, 5000)).unwrap_or(5000);
        let state = self.state();
        let Some(container) = state.containers.get(container) else {
            return Ok(BlobListing::default());
        };
        let mut matching = container
            .committed
            .iter()
            .filter(|(name, _)| {
                name.starts_with(prefix) && marker.is_none_or(|marker| name.as_str() >= marker)
            })
            .map(|(name, committed)| Blob { name: name.clone(), properties: committed.properties.clone() });
        let blobs = matching.by_ref().take(limit).collect();
        Ok(BlobListing { blobs, marker: matching.next().map(|blob| blob.name) })
    }

    fn url(&self, blob: &BlobAddress) -> String {
        format!("memory://account/{blob}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn passes_the_conformance_suite() {
        super::super::conformance::blob_store(&MemoryBlobs::default()).await;
    }
}
