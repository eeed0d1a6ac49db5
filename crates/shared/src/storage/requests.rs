//! Requests that name themselves, so that one that is repeated has its effect once.
//!
//! A request reserves its name before it does anything, with the ids and the time of the job that it
//! will make. Whoever repeats it, in whatever program, makes the same job with the same record, and
//! once the job is queued the answer is all that is left to give.

use chrono::{DateTime, TimeDelta, Utc};

use super::backups::Backups;
use super::rows::{Reader, date_time};
use super::table::{Entity, Expect, Key, Properties};
use super::{StorageError, StorageErrorKind};
use crate::models::{BackupId, DatabaseId, JobId, derived_text};

/// How long a reservation that came to nothing keeps its time. A record that was made with an older
/// one would soon be taken for one that nobody works on.
const KEPT: TimeDelta = TimeDelta::minutes(30);

const TRIES: usize = 5;

/// A reserved request for a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupRequest {
    /// The job that it makes.
    pub job_id: JobId,
    /// The record of that job.
    pub backup_id: BackupId,
    /// When the job is made.
    pub created_at: DateTime<Utc>,
    /// The job that was answered, if that has happened.
    pub answered: Option<JobId>,
    /// Whether an earlier request had reserved the name.
    pub repeated: bool,
    key: Key,
}

impl Backups {
    /// Reserves the name of a request for a backup of a database.
    pub async fn reserve_request(
        &self,
        database: &DatabaseId,
        name: &str,
        now: DateTime<Utc>,
    ) -> Result<BackupRequest, StorageError> {
        let key = Key::new(format!("request:{}", derived_text(&[database.as_str(), name])), "entry");
        let job_id = JobId::derived(&["request", database.as_str(), name]);
        let backup_id = BackupId::derived(&["backup", job_id.as_str()]);
        let mut request =
            BackupRequest { job_id, backup_id, created_at: now, answered: None, repeated: false, key };
        let made = Properties::from([("created_at".to_owned(), date_time(now))]);
        for _ in 0..TRIES {
            let Some(row) = self.index.table.get(&request.key).await? else {
                match self.index.table.insert(&Entity::new(request.key.clone(), made.clone())).await {
                    Ok(_) => return Ok(request),
                    Err(error) if error.kind() == StorageErrorKind::AlreadyExists => continue,
                    Err(error) => return Err(error),
                }
            };
            request.repeated = true;
            request.answered = Reader(&row).text("job_id").and_then(|id| id.parse().ok());
            request.created_at = Reader(&row).instant("created_at").unwrap_or(now);
            if request.answered.is_some() || request.created_at + KEPT > now {
                return Ok(request);
            }
            let expect = row.etag.map_or(Expect::Any, Expect::Version);
            match self.index.table.merge(&request.key, &made, &expect).await {
                Ok(_) => return Ok(BackupRequest { created_at: now, ..request }),
                Err(error)
                    if matches!(error.kind(), StorageErrorKind::Changed | StorageErrorKind::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StorageError::new(
            StorageErrorKind::Unavailable,
            "reserve",
            "a request that comes many times at once",
        ))
    }

    /// Notes the job that a request was answered with.
    pub async fn note_answer(&self, request: &BackupRequest, job: &JobId) -> Result<(), StorageError> {
        let answer = Properties::from([("job_id".to_owned(), job.as_str().into())]);
        self.index.table.insert_or_merge(&request.key, &answer).await.map(drop)
    }
}
