//! The wish that a host stops, as its parts see it.

use tokio::sync::watch;

/// Tells whether the host is to stop. Clones see the same.
#[derive(Debug, Clone)]
pub(crate) struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Follows a switch.
    pub(crate) fn of(switch: &watch::Sender<bool>) -> Self {
        Self(switch.subscribe())
    }

    /// Tells whether the stop has been asked for.
    pub(crate) fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the stop is asked for, or nobody is left to ask.
    pub(crate) async fn asked(&mut self) {
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}
