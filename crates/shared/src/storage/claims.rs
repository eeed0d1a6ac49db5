//! Claims: who works on a backup, so that a message that comes twice, late, or after the work is
//! done has its effect once, and two dumps of one database never overlap.
//!
//! Two rows carry a claim. The lease of the *database* says that somebody dumps it, and until when
//! that holds without a sign of life. The record of the *backup* says how far it has come. A
//! processor that dies leaves both as they are; when the lease has run out, the next delivery takes
//! over and counts a retry.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::leases::holds;
use super::repository::unreadable;
use super::rows::{self, Reader, Row as _, date_time};
use super::table::{ETag, Entity, Expect, Key, Properties, Table};
use super::{StorageError, StorageErrorKind};
use crate::models::{
    Artifact, Attempt, Backup, BackupJob, BackupState, ClaimId, DatabaseId, DumpProgress, Failure,
    PlannedBlob, Run,
};

/// How often a job is tried again after its first attempt.
pub const MOST_RETRIES: u32 = 2;

/// The pauses between tries to record how a backup ended, beside the retries of the client itself.
const END_PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(30)];

/// How often it is noted that a job waits. Far below the time after which it would count as lost.
const NOTED_EVERY: TimeDelta = TimeDelta::minutes(5);

/// The partition of all leases.
const PARTITION: &str = "lease";

/// Gives out claims.
#[derive(Debug, Clone)]
pub struct Claims {
    pub(super) history: Arc<dyn Table>,
    pub(super) leases: Arc<dyn Table>,
    pub(super) ttl: Duration,
}

/// What came of asking for a claim.
#[derive(Debug)]
pub enum ClaimOutcome {
    /// The work is yours.
    Granted(Box<Claim>),
    /// The work is done, one way or the other.
    Finished(Box<Backup>),
    /// Somebody else dumps this database; ask again at this instant.
    Busy(DateTime<Utc>),
}

/// The right to work on one backup, for as long as it is kept alive.
#[derive(Debug)]
pub struct Claim {
    /// The record, as it was claimed.
    pub backup: Backup,
    /// The blob that an attempt before this one had chosen; it may have been committed.
    pub earlier_plan: Option<PlannedBlob>,
    /// Why the attempt before this one failed, if it lived to say so.
    pub last_failure: Option<Failure>,
    owner: ClaimId,
    record: Versioned,
    lease: Versioned,
    holds_until: DateTime<Utc>,
}

impl Claim {
    /// Returns how long the claim holds from now on, without a further sign of life.
    pub fn holds_for(&self, now: DateTime<Utc>) -> Duration {
        (self.holds_until - now).to_std().unwrap_or_default()
    }

    /// Returns 16 bytes that no other claim has, to tell apart what attempts upload.
    pub fn attempt_bytes(&self) -> [u8; 16] {
        let digits = self.owner.as_str().bytes().filter(u8::is_ascii_hexdigit);
        let mut bytes = [0; 16];
        for (index, digit) in digits.take(32).enumerate() {
            let value = char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
            bytes[index / 2] = bytes[index / 2] << 4 | value.unwrap_or(0);
        }
        bytes
    }
}

#[derive(Debug)]
struct Versioned {
    key: Key,
    etag: ETag,
}

/// A lease that somebody else has.
#[derive(Debug, Clone, Copy)]
struct Taken {
    /// When it runs out.
    until: DateTime<Utc>,
    /// Whether it is for another job than the one that asks.
    by_another_job: bool,
}

/// The error of a claim that cannot be used any more.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Somebody else has taken over, or the record was ended or deleted.
    #[error("the claim on this backup was lost; another processor may have taken over, or it was ended")]
    Lost,
    /// Storage did not answer as it should.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Claims {
    /// Asks for the right to work on a job.
    ///
    /// The pending record is made when it is missing, as with messages of earlier systems.
    pub async fn claim(&self, job: &BackupJob, now: DateTime<Utc>) -> Result<ClaimOutcome, StorageError> {
        let (entity, backup) = self.find_or_insert(job).await?;
        if backup.is_finished() {
            return Ok(ClaimOutcome::Finished(Box::new(backup)));
        }
        let owner = ClaimId::random();
        let holds_until = now + self.ttl();
        let lease = match self.take_lease(&backup, &entity.key, &owner, now, holds_until).await? {
            Ok(lease) => lease,
            Err(taken) => {
                if taken.by_another_job {
                    self.note_waiting(&entity, now).await;
                }
                return Ok(ClaimOutcome::Busy(taken.until));
            }
        };
        let last_failure = backup.failure().cloned();
        match self.begin(entity, backup, now).await {
            Ok((record, backup, earlier_plan)) => Ok(ClaimOutcome::Granted(Box::new(Claim {
                backup,
                earlier_plan,
                last_failure,
                owner,
                record,
                lease,
                holds_until,
            }))),
            Err(error) => {
                self.release_lease(&lease).await;
                match error {
                    // The record changed between reading and claiming; the next delivery sees how.
                    error if error.kind() == StorageErrorKind::Changed => Ok(ClaimOutcome::Busy(now)),
                    error => Err(error),
                }
            }
        }
    }

    /// Shows that the work goes on, and extends the claim.
    ///
    /// A storage that stumbles costs nothing while the claim still holds. A storage that hangs is the
    /// caller's to give up on, after [`Claim::holds_for`] at the latest.
    pub async fn keep_alive(
        &self,
        claim: &mut Claim,
        progress: DumpProgress,
        now: DateTime<Utc>,
    ) -> Result<(), ClaimError> {
        match self.confirm(claim, now).await {
            Err(ClaimError::Storage(error)) if now < claim.holds_until => {
                tracing::warn!(%error, "a heartbeat was not stored; the claim still holds");
                return Ok(());
            }
            other => other?,
        }
        match self.write_record(claim, &rows::backup_heartbeat(now, progress)).await {
            // The lease was extended, and it is the lease that keeps others away.
            Err(ClaimError::Storage(error)) if error.is_transient() => {
                tracing::warn!(%error, "progress was not recorded; the claim holds");
                Ok(())
            }
            other => other,
        }
    }

    /// Extends the claim, or fails: what must not happen beside another processor comes after this.
    pub async fn confirm(&self, claim: &mut Claim, now: DateTime<Utc>) -> Result<(), ClaimError> {
        self.extend_lease(claim, now + self.ttl()).await
    }

    /// Extends the claim and marks the record, right before the artifact is committed.
    ///
    /// The mark and a cancellation are writes to the same version of the record, so one of them finds
    /// that the other came first: a backup that was cancelled is not committed, and one that is about to
    /// be committed is not cancelled any more.
    pub async fn begin_commit(&self, claim: &mut Claim, now: DateTime<Utc>) -> Result<(), ClaimError> {
        self.confirm(claim, now).await?;
        let mark = Properties::from([(rows::COMMIT_BEGUN_AT.to_owned(), date_time(now))]);
        self.write_record(claim, &mark).await
    }

    /// Takes the mark of [`begin_commit`](Self::begin_commit) back: nothing was committed, and the work
    /// can be cancelled again.
    pub async fn call_off_commit(&self, claim: &mut Claim) -> Result<(), ClaimError> {
        let mark = Properties::from([(rows::COMMIT_BEGUN_AT.to_owned(), "".into())]);
        self.write_record(claim, &mark).await
    }

    async fn extend_lease(&self, claim: &mut Claim, until: DateTime<Utc>) -> Result<(), ClaimError> {
        let lease = Properties::from([("expires_at".to_owned(), date_time(until))]);
        match self.leases.merge(&claim.lease.key, &lease, &Expect::Version(claim.lease.etag.clone())).await {
            Ok(etag) => {
                claim.lease.etag = etag;
                claim.holds_until = until;
                Ok(())
            }
            Err(error) if is_gone(&error) => self.reclaim_lease(claim, until).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Records where the artifact will be, before it is uploaded.
    pub async fn plan(&self, claim: &mut Claim, planned: &PlannedBlob) -> Result<(), ClaimError> {
        if let BackupState::InProgress(attempt) = &mut claim.backup.state {
            attempt.planned = Some(planned.clone());
        }
        let properties = claim.backup.entity().properties;
        let kept = ["planned_container_name", "planned_blob_name"];
        let changed = properties.into_iter().filter(|(name, _)| kept.contains(&name.as_str())).collect();
        self.write_record(claim, &changed).await
    }

    /// Ends the work well. The claim is used up.
    pub async fn complete(
        &self,
        claim: Claim,
        artifact: Artifact,
        now: DateTime<Utc>,
    ) -> Result<Backup, ClaimError> {
        let run = run(&claim.backup, now);
        self.end(claim, BackupState::Completed { run, artifact: Some(artifact) }).await
    }

    /// Ends the work for good, without an artifact.
    pub async fn fail(
        &self,
        claim: Claim,
        failure: Failure,
        now: DateTime<Utc>,
    ) -> Result<Backup, ClaimError> {
        let run = run(&claim.backup, now);
        self.end(claim, BackupState::Failed { run, failure }).await
    }

    /// Ends the work for good, since nobody wants its outcome any more.
    pub async fn withdraw(
        &self,
        claim: Claim,
        reason: String,
        now: DateTime<Utc>,
    ) -> Result<Backup, ClaimError> {
        let run = run(&claim.backup, now);
        self.end(claim, BackupState::Cancelled { run, reason: Some(reason) }).await
    }

    /// Ends this attempt; the record is pending again and one retry is counted.
    pub async fn retry_later(&self, mut claim: Claim, failure: Failure) -> Result<Backup, ClaimError> {
        claim.backup.retry_count += 1;
        self.end(claim, BackupState::Pending { last_failure: Some(failure) }).await
    }

    async fn end(&self, mut claim: Claim, state: BackupState) -> Result<Backup, ClaimError> {
        claim.backup.state = state;
        let mut properties = claim.backup.entity().properties;
        if !claim.backup.is_finished() {
            // Should the upload have succeeded after all, the next attempt finds it by the plan. The
            // last sign of life stays too: the record has not been waiting since it was made.
            properties.retain(|name, _| !name.starts_with("planned_") && name != "heartbeat_at");
            properties.insert(rows::COMMIT_BEGUN_AT.to_owned(), "".into());
        }
        let written = self.write_record_patiently(&mut claim, &properties).await;
        self.release_lease(&claim.lease).await;
        written.map(|()| claim.backup)
    }

    /// Writes the end of the work. It is done by then, so it is worth waiting for storage; should it
    /// stay away, the next delivery finds the artifact by its plan.
    async fn write_record_patiently(
        &self,
        claim: &mut Claim,
        properties: &Properties,
    ) -> Result<(), ClaimError> {
        for pause in END_PAUSES {
            match self.write_record(claim, properties).await {
                Err(ClaimError::Storage(error)) if error.is_transient() => {
                    tracing::warn!(%error, "the end of a backup could not be recorded; trying again");
                    tokio::time::sleep(pause).await;
                }
                other => return other,
            }
        }
        self.write_record(claim, properties).await
    }

    /// Notes that a job waits that nobody works on, so that nobody takes it for dead: its record is
    /// unfinished, be it in progress still because its processor died. That it fails costs nothing as long
    /// as it does not fail for two hours. Whoever has changed the record meanwhile knows better.
    async fn note_waiting(&self, record: &Entity, now: DateTime<Utc>) {
        let sign = Properties::from([("heartbeat_at".to_owned(), date_time(now))]);
        let expect = record.etag.clone().map_or(Expect::Any, Expect::Version);
        match self.history.merge(&record.key, &sign, &expect).await {
            Ok(_) => {}
            Err(error) if is_gone(&error) => {}
            Err(error) => tracing::warn!(%error, "that a job waits could not be noted"),
        }
    }

    /// Returns the record of a job that has ended already.
    pub async fn ended(&self, job: &BackupJob) -> Result<Option<Backup>, StorageError> {
        let found = self.history.get(&job.record().entity().key).await?;
        let backup = found.map(|found| Backup::from_entity(&found).map_err(unreadable)).transpose()?;
        Ok(backup.filter(Backup::is_finished))
    }

    /// Notes that a job waits for its turn, as [`Claims::claim`] does for one whose database is busy.
    pub async fn waits(&self, job: &BackupJob, now: DateTime<Utc>) {
        let key = job.record().entity().key;
        match self.history.get(&key).await {
            Ok(Some(found)) => {
                let noted = Reader(&found).instant("heartbeat_at").unwrap_or(job.created_at);
                if let Ok(backup) = Backup::from_entity(&found)
                    && noted + NOTED_EVERY <= now
                    && !self.is_worked_on(&backup, now).await
                {
                    self.note_waiting(&found, now).await;
                }
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "that a job waits could not be noted"),
        }
    }

    /// Tells whether a record has ended, or somebody who lives works on it: a message that comes twice
    /// would only get in the way of its twin.
    async fn is_worked_on(&self, backup: &Backup, now: DateTime<Utc>) -> bool {
        match &backup.state {
            BackupState::Pending { .. } => false,
            BackupState::InProgress(_) => match self.leases.get(&lease_key(&backup.database_id)).await {
                Ok(lease) => lease.is_some_and(|lease| {
                    Reader(&lease).text("job_id") == Some(backup.job_id.as_str())
                        && holds(&lease, self.ttl(), now)
                }),
                Err(error) => {
                    tracing::warn!(%error, "whether somebody works on a job could not be seen");
                    true
                }
            },
            BackupState::Completed { .. } | BackupState::Failed { .. } | BackupState::Cancelled { .. } => {
                true
            }
        }
    }

    fn ttl(&self) -> TimeDelta {
        TimeDelta::from_std(self.ttl).unwrap_or(TimeDelta::minutes(2))
    }

    async fn find_or_insert(&self, job: &BackupJob) -> Result<(Entity, Backup), StorageError> {
        let record = job.record();
        let entity = record.entity();
        if let Some(found) = self.history.get(&entity.key).await? {
            let backup = Backup::from_entity(&found).map_err(unreadable)?;
            return Ok((found, backup));
        }
        match self.history.insert(&entity).await {
            Ok(etag) => Ok((Entity { etag: Some(etag), ..entity }, record)),
            Err(error) if error.kind() == StorageErrorKind::AlreadyExists => {
                let found = self.history.get(&entity.key).await?;
                let found = found.ok_or(error)?;
                let backup = Backup::from_entity(&found).map_err(unreadable)?;
                Ok((found, backup))
            }
            Err(error) => Err(error),
        }
    }

    /// Takes the lease of the database, or tells until when it is taken.
    async fn take_lease(
        &self,
        backup: &Backup,
        record: &Key,
        owner: &ClaimId,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Result<Versioned, Taken>, StorageError> {
        let key = lease_key(&backup.database_id);
        let properties = Properties::from([
            ("owner".to_owned(), owner.as_str().into()),
            ("job_id".to_owned(), backup.job_id.as_str().into()),
            ("record_partition".to_owned(), record.partition.as_str().into()),
            ("record_row".to_owned(), record.row.as_str().into()),
            ("expires_at".to_owned(), date_time(until)),
        ]);
        let written = match self.leases.get(&key).await? {
            None => self.leases.insert(&Entity::new(key.clone(), properties)).await,
            Some(lease) => {
                let holds_until = Reader(&lease).instant("expires_at").unwrap_or(now);
                if holds(&lease, self.ttl(), now) && !self.is_over(&lease).await? {
                    let by_another_job = Reader(&lease).text("job_id") != Some(backup.job_id.as_str());
                    return Ok(Err(Taken { until: holds_until, by_another_job }));
                }
                let expect = lease.etag.map_or(Expect::Any, Expect::Version);
                self.leases.merge(&key, &properties, &expect).await
            }
        };
        match written {
            Ok(etag) => Ok(Ok(Versioned { key, etag })),
            Err(error) if error.kind() == StorageErrorKind::AlreadyExists || is_gone(&error) => {
                // Either somebody was faster in this very moment, or our own write was repeated on its
                // way because its answer was lost.
                let lease = self.leases.get(&key).await?;
                let ours = lease.filter(|lease| Reader(lease).text("owner") == Some(owner.as_str()));
                Ok(ours
                    .and_then(|lease| lease.etag)
                    .map(|etag| Versioned { key, etag })
                    .ok_or(Taken { until: now, by_another_job: false }))
            }
            Err(error) => Err(error),
        }
    }

    /// Tells whether the work that a lease stands for has ended. That is so when a processor died
    /// between ending the record and giving back the lease.
    ///
    /// A record that is not there proves nothing: it may have been deleted while its dump runs, which
    /// the holder finds out at its next sign of life.
    async fn is_over(&self, lease: &Entity) -> Result<bool, StorageError> {
        let lease = Reader(lease);
        let Some((partition, row)) = lease.text("record_partition").zip(lease.text("record_row")) else {
            return Ok(false);
        };
        let record = self.history.get(&Key::new(partition, row)).await?;
        Ok(record.is_some_and(|record| Backup::from_entity(&record).is_ok_and(|backup| backup.is_finished())))
    }

    async fn begin(
        &self,
        entity: Entity,
        mut backup: Backup,
        now: DateTime<Utc>,
    ) -> Result<(Versioned, Backup, Option<PlannedBlob>), StorageError> {
        let earlier_plan = match &backup.state {
            BackupState::InProgress(attempt) => {
                // The attempt before ended without a word: its processor died.
                backup.retry_count += 1;
                attempt.planned.clone()
            }
            BackupState::Pending { .. }
            | BackupState::Completed { .. }
            | BackupState::Failed { .. }
            | BackupState::Cancelled { .. } => rows::planned_blob(&entity),
        };
        backup.state = BackupState::InProgress(Attempt {
            started_at: Some(now),
            heartbeat_at: Some(now),
            planned: earlier_plan.clone(),
            progress: DumpProgress::default(),
        });
        let changed = rows::backup_claimed(now, backup.retry_count, earlier_plan.as_ref());
        let expect = entity.etag.map_or(Expect::Any, Expect::Version);
        let etag = match self.history.merge(&entity.key, &changed, &expect).await {
            Ok(etag) => etag,
            Err(error) if error.kind() == StorageErrorKind::Changed => {
                // Under our lease nobody else begins, so a record that says what we wrote is ours: the
                // write was repeated on its way because its answer was lost.
                let found = self.history.get(&entity.key).await?.filter(|found| contains(found, &changed));
                found.and_then(|found| found.etag).ok_or(error)?
            }
            Err(error) => return Err(error),
        };
        Ok((Versioned { key: entity.key, etag }, backup, earlier_plan))
    }

    /// Writes to the record. When its version is not the expected one, an answer of the service may
    /// have been lost: the record is read again, and is still ours while it is in progress under
    /// our lease.
    async fn write_record(&self, claim: &mut Claim, changed: &Properties) -> Result<(), ClaimError> {
        let expect = Expect::Version(claim.record.etag.clone());
        match self.history.merge(&claim.record.key, changed, &expect).await {
            Ok(etag) => {
                claim.record.etag = etag;
                Ok(())
            }
            Err(error) if error.kind() == StorageErrorKind::NotFound => Err(ClaimError::Lost),
            Err(error) if error.kind() == StorageErrorKind::Changed => {
                let Some(entity) = self.history.get(&claim.record.key).await? else {
                    return Err(ClaimError::Lost);
                };
                let in_progress =
                    Backup::from_entity(&entity).is_ok_and(|b| matches!(b.state, BackupState::InProgress(_)));
                if !in_progress && !contains(&entity, changed) {
                    return Err(ClaimError::Lost);
                }
                self.check_lease(claim).await?;
                let expect = entity.etag.map_or(Expect::Any, Expect::Version);
                match self.history.merge(&claim.record.key, changed, &expect).await {
                    Ok(etag) => {
                        claim.record.etag = etag;
                        Ok(())
                    }
                    Err(error) if is_gone(&error) => Err(ClaimError::Lost),
                    Err(error) => Err(error.into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn check_lease(&self, claim: &Claim) -> Result<ETag, ClaimError> {
        let lease = self.leases.get(&claim.lease.key).await?;
        let lease = lease.filter(|lease| Reader(lease).text("owner") == Some(claim.owner.as_str()));
        lease.and_then(|lease| lease.etag).ok_or(ClaimError::Lost)
    }

    /// Extends a lease whose version is not the expected one, if it is still ours.
    async fn reclaim_lease(&self, claim: &mut Claim, until: DateTime<Utc>) -> Result<(), ClaimError> {
        let etag = self.check_lease(claim).await?;
        let lease = Properties::from([("expires_at".to_owned(), date_time(until))]);
        match self.leases.merge(&claim.lease.key, &lease, &Expect::Version(etag)).await {
            Ok(etag) => {
                claim.lease.etag = etag;
                claim.holds_until = until;
                Ok(())
            }
            Err(error) if is_gone(&error) => Err(ClaimError::Lost),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a lease back. When that fails it runs out by itself, or is found to be over.
    async fn release_lease(&self, lease: &Versioned) {
        if let Err(error) = self.leases.delete(&lease.key, &Expect::Version(lease.etag.clone())).await
            && !is_gone(&error)
        {
            tracing::warn!(%error, "a lease could not be given back; it runs out by itself");
        }
    }
}

fn lease_key(database: &DatabaseId) -> Key {
    Key::new(PARTITION, database.as_str())
}

fn run(backup: &Backup, now: DateTime<Utc>) -> Run {
    Run::between(backup.run().started_at.unwrap_or(now), now)
}

/// Tells whether a row already holds what was to be written.
fn contains(entity: &Entity, changed: &Properties) -> bool {
    changed.iter().all(|(name, value)| entity.properties.get(name) == Some(value))
}

fn is_gone(error: &StorageError) -> bool {
    matches!(error.kind(), StorageErrorKind::Changed | StorageErrorKind::NotFound)
}
