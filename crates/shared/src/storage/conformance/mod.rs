//! What every implementation of a storage seam must do, as a library.
//!
//! Each suite takes the implementation, uses containers or partitions of its own and panics at the
//! first difference. The versions in memory pass in this crate's tests, the others against an
//! emulator.

mod blob;
mod queue;
mod table;
mod table_filters;

pub use blob::blob_store;
pub use queue::{ODD_MESSAGES, queue};
pub use table::table;

#[cfg(test)]
mod tests {
    use super::super::{MemoryQueue, MemoryTable};

    #[tokio::test]
    async fn the_table_in_memory_passes() {
        super::table(&MemoryTable::default()).await;
    }

    #[tokio::test]
    async fn the_queue_in_memory_passes() {
        super::queue(&MemoryQueue::default()).await;
    }
}
