//! Queues that fail on purpose, for tests.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::script::Script;
use super::{Fault, Queue, StorageError};

/// The operations that can be told to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum QueueCall {
    /// [`Queue::create`].
    Create,
    /// [`Queue::send`].
    Send,
    /// [`Queue::depth`].
    Depth,
    /// [`Queue::peek`].
    Peek,
}

/// A queue whose calls fail as scripted. Clones share script and counts.
#[derive(Debug, Clone)]
pub struct FaultyQueue {
    inner: Arc<dyn Queue>,
    script: Script<QueueCall>,
}

impl FaultyQueue {
    /// Wraps a queue; without a script, calls pass through.
    pub fn new(inner: impl Queue + 'static) -> Self {
        Self { inner: Arc::new(inner), script: Script::default() }
    }

    /// Makes the `nth` call of one kind fail, counted from 1.
    #[must_use]
    pub fn with(self, call: QueueCall, nth: u64, fault: Fault) -> Self {
        self.script.add(call, nth, fault);
        self
    }

    /// Returns how many calls of one kind have come in.
    pub fn calls(&self, call: QueueCall) -> u64 {
        self.script.calls(call)
    }
}

#[async_trait]
impl Queue for FaultyQueue {
    async fn create(&self) -> Result<(), StorageError> {
        self.script.play(QueueCall::Create, "create", self.inner.create()).await
    }

    async fn send(&self, text: &str, delay: Duration) -> Result<String, StorageError> {
        self.script.play(QueueCall::Send, "send", self.inner.send(text, delay)).await
    }

    async fn depth(&self) -> Result<u64, StorageError> {
        self.script.play(QueueCall::Depth, "count", self.inner.depth()).await
    }

    async fn peek(&self) -> Result<Vec<String>, StorageError> {
        self.script.play(QueueCall::Peek, "peek", self.inner.peek()).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MemoryQueue, StorageErrorKind};
    use super::*;

    #[tokio::test]
    async fn passes_the_conformance_suite_without_a_script() {
        super::super::conformance::queue(&FaultyQueue::new(MemoryQueue::default())).await;
    }

    #[tokio::test]
    async fn fails_the_scripted_call_alone() {
        let memory = MemoryQueue::default();
        let kind = StorageErrorKind::Unavailable;
        let queue = FaultyQueue::new(memory.clone()).with(QueueCall::Send, 1, Fault::Refuse(kind)).with(
            QueueCall::Send,
            2,
            Fault::Lose(kind),
        );
        for text in ["refused", "lost"] {
            let sent = queue.send(text, Duration::ZERO).await;
            assert_eq!(sent.map_err(|error| error.kind()), Err(kind), "{text}");
        }
        assert!(queue.send("sent", Duration::ZERO).await.is_ok());
        let texts: Vec<String> = memory.take().into_iter().map(|(text, _)| text).collect();
        assert_eq!(texts, ["lost", "sent"]);
        assert_eq!(queue.calls(QueueCall::Send), 3);
    }
}
