//! The seam for blobs: staged blocks, committed last.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::BoxStream;

use super::StorageError;

/// The content of a blob as it arrives.
pub type ByteStream = BoxStream<'static, Result<Bytes, StorageError>>;

/// The place of one blob in the account.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlobAddress {
    /// The container's name.
    pub container: String,
    /// The blob's name, not encoded.
    pub name: String,
}

impl BlobAddress {
    /// Makes an address of container and name.
    pub fn new(container: impl Into<String>, name: impl Into<String>) -> Self {
        Self { container: container.into(), name: name.into() }
    }
}

impl fmt::Display for BlobAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.container, self.name)
    }
}

/// What is stored beside the content when a blob is committed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitOptions {
    /// The media type.
    pub content_type: String,
    /// Metadata; names are lower-case identifiers, values visible ASCII. Spaces around a value are lost,
    /// and an empty one is not stored.
    pub metadata: BTreeMap<String, String>,
}

/// What the service knows of a committed blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobProperties {
    /// The size in bytes.
    pub bytes: u64,
    /// The media type.
    pub content_type: Option<String>,
    /// When it was first committed.
    pub created_at: Option<DateTime<Utc>>,
    /// When it was last changed.
    pub last_modified: Option<DateTime<Utc>>,
    /// The metadata stored with it; names in lower case.
    pub metadata: BTreeMap<String, String>,
}

/// One entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// The blob's name.
    pub name: String,
    /// What is known of it; listings carry the metadata too.
    pub properties: BlobProperties,
}

/// A page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlobListing {
    /// The blobs, in the order of their names.
    pub blobs: Vec<Blob>,
    /// Where to go on; `None` on the last page.
    pub marker: Option<String>,
}

/// Blobs of one account.
///
/// A blob becomes visible by [`commit`](Self::commit) alone; staged blocks are nothing until then,
/// and the service drops them after a week.
#[async_trait]
pub trait BlobStore: fmt::Debug + Send + Sync {
    /// Makes a private container; one that exists is fine.
    async fn create_container(&self, container: &str) -> Result<(), StorageError>;

    /// Stages one block. Identifiers of one blob must have the same length.
    async fn stage(&self, blob: &BlobAddress, block_id: &[u8], content: Bytes) -> Result<(), StorageError>;

    /// Commits the named blocks, in this order, as a new blob.
    ///
    /// Fails with `AlreadyExists` when a blob of this name exists: nothing is ever overwritten. Fails
    /// with `NotFound` when one of the blocks is not there.
    async fn commit(
        &self,
        blob: &BlobAddress,
        block_ids: &[Vec<u8>],
        options: &CommitOptions,
    ) -> Result<(), StorageError>;

    /// Copies a blob as a new one, within the account and by the service itself; the media type comes
    /// along, the metadata are these.
    ///
    /// Fails with `AlreadyExists` when a blob of the new name exists, and with another kind than
    /// `Unavailable` where the service cannot or may not copy. The copy is whole when this returns; until
    /// then [`properties`](Self::properties) of the new blob fail with `Unavailable`.
    async fn copy(
        &self,
        from: &BlobAddress,
        to: &BlobAddress,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), StorageError>;

    /// Returns what is known of a blob, or `None` when blob or container do not exist.
    async fn properties(&self, blob: &BlobAddress) -> Result<Option<BlobProperties>, StorageError>;

    /// Reads a blob from its beginning. `NotFound` when it does not exist.
    async fn download(&self, blob: &BlobAddress) -> Result<ByteStream, StorageError>;

    /// Deletes a blob and its snapshots. `false` when it did not exist.
    async fn delete(&self, blob: &BlobAddress) -> Result<bool, StorageError>;

    /// Lists a page of at most `limit` (1 to 5000) blobs whose names begin with `prefix`.
    ///
    /// A container that does not exist is an empty one.
    async fn list(
        &self,
        container: &str,
        prefix: &str,
        marker: Option<&str>,
        limit: u32,
    ) -> Result<BlobListing, StorageError>;

    /// Builds the plain address of a blob, without a signature.
    fn url(&self, blob: &BlobAddress) -> String;
}
