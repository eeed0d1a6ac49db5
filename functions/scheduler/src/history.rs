//! What the history says that the slots do not.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use shared::models::{BackupStatus, Database, DatabaseId, JobId, Lane, TriggeredBy};
use shared::storage::{
    BackupFilter, FailedRun, Reservation, STUCK_AFTER, SlotState, Storage, StorageError, last_sign_of_life,
};

/// How long a slot rests whose job has failed, before it is served again.
const REST: TimeDelta = TimeDelta::hours(1);

/// How far before the last tick failures are looked for at every tick.
const LOOK_BACK: TimeDelta = TimeDelta::days(2);

/// How far before the last tick a change of the configuration may lie that it has not seen: it reads first
/// and is noted last, and clocks differ.
const CHANGED_WITHIN: TimeDelta = TimeDelta::minutes(30);

/// How many slots are asked for one by one; of more, all failures are read.
const MOST_QUESTIONS: usize = 100;

/// How many questions are on their way at once.
const AT_ONCE: usize = 16;

/// Classes of failures that need a person first. Serving such a slot again before the configuration has
/// changed would only fail again, and with a refused password perhaps lock the account.
const FOR_PEOPLE: [&str; 5] =
    ["AuthenticationFailed", "ConfigurationGone", "Credentials", "InvalidTarget", "Unsupported"];

/// Returns, for the databases without slots, the newest backup of each lane as a reservation.
///
/// All databases are without slots after a take-over from an earlier system, whose scheduler kept
/// nothing but the history: without a look at it, every tier of every database would be due at once.
/// One pass over the history serves them all; when every database has slots, nothing is read.
pub(crate) async fn of_unknown(
    storage: &Storage,
    databases: &[Database],
    slots: &BTreeMap<DatabaseId, SlotState>,
    now: DateTime<Utc>,
) -> Result<BTreeMap<DatabaseId, BTreeMap<Lane, Reservation>>, StorageError> {
    let unknown: Vec<DatabaseId> =
        databases.iter().map(|database| &database.id).filter(|id| !slots.contains_key(id)).cloned().collect();
    if unknown.is_empty() {
        return Ok(BTreeMap::new());
    }
    let filter = BackupFilter {
        databases: Some(unknown),
        statuses: vec![BackupStatus::Completed, BackupStatus::Pending, BackupStatus::InProgress],
        triggered_by: Some(TriggeredBy::Scheduler),
        ..BackupFilter::default()
    };
    let mut newest: BTreeMap<DatabaseId, BTreeMap<Lane, Reservation>> = BTreeMap::new();
    for backup in storage.backups.list(&filter).await? {
        if !backup.is_finished() && last_sign_of_life(&backup) + STUCK_AFTER <= now {
            continue;
        }
        let lane = backup.tier.map_or(Lane::Schedule, Lane::Tier);
        // Newest first, so the first one stays.
        let lanes = newest.entry(backup.database_id.clone()).or_default();
        lanes.entry(lane).or_insert_with(|| Reservation::of_earlier(&backup));
    }
    Ok(newest)
}

/// The last slot that was served of a lane that still runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Served<'a> {
    /// What is reserved.
    pub(crate) reservation: &'a Reservation,
    /// When the configuration of its database or of the server of that was last changed.
    pub(crate) changed_at: DateTime<Utc>,
}

/// The jobs of slots that have failed and may be served again.
#[derive(Debug, Default)]
pub(crate) struct Failed(HashSet<JobId>);

impl Failed {
    /// Finds out which of these slots have failed and may be served again.
    ///
    /// Failures since shortly before the last tick are read in pages. Where the configuration was changed
    /// since then, older ones are asked for one by one, and in the first hour of each day all are read
    /// that there are: no failure is too old to be made good.
    pub(crate) async fn read(
        storage: &Storage,
        served: &[Served<'_>],
        now: DateTime<Utc>,
    ) -> Result<Self, StorageError> {
        let Some(oldest) = served.iter().map(|served| served.reservation.created_at).min() else {
            return Ok(Self::default());
        };
        let last_tick = storage.watch.last_tick().await?.map_or(now, |(at, _)| at.min(now));
        let recent = last_tick - LOOK_BACK;
        let mended = |served: &&Served<'_>| {
            served.reservation.created_at < recent && served.changed_at >= last_tick - CHANGED_WITHIN
        };
        let mended: Vec<JobId> =
            served.iter().filter(mended).map(|served| served.reservation.job_id.clone()).collect();
        let reads_all = now.hour() == 0 || mended.len() > MOST_QUESTIONS;
        let since = if reads_all { oldest } else { recent.max(oldest) };
        let jobs: HashSet<&JobId> = served.iter().map(|served| &served.reservation.job_id).collect();
        let mut failed = storage.backups.failed_among(&jobs, since).await?;
        if !reads_all {
            failed.extend(ask_for(storage, mended).await?);
        }
        let may_be_served_again = served.iter().filter(|served| {
            let failed = failed.get(&served.reservation.job_id);
            failed.is_some_and(|failed| has_passed(failed, served.changed_at, now))
        });
        Ok(Self(may_be_served_again.map(|served| served.reservation.job_id.clone()).collect()))
    }

    /// Tells whether the job of a reservation is one of them.
    pub(crate) fn has(&self, reservation: &Reservation) -> bool {
        self.0.contains(&reservation.job_id)
    }
}

async fn ask_for(storage: &Storage, jobs: Vec<JobId>) -> Result<HashMap<JobId, FailedRun>, StorageError> {
    let asked = jobs.into_iter().map(async |job| {
        let made = storage.backups.made_for(&job).await?;
        Ok(made.as_ref().and_then(FailedRun::of).map(|failed| (job, failed)))
    });
    let found: Vec<Option<_>> = stream::iter(asked).buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

/// Tells whether the cause of a failure may have passed: with time, or, where people had to mend it, since
/// they have changed the configuration. It is tried again once for each change.
fn has_passed(failed: &FailedRun, changed_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    if failed.class.as_deref().is_some_and(|class| FOR_PEOPLE.contains(&class)) {
        changed_at > failed.began_at && changed_at <= now
    } else {
        failed.ended_at + REST <= now
    }
}
