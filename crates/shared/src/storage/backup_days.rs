//! The index of the history by day and database: how many backups of which kind each past day has.
//!
//! A past day is counted once, from the history itself, and the counts are kept in a row. What must
//! stay true is that counts which are believed are right:
//!
//! - A day is *live* until two hours after its end: live days are counted at each question and never
//!   kept. So nothing that happens to recent backups, which is nearly everything, costs a further write.
//! - Whoever writes to a day from one hour after its end on, touches its row *before* (deletes and the
//!   end of stuck records, mostly). Counts are believed only if the counting began well after the last
//!   touch, when that write, or the program that was to make it, had ended.
//! - The days of the stretch that was counted and have no row are empty. What lies before the stretch is
//!   looked at each time, so rows that somebody has brought from elsewhere are seen.
//!
//! The hour between the two limits is more than clocks may differ and a write may take.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use futures::{StreamExt as _, stream};
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::filter::{Filter, PARTITION};
use super::priority::{LongReading, Priority};
use super::rows::{Reader, Row as _, date_time};
use super::table::{Entity, Key, Properties, Query, Table, query_all};
use super::tally::{self, Tallies};
use super::{StorageError, StorageErrorKind};
use crate::clock::Clock;
use crate::models::Backup;

/// How long after its end a day is counted anew at each question.
const LIVE: TimeDelta = TimeDelta::hours(2);

/// How long after its end a day is written to without a touch.
const UNTOUCHED: TimeDelta = TimeDelta::hours(1);

/// How long after a touch its write has ended for certain.
const SETTLED: TimeDelta = TimeDelta::minutes(10);

/// Days to be counted that lie no farther apart are counted with one query.
const GAP: u64 = 7;

/// How many pages of a first count are read without standing aside.
const AT_ONCE: usize = 3;

/// The partition of all rows.
const DAYS: &str = "day";

/// The row of the stretch that was counted.
const STRETCH: &str = "stretch";

/// The most characters of one property; the service takes 32 Ki.
const LONGEST_PART: usize = 30_000;

/// The names of the properties that hold the counts; a row holds 1 MiB.
const PARTS: [&str; 15] = [
    "counts_0",
    "counts_1",
    "counts_2",
    "counts_3",
    "counts_4",
    "counts_5",
    "counts_6",
    "counts_7",
    "counts_8",
    "counts_9",
    "counts_10",
    "counts_11",
    "counts_12",
    "counts_13",
    "counts_14",
];

/// What of a record must be known to count it.
pub(super) const COUNTED: [&str; 11] = [
    "job_id",
    "database_id",
    "database_type",
    "status",
    "triggered_by",
    "tier",
    "created_at",
    "blob_name",
    "container_name",
    "file_size_bytes",
    "planned_container_name",
];

/// The counts of every partition of the history.
pub(super) type Partitions = BTreeMap<NaiveDate, Arc<Tallies>>;

/// The days of the history, counted.
#[derive(Debug, Clone)]
pub(super) struct BackupDays {
    pub(super) table: Arc<dyn Table>,
    history: Arc<dyn Table>,
    clock: Clock,
    // Held while counting, so that requests that come together count once.
    memory: Arc<Mutex<BTreeMap<NaiveDate, Remembered>>>,
    /// Whom the first count gives way to.
    pub(super) priority: Priority,
    first_count: LongReading,
}

#[derive(Debug, Clone)]
struct Remembered {
    counted_at: DateTime<Utc>,
    tallies: Arc<Tallies>,
}

/// What the rows say about the days, without the counts.
#[derive(Debug, Default)]
struct Marks {
    days: BTreeMap<NaiveDate, Mark>,
    stretch: Option<Stretch>,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    counted_at: Option<DateTime<Utc>>,
    touched_at: Option<DateTime<Utc>>,
}

/// The days that were counted; those among them without a row are empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    from: NaiveDate,
    to: NaiveDate,
}

impl Mark {
    /// Returns when the counts were made, if they are to be believed.
    fn valid(self) -> Option<DateTime<Utc>> {
        let counted_at = self.counted_at?;
        self.touched_at.is_none_or(|touched_at| counted_at > touched_at + SETTLED).then_some(counted_at)
    }
}

impl BackupDays {
    /// Makes the index over the rows of the history.
    pub(super) fn new(
        table: Arc<dyn Table>,
        history: Arc<dyn Table>,
        priority: Priority,
        clock: Clock,
    ) -> Self {
        Self { table, history, clock, memory: Arc::default(), priority, first_count: LongReading::default() }
    }

    /// Returns the present instant.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Calls the counts of a row's day in question. Comes before the row is written.
    pub(super) async fn touch(&self, row: &Key) -> Result<(), StorageError> {
        let Some(day) = day_of(&row.partition) else { return Ok(()) };
        let now = self.clock.now();
        if day >= (now - UNTOUCHED).date_naive() {
            return Ok(());
        }
        let touched = Properties::from([("touched_at".to_owned(), date_time(now))]);
        self.table.insert_or_merge(&key(day), &touched).await.map(drop)
    }

    /// Counts the history, from what is kept as far as possible.
    pub(super) async fn count(&self) -> Result<Partitions, StorageError> {
        let mut memory = self.memory.lock().await;
        let now = self.clock.now();
        let live_from = (now - LIVE).date_naive();
        let live = Filter::ge(PARTITION, text(live_from));
        let (marks, live) = futures::join!(self.marks(), self.count_rows(live));
        let (marks, live) = (marks?, live?);
        let is_first = marks.stretch.is_none();
        let _under_way = is_first.then(|| self.first_count.begin());
        self.remember(&mut memory, &marks, live_from).await?;

        let mut counts: Partitions =
            memory.iter().map(|(day, remembered)| (*day, remembered.tallies.clone())).collect();
        let mut fresh = BTreeMap::new();
        for filter in stale(&marks, &memory, live_from) {
            // Whoever asks waits for a later count, so only the first one stands aside.
            fresh.extend(self.count_pages(filter, is_first.then_some(&self.priority)).await?);
        }
        // A day that has been emptied keeps its row, so that it is not asked for again.
        for day in marks.days.keys().filter(|day| **day < live_from && !memory.contains_key(*day)) {
            fresh.entry(*day).or_default();
        }
        let stretch = stretched(&marks, &fresh, live_from);
        let fresh: Partitions = fresh.into_iter().map(|(day, tallies)| (day, Arc::new(tallies))).collect();
        self.keep(&mut memory, &fresh, now, (Some(stretch) != marks.stretch).then_some(stretch)).await;
        counts.extend(fresh);
        counts.extend(live.into_iter().map(|(day, tallies)| (day, Arc::new(tallies))));
        Ok(counts)
    }

    /// Counts the history unless that takes longer than `patience`; then it goes on in a task of its own,
    /// and whoever asked has to do without.
    pub(super) async fn count_within(&self, patience: Duration) -> Result<Option<Partitions>, StorageError> {
        self.count_before(sleep(patience)).await
    }

    /// Does the same, but does not wait for a first count.
    pub(super) async fn count_unless_first(
        &self,
        patience: Duration,
    ) -> Result<Option<Partitions>, StorageError> {
        self.count_before(self.first_count.patience(patience)).await
    }

    async fn count_before(&self, end: impl Future<Output = ()>) -> Result<Option<Partitions>, StorageError> {
        let days = self.clone();
        let counting = tokio::spawn(async move { days.count().await });
        tokio::select! {
            biased;
            counted = counting => match counted {
                Ok(counted) => counted.map(Some),
                Err(_) => Err(StorageError::new(StorageErrorKind::Unavailable, "count", "the history")),
            },
            () = end => Ok(None),
        }
    }

    /// Keeps the history from being counted, as a long first count does.
    #[cfg(test)]
    pub(super) async fn busy(&self) -> impl Drop + use<> {
        Arc::clone(&self.memory).lock_owned().await
    }

    /// Counts the days from one on, from the history alone.
    pub(super) async fn count_since(&self, day: NaiveDate) -> Result<Partitions, StorageError> {
        let _asking = self.priority.ask();
        let counted = self.count_rows(Filter::ge(PARTITION, text(day))).await?;
        Ok(counted.into_iter().map(|(day, tallies)| (day, Arc::new(tallies))).collect())
    }

    /// Forgets all counts, so that the next question makes them anew. Touches stay: the write that one
    /// announces may be on its way.
    pub(super) async fn forget(&self) -> Result<(), StorageError> {
        self.memory.lock().await.clear();
        let days = self.marks().await?.days;
        let none = Properties::from([("counted_at".to_owned(), "".into())]);
        for day in days.keys() {
            self.table.insert_or_merge(&key(*day), &none).await?;
        }
        super::repository::delete(&*self.table, &Key::new(DAYS, STRETCH)).await.map(drop)
    }

    async fn marks(&self) -> Result<Marks, StorageError> {
        let select = vec!["counted_at", "touched_at", "first_day", "last_day"];
        let query = Query { select, ..Query::matching(Filter::eq(PARTITION, DAYS)) };
        let mut marks = Marks::default();
        for row in query_all(&*self.table, &query).await? {
            let reader = Reader(&row);
            if let Some(day) = day_of(&row.key.row) {
                let [counted_at, touched_at] = ["counted_at", "touched_at"].map(|name| reader.instant(name));
                marks.days.insert(day, Mark { counted_at, touched_at });
            } else if row.key.row == STRETCH {
                let [from, to] = ["first_day", "last_day"].map(|name| reader.text(name).and_then(day_of));
                marks.stretch = from.zip(to).map(|(from, to)| Stretch { from, to });
            }
        }
        Ok(marks)
    }

    /// Brings the memory up to what is kept: drops what is not valid any more and reads what is new.
    async fn remember(
        &self,
        memory: &mut BTreeMap<NaiveDate, Remembered>,
        marks: &Marks,
        live_from: NaiveDate,
    ) -> Result<(), StorageError> {
        let valid = |day: &NaiveDate| {
            (*day < live_from).then(|| marks.days.get(day).and_then(|mark| mark.valid())).flatten()
        };
        memory.retain(|day, remembered| valid(day) == Some(remembered.counted_at));
        let missing: Vec<NaiveDate> = marks
            .days
            .keys()
            .filter(|day| valid(day).is_some() && !memory.contains_key(*day))
            .copied()
            .collect();
        let (Some(first), Some(last)) = (missing.first(), missing.last()) else { return Ok(()) };
        // Rows are large, so a page of them is kept small.
        let query = Query {
            top: Some(100),
            ..Query::matching(Filter::And(vec![
                Filter::eq(PARTITION, DAYS),
                Filter::ge(super::filter::ROW, text(*first)),
                Filter::le(super::filter::ROW, text(*last)),
            ]))
        };
        let mut from = None;
        loop {
            let page = self.table.query(&query, from.as_ref()).await?;
            for row in &page.entities {
                let read = day_of(&row.key.row).zip(read(row));
                // A row that was counted anew in this moment is as good as the one that was marked.
                if let Some((day, remembered)) = read.filter(|(day, _)| valid(day).is_some()) {
                    memory.entry(day).or_insert(remembered);
                }
            }
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Counts the rows that match, by partition. Rows that cannot be read do not count, since no list
    /// shows them.
    async fn count_rows(&self, filter: Filter) -> Result<BTreeMap<NaiveDate, Tallies>, StorageError> {
        self.count_pages(filter, None).await
    }

    /// Does the same, standing aside while others wait for an answer; but not before the first pages, so
    /// that whoever asks about a short history has it counted.
    async fn count_pages(
        &self,
        filter: Filter,
        others: Option<&Priority>,
    ) -> Result<BTreeMap<NaiveDate, Tallies>, StorageError> {
        let query = Query { select: COUNTED.to_vec(), ..Query::matching(filter) };
        let mut counted: BTreeMap<NaiveDate, Tallies> = BTreeMap::new();
        let mut pages = 0;
        let mut from = None;
        loop {
            if let Some(others) = others.filter(|_| pages >= AT_ONCE) {
                others.give_way().await;
            }
            pages += 1;
            let page = self.history.query(&query, from.as_ref()).await?;
            for row in &page.entities {
                if let Ok(backup) = Backup::from_entity(row) {
                    let day = day_of(&row.key.partition).unwrap_or_else(|| backup.created_at.date_naive());
                    tally::count(counted.entry(day).or_default(), &backup);
                }
            }
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(counted),
            }
        }
    }

    /// Keeps what was counted. That it fails costs the next question another count.
    async fn keep(
        &self,
        memory: &mut BTreeMap<NaiveDate, Remembered>,
        fresh: &Partitions,
        counted_at: DateTime<Utc>,
        stretch: Option<Stretch>,
    ) {
        let mut writes = Vec::new();
        for (day, tallies) in fresh {
            if let Some(row) = row(tallies, counted_at) {
                let day = *day;
                writes.push(async move { self.table.insert_or_merge(&key(day), &row).await.map(|_| day) });
            }
        }
        let mut writes = stream::iter(writes).buffer_unordered(8);
        let mut kept = Ok(());
        while let Some(written) = writes.next().await {
            match written {
                Ok(day) => {
                    memory.insert(day, Remembered { counted_at, tallies: fresh[&day].clone() });
                }
                Err(error) => kept = Err(error),
            }
        }
        let kept = match (kept, stretch) {
            (Ok(()), Some(Stretch { from, to })) => {
                let days = [("first_day", from), ("last_day", to)];
                let days = days.map(|(name, day)| (name.to_owned(), text(day).into())).into();
                self.table.insert_or_merge(&Key::new(DAYS, STRETCH), &days).await.map(drop)
            }
            (kept, _) => kept,
        };
        if let Err(error) = kept {
            tracing::warn!(%error, "counts of the history could not be kept; they are made again");
        }
    }
}

/// Returns filters for the rows that must be counted beside the live ones.
fn stale(marks: &Marks, known: &BTreeMap<NaiveDate, Remembered>, live_from: NaiveDate) -> Vec<Filter> {
    let Some(stretch) = marks.stretch else { return vec![Filter::lt(PARTITION, text(live_from))] };
    let days = marks.days.keys().filter(|day| (stretch.from..live_from).contains(*day));
    let mut wanted: BTreeSet<NaiveDate> = days.filter(|day| !known.contains_key(*day)).copied().collect();
    let unseen = stretch.to.max(stretch.from.pred_opt().unwrap_or(stretch.from)).iter_days().skip(1);
    wanted.extend(unseen.take_while(|day| *day < live_from));
    let mut runs: Vec<(NaiveDate, NaiveDate)> = Vec::new();
    for day in wanted {
        match runs.last_mut() {
            Some((_, last)) if *last + Days::new(GAP) >= day => *last = day,
            Some(_) | None => runs.push((day, day)),
        }
    }
    let before = Filter::lt(PARTITION, text(stretch.from.min(live_from)));
    let runs = runs.into_iter().map(|(first, last)| {
        Filter::And(vec![Filter::ge(PARTITION, text(first)), Filter::le(PARTITION, text(last))])
    });
    std::iter::once(before).chain(runs).collect()
}

/// Returns the stretch that is counted now.
fn stretched(marks: &Marks, fresh: &BTreeMap<NaiveDate, Tallies>, live_from: NaiveDate) -> Stretch {
    let known = marks.stretch.map_or(live_from, |stretch| stretch.from.min(live_from));
    let from = fresh.keys().next().map_or(known, |first| known.min(*first));
    let to = live_from.pred_opt().unwrap_or(live_from);
    Stretch { from, to }
}

fn key(day: NaiveDate) -> Key {
    Key::new(DAYS, text(day))
}

fn text(day: NaiveDate) -> String {
    day.format("%Y-%m-%d").to_string()
}

fn day_of(text: &str) -> Option<NaiveDate> {
    (text.len() == 10).then(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()).flatten()
}

/// Renders the counts of a day; `None` when they do not fit into a row. Such a day is counted each time.
fn row(tallies: &Tallies, counted_at: DateTime<Utc>) -> Option<Properties> {
    let mut parts = vec![String::new()];
    for line in tally::to_text(tallies).lines() {
        if parts.last().is_some_and(|part| part.len() + line.len() >= LONGEST_PART) {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            part.push_str(line);
            part.push('\n');
        }
    }
    if parts.len() > PARTS.len() {
        return None;
    }
    // A part that is not needed any more must not stay.
    parts.resize(PARTS.len(), String::new());
    let parts = PARTS.iter().zip(parts).map(|(name, part)| ((*name).to_owned(), part.into()));
    Some(parts.chain([("counted_at".to_owned(), date_time(counted_at))]).collect())
}

fn read(row: &Entity) -> Option<Remembered> {
    let reader = Reader(row);
    let counted_at = reader.instant("counted_at")?;
    let parts: Vec<&str> = PARTS.iter().filter_map(|name| reader.text(name)).collect();
    Some(Remembered { counted_at, tallies: Arc::new(tally::from_text(&parts.concat())?) })
}
