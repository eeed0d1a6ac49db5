//! How far a running transfer has come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The counters of one transfer, cheap to read from another task. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    dumped: AtomicU64,
    stored: AtomicU64,
}

impl Progress {
    /// Returns the bytes on the database's side: read from the dump, or given out to be restored.
    pub fn dumped_bytes(&self) -> u64 {
        self.0.dumped.load(Ordering::Relaxed)
    }

    /// Returns the bytes on the blob's side: uploaded, or downloaded.
    pub fn stored_bytes(&self) -> u64 {
        self.0.stored.load(Ordering::Relaxed)
    }

    pub(crate) fn add_dumped(&self, bytes: usize) {
        self.0.dumped.fetch_add(count(bytes), Ordering::Relaxed);
    }

    pub(crate) fn add_stored(&self, bytes: usize) {
        self.0.stored.fetch_add(count(bytes), Ordering::Relaxed);
    }
}

/// Widens a length; lengths in memory always fit.
pub(crate) fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
