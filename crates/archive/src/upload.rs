//! Uploads a stream of bytes as blocks, several at a time within a budget of memory.

use std::error::Error;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use shared::storage::StorageError;

use crate::block::{Block, Blocks, MOST_BLOCKS, block_id, most_uploads};
use crate::digest::Digest;
use crate::error::ArchiveError;
use crate::progress::{Progress, count};
use crate::store::Destination;

/// An upload under way.
pub(crate) struct Upload<'a> {
    destination: &'a Destination<'a>,
    progress: &'a Progress,
    blocks: Blocks,
    staging: FuturesUnordered<BoxFuture<'a, Result<Bytes, StorageError>>>,
    digest: Digest,
    bytes: u64,
}

/// An upload whose blocks have all arrived.
pub(crate) struct Uploaded {
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    pub(crate) blocks: u32,
    pub(crate) block_ids: Vec<Vec<u8>>,
}

impl<'a> Upload<'a> {
    pub(crate) fn new(destination: &'a Destination<'a>, progress: &'a Progress) -> Self {
        Self {
            destination,
            progress,
            blocks: Blocks::default(),
            staging: FuturesUnordered::new(),
            digest: Digest::default(),
            bytes: 0,
        }
    }

    /// Tells whether a block that gets full now may be sent at once.
    pub(crate) fn has_room(&self) -> bool {
        self.staging.len() < most_uploads(self.blocks.number())
    }

    /// Takes bytes and begins to send the blocks that they have filled.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.bytes += count(bytes.len());
        for block in self.blocks.push(bytes) {
            self.stage(block);
        }
    }

    /// Waits for a block to arrive; `None` when none is under way.
    pub(crate) async fn next<E: Error + 'static>(&mut self) -> Option<Result<(), ArchiveError<E>>> {
        let staged = self.staging.next().await?;
        if self.blocks.number() > MOST_BLOCKS {
            return Some(Err(ArchiveError::TooLarge));
        }
        Some(match staged {
            Ok(content) => {
                self.progress.add_stored(content.len());
                self.blocks.reuse(content);
                Ok(())
            }
            Err(error) => Err(ArchiveError::Storage(error)),
        })
    }

    /// Sends what is left and waits for all blocks.
    pub(crate) async fn finish<E: Error + 'static>(mut self) -> Result<Uploaded, ArchiveError<E>> {
        if let Some(last) = self.blocks.take() {
            self.stage(last);
        }
        while let Some(staged) = self.next().await {
            staged?;
        }
        let blocks = self.blocks.number();
        let attempt = &self.destination.attempt;
        Ok(Uploaded {
            bytes: self.bytes,
            sha256: self.digest.finish(),
            blocks,
            block_ids: (0..blocks).map(|number| block_id(attempt, number)).collect(),
        })
    }

    fn stage(&mut self, Block { number, content }: Block) {
        let Destination { store, address, attempt, .. } = self.destination;
        let staged = async move {
            store.stage(address, &block_id(attempt, number), content.clone()).await?;
            Ok(content)
        };
        self.staging.push(staged.boxed());
    }
}
