//! The step between pieces and blocks: compression, or none.

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};

use crate::compression::Compression;
use crate::error::CompressFailed;
use crate::gzip::{Compressed, Gzip};

/// Encodes the pieces of one stream.
pub(crate) enum Encoder {
    Plain,
    Gzip(Gzip),
}

/// An encoded piece, to be appended in its turn.
pub(crate) enum Encoded {
    Plain(Bytes),
    Gzip(Compressed),
}

impl Encoder {
    pub(crate) fn new(compression: Compression) -> Self {
        match compression {
            Compression::None => Self::Plain,
            Compression::Gzip { level } => Self::Gzip(Gzip::new(level)),
        }
    }

    /// Starts encoding a piece; it goes on without being asked.
    pub(crate) fn start(&mut self, piece: Bytes) -> BoxFuture<'static, Result<Encoded, CompressFailed>> {
        match self {
            Self::Plain => ready(Ok(Encoded::Plain(piece))).boxed(),
            Self::Gzip(gzip) => {
                let compressed = gzip.start(piece);
                async move { Ok(Encoded::Gzip(compressed.await??)) }.boxed()
            }
        }
    }

    /// Gives the bytes of an encoded piece to `write`; returns the piece, whose memory is free again.
    pub(crate) fn append(&mut self, encoded: Encoded, mut write: impl FnMut(&[u8])) -> Bytes {
        match (self, encoded) {
            (Self::Gzip(gzip), Encoded::Gzip(compressed)) => gzip.append(compressed, write),
            (_, Encoded::Plain(piece)) => {
                write(&piece);
                piece
            }
            // Encoded pieces come from the encoder that takes them in.
            (Self::Plain, Encoded::Gzip(_)) => Bytes::new(),
        }
    }

    /// Returns what follows the last piece of a stream of `length` bytes.
    pub(crate) fn finish(self, length: u64) -> Vec<u8> {
        match self {
            Self::Plain => Vec::new(),
            Self::Gzip(gzip) => gzip.finish(length),
        }
    }
}
