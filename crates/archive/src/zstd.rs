//! Frames of Zstandard, compressed by several threads, and back.
//!
//! Each piece becomes a frame with its own length and checksum; frames one after the other are one content
//! for any reader (RFC 8878, section 3.1). Nothing reaches across pieces, which therefore are larger than
//! those for gzip.

use bytes::{Buf as _, Bytes};
use tokio::task::JoinHandle;
use zstd::bulk::Compressor;
use zstd::stream::raw::{CParameter, Decoder, Operation as _};
use zstd::zstd_safe::compress_bound;

use crate::error::CompressFailed;

/// How much is decompressed at once.
const OUTPUT: usize = 256 << 10;

/// The levels that are offered; those beyond need far more memory.
const LEVELS: std::ops::RangeInclusive<i32> = 1..=19;

/// Compresses the pieces of one stream.
pub(crate) struct Zstd {
    level: i32,
    idle: Vec<Worker>,
}

/// A piece, compressed.
pub(crate) struct Frame {
    piece: Bytes,
    worker: Worker,
}

struct Worker {
    compressor: Compressor<'static>,
    output: Vec<u8>,
}

impl Zstd {
    /// Makes a compressor; levels outside of those that are offered are taken as the nearest one.
    pub(crate) fn new(level: i32) -> Self {
        Self { level: level.clamp(*LEVELS.start(), *LEVELS.end()), idle: Vec::new() }
    }

    /// Starts compressing a piece.
    pub(crate) fn start(&mut self, piece: Bytes) -> JoinHandle<Result<Frame, CompressFailed>> {
        let (level, idle) = (self.level, self.idle.pop());
        tokio::task::spawn_blocking(move || {
            let mut worker = match idle {
                Some(worker) => worker,
                None => Worker::new(level)?,
            };
            worker.output.clear();
            worker.output.reserve(compress_bound(piece.len()));
            worker.compressor.compress_to_buffer(&piece, &mut worker.output).map_err(CompressFailed::Zstd)?;
            Ok(Frame { piece, worker })
        })
    }

    /// Takes in a frame: gives its bytes to `write` and returns the piece, whose memory is free again.
    pub(crate) fn append(&mut self, frame: Frame, mut write: impl FnMut(&[u8])) -> Bytes {
        write(&frame.worker.output);
        self.idle.push(frame.worker);
        frame.piece
    }
}

impl Worker {
    fn new(level: i32) -> Result<Self, CompressFailed> {
        let mut compressor = Compressor::new(level).map_err(CompressFailed::Zstd)?;
        compressor.set_parameter(CParameter::ChecksumFlag(true)).map_err(CompressFailed::Zstd)?;
        Ok(Self { compressor, output: Vec::new() })
    }
}

/// Decompresses frames as they come.
pub(crate) struct Frames {
    decoder: Decoder<'static>,
    /// The frame has ended with what was read last, or none has begun.
    between: bool,
    /// The decoder may hold more output than it had room for.
    holds: bool,
}

impl Frames {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self { decoder: Decoder::new()?, between: true, holds: false })
    }

    /// Decompresses some of the input, which is shortened by what was taken.
    pub(crate) fn decode(&mut self, input: &mut Bytes) -> std::io::Result<Bytes> {
        let mut output = vec![0; OUTPUT];
        let mut written = 0;
        while written < OUTPUT && (self.holds || !input.is_empty()) {
            if self.between && !self.holds {
                self.decoder.reinit()?;
            }
            let status = self.decoder.run_on_buffers(input, &mut output[written..])?;
            input.advance(status.bytes_read);
            written += status.bytes_written;
            self.between = status.remaining == 0;
            self.holds = !self.between && written == OUTPUT;
        }
        output.truncate(written);
        Ok(output.into())
    }

    /// Returns what was held back, part by part, until it is empty; fails when a frame has not ended.
    pub(crate) fn finish(&mut self) -> std::io::Result<Bytes> {
        let mut rest = Vec::new();
        while self.holds {
            rest.extend_from_slice(&self.decode(&mut Bytes::new())?);
        }
        if self.between { Ok(rest.into()) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn compress(level: i32, pieces: &[Bytes]) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        let mut zstd = Zstd::new(level);
        let mut written = Vec::new();
        let started: Vec<_> = pieces.iter().map(|piece| zstd.start(piece.clone())).collect();
        for handle in started {
            let frame = handle.await??;
            zstd.append(frame, |bytes| written.extend_from_slice(bytes));
        }
        Ok(written)
    }

    fn pieces() -> [Bytes; 4] {
        let text: Bytes =
            (0..40_000_u32).flat_map(|row| format!("({row},'row {}'),", row * 7).into_bytes()).collect();
        let noise: Bytes = (0..100_000_u32).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        let zeros = Bytes::from(vec![0; 3 * OUTPUT]);
        [text, noise, Bytes::from_static(b"x"), zeros]
    }

    fn decompress(bytes: &[u8], cut: usize) -> std::io::Result<Vec<u8>> {
        let mut frames = Frames::new()?;
        let mut found = Vec::new();
        for chunk in bytes.chunks(cut) {
            let mut chunk = Bytes::copy_from_slice(chunk);
            while !chunk.is_empty() {
                found.extend_from_slice(&frames.decode(&mut chunk)?);
            }
        }
        found.extend_from_slice(&frames.finish()?);
        Ok(found)
    }

    #[tokio::test]
    async fn any_reader_takes_the_frames_as_one_content() -> Result<(), Box<dyn std::error::Error>> {
        let pieces = pieces();
        for level in [-7, 1, 3, 19, 99] {
            let written = compress(level, &pieces).await?;
            assert!(zstd::stream::decode_all(written.as_slice())? == pieces.concat(), "level {level}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn cuts_do_not_matter_and_a_missing_end_is_noticed() -> Result<(), Box<dyn std::error::Error>> {
        let pieces = pieces();
        let written = compress(3, &pieces).await?;
        for cut in [1, 7, 4096, 1 << 20] {
            assert!(decompress(&written, cut)? == pieces.concat(), "{cut}");
        }
        assert!(decompress(&written[..written.len() - 1], 4096).is_err());
        let mut flipped = written.clone();
        flipped[written.len() / 2] ^= 4;
        assert!(decompress(&flipped, 4096).is_err());
        Ok(())
    }
}
