//! Pages of the history, and its totals, from the counts of its days.
//!
//! The counts say in which days the rows of a page are, however deep it lies, so no page reads more
//! than those days.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{NaiveDate, TimeDelta};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::Instant;

use super::backup_days::{COUNTED, Partitions};
use super::backups::{BackupFilter, Backups};
use super::filter::{Filter, PARTITION};
use super::repository::readable;
use super::rows::Row as _;
use super::table::{Entity, Key, Query};
use super::tally::{Group, Tally};
use super::{StorageError, StorageErrorKind};
use crate::models::{Backup, DatabaseId};

/// From so many rows on, a page first reads what it sorts by, then the rows that it shows.
const MANY: u64 = 1000;

/// How long a page waits for the counts. With an index they are there in a fraction of it.
const PATIENCE: Duration = Duration::from_millis(1500);

/// How long figures over the whole history do, which cannot be had without.
const LONG_PATIENCE: Duration = Duration::from_secs(15);

/// How far back, and for how long, a page is looked for without counts.
const LONGEST_WALK: TimeDelta = TimeDelta::days(400);
const LONGEST_READ: Duration = Duration::from_secs(3);

/// The most days that the walk reads with one query.
const LONGEST_STEP: TimeDelta = TimeDelta::days(16);

/// How many databases one query asks for; the service takes 15 comparisons, five of which are others.
const DATABASES: usize = 10;

/// A page of the history.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BackupPage {
    /// The records, newest first.
    pub backups: Vec<Backup>,
    /// How many there are on all pages.
    pub total: usize,
}

/// The history, counted.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    partitions: Partitions,
}

impl Counts {
    /// Returns all groups; one may come more than once.
    pub fn groups(&self) -> impl Iterator<Item = (&Group, Tally)> {
        self.partitions.values().flat_map(|tallies| tallies.iter().map(|(group, tally)| (group, *tally)))
    }

    /// Counts the records that match. Of the filter's times, only the days count.
    pub fn total(&self, filter: &BackupFilter) -> Tally {
        let mut total = Tally::default();
        for (_, tally) in self.groups().filter(|(group, _)| group.matches(filter)) {
            total.add(tally);
        }
        total
    }
}

/// Where a page lies.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Window {
    /// The days on which its records were made.
    days: (NaiveDate, NaiveDate),
    /// The partitions that hold them.
    partitions: (NaiveDate, NaiveDate),
    /// The databases that they belong to.
    databases: BTreeSet<DatabaseId>,
    /// How many newer records these days have.
    skip: usize,
    /// How many rows of all kinds the partitions have.
    rows: u64,
}

/// Finds out where the records lie of which `offset` are newer.
fn window(counts: &Counts, filter: &BackupFilter, offset: usize, limit: usize) -> Option<Window> {
    let mut by_day: BTreeMap<NaiveDate, u64> = BTreeMap::new();
    for (group, tally) in counts.groups().filter(|(group, _)| group.matches(filter)) {
        *by_day.entry(group.day).or_default() += tally.count;
    }
    let (mut before, mut skip, mut days) = (0_usize, 0, None);
    let end = offset.saturating_add(limit);
    for (day, count) in by_day.iter().rev() {
        let after = before.saturating_add(usize::try_from(*count).unwrap_or(usize::MAX));
        if after > offset && before < end {
            let last = days.map_or(*day, |(_, last)| last);
            if days.is_none() {
                skip = offset - before;
            }
            days = Some((*day, last));
        }
        before = after;
    }
    let days = days?;
    let mut partitions: Option<(NaiveDate, NaiveDate)> = None;
    let mut databases = BTreeSet::new();
    for (partition, tallies) in &counts.partitions {
        let wanted =
            tallies.keys().filter(|group| (days.0..=days.1).contains(&group.day) && group.matches(filter));
        for group in wanted {
            databases.insert(group.database_id.clone());
            partitions = Some((partitions.map_or(*partition, |(first, _)| first), *partition));
        }
    }
    let partitions = partitions?;
    let inside = counts.partitions.range(partitions.0..=partitions.1);
    let rows = inside.flat_map(|(_, tallies)| tallies.values()).map(|tally| tally.count).sum();
    Some(Window { days, partitions, databases, skip, rows })
}

impl Backups {
    /// Counts the history by day, database, kind, state and trigger. `Unavailable` while it is counted for
    /// the first time and that takes long.
    pub async fn counts(&self) -> Result<Counts, StorageError> {
        let counted = self.days.count_within(LONG_PATIENCE).await?;
        let partitions = counted
            .ok_or_else(|| StorageError::new(StorageErrorKind::Unavailable, "count", "the history"))?;
        Ok(Counts { partitions })
    }

    /// Counts the history, however long it takes, so that the first to ask need not wait for it.
    pub async fn warm_up(&self) -> Result<(), StorageError> {
        self.days.count().await.map(drop)
    }

    /// Counts at least the days from one on: all of them, unless that takes long.
    pub async fn counts_since(&self, day: NaiveDate) -> Result<Counts, StorageError> {
        let partitions = match self.days.count_unless_first(PATIENCE).await? {
            Some(all) => all,
            None => self.days.count_since(day).await?,
        };
        Ok(Counts { partitions })
    }

    /// Reads the records that match and of which `offset` are newer, newest first, at most `limit`.
    ///
    /// The filter's times must be whole days, since pages are found by the counts of days; its tier must
    /// not be set.
    pub async fn page(
        &self,
        filter: &BackupFilter,
        offset: usize,
        limit: usize,
    ) -> Result<BackupPage, StorageError> {
        if filter.databases.as_ref().is_some_and(Vec::is_empty) {
            return Ok(BackupPage::default());
        }
        let Some(partitions) = self.days.count_unless_first(PATIENCE).await? else {
            return self.page_by_walk(filter, offset, limit).await;
        };
        let counts = Counts { partitions };
        let total = usize::try_from(counts.total(filter).count).unwrap_or(usize::MAX);
        let Some(window) = window(&counts, filter, offset, limit) else {
            return Ok(BackupPage { backups: Vec::new(), total });
        };
        drop(counts);
        let rows = self.rows_in(&window, filter).await?;
        let mut found: Vec<(Key, Backup)> = rows;
        found.retain(|(_, backup)| {
            let day = backup.created_at.date_naive();
            (window.days.0..=window.days.1).contains(&day) && filter.matches(backup)
        });
        found.sort_by(|(_, a), (_, b)| b.created_at.cmp(&a.created_at).then_with(|| b.id.cmp(&a.id)));
        let found = found.into_iter().skip(window.skip).take(limit);
        let backups = if window.rows < MANY {
            found.map(|(_, backup)| backup).collect()
        } else {
            let gets: Vec<_> = found.map(|(key, _)| async move { self.table.get(&key).await }).collect();
            let rows: Vec<Option<Entity>> = stream::iter(gets).buffered(16).try_collect().await?;
            readable(&rows.into_iter().flatten().collect::<Vec<_>>()).0
        };
        Ok(BackupPage { backups, total })
    }

    /// Reads the same while the history is being counted, which takes a while where there is no index yet:
    /// walks back from today until the page is full. The total is then what was seen, and one more than
    /// the page's end where the walk has not come to an end.
    async fn page_by_walk(
        &self,
        filter: &BackupFilter,
        offset: usize,
        limit: usize,
    ) -> Result<BackupPage, StorageError> {
        let _asking = self.days.priority.ask();
        let wanted = offset.saturating_add(limit).saturating_add(1);
        let began = Instant::now();
        let oldest = self.days.now() - LONGEST_WALK;
        let oldest = filter.from.map_or(oldest, |from| from.max(oldest));
        let newest = self.days.now() + TimeDelta::days(1);
        let mut before = filter.before.map_or(newest, |before| before.min(newest));
        let mut step = TimeDelta::days(1);
        let mut found = Vec::new();
        while found.len() < wanted && before > oldest && began.elapsed() < LONGEST_READ {
            let from = (before - step).max(oldest);
            let stretch = BackupFilter { from: Some(from), before: Some(before), ..filter.clone() };
            found.extend(self.list(&stretch).await?);
            before = from;
            step = (step * 2).min(LONGEST_STEP);
        }
        let more = if before > oldest { wanted } else { 0 };
        let total = found.len().max(more);
        Ok(BackupPage { backups: found.into_iter().skip(offset).take(limit).collect(), total })
    }

    /// Reads the rows of a window that may match, whole or as much as sorting needs.
    async fn rows_in(
        &self,
        window: &Window,
        filter: &BackupFilter,
    ) -> Result<Vec<(Key, Backup)>, StorageError> {
        let select = if window.rows < MANY { Vec::new() } else { COUNTED.to_vec() };
        let between = [
            Filter::ge(PARTITION, window.partitions.0.format("%Y-%m-%d").to_string()),
            Filter::le(PARTITION, window.partitions.1.format("%Y-%m-%d").to_string()),
        ];
        let whole_days = BackupFilter { from: None, before: None, databases: None, ..filter.clone() };
        let databases: Vec<&DatabaseId> = window.databases.iter().collect();
        let chunks: Vec<Option<Filter>> = match &filter.databases {
            None => vec![None],
            Some(_) => databases
                .chunks(DATABASES)
                .map(|chunk| {
                    let any = chunk.iter().map(|id| Filter::eq("database_id", id.as_str())).collect();
                    Some(Filter::Or(any))
                })
                .collect(),
        };
        let mut found = Vec::new();
        for chunk in chunks {
            let mut all = whole_days.conditions();
            all.extend(between.clone());
            all.extend(chunk);
            let query = Query { select: select.clone(), ..Query::matching(Filter::And(all)) };
            let mut from = None;
            loop {
                let page = self.table.query(&query, from.as_ref()).await?;
                let read = |entity: &Entity| Some((entity.key.clone(), Backup::from_entity(entity).ok()?));
                found.extend(page.entities.iter().filter_map(read));
                match page.next {
                    Some(next) => from = Some(next),
                    None => break,
                }
            }
        }
        Ok(found)
    }
}
