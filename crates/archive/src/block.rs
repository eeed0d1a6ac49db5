//! The blocks that a blob is made of: their sizes, their identifiers, and how they are filled.
//!
//! A blob has 50,000 blocks at most
//! (<https://learn.microsoft.com/azure/storage/blobs/scalability-targets>), and a block is held in
//! memory until it is uploaded. Blocks therefore begin small and grow with the square of their
//! number: flat for ordinary sizes, and far enough for more than 10 TiB.

use bytes::{Bytes, BytesMut};

/// The most blocks that one blob gets; the service takes one more.
pub(crate) const MOST_BLOCKS: u32 = 49_999;

const MIB: usize = 1 << 20;
/// How many bytes of blocks may be on their way at once, unless a single one is larger.
const IN_FLIGHT: usize = 12 * MIB;
/// Buffers that are kept for reuse; more would only wait.
const SPARES: usize = 4;

/// Returns the size in bytes of the block with this number, counted from 0.
///
/// The first 2,000 blocks (8 GB of blob) have 4 MiB each. Number 10,000, which begins 125 GB into the
/// blob, has 29 MiB, and the last one 628 MiB; the service takes up to 4,000 MiB.
pub fn block_size(number: u32) -> usize {
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    MIB * (4 + number.saturating_mul(number) / 4_000_000)
}

/// Returns how many uploads may be under way while the block with this number is filled.
pub(crate) fn most_uploads(number: u32) -> usize {
    (IN_FLIGHT / block_size(number)).max(1)
}

/// Builds the identifier of a block. All have the same length, as the service demands, and no two
/// attempts share one, so that blocks of an earlier attempt never get into a blob.
pub(crate) fn block_id(attempt: &[u8; 16], number: u32) -> Vec<u8> {
    [attempt.as_slice(), &number.to_be_bytes()].concat()
}

/// A block that is full, or the last one.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) number: u32,
    pub(crate) content: Bytes,
}

/// Fills blocks with whatever comes and gives out the full ones.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    number: u32,
    filling: BytesMut,
    spares: Vec<BytesMut>,
}

impl Blocks {
    /// Returns the number of the block that is being filled, which is also how many are full.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Takes bytes; returns the blocks that they have filled, most often none.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Vec<Block> {
        let mut full = Vec::new();
        while !bytes.is_empty() {
            let size = block_size(self.number);
            if self.filling.capacity() == 0 {
                self.filling = self.spares.pop().unwrap_or_default();
            }
            self.filling.reserve(size.saturating_sub(self.filling.len()));
            let room = size.saturating_sub(self.filling.len());
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.filling.extend_from_slice(now);
            bytes = later;
            if self.filling.len() >= size {
                full.extend(self.take());
            }
        }
        full
    }

    /// Gives out what is left, as the last block.
    pub(crate) fn take(&mut self) -> Option<Block> {
        if self.filling.is_empty() {
            return None;
        }
        let content = std::mem::take(&mut self.filling).freeze();
        let number = self.number;
        self.number += 1;
        Some(Block { number, content })
    }

    /// Takes back the memory of an uploaded block, unless somebody still holds it.
    pub(crate) fn reuse(&mut self, content: Bytes) {
        if self.spares.len() < SPARES
            && let Ok(mut buffer) = content.try_into_mut()
        {
            buffer.clear();
            self.spares.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_blocks_hold_more_than_ten_tebibytes() {
        let total: usize = (0..MOST_BLOCKS).map(block_size).sum();
        assert!(total > 10 << 40, "{total}");
    }

    #[test]
    fn sizes_are_flat_at_first_and_never_shrink() {
        assert_eq!(block_size(0), 4 * MIB);
        assert_eq!(block_size(1_999), 4 * MIB);
        assert_eq!(block_size(10_000), 29 * MIB);
        assert_eq!(block_size(MOST_BLOCKS - 1), 628 * MIB);
        assert!((1..MOST_BLOCKS).all(|number| block_size(number) >= block_size(number - 1)));
    }

    #[test]
    fn uploads_stay_within_their_budget() {
        assert_eq!(most_uploads(0), 3);
        assert_eq!(most_uploads(MOST_BLOCKS), 1);
        assert!((0..MOST_BLOCKS).all(
            |number| most_uploads(number) == 1 || most_uploads(number) * block_size(number) <= IN_FLIGHT
        ));
    }

    #[test]
    fn identifiers_have_one_length_and_never_meet() {
        let (one, other) = ([1; 16], [2; 16]);
        assert_eq!(block_id(&one, 0).len(), block_id(&other, u32::MAX).len());
        assert_ne!(block_id(&one, 7), block_id(&other, 7));
        assert_ne!(block_id(&one, 7), block_id(&one, 8));
    }

    #[test]
    fn cuts_at_the_block_size_and_loses_nothing() {
        let mut blocks = Blocks::default();
        let content: Vec<u8> = (0..=255).cycle().take(9 * MIB + 7).collect();
        let mut found = Vec::new();
        let mut numbers = Vec::new();
        for part in content.chunks(700_001) {
            for block in blocks.push(part) {
                assert_eq!(block.content.len(), 4 * MIB);
                numbers.push(block.number);
                found.extend_from_slice(&block.content);
                blocks.reuse(block.content);
            }
        }
        let last = blocks.take();
        assert_eq!(last.as_ref().map(|block| (block.number, block.content.len())), Some((2, MIB + 7)));
        found.extend(last.into_iter().flat_map(|block| block.content));
        assert_eq!(numbers, [0, 1]);
        assert!(found == content);
        assert!(blocks.take().is_none());
    }

    #[test]
    fn reuses_memory_that_nobody_holds() {
        let mut blocks = Blocks::default();
        let full = blocks.push(&vec![1; 4 * MIB]);
        let content = full.into_iter().next().map(|block| block.content).unwrap_or_default();
        let held = content.clone();
        blocks.reuse(content);
        assert!(blocks.spares.is_empty());
        blocks.reuse(held);
        assert_eq!(blocks.spares.len(), 1);
    }
}
