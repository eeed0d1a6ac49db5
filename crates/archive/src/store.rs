//! From a stream to a blob: cut into pieces, encode, cut into blocks, upload, commit last.
//!
//! One task drives everything and nothing is spawned but the compression of single pieces, so
//! dropping the future ends reading and uploading at once. The task reads only while a worker is
//! free and takes encoded data only while an upload may begin; a slow store thus slows the source
//! down and no buffer grows.

use std::collections::BTreeMap;
use std::error::Error;
use std::pin::pin;
use std::thread::available_parallelism;

use bytes::Bytes;
use futures::stream::FuturesOrdered;
use futures::{Stream, StreamExt as _};
use shared::storage::{
    BlobAddress, BlobStore, CommitOptions, StorageError, StorageErrorKind, check_metadata,
};

use crate::compression::Compression;
use crate::digest::hexadecimal;
use crate::encoder::Encoder;
use crate::error::ArchiveError;
use crate::metadata;
use crate::pieces::Pieces;
use crate::progress::Progress;
use crate::upload::{Upload, Uploaded};

/// More threads would outrun any dump tool and only take memory.
const MOST_WORKERS: usize = 4;

/// Where a stream is to be stored.
#[derive(Debug, Clone)]
pub struct Destination<'a> {
    /// The store.
    pub store: &'a dyn BlobStore,
    /// The blob, which must not exist; its container must.
    pub address: &'a BlobAddress,
    /// Random bytes of this attempt's own, which keep its blocks apart from those of any other.
    pub attempt: [u8; 16],
    /// Metadata for the blob, beside what is added here ([`metadata`]).
    pub metadata: BTreeMap<String, String>,
}

/// What was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The size of the blob in bytes.
    pub bytes: u64,
    /// The size of the stream before compression in bytes.
    pub dumped_bytes: u64,
    /// SHA-256 of the blob's bytes in hexadecimal.
    pub sha256: String,
    /// How many blocks the blob is made of.
    pub blocks: u32,
}

/// Stores a stream as a new blob and commits it last.
///
/// The stream must end for the commit to happen; an error in it, no bytes at all, or an error of
/// `before_commit`, which is asked when every block is uploaded, leaves nothing visible. What it
/// returns becomes further metadata: what only the end of the stream could tell. When the answer to the commit is lost, the blob's metadata tells whether it happened. Dropping the future
/// before the commit leaves nothing visible either.
pub async fn store<S, E, C, F>(
    dump: S,
    compression: Compression,
    mut destination: Destination<'_>,
    progress: &Progress,
    before_commit: C,
) -> Result<Stored, ArchiveError<E>>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: Error + 'static,
    C: FnOnce() -> F,
    F: Future<Output = Result<BTreeMap<String, String>, E>>,
{
    // What would be refused at the end is refused before a long dump is read.
    check_metadata(destination.address, &destination.metadata).map_err(ArchiveError::Storage)?;
    let workers = available_parallelism().map_or(1, usize::from).min(MOST_WORKERS);
    // A stream need not be asked again after its end, and some must not be.
    let dump = pin!(dump.fuse());
    let mut pieces = Pieces::new(dump, compression.piece(), progress.clone());
    let mut encoder = Encoder::new(compression);
    let mut encoding = FuturesOrdered::new();
    let mut upload = Upload::new(&destination, progress);
    let mut ended = false;
    while !(ended && encoding.is_empty()) {
        tokio::select! {
            piece = pieces.next(), if !ended && encoding.len() < workers => match piece {
                Some(Ok(piece)) => encoding.push_back(encoder.start(piece)),
                Some(Err(error)) => return Err(ArchiveError::Dump(error)),
                None => ended = true,
            },
            Some(done) = encoding.next(), if upload.has_room() => {
                let done = done.map_err(ArchiveError::Compress)?;
                pieces.reuse(encoder.append(done, |bytes| upload.push(bytes)));
            },
            Some(staged) = upload.next() => staged?,
            else => break,
        }
    }
    if pieces.total() == 0 {
        return Err(ArchiveError::Empty);
    }
    upload.push(&encoder.finish(pieces.total()));
    let uploaded = upload.finish().await?;
    let further = before_commit().await.map_err(ArchiveError::Refused)?;
    check_metadata(destination.address, &further).map_err(ArchiveError::Storage)?;
    destination.metadata.extend(further);
    let stored = Stored {
        bytes: uploaded.bytes,
        dumped_bytes: pieces.total(),
        blocks: uploaded.blocks,
        sha256: uploaded.sha256.clone(),
    };
    commit(&destination, compression, &uploaded, pieces.total()).await.map_err(ArchiveError::Storage)?;
    Ok(stored)
}

/// Commits the blocks; an error is looked into, since the work may have been done all the same.
///
/// The store repeats a request whose answer did not come, and the repetition then finds a blob of
/// that name. Only this attempt knows its identifier, so a blob that carries it is this one.
async fn commit(
    destination: &Destination<'_>,
    compression: Compression,
    uploaded: &Uploaded,
    dumped_bytes: u64,
) -> Result<(), StorageError> {
    let Destination { store, address, .. } = destination;
    let attempt = hexadecimal(&destination.attempt);
    let mut options = CommitOptions {
        content_type: compression.content_type().to_owned(),
        metadata: destination.metadata.clone(),
    };
    options.metadata.extend([
        (metadata::SHA256.to_owned(), uploaded.sha256.clone()),
        (metadata::DUMPED_BYTES.to_owned(), dumped_bytes.to_string()),
        (metadata::ATTEMPT.to_owned(), attempt.clone()),
    ]);
    let Err(error) = store.commit(address, &uploaded.block_ids, &options).await else {
        return Ok(());
    };
    let found = store.properties(address).await.ok().flatten();
    if found.is_some_and(|found| found.metadata.get(metadata::ATTEMPT) == Some(&attempt)) {
        tracing::warn!(blob = %address, "the answer to the commit was lost; the blob is there and complete");
        return Ok(());
    }
    if error.kind() == StorageErrorKind::NotFound {
        // All blocks had arrived, so the store has lost some; the whole upload may be tried again.
        let operation = "find all uploaded blocks again to commit blob";
        return Err(
            StorageError::new(StorageErrorKind::Unavailable, operation, address.to_string()).because(error)
        );
    }
    Err(error)
}
