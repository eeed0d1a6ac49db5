//! Cuts a stream of chunks of any size into pieces of one size.
//!
//! A piece is what one worker compresses: large enough that the handing over does not count, small
//! enough that a few of them do not count either.

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _};

use crate::progress::{Progress, count};

const SPARES: usize = 2;

/// The pieces of a stream.
pub(crate) struct Pieces<S> {
    chunks: S,
    /// The size of a piece in bytes; only the last one is smaller.
    size: usize,
    /// What is left of a chunk that did not fit.
    rest: Bytes,
    filling: BytesMut,
    spares: Vec<BytesMut>,
    progress: Progress,
    total: u64,
}

impl<S, E> Pieces<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    pub(crate) fn new(chunks: S, size: usize, progress: Progress) -> Self {
        Self {
            chunks,
            size,
            rest: Bytes::new(),
            filling: BytesMut::new(),
            spares: Vec::new(),
            progress,
            total: 0,
        }
    }

    /// Returns the next piece, which is never empty. A call that is given up loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, E>> {
        loop {
            if self.filling.capacity() == 0 {
                self.filling = self.spares.pop().unwrap_or_else(|| BytesMut::with_capacity(self.size));
            }
            let room = self.size.saturating_sub(self.filling.len());
            let now = self.rest.split_to(room.min(self.rest.len()));
            self.filling.extend_from_slice(&now);
            if self.filling.len() >= self.size {
                return Some(Ok(self.take()));
            }
            match self.chunks.next().await {
                Some(Ok(chunk)) => {
                    self.progress.add_dumped(chunk.len());
                    self.total += count(chunk.len());
                    self.rest = chunk;
                }
                Some(Err(error)) => return Some(Err(error)),
                None if self.filling.is_empty() => return None,
                None => return Some(Ok(self.take())),
            }
        }
    }

    /// Returns how many bytes have come so far.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.filling).freeze()
    }

    /// Takes back the memory of a piece that is done with, unless somebody still holds it.
    pub(crate) fn reuse(&mut self, piece: Bytes) {
        if self.spares.len() < SPARES
            && let Ok(mut buffer) = piece.try_into_mut()
        {
            buffer.clear();
            self.spares.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;

    use super::*;

    const PIECE: usize = 512 << 10;

    async fn cut(lengths: &[usize]) -> Vec<usize> {
        let chunks = lengths.iter().map(|length| Ok::<_, Infallible>(Bytes::from(vec![1; *length])));
        let progress = Progress::default();
        let mut pieces = Pieces::new(stream::iter(chunks), PIECE, progress.clone());
        let mut found = Vec::new();
        while let Some(Ok(piece)) = pieces.next().await {
            found.push(piece.len());
            pieces.reuse(piece);
        }
        assert_eq!(progress.dumped_bytes(), lengths.iter().sum::<usize>() as u64);
        found
    }

    #[tokio::test]
    async fn cuts_pieces_of_one_size() {
        assert_eq!(cut(&[]).await, [0; 0]);
        assert_eq!(cut(&[0, 0]).await, [0; 0]);
        assert_eq!(cut(&[1, 2]).await, [3]);
        assert_eq!(cut(&[PIECE]).await, [PIECE]);
        assert_eq!(cut(&[PIECE - 1, 2, 0]).await, [PIECE, 1]);
        assert_eq!(cut(&[3 * PIECE + 1, PIECE]).await, [PIECE, PIECE, PIECE, PIECE, 1]);
    }
}
