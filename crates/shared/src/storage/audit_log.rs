//! The audit log.
//!
//! Records are written into the partition of their day, and read from there and from the partitions of
//! months that an earlier system wrote.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Datelike as _, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use futures::future::try_join_all;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::audit_filter::{AuditFilter, traits};
use super::audit_index::{AuditStats, DAYS, Index};
use super::audit_retry::Retries;
use super::filter::{Filter, PARTITION, ROW};
use super::priority::{LongReading, Priority};
use super::repository;
use super::rows::{Reader, Row as _, audit_month_key, history_key_bound};
use super::table::{Entity, Key, Properties, Query, Table, query_all};
use super::{StorageError, StorageErrorKind};
use crate::models::{Actor, AuditEvent, AuditId, AuditRecord, AuditStatus};

/// After this time no record of an instant is written any more: writing is given up before.
const SETTLED_AFTER: TimeDelta = TimeDelta::minutes(90);
/// How much more than that the tail may become before the index takes it over.
const LONGEST_TAIL: TimeDelta = TimeDelta::minutes(30);
/// Beyond this gap the log is read anew instead of month by month.
const LONGEST_GAP: TimeDelta = TimeDelta::days(400);
/// How long a list waits for the index before it does without.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How long figures do, which cannot.
const LONG_PATIENCE: Duration = Duration::from_secs(15);
/// How long a page is looked for without the index, and the most that is read at a time.
const LONGEST_READ: Duration = Duration::from_secs(3);
const LONGEST_STEP: TimeDelta = TimeDelta::days(16);
/// How many days of a page are read at a time.
const AT_ONCE: usize = 4;
/// By how much the keys of an earlier system may be wrong, which took its own zone for UTC there.
const ANOTHER_ZONE: TimeDelta = TimeDelta::hours(15);
/// What the index and the filters look at.
const COLUMNS: [&str; 9] = [
    "timestamp",
    "user_id",
    "user_email",
    "action",
    "resource_type",
    "resource_id",
    "resource_name",
    "status",
    "details",
];

/// The audit log.
#[derive(Debug, Clone)]
pub struct AuditLog {
    table: Arc<dyn Table>,
    index_table: Arc<dyn Table>,
    index: Arc<Mutex<Index>>,
    retries: Retries,
    lost: Arc<AtomicU64>,
    /// Whom the first reading gives way to.
    priority: Priority,
    first_reading: LongReading,
}

/// A page of the records that match, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditPage {
    /// The records of the page.
    pub records: Vec<AuditRecord>,
    /// How many match in all.
    pub total: usize,
}

impl AuditLog {
    /// Makes the log on a table, with its index on another.
    pub(super) fn new(table: Arc<dyn Table>, index_table: Arc<dyn Table>, priority: Priority) -> Self {
        let lost = Arc::default();
        Self {
            retries: Retries::new(Arc::clone(&table), Arc::clone(&lost)),
            table,
            index_table,
            index: Arc::default(),
            lost,
            priority,
            first_reading: LongReading::default(),
        }
    }

    /// Records what happened.
    ///
    /// The thing itself has been done by then, so a failure to record it must not turn it into an
    /// error: it is logged, and written again for an hour; what is lost in the end is counted.
    pub async fn record(&self, actor: &Actor, event: AuditEvent, now: DateTime<Utc>) {
        let record = record(actor, event, now);
        if let Err(error) = append(&*self.table, &record).await {
            tracing::error!(
                error = &error as &dyn Error,
                action = record.action,
                resource_type = record.resource_type,
                resource_id = record.resource_id,
                user = record.user_email,
                "an audit record could not be stored"
            );
            if error.kind() == StorageErrorKind::Invalid {
                self.lost.fetch_add(1, Ordering::Relaxed);
            } else {
                self.retries.add(record);
            }
        }
    }

    /// Returns how many records were given up since the program started.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Returns how many records wait to be written again.
    pub fn waiting(&self) -> usize {
        self.retries.len()
    }

    /// Writes what waits to be written again, once; for the end of a program.
    pub async fn flush(&self) {
        self.retries.flush().await;
    }

    /// Reads a page of the records that match, newest first, and counts them all.
    pub async fn list(
        &self,
        filter: &AuditFilter,
        offset: usize,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<AuditPage, StorageError> {
        let patience = self.first_reading.patience(PATIENCE);
        let Some((settled, days)) = self.indexed(patience, now, |index| index.count(filter)).await? else {
            return self.list_by_walk(filter, offset, limit, now).await;
        };
        let mut tail = self.tail(settled, now).await?;
        tail.retain(|record| filter.covers(record.timestamp.date_naive()) && filter.matches(record));
        let total = tail.len() + days.iter().map(|day| day.count).sum::<usize>();
        let mut records: Vec<AuditRecord> = tail.iter().skip(offset).take(limit).cloned().collect();
        let mut skip = offset.saturating_sub(tail.len());
        let mut missing = limit - records.len();
        let mut reads = Vec::new();
        for day in days {
            if missing == 0 {
                break;
            }
            if skip >= day.count {
                skip -= day.count;
                continue;
            }
            let wanted = missing.min(day.count - skip);
            let (from, until) = (skip, skip + wanted);
            reads.push(async move {
                let first = self.first_of(day.day, day.has_month, filter, settled, until).await?;
                Ok::<_, StorageError>(first.into_iter().skip(from).take(wanted).collect::<Vec<_>>())
            });
            missing -= wanted;
            skip = 0;
        }
        let read: Vec<Vec<AuditRecord>> = stream::iter(reads).buffered(AT_ONCE).try_collect().await?;
        records.extend(read.into_iter().flatten());
        Ok(AuditPage { records, total })
    }

    /// Counts the records of each kind; only the days of the filter count.
    pub async fn stats(&self, filter: &AuditFilter, now: DateTime<Utc>) -> Result<AuditStats, StorageError> {
        let Some((settled, mut stats)) =
            self.indexed(sleep(LONG_PATIENCE), now, |index| index.stats(filter)).await?
        else {
            return Err(StorageError::new(StorageErrorKind::Unavailable, "count", "the audit log"));
        };
        for record in self.tail(settled, now).await? {
            if filter.covers(record.timestamp.date_naive()) {
                stats.add(&traits(&record));
            }
        }
        Ok(stats)
    }

    /// Makes the index ready, so that the first to ask need not wait for it.
    pub async fn warm_up(&self, now: DateTime<Utc>) -> Result<(), StorageError> {
        let mut index = self.index.lock().await;
        self.advance(&mut index, now).await.map(drop)
    }

    /// Asks the index when it is up to date, with the instant up to which it counts. Where that takes
    /// longer than `patience` lasts, making it goes on in a task of its own, and whoever asked has to do without.
    async fn indexed<T>(
        &self,
        patience: impl Future<Output = ()>,
        now: DateTime<Utc>,
        ask: impl FnOnce(&Index) -> T,
    ) -> Result<Option<(DateTime<Utc>, T)>, StorageError> {
        let log = self.clone();
        let advancing = tokio::spawn(async move {
            let mut index = Arc::clone(&log.index).lock_owned().await;
            log.advance(&mut index, now).await.map(|settled| (settled, index))
        });
        tokio::select! {
            biased;
            advanced = advancing => match advanced {
                Ok(advanced) => advanced.map(|(settled, index)| Some((settled, ask(&index)))),
                Err(_) => Err(StorageError::new(StorageErrorKind::Unavailable, "index", "the audit log")),
            },
            () = patience => Ok(None),
        }
    }

    /// Keeps the index from being used, as making it does.
    #[cfg(test)]
    pub(super) async fn busy(&self) -> impl Drop + use<> {
        Arc::clone(&self.index).lock_owned().await
    }

    /// Lists without the index, while that is made: walks back from now until the page is full. The total
    /// is then what was seen, and one more than the page's end where the walk has not come to an end.
    async fn list_by_walk(
        &self,
        filter: &AuditFilter,
        offset: usize,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<AuditPage, StorageError> {
        let _asking = self.priority.ask();
        let wanted = offset.saturating_add(limit).saturating_add(1);
        let began = Instant::now();
        let oldest = now - LONGEST_GAP;
        let oldest = filter.from.map_or(oldest, |from| midnight(from).max(oldest));
        let newest = now + TimeDelta::hours(1);
        let mut to = filter.through.map_or(newest, |day| midnight(day + Days::new(1)).min(newest));
        let mut step = TimeDelta::days(1);
        let mut records = Vec::new();
        while records.len() < wanted && to > oldest && began.elapsed() < LONGEST_READ {
            let from = (to - step).max(oldest);
            let found = self.between(from, to).await?.into_iter().map(|placed| placed.record);
            let mut found: Vec<AuditRecord> = found.filter(|record| filter.matches(record)).collect();
            newest_first(&mut found);
            records.extend(found);
            to = from;
            step = (step * 2).min(LONGEST_STEP);
        }
        let more = if to > oldest { wanted } else { 0 };
        let total = records.len().max(more);
        Ok(AuditPage { records: records.into_iter().skip(offset).take(limit).collect(), total })
    }

    /// Brings the index up to date, and returns the instant up to which it counts.
    async fn advance(&self, index: &mut Index, now: DateTime<Utc>) -> Result<DateTime<Utc>, StorageError> {
        let target = now - SETTLED_AFTER;
        if index.settled.is_none()
            && let Err(error) = self.load(index).await
        {
            *index = Index::default();
            return Err(error);
        }
        match index.settled {
            Some(settled) if target - settled < LONGEST_TAIL => return Ok(settled),
            Some(settled) if target - settled < LONGEST_GAP => {
                for record in self.between(settled, target).await? {
                    index.add(record.day, record.of_month, &record.record);
                }
            }
            Some(_) | None => *index = self.read_all(target).await?,
        }
        index.settled = Some(target);
        self.store(index, target.date_naive()).await;
        Ok(target)
    }

    /// Takes over the days that are stored.
    async fn load(&self, index: &mut Index) -> Result<(), StorageError> {
        let Some(mark) = self.index_table.get(&mark()).await? else { return Ok(()) };
        let Some(through) = Reader(&mark).text("through").and_then(|day| day.parse::<NaiveDate>().ok())
        else {
            return Ok(());
        };
        let days = Query::matching(Filter::eq(PARTITION, DAYS));
        let end = midnight(through + Days::new(1));
        for row in query_all(&*self.index_table, &days).await? {
            // A program that died may have left later days without the mark.
            if row.key.row.parse::<NaiveDate>().is_ok_and(|day| day > through) {
                continue;
            }
            if let Some(day) = index.take(&row) {
                let all = AuditFilter::default();
                for record in self.first_of(day, true, &all, end, usize::MAX).await? {
                    index.add(day, true, &record);
                }
            }
        }
        index.settled = Some(end);
        index.stored = Some(through);
        Ok(())
    }

    /// Stores the days that are over. The mark comes last; a failure only costs the next program time.
    async fn store(&self, index: &mut Index, today: NaiveDate) {
        let Some(last) = today.pred_opt().filter(|last| index.stored.is_none_or(|stored| stored < *last))
        else {
            return;
        };
        let outcome = async {
            for row in index.unstored(today) {
                self.index_table.insert_or_merge(&row.key, &row.properties).await?;
            }
            let through: Properties = [("through".to_owned(), last.to_string().into())].into();
            self.index_table.insert_or_merge(&mark(), &through).await
        };
        match outcome.await {
            Ok(_) => index.stored = Some(last),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn Error,
                    "the index of the audit log could not be stored"
                );
            }
        }
    }

    async fn read_all(&self, until: DateTime<Utc>) -> Result<Index, StorageError> {
        let _under_way = self.first_reading.begin();
        let mut index = Index::default();
        let query = Query { select: COLUMNS.to_vec(), ..Query::default() };
        let mut from = None;
        loop {
            self.priority.give_way().await;
            let page = self.table.query(&query, from.as_ref()).await?;
            for placed in placed(&page.entities) {
                if placed.record.timestamp < until {
                    index.add(placed.day, placed.of_month, &placed.record);
                }
            }
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(index),
            }
        }
    }

    /// Reads the records from one instant to before another, of both kinds of partitions.
    async fn between(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Vec<Placed>, StorageError> {
        let (first, last) = (from.date_naive(), to.date_naive());
        let days = Filter::And(vec![
            Filter::ge(PARTITION, first.to_string()),
            Filter::le(PARTITION, last.to_string()),
            Filter::lt(ROW, history_key_bound(from)),
            Filter::ge(ROW, history_key_bound(to)),
        ]);
        let of_month = months(first, last).into_iter().map(|month| {
            Filter::And(vec![
                Filter::eq(PARTITION, month),
                Filter::lt(ROW, audit_month_key(from - ANOTHER_ZONE)),
                Filter::ge(ROW, audit_month_key(to + ANOTHER_ZONE)),
            ])
        });
        let queries: Vec<Query> = std::iter::once(days).chain(of_month).map(Query::matching).collect();
        let found = try_join_all(queries.iter().map(|query| query_all(&*self.table, query))).await?;
        let entities: Vec<Entity> = found.into_iter().flatten().collect();
        let within = |placed: &Placed| (from..to).contains(&placed.record.timestamp);
        Ok(placed(&entities).into_iter().filter(within).collect())
    }

    /// Reads what is not in the index, newest first. The clocks of others may be ahead a little.
    async fn tail(
        &self,
        settled: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Vec<AuditRecord>, StorageError> {
        let found = self.between(settled, now + TimeDelta::hours(1)).await?;
        let mut records: Vec<AuditRecord> = found.into_iter().map(|placed| placed.record).collect();
        newest_first(&mut records);
        Ok(records)
    }

    /// Reads the newest records of a day before an instant that match, of both kinds of partitions.
    async fn first_of(
        &self,
        day: NaiveDate,
        has_month: bool,
        filter: &AuditFilter,
        before: DateTime<Utc>,
        most: usize,
    ) -> Result<Vec<AuditRecord>, StorageError> {
        let mut of_day = vec![Filter::eq(PARTITION, day.to_string())];
        if before.date_naive() <= day {
            of_day.push(Filter::ge(ROW, history_key_bound(before)));
        }
        let mut records = self.first_matching(of_day, day, filter, before, most).await?;
        if has_month {
            let of_month = vec![
                Filter::eq(PARTITION, month(day)),
                Filter::ge(ROW, audit_month_key(midnight(day + Days::new(1)) + ANOTHER_ZONE)),
                Filter::lt(ROW, audit_month_key(midnight(day) - ANOTHER_ZONE)),
            ];
            records.extend(self.first_matching(of_month, day, filter, before, most).await?);
        }
        newest_first(&mut records);
        records.truncate(most);
        Ok(records)
    }

    async fn first_matching(
        &self,
        mut conditions: Vec<Filter>,
        day: NaiveDate,
        filter: &AuditFilter,
        before: DateTime<Utc>,
        most: usize,
    ) -> Result<Vec<AuditRecord>, StorageError> {
        // What only we can tell needs the whole day, and a day seldom has more than one page.
        let at_the_service = filter.of_the_service();
        let is_exact = filter.conditions().len() == at_the_service.len();
        let top = if is_exact { u32::try_from(most.clamp(100, 1000)).unwrap_or(1000) } else { 1000 };
        conditions.extend(at_the_service);
        let query = Query { filter: Some(Filter::And(conditions)), select: Vec::new(), top: Some(top) };
        let mut records = Vec::new();
        let mut from = None;
        while records.len() < most {
            let page = self.table.query(&query, from.as_ref()).await?;
            let matching = placed(&page.entities)
                .into_iter()
                .filter(|placed| placed.day == day && placed.record.timestamp < before)
                .map(|placed| placed.record)
                .filter(|record| filter.matches(record));
            records.extend(matching);
            match page.next {
                Some(next) => from = Some(next),
                None => break,
            }
        }
        Ok(records)
    }
}

/// Stores a record.
pub(super) async fn append(table: &dyn Table, record: &AuditRecord) -> Result<(), StorageError> {
    match table.insert(&record.entity()).await {
        // The id is new: it is this very record, whose answer was lost on its way.
        Err(error) if error.kind() == StorageErrorKind::AlreadyExists => Ok(()),
        other => other.map(drop),
    }
}

/// A record and where it was found.
struct Placed {
    day: NaiveDate,
    of_month: bool,
    record: AuditRecord,
}

/// Reads the rows that can be read. Rows in the partition of a day are of that day; in the partition of
/// a month, their time tells the day.
fn placed(entities: &[Entity]) -> Vec<Placed> {
    let place = |entity: &Entity| {
        let partition = entity.key.partition.as_str();
        let (records, _) = repository::readable::<AuditRecord>(std::slice::from_ref(entity));
        let record = records.into_iter().next()?;
        if let Ok(day) = partition.parse::<NaiveDate>() {
            return Some(Placed { day, of_month: false, record });
        }
        let of_month = partition.len() == 6 && partition.bytes().all(|byte| byte.is_ascii_digit());
        let day = record.timestamp.date_naive();
        of_month.then_some(Placed { day, of_month, record })
    };
    entities.iter().filter_map(place).collect()
}

fn newest_first(records: &mut [AuditRecord]) {
    records.sort_by(|a, b| b.timestamp.cmp(&a.timestamp).then_with(|| a.id.cmp(&b.id)));
}

fn mark() -> Key {
    Key::new("meta", "through")
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

/// Returns the partition of a month in which an earlier system put a day.
fn month(day: NaiveDate) -> String {
    day.format("%Y%m").to_string()
}

/// Returns the partitions of all months from one day to another.
fn months(first: NaiveDate, last: NaiveDate) -> Vec<String> {
    let number = |day: NaiveDate| day.year() * 12 + i32::try_from(day.month0()).unwrap_or_default();
    (number(first)..=number(last))
        .map(|n| format!("{:04}{:02}", n.div_euclid(12), n.rem_euclid(12) + 1))
        .collect()
}

fn record(actor: &Actor, event: AuditEvent, now: DateTime<Utc>) -> AuditRecord {
    AuditRecord {
        id: AuditId::random(),
        timestamp: now,
        user_id: actor.user_id.clone(),
        user_email: actor.email.clone(),
        action: event.action.as_str().to_owned(),
        resource_type: event.resource.as_str().to_owned(),
        resource_id: event.resource_id,
        resource_name: event.resource_name,
        details: (!event.details.is_empty()).then_some(event.details),
        status: if event.error.is_some() { AuditStatus::Failed } else { AuditStatus::Success },
        error_message: event.error,
        ip_address: actor.ip_address.clone(),
    }
}
