//! Databases whose last completed backup is older than their schedule allows.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};

use crate::effective_policy::PolicyBook;
use crate::models::{BackupStatus, Database, DatabaseId};
use crate::schedule::{Wanted, wanted};
use crate::storage::{BackupFilter, SlotState, Storage, StorageError};

/// How many days of the history are counted. What is wanted from before is looked for row by row: no
/// schedule but one that runs less than once a month has it.
const COUNTED: Days = Days::new(31);

/// Returns the enabled databases among these that are overdue, with the backup that each is without.
///
/// Backups that wait or run are none yet: whoever waits for longer than the grace is overdue. Neither is one
/// of a time that is still to come: a clock that was ahead has made it, and it may be of long ago.
pub async fn overdue(
    storage: &Storage,
    databases: &[Database],
    now: DateTime<Utc>,
) -> Result<BTreeMap<DatabaseId, Wanted>, StorageError> {
    let book = PolicyBook::new(storage.policies.list().await?, &storage.engines.list().await?);
    let slots = storage.slots.all().await?;
    let mut overdue: BTreeMap<DatabaseId, Wanted> = databases
        .iter()
        .filter(|database| database.enabled)
        .filter_map(|database| {
            let plan = book.plan(database)?;
            let recorded = slots.get(&database.id).map(SlotState::recorded).unwrap_or_default();
            Some((database.id.clone(), wanted(plan, &recorded, database.updated_at, now)?))
        })
        .collect();
    let today = now.date_naive();
    let begin = today - COUNTED;
    let last = last_days(storage, begin, today).await?;
    // A backup of a later day than the slot settles it. One of the same day has to be looked at, and so
    // have one of today, which may be of a later hour, and the days before those that were counted.
    let mut unsure: BTreeMap<NaiveDate, BTreeSet<DatabaseId>> = BTreeMap::new();
    overdue.retain(|id, wanted| {
        let day = wanted.slot.date_naive();
        let looked_at = match last.get(id) {
            Some(last) if *last > day && *last < today => return false,
            Some(last) => (*last >= day).then_some(*last),
            None => (day < begin).then_some(day),
        };
        if let Some(day) = looked_at {
            unsure.entry(day).or_default().insert(id.clone());
        }
        true
    });
    for (day, ids) in unsure {
        let first = ids.iter().filter_map(|id| overdue.get(id)).map(|wanted| wanted.slot).min();
        // Days that were counted are read alone; from earlier ones on, everything until then.
        let end = if day < begin { begin } else { day };
        let filter = BackupFilter {
            // The service is asked for few by name, and for all where there are many.
            databases: (ids.len() <= 5).then(|| ids.iter().cloned().collect()),
            statuses: vec![BackupStatus::Completed],
            from: first,
            before: end.succ_opt().map(|day| day.and_time(NaiveTime::MIN).and_utc()),
            ..BackupFilter::default()
        };
        for backup in storage.backups.list(&filter).await? {
            let made_at = backup.created_at;
            if overdue.get(&backup.database_id).is_some_and(|wanted| (wanted.slot..=now).contains(&made_at)) {
                overdue.remove(&backup.database_id);
            }
        }
    }
    Ok(overdue)
}

/// Returns the last day with a completed backup of each database, from a day on until today.
async fn last_days(
    storage: &Storage,
    begin: NaiveDate,
    today: NaiveDate,
) -> Result<BTreeMap<DatabaseId, NaiveDate>, StorageError> {
    let counts = storage.backups.counts_since(begin).await?;
    let mut last: BTreeMap<DatabaseId, NaiveDate> = BTreeMap::new();
    for (group, tally) in counts.groups() {
        if group.status == BackupStatus::Completed && tally.count > 0 && group.day <= today {
            let day = last.entry(group.database_id.clone()).or_insert(group.day);
            *day = group.day.max(*day);
        }
    }
    Ok(last)
}
