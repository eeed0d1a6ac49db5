//! Shows how far a backup has been read, until it is done or Ctrl-C is pressed.

use std::pin::pin;
use std::time::{Duration, Instant};

use archive::Progress;
use tokio::time::sleep;

use crate::ending::ControlC;
use crate::progress::{ProgressLine, REFRESH};
use crate::text::{clock, rate, size};

/// Waits for the work, and returns its result, or nothing after Ctrl-C. Whatever is not done by then is
/// dropped.
pub(crate) async fn watched<T>(progress: &Progress, total: u64, work: impl Future<Output = T>) -> Option<T> {
    let began = Instant::now();
    let mut line = ProgressLine::begin();
    let mut work = pin!(work);
    let mut control_c = ControlC::listen();
    loop {
        tokio::select! {
            biased;
            () = control_c.pressed() => return None,
            result = &mut work => return Some(result),
            () = sleep(REFRESH) => line.show(|| {
                far(progress.stored_bytes(), total, progress.dumped_bytes(), began.elapsed())
            }),
        }
    }
}

/// Says how far it has come.
fn far(read: u64, total: u64, given: u64, time: Duration) -> String {
    let of_total = if read >= total {
        format!("all {} read, loading the rest", size(total))
    } else {
        let percent = u128::from(read) * 100 / u128::from(total.max(1));
        format!("{} of {} read ({percent} %)", size(read), size(total))
    };
    let mut parts = vec![of_total, format!("{} of SQL", size(given))];
    parts.extend(rate(given, time));
    parts.push(clock(time));
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_has_both_sides_and_the_rate() {
        insta::assert_snapshot!(far(1 << 20, 3 << 20, 10 << 20, Duration::from_secs(5)), @"1.00 MB of 3.00 MB read (33 %), 10.00 MB of SQL, 2.00 MB/s, 0:05");
        insta::assert_snapshot!(far(3 << 20, 3 << 20, 30 << 20, Duration::from_secs(90)), @"all 3.00 MB read, loading the rest, 30.00 MB of SQL, 341.33 KB/s, 1:30");
        insta::assert_snapshot!(far(0, 3 << 20, 0, Duration::ZERO), @"0 B of 3.00 MB read (0 %), 0 B of SQL, 0:00");
    }

    #[tokio::test]
    async fn work_that_is_done_is_returned_at_once() {
        assert_eq!(watched(&Progress::default(), 1, async { 7 }).await, Some(7));
    }
}
