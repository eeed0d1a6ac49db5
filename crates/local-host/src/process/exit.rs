//! What follows from the end of a handler process.
//!
//! Exit code 0 is no error and is not followed by a restart: each later invocation fails until the
//! host itself is restarted. 200 asks for a restart. All else is an error; at the third one the
//! host stops itself. The count starts anew when half an hour lies between two errors.

use std::time::Duration;

use tokio::time::Instant;

const ERRORS_ALLOWED: u32 = 3;
const FORGIVEN_AFTER: Duration = Duration::from_mins(30);
const RESTART_CODE: i32 = 200;

/// How a handler process ended, or failed to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It exited.
    Exited(i32),
    /// A signal ended it.
    Killed(i32),
    /// It did not answer in time after its start.
    Silent,
}

/// What the host does about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Nothing.
    Leave,
    /// Starts the handler again.
    Restart,
    /// Stops itself.
    StopHost,
}

/// The errors of a handler so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Strikes {
    count: u32,
    last: Option<Instant>,
}

impl Strikes {
    /// Counts the end of a handler and decides what follows.
    pub(crate) fn react(&mut self, end: End, now: Instant) -> Reaction {
        match end {
            End::Exited(0) => Reaction::Leave,
            End::Exited(RESTART_CODE) => Reaction::Restart,
            End::Exited(_) | End::Killed(_) | End::Silent => {
                if self.last.is_some_and(|last| now.duration_since(last) > FORGIVEN_AFTER) {
                    self.count = 0;
                }
                self.count += 1;
                self.last = Some(now);
                if self.count < ERRORS_ALLOWED { Reaction::Restart } else { Reaction::StopHost }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_left_alone_and_200_restarts_for_ever() {
        let (mut strikes, now) = (Strikes::default(), Instant::now());
        for _ in 0..10 {
            assert_eq!(strikes.react(End::Exited(0), now), Reaction::Leave);
            assert_eq!(strikes.react(End::Exited(200), now), Reaction::Restart);
        }
    }

    #[test]
    fn the_third_error_stops_the_host() {
        let (mut strikes, now) = (Strikes::default(), Instant::now());
        assert_eq!(strikes.react(End::Exited(1), now), Reaction::Restart);
        assert_eq!(strikes.react(End::Killed(9), now), Reaction::Restart);
        assert_eq!(strikes.react(End::Silent, now), Reaction::StopHost);
    }

    #[test]
    fn errors_are_forgiven_after_half_an_hour() {
        let (mut strikes, mut now) = (Strikes::default(), Instant::now());
        for _ in 0..10 {
            assert_eq!(strikes.react(End::Exited(3), now), Reaction::Restart);
            now += Duration::from_mins(31);
        }
    }
}
