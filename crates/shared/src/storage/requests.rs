//! Requests that name themselves, so that one that is repeated has its effect once.
//!
//! A request reserves its name before it does anything, with the ids and the time of the job that it
//! will make. Whoever repeats it, in whatever program, makes the same job with the same record, and
//! once the job is queued the answer is all that is left to give.
//!
//! Reservations are forgotten after a day. The ids of a job follow from the name of its request, so that
//! the record, while there is one, still answers who repeats it later.

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::try_join_all;

use super::backups::Backups;
use super::filter::PARTITION;
use super::rows::{Reader, date_time};
use super::table::{Entity, Expect, Key, Properties, Query};
use super::{Filter, StorageError, StorageErrorKind};
use crate::models::{BackupId, DatabaseId, JobId, derived_text};

/// How long a reservation that came to nothing keeps its time. A record that was made with an older
/// one would soon be taken for one that nobody works on.
const KEPT: TimeDelta = TimeDelta::minutes(30);

/// How old a reservation is when it is forgotten.
const FORGOTTEN_AFTER: TimeDelta = TimeDelta::days(1);
/// How many are forgotten at once, and how many deletions wait for their answers at the same time.
const MOST_FORGOTTEN: usize = 2000;
const AT_ONCE: usize = 16;

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

    /// Deletes reservations that nobody needs any more, a bounded number of them, and counts them.
    pub async fn forget_requests(&self, now: DateTime<Utc>) -> Result<usize, StorageError> {
        let old = Query::matching(Filter::And(vec![
            Filter::ge(PARTITION, "request:"),
            // The character after the colon.
            Filter::lt(PARTITION, "request;"),
            Filter::lt("created_at", date_time(now - FORGOTTEN_AFTER)),
        ]));
        let (mut forgotten, mut from) = (0, None);
        loop {
            let page = self.index.table.query(&old, from.as_ref()).await?;
            for rows in page.entities.chunks(AT_ONCE) {
                let gone = try_join_all(rows.iter().map(|row| self.forget_request(row))).await?;
                forgotten += gone.into_iter().filter(|gone| *gone).count();
                if forgotten >= MOST_FORGOTTEN {
                    return Ok(forgotten);
                }
            }
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(forgotten),
            }
        }
    }

    /// Deletes a reservation as it was read; one that somebody takes up again at this moment stays.
    async fn forget_request(&self, row: &Entity) -> Result<bool, StorageError> {
        let expect = row.etag.clone().map_or(Expect::Any, Expect::Version);
        match self.index.table.delete(&row.key, &expect).await {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.kind(), StorageErrorKind::Changed | StorageErrorKind::NotFound) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
