//! The step between pieces and blocks: compression, or none.

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};

use crate::compression::Compression;
use crate::error::CompressFailed;
use crate::gzip::{Compressed, Gzip};
use crate::zstd::{Frame, Zstd};

/// Encodes the pieces of one stream.
pub(crate) enum Encoder {
    Plain,
    Gzip(Gzip),
    Zstd(Zstd),
}

/// An encoded piece, to be appended in its turn.
pub(crate) enum Encoded {
    Plain(Bytes),
    Gzip(Compressed),
    Zstd(Frame),
}

impl Encoder {
    pub(crate) fn new(compression: Compression) -> Self {
        match compression {
            Compression::None => Self::Plain,
            Compression::Gzip { level } => Self::Gzip(Gzip::new(level)),
            Compression::Zstd { level } => Self::Zstd(Zstd::new(level)),
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
            Self::Zstd(zstd) => {
                let frame = zstd.start(piece);
                async move { Ok(Encoded::Zstd(frame.await??)) }.boxed()
            }
        }
    }

    /// Gives the bytes of an encoded piece to `write`; returns the piece, whose memory is free again.
    pub(crate) fn append(&mut self, encoded: Encoded, mut write: impl FnMut(&[u8])) -> Bytes {
        match (self, encoded) {
            (Self::Gzip(gzip), Encoded::Gzip(compressed)) => gzip.append(compressed, write),
            (Self::Zstd(zstd), Encoded::Zstd(frame)) => zstd.append(frame, write),
            (_, Encoded::Plain(piece)) => {
                write(&piece);
                piece
            }
            // Encoded pieces come from the encoder that takes them in.
            (Self::Plain | Self::Zstd(_), Encoded::Gzip(_))
            | (Self::Plain | Self::Gzip(_), Encoded::Zstd(_)) => Bytes::new(),
        }
    }

    /// Returns what follows the last piece of a stream of `length` bytes.
    pub(crate) fn finish(self, length: u64) -> Vec<u8> {
        match self {
            Self::Plain | Self::Zstd(_) => Vec::new(),
            Self::Gzip(gzip) => gzip.finish(length),
        }
    }
}
