//! What the tests share: a source, a destination, and the way through them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use archive::{ArchiveError, Compression, Destination, OpenError, Progress, Stored};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use shared::storage::{BlobAddress, BlobStore, MemoryBlobs};

pub(crate) const GZIP: Compression = Compression::Gzip { level: 6 };

/// The dump's own failure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct DumpFailed(pub(crate) &'static str);

pub(crate) fn address() -> BlobAddress {
    BlobAddress::new("backups", "mysql/1/20251205_100000.sql.gz")
}

pub(crate) async fn memory() -> MemoryBlobs {
    let store = MemoryBlobs::default();
    store.create_container("backups").await.unwrap();
    store
}

pub(crate) fn destination<'a>(store: &'a dyn BlobStore, address: &'a BlobAddress) -> Destination<'a> {
    Destination { store, address, attempt: [7; 16], metadata: BTreeMap::new() }
}

/// Makes a dump of what is given, cut at random-looking places.
pub(crate) fn dump(content: &Bytes) -> impl Stream<Item = Result<Bytes, DumpFailed>> + use<> {
    let mut rest = content.clone();
    let mut chunks = Vec::new();
    let mut length = 1;
    while !rest.is_empty() {
        length = (length * 7 + 13) % 65_536;
        chunks.push(Ok(rest.split_to(length.min(rest.len()))));
    }
    stream::iter(chunks)
}

/// Makes text of the kind that dump tools write, of at least `bytes` bytes.
pub(crate) fn rows(bytes: usize) -> Bytes {
    let mut text = String::new();
    let mut row: u64 = 1;
    while text.len() < bytes {
        let noise = row.wrapping_mul(6_364_136_223_846_793_005).rotate_left(17);
        writeln!(text, "INSERT INTO `t` VALUES ({row},'{noise:x}',NULL,'row number {row}');").unwrap();
        row += 1;
    }
    text.into()
}

/// Makes bytes that do not compress.
pub(crate) fn noise(bytes: usize) -> Bytes {
    let mut state: u64 = 42;
    (0..bytes)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        })
        .collect()
}

pub(crate) async fn store(
    content: &Bytes,
    compression: Compression,
    destination: Destination<'_>,
) -> Result<Stored, ArchiveError<DumpFailed>> {
    archive::store(
        dump(content),
        compression,
        destination,
        &Progress::default(),
        async || Ok(BTreeMap::new()),
    )
    .await
}

/// Returns the bytes of a blob as they are stored.
pub(crate) async fn raw(store: &dyn BlobStore, address: &BlobAddress) -> BytesMut {
    let content = store.download(address).await.unwrap();
    content
        .map(Result::unwrap)
        .fold(BytesMut::new(), async |mut all, part| {
            all.extend_from_slice(&part);
            all
        })
        .await
}

/// Reads a blob to its end.
pub(crate) async fn read(store: &dyn BlobStore, address: &BlobAddress) -> Result<BytesMut, OpenError> {
    let opened = archive::open(store, address, &Progress::default()).await?;
    opened
        .content
        .try_fold(BytesMut::new(), async |mut all, part| {
            all.extend_from_slice(&part);
            Ok(all)
        })
        .await
}
