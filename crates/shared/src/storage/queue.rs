//! The seam for queues. Receiving is the Functions host's business, so the product only sends.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::StorageError;

/// The longest text of a message, in bytes. The service's own limit.
pub const LONGEST_MESSAGE: usize = 65_536;

/// How many messages can be looked at with one request. The service's own limit.
pub(super) const MOST_PEEKED: usize = 32;

/// One queue, written to. Texts are sent as they are, without base64, which is what the host's
/// `messageEncoding: none` expects.
#[async_trait]
pub trait Queue: fmt::Debug + Send + Sync {
    /// Makes the queue; one that exists is fine.
    async fn create(&self) -> Result<(), StorageError>;

    /// Sends a text that becomes visible after `delay`; returns the message's id.
    async fn send(&self, text: &str, delay: Duration) -> Result<String, StorageError>;

    /// Returns about how many messages wait.
    async fn depth(&self) -> Result<u64, StorageError>;

    /// Returns the texts of those that come next, some dozens at most, and leaves them where they are. What
    /// is delayed, or being worked on, is not among them.
    async fn peek(&self) -> Result<Vec<String>, StorageError>;
}

/// A queue in memory, for tests. Clones share their messages.
#[derive(Debug, Clone, Default)]
pub struct MemoryQueue {
    messages: Arc<Mutex<Vec<(String, Duration)>>>,
}

impl MemoryQueue {
    /// Takes all messages out, each with its delay.
    pub fn take(&self) -> Vec<(String, Duration)> {
        std::mem::take(&mut *self.messages.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn create(&self) -> Result<(), StorageError> {
        Ok(())
    }

    async fn send(&self, text: &str, delay: Duration) -> Result<String, StorageError> {
        if text.len() > LONGEST_MESSAGE {
            return Err(StorageError::new(
                super::StorageErrorKind::Invalid,
                "send",
                "a message of more than 64 KiB",
            ));
        }
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.push((text.to_owned(), delay));
        Ok(format!("memory-{}", messages.len()))
    }

    async fn depth(&self) -> Result<u64, StorageError> {
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(u64::try_from(messages.len()).unwrap_or(u64::MAX))
    }

    async fn peek(&self) -> Result<Vec<String>, StorageError> {
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let visible = messages.iter().filter(|(_, delay)| delay.is_zero());
        Ok(visible.take(MOST_PEEKED).map(|(text, _)| text.clone()).collect())
    }
}
