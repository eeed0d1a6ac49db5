//! One gzip member, compressed by several threads.
//!
//! Each piece becomes raw deflate data that ends on a byte boundary (a sync flush), with the 32 KiB
//! before it as dictionary, so that matches reach across pieces. In their order, between one header
//! and one trailer, they are a single member that any reader takes (RFC 1951, RFC 1952). The
//! checksums of the pieces are combined into the member's.

use bytes::Bytes;
use flate2::{Compress, FlushCompress};
use tokio::task::JoinHandle;

use crate::error::CompressFailed;
use crate::progress::count;

/// As far as deflate can look back.
const WINDOW: usize = 32 << 10;

/// Magic number, deflate, no flags, no time, no hint, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// An empty final block, which ends the deflate data.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// Compresses pieces on other threads and puts the member together.
pub(crate) struct Gzip {
    level: flate2::Compression,
    dictionary: Bytes,
    idle: Vec<Worker>,
    checksum: crc32fast::Hasher,
    begun: bool,
}

/// What a thread needs to compress a piece; made once and used over and over.
struct Worker {
    compress: Compress,
    output: Vec<u8>,
}

/// A piece after its compression.
pub(crate) struct Compressed {
    piece: Bytes,
    checksum: crc32fast::Hasher,
    worker: Worker,
}

impl Gzip {
    pub(crate) fn new(level: u32) -> Self {
        Self {
            level: flate2::Compression::new(level.min(9)),
            dictionary: Bytes::new(),
            idle: Vec::new(),
            checksum: crc32fast::Hasher::new(),
            begun: false,
        }
    }

    /// Starts compressing a piece. Pieces are started, and their results appended, in order.
    pub(crate) fn start(&mut self, piece: Bytes) -> JoinHandle<Result<Compressed, CompressFailed>> {
        let mut worker = self
            .idle
            .pop()
            .unwrap_or_else(|| Worker { compress: Compress::new(self.level, false), output: Vec::new() });
        let tail = piece.len().saturating_sub(WINDOW);
        let dictionary = std::mem::replace(&mut self.dictionary, Bytes::copy_from_slice(&piece[tail..]));
        tokio::task::spawn_blocking(move || {
            worker.deflate(&piece, &dictionary)?;
            let mut checksum = crc32fast::Hasher::new();
            checksum.update(&piece);
            Ok(Compressed { piece, checksum, worker })
        })
    }

    /// Takes in a compressed piece: gives its bytes to `write` and returns the piece, whose memory
    /// is free again.
    pub(crate) fn append(&mut self, done: Compressed, mut write: impl FnMut(&[u8])) -> Bytes {
        if !self.begun {
            self.begun = true;
            write(&HEADER);
        }
        write(&done.worker.output);
        self.checksum.combine(&done.checksum);
        self.idle.push(done.worker);
        done.piece
    }

    /// Returns the end of the member, of which `length` bytes were compressed.
    pub(crate) fn finish(self, length: u64) -> Vec<u8> {
        let mut end = LAST_BLOCK.to_vec();
        end.extend(self.checksum.finalize().to_le_bytes());
        // The length is stored modulo 2^32.
        end.extend(&length.to_le_bytes()[..4]);
        end
    }
}

impl Worker {
    /// Compresses a piece into `output`, ending on a byte boundary.
    fn deflate(&mut self, piece: &[u8], dictionary: &[u8]) -> Result<(), flate2::CompressError> {
        self.compress.reset();
        if !dictionary.is_empty() {
            self.compress.set_dictionary(dictionary)?;
        }
        self.output.clear();
        loop {
            let consumed = usize::try_from(self.compress.total_in()).unwrap_or(usize::MAX).min(piece.len());
            let rest = &piece[consumed..];
            // Enough for poor ratios; the flush is complete when room is left.
            self.output.reserve(rest.len() / 4 + 1024);
            self.compress.compress_vec(rest, &mut self.output, FlushCompress::Sync)?;
            let all_in = self.compress.total_in() == count(piece.len());
            if all_in && self.output.len() < self.output.capacity() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::bufread::GzDecoder;

    use super::*;

    async fn compress(level: u32, pieces: &[Bytes]) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        let mut gzip = Gzip::new(level);
        let mut member = Vec::new();
        let started: Vec<_> = pieces.iter().map(|piece| gzip.start(piece.clone())).collect();
        for handle in started {
            let done = handle.await??;
            gzip.append(done, |bytes| member.extend_from_slice(bytes));
        }
        member.extend(gzip.finish(pieces.iter().map(|piece| count(piece.len())).sum()));
        Ok(member)
    }

    #[tokio::test]
    async fn is_one_member_at_every_level() -> Result<(), Box<dyn std::error::Error>> {
        let text: Bytes =
            (0..40_000_u32).flat_map(|row| format!("({row},'row {}'),", row * 7).into_bytes()).collect();
        let noise: Bytes = (0..100_000_u32).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        let pieces = [text.clone(), noise, Bytes::from_static(b"x"), text];
        for level in [0, 1, 6, 9, 99] {
            let member = compress(level, &pieces).await?;
            let mut decoder = GzDecoder::new(member.as_slice());
            let mut found = Vec::new();
            decoder.read_to_end(&mut found)?;
            assert!(found == pieces.concat(), "level {level}");
            assert!(decoder.into_inner().is_empty(), "bytes after the member at level {level}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn matches_reach_across_pieces() -> Result<(), Box<dyn std::error::Error>> {
        // Noise cannot be compressed, except that the second piece repeats the first.
        let mut state = 1_u64;
        let noise: Bytes = (0..WINDOW / 2)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                state.to_be_bytes()[0]
            })
            .collect();
        let once = compress(6, std::slice::from_ref(&noise)).await?.len();
        let twice = compress(6, &[noise.clone(), noise]).await?.len();
        assert!(twice < once + once / 10, "{once} {twice}");
        Ok(())
    }
}
