//! Tests of the index: every writer keeps it, a failure at any call leaves nothing that cannot be
//! found, and rows without an entry are found all the same.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::priority::Priority;
use super::rows::{Row as _, history_key};
use super::table::{Entity, Key, Query, Table, query_all};
use super::{Backups, ClaimOutcome, Claims, Fault, FaultyTable, MemoryTable, StorageErrorKind, TableCall};
use crate::clock::Clock;
use crate::models::{
    Artifact, Backup, BackupId, BackupJob, BackupState, DatabaseType, JobId, PlannedBlob, Run, Tier,
    TriggeredBy,
};

const GONE: StorageErrorKind = StorageErrorKind::Unavailable;

struct World {
    history: FaultyTable,
    index: FaultyTable,
    days: FaultyTable,
    backups: Backups,
    claims: Claims,
}

impl World {
    fn new() -> Self {
        let [history, index, days] = std::array::from_fn(|_| FaultyTable::new(MemoryTable::default()));
        let [rows, entries, counts] =
            [&history, &index, &days].map(|table| -> Arc<dyn Table> { Arc::new(table.clone()) });
        let backups = Backups::new(rows, entries, counts, Priority::default(), Clock::fixed(at(48)));
        let claims = Claims {
            history: backups.table.clone(),
            leases: Arc::new(MemoryTable::default()),
            ttl: Duration::from_mins(2),
        };
        Self { history, index, days, backups, claims }
    }

    async fn entries(&self) -> Vec<String> {
        let rows = query_all(&self.index, &Query::default()).await.unwrap();
        rows.iter().map(|row| row.key.partition.clone()).collect()
    }

    /// Returns how often the history was searched since the world began.
    fn searches(&self) -> u64 {
        self.history.calls(TableCall::Query)
    }
}

fn at(hours: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::hours(hours)
}

fn job(id: &str, hours: i64) -> BackupJob {
    BackupJob {
        id: id.parse().unwrap(),
        backup_id: Some(format!("b-{id}").parse().unwrap()),
        database_id: "db".parse().unwrap(),
        database_name: "Orders".to_owned(),
        database_type: DatabaseType::Mysql,
        host: "db1".to_owned(),
        port: 3306,
        target_database: "orders".to_owned(),
        username: "backup".to_owned(),
        compression: true,
        backup_destination: None,
        triggered_by: TriggeredBy::Scheduler,
        tier: Some(Tier::Daily),
        created_at: at(hours),
        scheduled_at: None,
    }
}

fn artifact(name: &str) -> Artifact {
    Artifact {
        blob_name: name.to_owned(),
        blob_url: None,
        container: Some("backups".parse().unwrap()),
        bytes: Some(7),
        format: None,
        sha256: None,
        consistency: None,
        warnings: crate::models::Warnings::default(),
        globals: None,
    }
}

fn completed(id: &str, hours: i64, blob: &str) -> Backup {
    let state =
        BackupState::Completed { run: Run::between(at(hours), at(hours)), artifact: Some(artifact(blob)) };
    Backup { state, ..job(id, hours).record() }
}

fn id(text: &str) -> BackupId {
    text.parse().unwrap()
}

fn job_id(text: &str) -> JobId {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_record_is_found_by_id_job_and_blob_without_a_search() {
    let world = World::new();
    let job = job("j", 40);
    world.backups.insert(&job.record()).await.unwrap();
    let Ok(ClaimOutcome::Granted(mut claim)) = world.claims.claim(&job, at(41)).await else {
        panic!("not granted")
    };
    let planned = PlannedBlob { container: "backups".parse().unwrap(), name: "mysql/db/x.sql.gz".to_owned() };
    world.claims.plan(&mut claim, &planned).await.unwrap();
    let done = world.claims.complete(*claim, artifact("mysql/db/x.sql.gz"), at(42)).await.unwrap();
    assert_eq!(world.backups.find(&id("b-j")).await.unwrap(), Some(done.clone()));
    assert_eq!(world.backups.of_job(&job_id("j")).await.unwrap(), std::slice::from_ref(&done));
    assert_eq!(world.backups.of_blob("mysql/db/x.sql.gz").await.unwrap(), std::slice::from_ref(&done));
    assert_eq!(world.searches(), 0);

    assert!(world.backups.delete(&done).await.unwrap());
    assert_eq!(world.searches(), 0, "a point operation");
    assert!(world.entries().await.is_empty(), "{:?}", world.entries().await);
    assert_eq!(world.backups.find(&id("b-j")).await.unwrap(), None);
    assert!(world.backups.of_blob("mysql/db/x.sql.gz").await.unwrap().is_empty());
}

#[tokio::test]
async fn an_entry_comes_before_its_row_and_goes_after_it() {
    let record = completed("j", 0, "mysql/db/x.sql.gz");
    for nth in 1..=3 {
        let world = World::new();
        let _ = world.index.clone().with(TableCall::Insert, nth, Fault::Refuse(GONE));
        assert!(world.backups.insert(&record).await.is_err(), "{nth}");
        assert!(query_all(&world.history, &Query::default()).await.unwrap().is_empty(), "{nth}");
        assert_eq!(world.backups.find(&record.id).await.unwrap(), None, "an entry alone is no record");
        world.backups.insert(&record).await.unwrap();
        assert_eq!(world.backups.of_blob("mysql/db/x.sql.gz").await.unwrap(), std::slice::from_ref(&record));
    }
    // The row could not be stored: the entries name nothing, and nobody is misled.
    let world = World::new();
    world.history.fail_next(TableCall::Insert, Fault::Refuse(GONE));
    assert!(world.backups.insert(&record).await.is_err());
    assert_eq!(world.entries().await.len(), 3);
    assert_eq!(world.backups.find(&record.id).await.unwrap(), None);
    assert!(world.backups.of_job(&record.job_id).await.unwrap().is_empty());

    // A delete that dies before the entries are gone has deleted the record.
    let world = World::new();
    world.backups.insert(&record).await.unwrap();
    // The first look is for the record's rows.
    let second = world.index.calls(TableCall::Get) + 2;
    let _ = world.index.clone().with(TableCall::Get, second, Fault::Refuse(GONE));
    assert!(world.backups.delete(&record).await.unwrap());
    assert_eq!(world.backups.find(&record.id).await.unwrap(), None);
    assert!(!world.backups.delete(&record).await.unwrap());
}

#[tokio::test]
async fn a_write_whose_day_cannot_be_touched_does_not_happen() {
    let world = World::new();
    let record = completed("j", 0, "mysql/db/x.sql.gz");
    world.days.fail_next(TableCall::InsertOrMerge, Fault::Refuse(GONE));
    assert!(world.backups.insert(&record).await.is_err());
    assert!(query_all(&world.history, &Query::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn rows_without_entries_are_found_and_get_them() {
    let world = World::new();
    let keys = [
        Key::new("2024-10-04", "3137729687999999999_b-ticks"),
        Key::new("2024-10-04", "b-plain"),
        Key::new("2024-10-05", history_key(at(1), "b-far").row),
    ];
    let names = ["ticks", "plain", "far"];
    for (key, name) in keys.iter().zip(names) {
        let record = completed(name, 0, &format!("mysql/db/{name}.sql"));
        world.history.insert(&Entity::new(key.clone(), record.entity().properties)).await.unwrap();
    }
    for name in names {
        assert_eq!(world.backups.of_blob(&format!("mysql/db/{name}.sql")).await.unwrap().len(), 1, "{name}");
    }
    let world_after = world.searches();
    for name in names {
        let found = world.backups.find(&id(&format!("b-{name}"))).await.unwrap();
        assert_eq!(found.map(|found| found.job_id), Some(job_id(name)));
        assert_eq!(world.backups.of_job(&job_id(name)).await.unwrap().len(), 1);
    }
    assert_eq!(world.searches(), world_after, "they have entries now");
    for name in names {
        let record = world.backups.find(&id(&format!("b-{name}"))).await.unwrap().unwrap();
        assert!(world.backups.delete(&record).await.unwrap(), "{name}");
    }
    assert!(query_all(&world.history, &Query::default()).await.unwrap().is_empty());
    assert!(world.entries().await.is_empty());
}

#[tokio::test]
async fn a_complete_index_spares_the_search_of_the_past_only() {
    let world = World::new();
    world.backups.begin_index(at(0)).await.unwrap();
    assert!(world.backups.index.is_complete().await.unwrap(), "an empty history is indexed");
    for (name, hours) in [("old", -200), ("new", 40)] {
        let record = completed(name, hours, name);
        world.history.insert(&record.entity()).await.unwrap();
    }
    assert_eq!(world.backups.find(&id("b-new")).await.unwrap().map(|found| found.id), Some(id("b-new")));
    assert_eq!(world.backups.find(&id("b-old")).await.unwrap(), None);

    let world = World::new();
    world.history.insert(&completed("old", -200, "old").entity()).await.unwrap();
    world.backups.begin_index(at(0)).await.unwrap();
    assert!(!world.backups.index.is_complete().await.unwrap());
    assert!(world.backups.find(&id("b-old")).await.unwrap().is_some());
}

#[tokio::test]
async fn records_that_share_a_blob_or_a_job_are_all_found() {
    let world = World::new();
    let twins = [completed("j", 0, "same"), Backup { id: id("b-2"), ..completed("j", 1, "same") }];
    for twin in &twins {
        world.backups.insert(twin).await.unwrap();
    }
    let newest_first = [twins[1].clone(), twins[0].clone()];
    assert_eq!(world.backups.of_blob("same").await.unwrap(), newest_first);
    assert_eq!(world.backups.of_job(&job_id("j")).await.unwrap(), newest_first);
    world.backups.delete(&twins[1]).await.unwrap();
    assert_eq!(world.backups.of_blob("same").await.unwrap(), twins[..1]);
}

#[tokio::test]
async fn writers_that_meet_in_one_entry_are_both_in_it() {
    let world = World::new();
    let twins: Vec<Backup> = (0..5)
        .map(|number| Backup { id: id(&format!("b-{number}")), ..completed("j", number, "same") })
        .collect();
    world.index.fail_next(TableCall::Insert, Fault::Refuse(StorageErrorKind::AlreadyExists));
    world.index.fail_next(TableCall::Merge, Fault::Lose(StorageErrorKind::Changed));
    for stored in futures::future::join_all(twins.iter().map(|twin| world.backups.insert(twin))).await {
        stored.unwrap();
    }
    assert_eq!(world.backups.of_blob("same").await.unwrap().len(), 5);
}

#[tokio::test]
async fn a_rebuild_finds_what_has_no_entries_and_goes_on_where_it_was_killed() {
    let world = World::new();
    for number in 0..2500_i64 {
        let record = completed(&format!("{number:04}"), -number, &format!("blob-{number}"));
        world.history.insert(&record.entity()).await.unwrap();
    }
    world.backups.insert(&completed("new", 1, "blob-new")).await.unwrap();
    let looked = world.backups.rebuild_index(false, at(48), |_| {}).await.unwrap();
    assert_eq!((looked.rows, looked.missing), (2501, 2500));
    assert_eq!(world.entries().await.len(), 3, "a look changes nothing");

    // Killed in the second page.
    let written = world.index.calls(TableCall::Insert);
    let _ = world.index.clone().with(TableCall::Insert, written + 4000, Fault::Refuse(GONE));
    assert!(world.backups.rebuild_index(true, at(48), |_| {}).await.is_err());
    assert!(!world.backups.index.is_complete().await.unwrap());
    let mut seen = Vec::new();
    let rest = world.backups.rebuild_index(true, at(48), |so_far| seen.push(so_far.rows)).await.unwrap();
    assert_eq!(seen, [1000, 1501], "the first page was done");
    assert!(rest.missing < 1500, "{rest:?}");
    assert!(world.backups.index.is_complete().await.unwrap());
    let again = world.backups.rebuild_index(true, at(48), |_| {}).await.unwrap();
    assert_eq!((again.rows, again.missing), (2501, 0));
    let searches = world.searches();
    assert_eq!(world.backups.of_blob("blob-2400").await.unwrap().len(), 1);
    assert_eq!(world.searches(), searches);
    assert_eq!(world.backups.counts().await.unwrap().total(&super::BackupFilter::default()).count, 2501);
}
