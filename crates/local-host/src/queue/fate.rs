//! The decisions of the queue loop: how long to pause, and what becomes of a message.

use std::time::Duration;

/// The shortest pause between two looks at a queue.
const SHORTEST: Duration = Duration::from_millis(100);

/// The pause between two looks at an empty queue: grows twofold, with a random part of a fifth.
#[derive(Debug, Clone)]
pub(crate) struct Pause {
    longest: Duration,
    empty_looks: u32,
}

impl Pause {
    /// Starts with the shortest pause.
    pub(crate) fn new(longest: Duration) -> Self {
        Self { longest, empty_looks: 0 }
    }

    /// Returns the pause after a look that found something.
    pub(crate) fn after_messages(&mut self) -> Duration {
        self.empty_looks = 0;
        SHORTEST.min(self.longest)
    }

    /// Returns the pause after a look that found nothing. `random` is between 0 and 1.
    pub(crate) fn after_nothing(&mut self, random: f64) -> Duration {
        let growth = f64::from(2_u32.saturating_pow(self.empty_looks.min(31)) - 1);
        self.empty_looks = self.empty_looks.saturating_add(1);
        let pause = SHORTEST + SHORTEST.mul_f64(growth * (0.8 + 0.4 * random));
        pause.min(self.longest)
    }
}

/// What becomes of a message after a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is done.
    Delete,
    /// It goes to the poison queue.
    Poison,
    /// It is seen again after the retry delay.
    Release,
    /// Nothing; it is seen again when the lease ends.
    Leave,
}

/// Tells whether a message is tried at all. Without a poison queue there is no limit.
pub(crate) fn is_tried(dequeue_count: i64, most: i64, has_poison: bool) -> bool {
    !has_poison || dequeue_count <= most
}

/// Decides what becomes of a message that was tried.
pub(crate) fn after_try(succeeded: bool, dequeue_count: i64, most: i64, has_poison: bool) -> Fate {
    match (succeeded, has_poison) {
        (true, _) => Fate::Delete,
        (false, false) => Fate::Leave,
        (false, true) if dequeue_count >= most => Fate::Poison,
        (false, true) => Fate::Release,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_fall_back() {
        let mut pause = Pause::new(Duration::from_secs(2));
        let pauses: Vec<u128> = (0..8).map(|_| pause.after_nothing(0.5).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 2000, 2000, 2000]);
        assert_eq!(pause.after_messages(), Duration::from_millis(100));
        assert_eq!(pause.after_nothing(0.5), Duration::from_millis(100));
        for _ in 0..100 {
            assert!(pause.after_nothing(0.999) <= Duration::from_secs(2));
        }
    }

    #[test]
    fn a_message_is_tried_as_often_as_allowed() {
        assert!(is_tried(3, 3, true));
        assert!(!is_tried(4, 3, true));
        assert!(is_tried(400, 3, false));
        assert_eq!(after_try(true, 9, 3, true), Fate::Delete);
        assert_eq!(after_try(false, 2, 3, true), Fate::Release);
        assert_eq!(after_try(false, 3, 3, true), Fate::Poison);
        assert_eq!(after_try(false, 3, 3, false), Fate::Leave);
    }
}
