//! How jobs have failed, with no more of their records than that takes.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::StorageError;
use super::backups::{BackupFilter, Backups};
use super::rows::Reader;
use super::table::Query;
use crate::models::{Backup, BackupStatus, JobId};

/// What of a record must be known to tell how it failed.
const COLUMNS: [&str; 6] = ["job_id", "status", "error_details", "started_at", "completed_at", "created_at"];

/// How a job has failed for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRun {
    /// The class of the failure.
    pub class: Option<String>,
    /// When the last attempt began: it went by the configuration of then.
    pub began_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
}

impl FailedRun {
    /// Returns how the job of a record has failed, if it has.
    pub fn of(backup: &Backup) -> Option<Self> {
        let failure = backup.failure().filter(|_| backup.status() == BackupStatus::Failed)?;
        let run = backup.run();
        let ended_at = run.finished_at.unwrap_or(backup.created_at);
        let began_at = run.started_at.unwrap_or(ended_at);
        Some(Self { class: failure.class.clone(), began_at, ended_at })
    }
}

impl Backups {
    /// Reads how these jobs have failed, as far as their records were made on the day of `since` or later.
    ///
    /// An outage leaves far more failed records than there are jobs that matter, so a page is gone through
    /// before the next one is read, and nothing of the others is kept.
    pub async fn failed_among(
        &self,
        jobs: &HashSet<&JobId>,
        since: DateTime<Utc>,
    ) -> Result<HashMap<JobId, FailedRun>, StorageError> {
        let filter = BackupFilter {
            statuses: vec![BackupStatus::Failed],
            from: Some(since),
            ..BackupFilter::default()
        };
        let query = Query { select: COLUMNS.to_vec(), ..filter.query() };
        let _asking = self.days.priority.ask();
        let (mut failed, mut from) = (HashMap::new(), None);
        loop {
            let page = self.table.query(&query, from.as_ref()).await?;
            for entity in &page.entities {
                let row = Reader(entity);
                let Ok(job) = row.parse::<JobId>("job_id") else { continue };
                let Some(ended_at) = row.instant("completed_at").or_else(|| row.instant("created_at")) else {
                    continue;
                };
                if jobs.contains(&job) {
                    let began_at = row.instant("started_at").unwrap_or(ended_at);
                    let class = row.owned("error_details");
                    failed.insert(job, FailedRun { class, began_at, ended_at });
                }
            }
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(failed),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::super::MemoryTable;
    use super::super::claims_test::world::{at, job};
    use super::*;
    use crate::clock::Clock;
    use crate::models::{BackupState, Failure, Run};

    #[tokio::test]
    async fn of_many_failures_over_many_pages_only_those_of_the_jobs_are_kept() {
        let backups = Backups::over(MemoryTable::default(), Clock::system());
        let failed = |id: String, class: &str| {
            let failure = Failure::new(class, "gone".repeat(100));
            let run = Run::between(at(10), at(20));
            Backup { state: BackupState::Failed { run, failure }, ..job(&id).record() }
        };
        for number in 0..2100 {
            backups.insert(&failed(format!("other-{number}"), "Storage")).await.unwrap();
        }
        backups.insert(&failed("mine".to_owned(), "Credentials")).await.unwrap();
        backups.insert(&job("waits").record()).await.unwrap();
        let jobs: Vec<JobId> = ["mine", "waits", "never"].map(|id| id.parse().unwrap()).into();
        let found = backups.failed_among(&jobs.iter().collect(), at(0)).await.unwrap();
        let class = Some("Credentials".to_owned());
        let expected = FailedRun { class, began_at: at(10), ended_at: at(20) };
        assert_eq!(found, HashMap::from([(jobs[0].clone(), expected.clone())]));
        let record = backups.made_for(&jobs[0]).await.unwrap().unwrap();
        assert_eq!(FailedRun::of(&record), Some(expected), "asked for alone, it is the same");
        let later = at(86_400);
        assert_eq!(backups.failed_among(&jobs.iter().collect(), later).await.unwrap(), HashMap::new());
    }
}
