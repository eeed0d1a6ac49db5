//! Tests of counts and pages: they are those of the history itself, whatever happens to it, and past
//! days are not read again.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::priority::Priority;
use super::rows::Row as _;
use super::table::{Entity, Key, Query, Table, query_all};
use super::{BackupFilter, Backups, Fault, FaultyTable, MemoryTable, StorageErrorKind, TableCall};
use crate::clock::Clock;
use crate::models::{Artifact, Backup, BackupState, BackupStatus, DatabaseType, Failure, Run, TriggeredBy};

struct World {
    history: FaultyTable,
    days: FaultyTable,
    clock: Clock,
    backups: Backups,
}

impl World {
    fn new() -> Self {
        let [history, days] = std::array::from_fn(|_| FaultyTable::new(MemoryTable::default()));
        let clock = Clock::fixed(at(0, 12));
        let backups = backups(&history, &days, &clock);
        Self { history, days, clock, backups }
    }

    /// Another program on the same tables, which remembers nothing.
    fn another(&self) -> Backups {
        backups(&self.history, &self.days, &self.clock)
    }

    async fn total(&self, filter: &BackupFilter) -> usize {
        self.backups.page(filter, 0, 1).await.unwrap().total
    }
}

fn backups(history: &FaultyTable, days: &FaultyTable, clock: &Clock) -> Backups {
    let [history, days] = [history, days].map(|table| -> Arc<dyn Table> { Arc::new(table.clone()) });
    Backups::new(history, Arc::new(MemoryTable::default()), days, Priority::default(), clock.clone())
}

/// An instant so many days after a day, at an hour.
fn at(days: i64, hour: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000 + days) + TimeDelta::hours(hour)
}

fn backup(id: &str, created_at: DateTime<Utc>, database: &str, status: BackupStatus) -> Backup {
    let run = Run::between(created_at, created_at);
    let artifact = Artifact {
        blob_name: format!("mysql/{database}/{id}"),
        blob_url: None,
        container: None,
        bytes: Some(10),
        format: None,
        sha256: None,
        consistency: None,
        warnings: crate::models::Warnings::default(),
        globals: None,
    };
    Backup {
        id: id.parse().unwrap(),
        job_id: format!("job-{id}").parse().unwrap(),
        database_id: database.parse().unwrap(),
        database_name: "Orders".to_owned(),
        database_type: DatabaseType::Mysql,
        triggered_by: TriggeredBy::Scheduler,
        tier: None,
        created_at,
        retry_count: 0,
        marks: crate::models::Marks::default(),
        state: match status {
            BackupStatus::Completed => BackupState::Completed { run, artifact: Some(artifact) },
            BackupStatus::Failed => BackupState::Failed { run, failure: Failure::new("Test", "no") },
            BackupStatus::Cancelled => BackupState::Cancelled { run, reason: None },
            BackupStatus::Pending | BackupStatus::InProgress => BackupState::Pending { last_failure: None },
        },
    }
}

fn good(id: &str, days: i64) -> Backup {
    backup(id, at(days, 1), "db", BackupStatus::Completed)
}

#[tokio::test]
async fn a_past_day_is_counted_once() {
    let world = World::new();
    for day in -9..=0 {
        world.history.insert(&good(&format!("b{day}"), day).entity()).await.unwrap();
    }
    assert_eq!(world.total(&BackupFilter::default()).await, 10);
    let queries = world.history.calls(TableCall::Query);
    for backups in [&world.backups, &world.another()] {
        let before = world.history.calls(TableCall::Query);
        assert_eq!(backups.counts().await.unwrap().total(&BackupFilter::default()).count, 10);
        // Today, and what lies before the oldest day.
        assert_eq!(world.history.calls(TableCall::Query) - before, 2);
    }
    assert!(queries < 6, "{queries}");
    let kept = query_all(&world.days, &Query::default()).await.unwrap();
    insta::assert_snapshot!(format!("{:?}", kept[0].properties["counts_0"]), @r#"String("2024-09-25 db mysql completed scheduler 1 10\n")"#);
    assert_eq!(kept.len(), 9 + 1, "nine days and the stretch");
}

#[tokio::test]
async fn what_we_write_into_a_past_day_is_counted() {
    let world = World::new();
    let old = good("old", -5);
    world.backups.insert(&old).await.unwrap();
    world.backups.insert(&good("other", -5)).await.unwrap();
    assert_eq!(world.total(&BackupFilter::default()).await, 2);
    // The writes are too near for their counts to be believed; later they are.
    world.clock.set(at(0, 13));
    assert_eq!(world.total(&BackupFilter::default()).await, 2);
    let before = world.history.calls(TableCall::Query);
    world.backups.counts().await.unwrap();
    assert_eq!(world.history.calls(TableCall::Query) - before, 2, "they are kept now");

    assert!(world.backups.delete(&old).await.unwrap());
    assert_eq!(world.total(&BackupFilter::default()).await, 1);
    assert_eq!(world.another().counts().await.unwrap().total(&BackupFilter::default()).count, 1);
    world.backups.insert(&good("revived", -30)).await.unwrap();
    assert_eq!(world.total(&BackupFilter::default()).await, 2);
}

#[tokio::test]
async fn counts_that_were_made_while_a_write_was_on_its_way_are_not_believed() {
    let world = World::new();
    let old = good("old", -5);
    world.backups.insert(&old).await.unwrap();
    world.clock.set(at(0, 13));
    world.total(&BackupFilter::default()).await;
    // A delete touches the day, is held up, and another program counts meanwhile.
    world.history.fail_next(TableCall::Delete, Fault::Refuse(StorageErrorKind::Unavailable));
    assert!(world.backups.delete(&old).await.is_err());
    assert_eq!(world.another().counts().await.unwrap().total(&BackupFilter::default()).count, 1);
    // The row goes behind everybody's back, as a request does that was on its way.
    let key = old.entity().key;
    world.history.delete(&key, &super::table::Expect::Any).await.unwrap();
    assert_eq!(world.total(&BackupFilter::default()).await, 0);
    world.clock.set(at(0, 14));
    assert_eq!(world.total(&BackupFilter::default()).await, 0);
}

#[tokio::test]
async fn days_go_by() {
    let world = World::new();
    assert_eq!(world.total(&BackupFilter::default()).await, 0);
    for day in 0..20 {
        // Around midnight yesterday still lives, and a record may change without a touch.
        world.clock.set(at(day, 0) + TimeDelta::minutes(30));
        let pending = backup(&format!("p{day}"), at(day, 0), "db", BackupStatus::Pending);
        world.backups.insert(&pending).await.unwrap();
        assert_eq!(world.total(&BackupFilter::default()).await, usize::try_from(day).unwrap() + 1);
        world.clock.set(at(day + 1, 0) + TimeDelta::minutes(59));
        let done = Backup { state: good("x", day).state, ..pending };
        let entity = done.entity();
        world.backups.table.insert_or_merge(&entity.key, &entity.properties).await.unwrap();
        let waiting = BackupFilter { statuses: vec![BackupStatus::Pending], ..BackupFilter::default() };
        assert_eq!(world.total(&waiting).await, 0, "day {day}");
    }
    world.clock.set(at(40, 12));
    assert_eq!(world.total(&BackupFilter::default()).await, 20);
    let rows = query_all(&world.days, &Query::default()).await.unwrap();
    assert!(rows.len() <= 21, "days without backups have no rows: {}", rows.len());
}

#[tokio::test]
async fn rows_that_others_bring_are_seen_where_they_can_be() {
    let world = World::new();
    assert_eq!(world.total(&BackupFilter::default()).await, 0);
    // An account is filled while the program runs.
    for day in -400..=0 {
        world.history.insert(&good(&format!("b{day}"), day).entity()).await.unwrap();
    }
    assert_eq!(world.total(&BackupFilter::default()).await, 401);
    // Into the stretch that is counted, nobody else may write; a rebuild sees it.
    world.history.insert(&good("foreign", -50).entity()).await.unwrap();
    assert_eq!(world.total(&BackupFilter::default()).await, 401);
    world.backups.days.forget().await.unwrap();
    assert_eq!(world.total(&BackupFilter::default()).await, 402);
}

#[tokio::test]
async fn counts_that_cannot_be_kept_or_read_are_made_again() {
    let world = World::new();
    world.history.insert(&good("a", -3).entity()).await.unwrap();
    world.history.insert(&good("b", -4).entity()).await.unwrap();
    world.days.fail_next(TableCall::InsertOrMerge, Fault::Refuse(StorageErrorKind::Unavailable));
    assert_eq!(world.total(&BackupFilter::default()).await, 2);
    assert_eq!(world.total(&BackupFilter::default()).await, 2);
    let damaged = [("counts_0".to_owned(), "of a later version\n".into())].into();
    let key = Key::new("day", at(-3, 0).format("%Y-%m-%d").to_string());
    world.days.insert_or_merge(&key, &damaged).await.unwrap();
    assert_eq!(world.another().counts().await.unwrap().total(&BackupFilter::default()).bytes, 20);
    world.history.fail_next(TableCall::Query, Fault::Refuse(StorageErrorKind::Unavailable));
    assert!(world.backups.page(&BackupFilter::default(), 0, 1).await.is_err());
    assert_eq!(world.total(&BackupFilter::default()).await, 2);
}

#[tokio::test]
async fn a_day_with_very_many_groups_is_kept_in_parts() {
    let world = World::new();
    for number in 0..900 {
        let record =
            backup(&format!("b{number}"), at(-1, 1), &format!("database-{number:050}"), BackupStatus::Failed);
        world.history.insert(&record.entity()).await.unwrap();
    }
    assert_eq!(world.total(&BackupFilter::default()).await, 900);
    let row =
        world.days.get(&Key::new("day", at(-1, 0).format("%Y-%m-%d").to_string())).await.unwrap().unwrap();
    assert_ne!(row.properties["counts_2"], "".into());
    assert_eq!(world.another().page(&BackupFilter::default(), 0, 1).await.unwrap().total, 900);
}

const STATUSES: [BackupStatus; 4] =
    [BackupStatus::Pending, BackupStatus::Completed, BackupStatus::Failed, BackupStatus::Cancelled];

/// A record somewhere in the last weeks, and whether its row has one of the older forms of keys.
fn any_row() -> impl Strategy<Value = (i64, i64, usize, usize, u8)> {
    (-20_i64..1, 0_i64..24, 0_usize..14, 0_usize..4, 0_u8..6)
}

fn any_filter() -> impl Strategy<Value = BackupFilter> {
    let databases = proptest::option::of(proptest::collection::vec(0_usize..15, 0..13));
    let days = (proptest::option::of(-21_i64..2), proptest::option::of(-21_i64..2));
    (databases, proptest::option::of(0_usize..4), proptest::bool::ANY, days).prop_map(
        |(databases, status, manual, (from, before))| BackupFilter {
            databases: databases
                .map(|list| list.iter().map(|n| format!("db-{n}").parse().unwrap()).collect()),
            statuses: status.map(|n| STATUSES[n]).into_iter().collect(),
            triggered_by: manual.then_some(TriggeredBy::Manual),
            from: from.map(|day| at(day, 0)),
            before: before.map(|day| at(day, 0)),
            ..BackupFilter::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn pages_are_those_of_the_whole_list(
        rows in proptest::collection::vec(any_row(), 0..80),
        filter in any_filter(),
        offset in 0_usize..60,
        limit in 1_usize..30,
    ) {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
            let world = World::new();
            for (number, (day, hour, database, status, form)) in rows.iter().enumerate() {
                let created_at = at(*day, *hour) + TimeDelta::seconds(i64::try_from(number).unwrap() % 7);
                let mut record = backup(&format!("{number:03}"), created_at, &format!("db-{database}"), STATUSES[*status]);
                if number % 3 == 0 {
                    record.triggered_by = TriggeredBy::Manual;
                }
                let mut entity = record.entity();
                match form {
                    // The oldest rows have the id alone as their key.
                    0 => entity.key.row = record.id.to_string(),
                    // Older ones took day and ticks from local time.
                    1 => entity = Entity::new(backup(record.id.as_str(), created_at + TimeDelta::hours(9), "db", STATUSES[0]).entity().key, entity.properties),
                    _ => {}
                }
                world.history.insert(&entity).await.unwrap();
            }
            let mut all: Vec<Backup> = query_all(&world.history, &Query::default()).await.unwrap().iter().map(|row| Backup::from_entity(row).unwrap()).collect();
            all.retain(|backup| filter.matches(backup));
            all.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| b.id.cmp(&a.id)));
            let page = world.backups.page(&filter, offset, limit).await.unwrap();
            assert_eq!(page.total, all.len());
            let expected: Vec<Backup> = all.into_iter().skip(offset).take(limit).collect();
            assert_eq!(page.backups, expected);
            assert_eq!(world.another().page(&filter, offset, limit).await.unwrap(), page);
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_is_found_while_the_history_is_counted() {
    let world = World::new();
    for day in -60..=0 {
        world.history.insert(&good(&format!("b{day}"), day).entity()).await.unwrap();
    }
    let busy = world.backups.days.busy().await;
    let all = BackupFilter::default();
    for (offset, limit) in [(0, 25), (25, 25), (50, 25), (99, 25)] {
        let page = world.backups.page(&all, offset, limit).await.unwrap();
        let found: Vec<&str> = page.backups.iter().map(|backup| backup.id.as_str()).collect();
        let expected: Vec<String> =
            (-60..=0).rev().skip(offset).take(limit).map(|day| format!("b{day}")).collect();
        assert_eq!(found, expected, "from {offset}");
        assert_eq!(page.total > offset + limit, 61 > offset + limit, "from {offset}");
        assert!(page.total <= 61, "{}", page.total);
    }
    let some = BackupFilter { from: Some(at(-20, 0)), before: Some(at(-10, 0)), ..BackupFilter::default() };
    assert_eq!(world.backups.page(&some, 0, 25).await.unwrap().total, 10);
    let recent = world.backups.counts_since(at(-9, 0).date_naive()).await.unwrap();
    assert_eq!(recent.total(&all).count, 10);
    assert_eq!(world.backups.counts().await.unwrap_err().kind(), StorageErrorKind::Unavailable);
    drop(busy);
    assert_eq!(world.total(&all).await, 61);
}
