//! The records of restores, and who works on one.
//!
//! What must stay true: at most one processor works on a restore. Every change is made to the version that
//! was read; whose change finds another version has lost the restore, or learns that it is to stop. A
//! restore that may have written anything is never begun again.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value as Json;

use super::filter::{Filter, PARTITION as PARTITION_KEY};
use super::repository::{self, Versioned};
use super::rows::Row as _;
use super::rows::restore::PARTITION;
use super::table::{ETag, Key, Query, Table};
use super::{StorageError, StorageErrorKind};
use crate::models::{BackupStatus, ClaimId, Restore, RestoreId, RestorePhase};

/// The records of restores.
#[derive(Debug, Clone)]
pub struct Restores {
    pub(super) table: Arc<dyn Table>,
    /// How long a claim holds without a sign of life.
    pub(super) ttl: Duration,
}

/// What a processor that was given a restore has to do.
#[derive(Debug)]
pub enum RestoreClaim {
    /// Run it.
    Granted(Box<Versioned<Restore>>),
    /// End it: its processor died while it may have been writing.
    Abandoned(Box<Versioned<Restore>>),
    /// Wait until then: somebody works on it.
    Busy(DateTime<Utc>),
    /// Nothing: it has ended.
    Finished(Box<Restore>),
    /// Nothing: there is no such restore.
    Unknown,
}

impl Restores {
    /// Stores a new restore; returns its version.
    pub async fn insert(&self, restore: &Restore) -> Result<ETag, StorageError> {
        self.table.insert(&restore.entity()).await
    }

    /// Reads the restores whose message must be sent again.
    pub async fn waiting_in_vain(&self, now: DateTime<Utc>) -> Result<Vec<Restore>, StorageError> {
        let open = [BackupStatus::Pending, BackupStatus::InProgress];
        let is_open = Filter::Or(open.map(|status| Filter::eq("status", status.as_str())).to_vec());
        let query = Query::matching(Filter::And(vec![Filter::eq(PARTITION_KEY, PARTITION), is_open]));
        let open: Vec<Restore> = repository::list(&*self.table, &query).await?;
        Ok(open.into_iter().filter(|restore| restore.waits_in_vain(now)).collect())
    }

    /// Notes that the message of a restore was sent. That nobody notes it costs another message.
    pub async fn note_sent(&self, id: &RestoreId, now: DateTime<Utc>) {
        let noted = async {
            if let Some(Versioned { mut value, etag }) = self.get(id).await?
                && !value.is_finished()
            {
                value.sent_at = Some(now);
                self.update(&value, &etag).await?;
            }
            Ok::<(), StorageError>(())
        };
        match noted.await {
            // A processor was quicker.
            Err(error) if error.kind() == StorageErrorKind::Changed => {}
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                restore_id = %id,
                "it could not be noted that a restore was queued"
            ),
            Ok(()) => {}
        }
    }

    /// Reads a restore.
    pub async fn get(&self, id: &RestoreId) -> Result<Option<Versioned<Restore>>, StorageError> {
        repository::get(&*self.table, &Key::new(PARTITION, id.as_str())).await
    }

    /// Reads all restores, newest first.
    pub async fn list(&self) -> Result<Vec<Restore>, StorageError> {
        let query = Query::matching(Filter::eq(PARTITION_KEY, PARTITION));
        let mut found: Vec<Restore> = repository::list(&*self.table, &query).await?;
        found.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| b.id.cmp(&a.id)));
        Ok(found)
    }

    /// Deletes a restore that was not queued. What cannot be deleted stays waiting, and can be cancelled.
    pub async fn discard(&self, restore: &Restore) {
        if let Err(error) = repository::delete(&*self.table, &Key::new(PARTITION, restore.id.as_str())).await
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                restore_id = %restore.id,
                "the record of a restore that was not queued could not be deleted"
            );
        }
    }

    /// Changes a restore, unless somebody else has changed it; returns its new version.
    pub async fn update(&self, restore: &Restore, etag: &ETag) -> Result<ETag, StorageError> {
        repository::update(&*self.table, restore, etag).await
    }

    /// Takes a restore over, if nobody else works on it.
    pub async fn claim(&self, id: &RestoreId, now: DateTime<Utc>) -> Result<RestoreClaim, StorageError> {
        // Twice: another processor may change it in between.
        for _ in 0..2 {
            let Some(Versioned { value: mut restore, etag }) = self.get(id).await? else {
                return Ok(RestoreClaim::Unknown);
            };
            if restore.is_finished() {
                return Ok(RestoreClaim::Finished(Box::new(restore)));
            }
            let until = restore.heartbeat_at.map(|at| at + self.ttl());
            // A clock that was far ahead must not keep everybody out until then.
            let holds = |until: &DateTime<Utc>| *until > now && *until <= now + self.ttl() * 4;
            if let Some(until) =
                until.filter(|until| holds(until) && restore.status == BackupStatus::InProgress)
            {
                return Ok(RestoreClaim::Busy(until));
            }
            let abandoned = restore.status == BackupStatus::InProgress && restore.phase.may_have_written();
            restore.status = BackupStatus::InProgress;
            restore.claim = Some(ClaimId::random());
            restore.heartbeat_at = Some(now);
            restore.run.started_at = restore.run.started_at.or(Some(now));
            if !abandoned {
                restore.phase = RestorePhase::Checking;
            }
            match self.update(&restore, &etag).await {
                Ok(etag) if abandoned => {
                    return Ok(RestoreClaim::Abandoned(Box::new(Versioned { value: restore, etag })));
                }
                Ok(etag) => return Ok(RestoreClaim::Granted(Box::new(Versioned { value: restore, etag }))),
                Err(error) if error.kind() == StorageErrorKind::Changed => {}
                Err(error) => return Err(error),
            }
        }
        Ok(RestoreClaim::Busy(now + self.ttl()))
    }

    fn ttl(&self) -> TimeDelta {
        TimeDelta::from_std(self.ttl).unwrap_or(TimeDelta::minutes(2))
    }
}

/// Renders the message that stands for a restore. There is never a secret in it.
pub fn encode(id: &RestoreId) -> String {
    serde_json::json!({ "restore_id": id }).to_string()
}

/// Reads the restore from the text of a message.
pub fn decode(text: &str) -> Option<RestoreId> {
    let message: Json = serde_json::from_str(text).ok()?;
    message.get("restore_id")?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{Place, RestoreMode, RestoreProgress, Run, Warnings};
    use crate::storage::MemoryTable;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap_or_default()
    }

    fn restore() -> Result<Restore, Box<dyn std::error::Error>> {
        Ok(Restore {
            id: "r-1".parse()?,
            backup_id: "b-1".parse()?,
            database_type: "mysql".parse()?,
            container: "backups".parse()?,
            blob_name: "mysql/d/x.sql.gz".to_owned(),
            blob_bytes: Some(10),
            sha256: Some("ab".to_owned()),
            place: Place::Engine("e-1".parse()?),
            database: "shop".parse()?,
            mode: RestoreMode::Replace,
            keep_failed: true,
            requested_by: "a@example.org".to_owned(),
            created_at: at(0),
            sent_at: None,
            status: BackupStatus::Pending,
            phase: RestorePhase::Waiting,
            failed_in: None,
            cancel_requested: false,
            claim: None,
            heartbeat_at: None,
            progress: RestoreProgress::default(),
            work_database: None,
            has_made: false,
            run: Run::default(),
            failure: None,
            failed_line: None,
            adapted: Warnings::default(),
            warnings: Warnings::default(),
        })
    }

    fn restores() -> Restores {
        Restores { table: Arc::new(MemoryTable::default()), ttl: Duration::from_mins(2) }
    }

    #[tokio::test]
    async fn one_processor_works_on_it_until_it_shows_no_life() -> Result<(), Box<dyn std::error::Error>> {
        let restores = restores();
        let restore = restore()?;
        restores.insert(&restore).await?;
        assert!(matches!(restores.claim(&restore.id, at(1)).await?, RestoreClaim::Granted(_)));
        assert!(
            matches!(restores.claim(&restore.id, at(100)).await?, RestoreClaim::Busy(until) if until == at(121))
        );
        // Nothing was written by the one that died.
        assert!(matches!(restores.claim(&restore.id, at(121)).await?, RestoreClaim::Granted(_)));
        assert!(matches!(restores.claim(&"r-2".parse()?, at(1)).await?, RestoreClaim::Unknown));
        Ok(())
    }

    /// Its processor, or the api, had a clock that was wrong by a day, and died.
    #[tokio::test]
    async fn a_clock_that_was_wrong_by_a_day_keeps_nobody_out() -> Result<(), Box<dyn std::error::Error>> {
        for day in [-86_400, 86_400] {
            let restores = restores();
            let restore = Restore { created_at: at(day), ..restore()? };
            restores.insert(&restore).await?;
            assert_eq!(restores.waiting_in_vain(at(0)).await?.len(), 1, "its message was never sent");
            restores.note_sent(&restore.id, at(day)).await;
            assert!(matches!(restores.claim(&restore.id, at(day)).await?, RestoreClaim::Granted(_)));
            assert_eq!(restores.waiting_in_vain(at(0)).await?.len(), 1, "its message may be lost");
            assert!(matches!(restores.claim(&restore.id, at(0)).await?, RestoreClaim::Granted(_)));
        }
        Ok(())
    }

    #[tokio::test]
    async fn what_may_have_written_is_not_begun_again() -> Result<(), Box<dyn std::error::Error>> {
        let restores = restores();
        let restore = restore()?;
        restores.insert(&restore).await?;
        let RestoreClaim::Granted(mut claimed) = restores.claim(&restore.id, at(1)).await? else {
            panic!("not granted");
        };
        claimed.value.phase = RestorePhase::Loading;
        claimed.value.work_database = Some("dilux_restore_x".parse()?);
        restores.update(&claimed.value, &claimed.etag).await?;
        let RestoreClaim::Abandoned(abandoned) = restores.claim(&restore.id, at(500)).await? else {
            panic!("not abandoned");
        };
        assert_eq!(abandoned.value.phase, RestorePhase::Loading);
        // The one that was thought dead finds that it has lost it.
        let error = restores.update(&claimed.value, &claimed.etag).await;
        assert_eq!(error.map_err(|error| error.kind()), Err(StorageErrorKind::Changed));
        Ok(())
    }

    #[tokio::test]
    async fn a_row_holds_everything() -> Result<(), Box<dyn std::error::Error>> {
        let restores = restores();
        let mut restore = restore()?;
        restore.place = Place::Server {
            endpoint: crate::models::Endpoint {
                host: "::1".parse()?,
                port: 5433,
                tls: crate::models::Tls::default(),
            },
            username: "admin".parse()?,
            password: crate::models::StoredSecret::Plain("s3cret".into()),
        };
        restore.sent_at = Some(at(1));
        restore.has_made = true;
        restore.status = BackupStatus::Failed;
        restore.phase = RestorePhase::Ended;
        restore.failed_in = Some(RestorePhase::Verifying);
        restore.run = Run::between(at(1), at(3));
        restore.failure = Some(crate::models::Failure::new("Digest", "damaged"));
        restore.failed_line = Some(7);
        restore.adapted = ["changed"].iter().collect();
        restore.warnings = ["one"].iter().collect();
        restores.insert(&restore).await?;
        let read = restores.get(&restore.id).await?.map(|found| found.value);
        assert_eq!(read.map(|read| read.entity()), Some(restore.entity()));
        Ok(())
    }

    #[test]
    fn a_message_names_a_restore_and_nothing_else() -> Result<(), Box<dyn std::error::Error>> {
        let id: RestoreId = "r-1".parse()?;
        assert_eq!(encode(&id), r#"{"restore_id":"r-1"}"#);
        assert_eq!(decode(&encode(&id)), Some(id));
        for bad in ["", "{}", "[]", r#"{"restore_id":7}"#, r#"{"restore_id":"a/b"}"#] {
            assert_eq!(decode(bad), None, "{bad}");
        }
        Ok(())
    }
}
