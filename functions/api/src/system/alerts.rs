//! `GET /backup-alerts`: databases whose latest backups have all failed, and those without a backup for longer
//! than their schedule allows.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, SecondsFormat, Utc};
use serde::Serialize;
use shared::models::{Backup, BackupStatus, Database, DatabaseId, DatabaseType};
use shared::schedule::Wanted;
use shared::storage::{BackupFilter, Counts, Storage, StorageError};

use crate::error::ApiError;
use crate::query::Query;
use crate::state::AppState;

/// Days to be read that lie no farther apart are read with one query.
const GAP: u64 = 3;

/// The most days that one query reads.
const LONGEST: u64 = 7;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    alerts: Vec<Alert>,
    count: usize,
}

/// Why there is an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Failures,
    Overdue,
}

#[derive(Debug, PartialEq, Serialize)]
struct Alert {
    #[serde(rename = "type")]
    kind: Kind,
    database_id: DatabaseId,
    database_name: String,
    database_type: DatabaseType,
    consecutive_failures: u64,
    /// Of a database that did not fail, since when it is overdue: clients show and sort by it.
    last_failure_at: DateTime<Utc>,
    last_error: Option<String>,
    /// Since when a backup could have been made that is not there; also where failures are the reason.
    overdue_since: Option<DateTime<Utc>>,
}

/// Lists the alerts, newest failure first. A database has one, whatever is wrong with it.
pub(crate) async fn alerts(State(state): State<AppState>, query: Query) -> Result<Json<Answer>, ApiError> {
    let threshold = query.clamped("consecutive_failures", 1..=100)?.unwrap_or(2) as u64;
    let _asking = state.storage.ask();
    let databases = state.storage.databases.list().await?;
    // While a long history is counted for the first time, failures of the last month are what is known.
    let now = state.clock.now();
    let month = now.date_naive() - Days::new(31);
    let overdue = state.figures.overdue(&state.storage, &databases, now).await?;
    let counts = state.storage.backups.counts_since(month).await?;
    // Of an overdue database, every failure is of interest.
    let candidates =
        candidates(&counts, &databases, |id| if overdue.contains_key(id) { 1 } else { threshold });
    let records = read(&state.storage, &candidates).await?;
    let mut alerts: Vec<Alert> = databases
        .iter()
        .filter_map(|database| {
            let records = records.get(&database.id).map(Vec::as_slice).unwrap_or_default();
            let failures = candidates.get(&database.id).and_then(|candidate| failures(candidate, records));
            alert(database, failures.as_ref(), overdue.get(&database.id), threshold)
        })
        .collect();
    alerts.sort_by(|a, b| {
        b.last_failure_at.cmp(&a.last_failure_at).then_with(|| a.database_id.cmp(&b.database_id))
    });
    Ok(Json(Answer { count: alerts.len(), alerts }))
}

/// A database that may have an alert, as far as counts can tell.
#[derive(Debug, Default)]
struct Candidate {
    /// Failures on the days after the last one with a completed backup.
    certain: u64,
    /// The newest day with a failure.
    newest_failure: Option<NaiveDate>,
    /// The newest day with a completed backup, if it has failures too: their order decides.
    mixed: Option<NaiveDate>,
}

/// Finds the databases that may have an alert. Only for these, records have to be read.
fn candidates(
    counts: &Counts,
    databases: &[Database],
    threshold: impl Fn(&DatabaseId) -> u64,
) -> BTreeMap<DatabaseId, Candidate> {
    let existing: BTreeSet<&DatabaseId> = databases.iter().map(|database| &database.id).collect();
    let mut days: BTreeMap<&DatabaseId, BTreeMap<NaiveDate, [u64; 2]>> = BTreeMap::new();
    for (group, tally) in counts.groups().filter(|(group, _)| existing.contains(&group.database_id)) {
        let at = match group.status {
            BackupStatus::Completed => 0,
            BackupStatus::Failed => 1,
            BackupStatus::Pending | BackupStatus::InProgress | BackupStatus::Cancelled => continue,
        };
        days.entry(&group.database_id).or_default().entry(group.day).or_default()[at] += tally.count;
    }
    let mut found = BTreeMap::new();
    for (id, days) in days {
        let mut candidate = Candidate::default();
        let mut possible = 0;
        for (day, [completed, failed]) in days.into_iter().rev() {
            if failed > 0 {
                candidate.newest_failure = candidate.newest_failure.or(Some(day));
            }
            possible += failed;
            if completed > 0 {
                candidate.mixed = (failed > 0).then_some(day);
                break;
            }
            candidate.certain += failed;
        }
        if possible >= threshold(id) {
            found.insert(id.clone(), candidate);
        }
    }
    found
}

/// Reads the ended records of the days that matter, newest first, by database.
async fn read(
    storage: &Storage,
    candidates: &BTreeMap<DatabaseId, Candidate>,
) -> Result<BTreeMap<DatabaseId, Vec<Backup>>, StorageError> {
    let days = candidates.values().flat_map(|candidate| [candidate.mixed, candidate.newest_failure]);
    let days: BTreeSet<NaiveDate> = days.flatten().collect();
    let mut runs: Vec<(NaiveDate, NaiveDate)> = Vec::new();
    for day in days {
        match runs.last_mut() {
            Some((first, last)) if *last + Days::new(GAP) >= day && *first + Days::new(LONGEST) > day => {
                *last = day;
            }
            Some(_) | None => runs.push((day, day)),
        }
    }
    let mut records: BTreeMap<DatabaseId, Vec<Backup>> = BTreeMap::new();
    let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
    // From the newest days on, so that all records of a database are newest first.
    for (first, last) in runs.into_iter().rev() {
        let filter = BackupFilter {
            databases: Some(candidates.keys().cloned().collect()),
            statuses: vec![BackupStatus::Completed, BackupStatus::Failed],
            from: Some(midnight(first)),
            before: last.succ_opt().map(midnight),
            ..BackupFilter::default()
        };
        for backup in storage.backups.list(&filter).await? {
            records.entry(backup.database_id.clone()).or_default().push(backup);
        }
    }
    Ok(records)
}

/// The present run of failures of a database.
struct Failures<'a> {
    count: u64,
    newest: &'a Backup,
}

/// Counts the failures since the last completed backup; `None` when there are none.
fn failures<'a>(candidate: &Candidate, records: &'a [Backup]) -> Option<Failures<'a>> {
    let is_failed = |backup: &&Backup| backup.status() == BackupStatus::Failed;
    let on = |day: NaiveDate| records.iter().filter(move |backup| backup.created_at.date_naive() == day);
    let before = candidate.mixed.map_or(0, |day| on(day).take_while(is_failed).count() as u64);
    let newest = on(candidate.newest_failure?).find(is_failed)?;
    let count = candidate.certain + before;
    (count > 0).then_some(Failures { count, newest })
}

/// Decides whether a database has an alert.
fn alert(
    database: &Database,
    failures: Option<&Failures<'_>>,
    overdue: Option<&Wanted>,
    threshold: u64,
) -> Option<Alert> {
    // It may have been switched off since it was found to be overdue.
    let overdue = overdue.filter(|_| database.enabled);
    let count = failures.map_or(0, |failures| failures.count);
    let kind = if count >= threshold { Kind::Failures } else { Kind::Overdue };
    let (last_failure_at, last_error) = match (failures, overdue, kind) {
        (_, None, Kind::Overdue) | (None, _, Kind::Failures) => return None,
        (Some(Failures { newest, .. }), _, _) => (
            newest.run().finished_at.unwrap_or(newest.created_at),
            newest.failure().map(|failure| failure.message.clone()),
        ),
        (None, Some(wanted), Kind::Overdue) => (wanted.since, Some(missing(wanted))),
    };
    Some(Alert {
        kind,
        database_id: database.id.clone(),
        database_name: database.name.clone(),
        database_type: database.database_type,
        consecutive_failures: count,
        last_failure_at,
        last_error,
        overdue_since: overdue.map(|wanted| wanted.since),
    })
}

/// Says which backup is not there.
fn missing(wanted: &Wanted) -> String {
    let slot = wanted.slot.to_rfc3339_opts(SecondsFormat::Secs, true);
    format!("No backup was completed since {slot}, when the schedule asked for one.")
}
