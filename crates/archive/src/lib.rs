//! A stream into a blob and back: compress and upload, download and decompress. Nothing else.
//!
//! What must stay true:
//!
//! * **Commit last.** A blob becomes visible only after the whole stream has come, every block is
//!   uploaded and the caller has agreed. Whatever fails before that leaves nothing to be seen.
//! * **Constant memory.** All buffers between the source and the store are bounded; they grow with
//!   the block size alone, which is flat for ordinary sizes ([`block_size`]).
//! * **Plain formats.** What is stored opens with `gunzip` or `zstd` and nothing of ours.
//! * **Proof.** The blob carries the SHA-256 of its bytes, and [`open()`] checks it.

mod block;
mod compression;
mod decoder;
mod digest;
mod encoder;
mod error;
mod gzip;
mod open;
mod pieces;
mod progress;
mod store;
mod upload;
mod zstd;

pub use block::block_size;
pub use compression::Compression;
pub use digest::Digest;
pub use error::{ArchiveError, CompressFailed, OpenError};
pub use open::{Content, Opened, open};
pub use progress::Progress;
pub use store::{Destination, Stored, store};

/// Names of the metadata that a stored blob carries.
pub mod metadata {
    /// SHA-256 of the blob's bytes in hexadecimal.
    pub const SHA256: &str = "sha256";
    /// How many bytes went in before compression.
    pub const DUMPED_BYTES: &str = "dumped_bytes";
    /// Which attempt stored the blob, in hexadecimal.
    pub const ATTEMPT: &str = "attempt";
}
