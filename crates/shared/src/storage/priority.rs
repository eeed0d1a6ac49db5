//! Way for those who wait: reading a whole table stands aside while somebody's question is answered.
//!
//! A first count reads everything. The storage emulator, and an account near its limit, answer one
//! request after the other, so without this a list waits behind the count's requests.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How long one page of a long reading stands aside at most, so that it comes to an end under any load.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Counts who asks. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Priority {
    asking: watch::Sender<usize>,
}

/// Somebody's question, until it is dropped.
#[derive(Debug)]
#[must_use = "way is given while this lives"]
pub struct Asking(watch::Sender<usize>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.send_modify(|asking| *asking = asking.saturating_sub(1));
    }
}

impl Priority {
    /// Says that somebody waits for an answer.
    pub(super) fn ask(&self) -> Asking {
        self.asking.send_modify(|asking| *asking += 1);
        Asking(self.asking.clone())
    }

    /// Waits until nobody asks, for a while.
    pub(super) async fn give_way(&self) {
        let mut asking = self.asking.subscribe();
        // The sender is held here, so the only other outcome is that the time is over.
        let nobody = async { asking.wait_for(|asking| *asking == 0).await.is_ok() };
        let _over = timeout(LONGEST_WAIT, nobody).await;
    }
}

/// Tells those who wait for a page that a whole table is being read, which takes longer than they wait.
/// Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct LongReading(watch::Sender<bool>);

/// How long a page waits when a whole table is being read: a small one has been read by then.
const SHORT_PATIENCE: Duration = Duration::from_millis(300);

/// The reading of a whole table, until it is dropped.
#[derive(Debug)]
#[must_use = "the reading is under way while this lives"]
pub(super) struct UnderWay(watch::Sender<bool>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}

impl LongReading {
    /// Says that the reading begins.
    pub(super) fn begin(&self) -> UnderWay {
        self.0.send_replace(true);
        UnderWay(self.0.clone())
    }

    /// Waits for as long as it makes sense to wait for what is being read, at most `patience`.
    pub(super) async fn patience(&self, patience: Duration) {
        let mut under_way = self.0.subscribe();
        // The guard of the value must not be held while waiting on.
        let begun = async { under_way.wait_for(|under_way| *under_way).await.is_ok() };
        tokio::select! {
            () = sleep(patience) => {}
            _begun = begun => sleep(SHORT_PATIENCE.min(patience)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_long_reading_goes_on_when_the_last_question_is_answered_or_after_a_while() {
        let priority = Priority::default();
        let began = Instant::now();
        priority.give_way().await;
        assert_eq!(began.elapsed(), Duration::ZERO);

        let [first, second] = [priority.ask(), priority.ask()];
        let waiting = tokio::spawn({
            let priority = priority.clone();
            async move { priority.give_way().await }
        });
        drop(first);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(second);
        assert!(waiting.await.is_ok());
        assert_eq!(began.elapsed(), Duration::ZERO);

        let _third = priority.ask();
        priority.give_way().await;
        assert_eq!(began.elapsed(), LONGEST_WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_long_for_a_whole_table() {
        let patience = Duration::from_secs(1);
        let reading = LongReading::default();
        let waited = async || {
            let began = Instant::now();
            reading.patience(patience).await;
            began.elapsed()
        };
        assert_eq!(waited().await, patience);
        let under_way = reading.begin();
        assert_eq!(waited().await, SHORT_PATIENCE);
        drop(under_way);
        assert_eq!(waited().await, patience);
    }
}
