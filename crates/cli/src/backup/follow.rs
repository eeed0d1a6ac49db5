//! Follows a job by its record until nothing more will happen to it.

use std::time::{Duration, Instant};

use shared::models::BackupStatus;

use super::api::{Api, ApiError, Record, View};
use crate::progress::{ProgressLine, REFRESH};
use crate::text::{clock, cut, on_one_line, rate, size};

/// How often the record is read.
const PAUSE: Duration = Duration::from_secs(1);

/// How long an api may be away, or without the record, before following is given up.
const PATIENCE: Duration = Duration::from_mins(2);

/// The longest reason that fits into a line of progress, in characters.
const REASON: usize = 100;

/// Reads the record again and again, and returns it when the backup has ended.
pub(super) async fn to_the_end(api: &Api, database: &str, job: &str) -> Result<Record, ApiError> {
    let began = Instant::now();
    let mut line = ProgressLine::begin();
    let mut missed_since = None;
    loop {
        let seen = api.record(database, job).await.and_then(|found| found.ok_or(ApiError::NoRecord));
        let doing = match seen {
            Ok(record) if is_over(record.status) => return Ok(record),
            Ok(record) => {
                missed_since = None;
                doing(record.status, &record.view)
            }
            Err(error) => {
                let since = *missed_since.get_or_insert_with(Instant::now);
                if !error.is_passing() || since.elapsed() > PATIENCE {
                    return Err(error);
                }
                "no news from the api, trying again".to_owned()
            }
        };
        let again = Instant::now() + PAUSE;
        while Instant::now() < again {
            line.show(|| format!("{doing}, {}", clock(began.elapsed())));
            tokio::time::sleep(REFRESH).await;
        }
    }
}

/// Tells whether nothing more will happen.
fn is_over(status: BackupStatus) -> bool {
    match status {
        BackupStatus::Pending | BackupStatus::InProgress => false,
        BackupStatus::Completed | BackupStatus::Failed | BackupStatus::Cancelled => true,
    }
}

/// Says what is going on.
fn doing(status: BackupStatus, view: &View) -> String {
    if status == BackupStatus::Pending {
        let reason = view.error_message.as_deref().map(|reason| cut(&on_one_line(reason), REASON));
        return reason.map_or_else(
            || "waiting for a processor".to_owned(),
            |reason| format!("waiting to be tried again ({reason})"),
        );
    }
    let Some(dumped) = view.bytes_dumped.filter(|&bytes| bytes > 0) else { return "running".to_owned() };
    let mut parts = vec![format!("{} dumped", size(dumped))];
    parts.extend(view.bytes_uploaded.map(|uploaded| format!("{} stored", size(uploaded))));
    // The counters are as old as the last sign of life, so the time is taken until then.
    let time = view.started_at.zip(view.heartbeat_at).and_then(|(start, end)| (end - start).to_std().ok());
    parts.extend(time.and_then(|time| rate(dumped, time)));
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_has_bytes_and_their_rate() {
        let view = View {
            started_at: "2025-12-05T10:00:00Z".parse().ok(),
            heartbeat_at: "2025-12-05T10:00:10.5Z".parse().ok(),
            bytes_dumped: Some(21 << 20),
            bytes_uploaded: Some(3 << 20),
            ..View::default()
        };
        assert_eq!(doing(BackupStatus::InProgress, &view), "21.00 MB dumped, 3.00 MB stored, 2.00 MB/s");
    }

    #[test]
    fn an_api_that_tells_less_is_fine() {
        let view = View { bytes_dumped: Some(2048), ..View::default() };
        assert_eq!(doing(BackupStatus::InProgress, &view), "2.00 KB dumped");
        assert_eq!(doing(BackupStatus::InProgress, &View::default()), "running");
        assert_eq!(doing(BackupStatus::Pending, &View::default()), "waiting for a processor");
    }

    #[test]
    fn a_repeated_attempt_tells_why() {
        let view = View { error_message: Some("storage is\nbusy".to_owned()), ..View::default() };
        assert_eq!(doing(BackupStatus::Pending, &view), "waiting to be tried again (storage is busy)");
    }
}
