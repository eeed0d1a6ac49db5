//! What can go wrong, told apart by who is to blame.

use std::error::Error;
use std::io;

use shared::storage::StorageError;

use crate::block::MOST_BLOCKS;

/// Why a stream was not stored. In every case no blob is to be seen.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError<E: Error + 'static> {
    /// The stream itself failed.
    #[error("the dump failed, so nothing was stored")]
    Dump(#[source] E),
    /// The caller took back its consent just before the commit.
    #[error("the upload is complete but may no longer be committed, so nothing was stored")]
    Refused(#[source] E),
    /// The stream ended without a single byte.
    #[error("the dump is empty, so nothing was stored; look at the dump tool's messages")]
    Empty,
    /// The blob would need more blocks than a blob can have.
    #[error(
        "the dump needs more than {MOST_BLOCKS} blocks, the most that one blob can have; dump it in parts"
    )]
    TooLarge,
    /// The compression failed.
    #[error("the dump could not be compressed, so nothing was stored")]
    Compress(#[source] CompressFailed),
    /// The blob store failed.
    #[error("the dump could not be uploaded, so nothing was stored")]
    Storage(#[source] StorageError),
}

/// Why compression failed.
#[derive(Debug, thiserror::Error)]
pub enum CompressFailed {
    /// The compressor refused its input.
    #[error("the compressor reported an error")]
    Compressor(#[from] flate2::CompressError),
    /// The compressor for zstd refused its input.
    #[error("the compressor reported an error")]
    Zstd(#[source] std::io::Error),
    /// The worker thread was lost, as when the program is being ended.
    #[error("the compression was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// Why a blob cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no such blob.
    #[error("the backup {0} does not exist")]
    Missing(String),
    /// The blob store failed.
    #[error("the backup could not be downloaded")]
    Storage(#[source] StorageError),
    /// The name promises a form of compression and the content is something else.
    #[error("the backup {blob} is not in {promised} format although its name says so")]
    WrongForm {
        /// The blob.
        blob: String,
        /// What its name promises.
        promised: &'static str,
    },
    /// The compressed data is damaged or ends too early.
    #[error("the backup is damaged: its compressed data does not check out; restore another one")]
    Damaged(#[source] io::Error),
    /// Fewer or more bytes arrived than the blob has.
    #[error("the backup is incomplete: {found} of {expected} bytes arrived; try again")]
    Length {
        /// The blob's size.
        expected: u64,
        /// What arrived.
        found: u64,
    },
    /// The bytes are not the ones that were stored.
    #[error("the backup is damaged: its SHA-256 is {found}, not {expected}; restore another one")]
    Digest {
        /// What the blob's metadata says.
        expected: String,
        /// What arrived.
        found: String,
    },
    /// The worker thread was lost, as when the program is being ended.
    #[error("the decompression was interrupted")]
    Interrupted(#[source] tokio::task::JoinError),
}
