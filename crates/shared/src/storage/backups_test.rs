//! Tests of the backup history: lists, rows of earlier systems, and records that nobody works on.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use chrono::{DateTime, TimeDelta, Utc};

use super::rows::Row as _;
use super::table::{Entity, Expect, Key, Properties, Table as _, Value};
use super::{
    BackupFilter, Backups, BlobCall, Fault, FaultyBlobs, FaultyTable, MemoryBlobs, MemoryTable, STUCK_AFTER,
    StorageErrorKind, TableCall,
};
use crate::clock::Clock;
use crate::models::{
    Attempt, Backup, BackupState, BackupStatus, DatabaseType, Failure, Marks, PlannedBlob, Run, Tier,
    TriggeredBy,
};

fn backups() -> (Backups, FaultyTable) {
    let table = FaultyTable::new(MemoryTable::default());
    (Backups::over(table.clone(), Clock::fixed(at(1000))), table)
}

fn at(hours: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::hours(hours)
}

fn backup(id: &str, hours: i64) -> Backup {
    Backup {
        id: id.parse().unwrap(),
        job_id: format!("job-of-{id}").parse().unwrap(),
        database_id: "db".parse().unwrap(),
        database_name: "Orders".to_owned(),
        database_type: DatabaseType::Mysql,
        triggered_by: TriggeredBy::Scheduler,
        tier: Some(Tier::Daily),
        created_at: at(hours),
        retry_count: 0,
        marks: Marks::default(),
        state: BackupState::Completed { run: Run::between(at(hours), at(hours)), artifact: None },
    }
}

fn of_database(mut backup: Backup, database: &str) -> Backup {
    backup.database_id = database.parse().unwrap();
    backup
}

async fn ids(backups: &Backups, filter: BackupFilter) -> Vec<String> {
    let found = backups.list(&filter).await.unwrap();
    found.into_iter().map(|backup| backup.id.to_string()).collect()
}

/// Stores a row as the earlier system did, under a key of its own and without some properties.
async fn insert_legacy(table: &FaultyTable, key: Key, backup: &Backup, absent: &[&str]) {
    let mut properties = backup.entity().properties;
    properties.retain(|name, _| !absent.contains(&name.as_str()));
    table.insert(&Entity::new(key, properties)).await.unwrap();
}

#[tokio::test]
async fn lists_are_newest_first_across_days() {
    let (backups, _) = backups();
    for (id, hours) in [("b", 30), ("d", 1), ("a", 500), ("c", 2), ("e", -700)] {
        backups.insert(&backup(id, hours)).await.unwrap();
    }
    assert_eq!(ids(&backups, BackupFilter::default()).await, ["a", "b", "c", "d", "e"]);
    assert_eq!(backups.insert(&backup("a", 500)).await.unwrap_err().kind(), StorageErrorKind::AlreadyExists);
}

#[tokio::test]
async fn filters_hold_together() {
    let (backups, _) = backups();
    let failed = BackupState::Failed { run: Run::default(), failure: Failure::new("Test", "no") };
    let all = [
        backup("daily", 0),
        Backup { tier: Some(Tier::Weekly), ..backup("weekly", 1) },
        Backup { tier: None, triggered_by: TriggeredBy::Manual, ..backup("manual", 2) },
        Backup { tier: None, ..backup("schedule", 3) },
        Backup { state: failed, ..backup("failed", 4) },
        Backup { state: BackupState::Pending { last_failure: None }, ..backup("pending", 5) },
        Backup { database_type: DatabaseType::AzureSql, ..of_database(backup("azure", 6), "other") },
    ];
    for backup in &all {
        backups.insert(backup).await.unwrap();
    }
    let filters: [(BackupFilter, &[&str]); 12] = [
        (BackupFilter::of(&"other".parse().unwrap()), &["azure"]),
        (BackupFilter { databases: Some(Vec::new()), ..BackupFilter::default() }, &[]),
        (
            BackupFilter {
                statuses: vec![BackupStatus::Failed, BackupStatus::Pending],
                ..BackupFilter::default()
            },
            &["pending", "failed"],
        ),
        (
            BackupFilter {
                statuses: BackupStatus::ALL.to_vec(),
                triggered_by: Some(TriggeredBy::Manual),
                ..BackupFilter::default()
            },
            &["manual"],
        ),
        (
            BackupFilter {
                triggered_by: Some(TriggeredBy::Scheduler),
                tier: Some(None),
                ..BackupFilter::default()
            },
            &["schedule"],
        ),
        (BackupFilter { tier: Some(None), ..BackupFilter::default() }, &["schedule", "manual"]),
        (BackupFilter { tier: Some(Some(Tier::Weekly)), ..BackupFilter::default() }, &["weekly"]),
        (BackupFilter { database_type: Some(DatabaseType::AzureSql), ..BackupFilter::default() }, &["azure"]),
        (
            BackupFilter {
                database_type: Some(DatabaseType::AzureSql),
                ..BackupFilter::of(&"db".parse().unwrap())
            },
            &[],
        ),
        (BackupFilter { from: Some(at(4)), ..BackupFilter::default() }, &["azure", "pending", "failed"]),
        (BackupFilter { before: Some(at(1)), ..BackupFilter::default() }, &["daily"]),
        (
            BackupFilter { from: Some(at(1)), before: Some(at(3)), ..BackupFilter::default() },
            &["manual", "weekly"],
        ),
    ];
    for (filter, expected) in filters {
        assert_eq!(ids(&backups, filter.clone()).await, expected, "{filter:?}");
    }
}

/// The service refuses filters of more than 15 comparisons, and the emulator does not.
#[tokio::test]
async fn many_databases_are_found_all_the_same() {
    let (backups, _) = backups();
    for number in 0..30 {
        let database = format!("db-{number}");
        backups.insert(&of_database(backup(&format!("b-{number:02}"), -number), &database)).await.unwrap();
    }
    for count in [1, 5, 6, 10, 20] {
        let databases = (0..count).map(|number| format!("db-{number}").parse().unwrap()).collect();
        let filter = BackupFilter {
            databases: Some(databases),
            statuses: BackupStatus::ALL.to_vec(),
            triggered_by: Some(TriggeredBy::Manual),
            database_type: Some(DatabaseType::Mysql),
            tier: Some(Some(Tier::Daily)),
            from: Some(at(-100)),
            before: Some(at(100)),
        };
        let comparisons = filter.query().filter.map(|filter| filter.to_odata().matches(" '").count());
        assert!(comparisons.is_some_and(|count| count <= 15), "{comparisons:?} comparisons");
        let filter = BackupFilter { triggered_by: None, ..filter };
        let expected: Vec<String> = (0..count).map(|number| format!("b-{number:02}")).collect();
        assert_eq!(ids(&backups, filter).await, expected);
    }
}

#[tokio::test]
async fn rows_of_earlier_systems_are_listed_found_and_deleted() {
    let (backups, table) = backups();
    // Without the properties that came later, and with a word that is not known today.
    let absent =
        ["tier", "container_name", "heartbeat_at", "sha256", "planned_blob_name", "planned_container_name"];
    let oldest = Backup { tier: None, ..backup("0b1c2d3e-0000-4000-8000-000000000001", 1) };
    let day = oldest.entity().key.partition;
    insert_legacy(&table, Key::new(&day, oldest.id.as_str()), &oldest, &absent).await;
    // Ticks with the rounding of a 64-bit fraction, and ticks of local time.
    let rounded = backup("rounded", 2);
    let key = rounded.entity().key;
    let ticks: i64 = key.row[..19].parse().unwrap();
    insert_legacy(&table, Key::new(&day, format!("{}_rounded", ticks + 1)), &rounded, &absent[1..]).await;
    let local = backup("local", 3);
    insert_legacy(&table, Key::new(&day, format!("{}_local", ticks - 36_000_000_000)), &local, &absent[1..])
        .await;
    let by = [("triggered_by".to_owned(), Value::from("api"))].into();
    table.merge(&Key::new(&day, oldest.id.as_str()), &by, &Expect::Any).await.unwrap();

    let scheduled = BackupFilter { triggered_by: Some(TriggeredBy::Scheduler), ..BackupFilter::default() };
    assert_eq!(ids(&backups, scheduled).await.len(), 3, "what is not manual is scheduled");
    let without_tier = BackupFilter { tier: Some(None), ..BackupFilter::default() };
    assert_eq!(ids(&backups, without_tier).await, [oldest.id.as_str()]);

    backups.insert(&backup("neighbour", 2)).await.unwrap();
    for backup in [&oldest, &rounded, &local] {
        assert_eq!(backups.find(&backup.id).await.unwrap().map(|found| found.id), Some(backup.id.clone()));
        assert!(backups.delete(backup).await.unwrap(), "{}", backup.id);
        assert_eq!(backups.find(&backup.id).await.unwrap(), None);
        assert!(!backups.delete(backup).await.unwrap());
    }
    assert_eq!(ids(&backups, BackupFilter::default()).await, ["neighbour"]);
    let neighbour = backup("neighbour", 2);
    assert_eq!(
        backups.get(&neighbour.id, neighbour.created_at).await.unwrap().map(|found| found.value),
        Some(neighbour.clone())
    );
    assert!(backups.delete(&neighbour).await.unwrap());
}

#[tokio::test]
async fn one_bad_row_stops_nobody() {
    let (backups, table) = backups();
    backups.insert(&backup("good", 1)).await.unwrap();
    let bad = Backup { state: BackupState::Pending { last_failure: None }, ..backup("bad", 2) };
    insert_legacy(&table, bad.entity().key, &bad, &["database_type"]).await;
    assert_eq!(ids(&backups, BackupFilter::default()).await, ["good"]);
    assert!(backups.end_stuck(&MemoryBlobs::default(), at(1000)).await.unwrap().is_empty());
    assert_eq!(backups.get(&bad.id, bad.created_at).await.unwrap_err().kind(), StorageErrorKind::Invalid);
    assert!(backups.delete(&bad).await.unwrap(), "it can be deleted all the same");
}

fn running(id: &str, hours: i64, heartbeat: Option<i64>) -> Backup {
    let attempt =
        Attempt { started_at: Some(at(hours)), heartbeat_at: heartbeat.map(at), ..Attempt::default() };
    Backup { state: BackupState::InProgress(attempt), ..backup(id, hours) }
}

#[tokio::test]
async fn records_without_a_sign_of_life_are_ended() {
    let (backups, _) = backups();
    let pending =
        |id, hours| Backup { state: BackupState::Pending { last_failure: None }, ..backup(id, hours) };
    let all = [
        pending("waits", 9),
        pending("forgotten", 7),
        running("alive", 0, Some(9)),
        running("dead", 0, Some(8)),
        running("never-lived", 7, None),
        backup("done", 0),
    ];
    for backup in &all {
        backups.insert(backup).await.unwrap();
    }
    assert_eq!(STUCK_AFTER, TimeDelta::hours(2));
    let now = at(10);
    let mut ended = backups.end_stuck(&MemoryBlobs::default(), now).await.unwrap();
    ended.sort_by(|a, b| a.id.cmp(&b.id));
    let names: Vec<&str> = ended.iter().map(|backup| backup.id.as_str()).collect();
    assert_eq!(names, ["dead", "forgotten", "never-lived"]);
    let dead = backups.find(&"dead".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(dead, ended[0]);
    assert_eq!(dead.failure().and_then(|failure| failure.class.as_deref()), Some("WorkerLost"));
    assert_eq!((dead.run().started_at, dead.run().finished_at), (Some(at(0)), Some(now)));
    assert!(backups.end_stuck(&MemoryBlobs::default(), now).await.unwrap().is_empty(), "once is enough");
    let alive = BackupFilter {
        statuses: vec![BackupStatus::Pending, BackupStatus::InProgress],
        ..BackupFilter::default()
    };
    assert_eq!(ids(&backups, alive).await, ["waits", "alive"]);
}

/// A processor that is behind by hours, or was away, leaves records without a sign of life whose messages
/// wait in the queue.
#[tokio::test]
async fn records_whose_message_may_still_wait_are_left_to_it() {
    let (backups, _) = backups();
    for hours in [3, 5] {
        let state = BackupState::Pending { last_failure: None };
        backups.insert(&Backup { state, ..backup(&format!("waits-{hours}"), hours) }).await.unwrap();
    }
    let blobs = MemoryBlobs::default();
    let mut ended = Vec::new();
    for oldest in [Some(3), Some(4), Some(5), Some(6), None] {
        let waiting = (None, oldest.map(at));
        let some = backups.end_stuck_since(&blobs, waiting, at(100)).await.unwrap();
        ended.extend(some.iter().map(|backup| (oldest, backup.id.to_string())));
    }
    // The message of one that is two hours older than the oldest that waits has been lost.
    assert_eq!(ended, [(Some(5), "waits-3".to_owned()), (None, "waits-5".to_owned())]);
}

/// A record whose attempt failed a minute ago waits for the next one; its age since it was made says
/// nothing.
#[tokio::test]
async fn a_record_that_waits_for_its_next_attempt_is_not_stuck() {
    let (backups, table) = backups();
    let waiting = Backup {
        state: BackupState::Pending { last_failure: Some(Failure::new("Test", "no")) },
        ..backup("w", 0)
    };
    backups.insert(&waiting).await.unwrap();
    let heartbeat = super::rows::backup_heartbeat(at(9), crate::models::DumpProgress::default());
    table.merge(&waiting.entity().key, &heartbeat, &Expect::Any).await.unwrap();
    assert!(backups.end_stuck(&MemoryBlobs::default(), at(10)).await.unwrap().is_empty());
    assert_eq!(backups.end_stuck(&MemoryBlobs::default(), at(11)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_record_that_comes_to_life_in_between_is_left_alone() {
    let (backups, table) = backups();
    let dead = running("dead", 0, None);
    backups.insert(&dead).await.unwrap();
    // Somebody writes between reading and ending: the version that was read is gone.
    table.fail_next(TableCall::Merge, Fault::Refuse(StorageErrorKind::Changed));
    assert!(backups.end_stuck(&MemoryBlobs::default(), at(10)).await.unwrap().is_empty());
    assert_eq!(backups.find(&dead.id).await.unwrap(), Some(dead));
    table.fail_next(TableCall::Merge, Fault::Refuse(StorageErrorKind::Unavailable));
    assert!(backups.end_stuck(&MemoryBlobs::default(), at(10)).await.unwrap().is_empty());
    assert_eq!(backups.end_stuck(&MemoryBlobs::default(), at(10)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn properties_of_newer_versions_stay() {
    let (backups, table) = backups();
    let dead = running("dead", 0, None);
    backups.insert(&dead).await.unwrap();
    let key = dead.entity().key;
    let newer: Properties = [("a_newer_property".to_owned(), Value::from("stays"))].into();
    table.merge(&key, &newer, &Expect::Any).await.unwrap();
    backups.end_stuck(&MemoryBlobs::default(), at(10)).await.unwrap();
    let row = table.get(&key).await.unwrap().unwrap();
    assert_eq!(row.properties["a_newer_property"], "stays".into());
    assert_eq!(row.properties["status"], "failed".into());
}

#[tokio::test]
async fn one_that_cannot_be_looked_at_keeps_no_other_from_being_ended() {
    let (backups, _) = backups();
    for id in ["a", "b"] {
        let BackupState::InProgress(attempt) = running(id, 0, None).state else { unreachable!() };
        let planned =
            PlannedBlob { container: "own".parse().unwrap(), name: format!("mysql/db/{id}.sql.gz") };
        let state = BackupState::InProgress(Attempt { planned: Some(planned), ..attempt });
        backups.insert(&Backup { state, ..backup(id, 0) }).await.unwrap();
    }
    let refuse = Fault::Refuse(StorageErrorKind::Denied);
    let blobs = FaultyBlobs::new(MemoryBlobs::default()).with(BlobCall::Properties, 1, refuse);
    assert_eq!(backups.end_stuck(&blobs, at(10)).await.unwrap().len(), 1);
    assert_eq!(backups.end_stuck(&blobs, at(10)).await.unwrap().len(), 1, "the other one, next time");
}
