//! Retention carried out: refused, pinned, interrupted between any two effects, and beside itself.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};

use super::*;
use crate::config::{Config, Source};
use crate::models::{
    Artifact, BackupId, BackupState, Credentials, DatabaseType, DumpOptions, Endpoint, Engine, EngineType,
    Failure, JobId, Login, Marks, Pin, PolicyChoice, Run, StoredSecret, Tls, TriggeredBy, Warnings,
};
use crate::storage::table::{Expect, Query, query_all};
use crate::storage::{
    BackupFilter, BlobAddress, BlobCall, BlobStore, CommitOptions, Fault, FaultyBlobs, Jobs, Life,
    MemoryBlobs, MemoryQueue, MemoryTable, Mortal, Signer, StorageErrorKind, Table,
};

fn now() -> DateTime<Utc> {
    "2026-03-04T02:00:00Z".parse().unwrap()
}

/// What outlives every program.
#[derive(Default)]
struct World {
    tables: Mutex<BTreeMap<String, Arc<dyn Table>>>,
    blobs: MemoryBlobs,
}

impl World {
    /// Nine daily backups of one database, of which its policy keeps seven; one of the last is pinned.
    async fn new() -> Self {
        let world = Self::default();
        let storage = world.storage(&Life::endless());
        storage.prepare(now()).await.unwrap();
        storage.databases.insert(&database()).await.unwrap();
        for days in 1..=10 {
            world.store(&storage, &completed(days)).await;
        }
        let pin = Pin { at: now(), by: "ann@example.org".to_owned() };
        storage.backups.pin(&completed(9), &pin).await.unwrap();
        world
    }

    fn storage(&self, life: &Life) -> Storage {
        self.storage_on(life, Arc::new(self.blobs.clone()))
    }

    fn storage_on(&self, life: &Life, blobs: Arc<dyn BlobStore>) -> Storage {
        let config = Config::read(&Source::of(&[])).unwrap();
        let table = |name: &str| -> Arc<dyn Table> {
            let mut tables = self.tables.lock().unwrap();
            let new = || -> Arc<dyn Table> { Arc::new(MemoryTable::default()) };
            let table = Arc::clone(tables.entry(name.to_owned()).or_insert_with(new));
            Arc::new(Mortal::new(name, table, life))
        };
        let queue = || Arc::new(MemoryQueue::default());
        let jobs = Jobs::new(queue(), queue(), queue());
        Storage::assemble(&config, table, jobs, Arc::new(Mortal::new("blob", blobs, life)), Signer::None)
    }

    async fn store(&self, storage: &Storage, backup: &Backup) {
        storage.backups.insert(backup).await.unwrap();
        let address = BlobAddress::new("backups", &backup.artifact().unwrap().blob_name);
        self.blobs.stage(&address, b"0001", Bytes::from_static(b"stored")).await.unwrap();
        self.blobs.commit(&address, &[b"0001".to_vec()], &CommitOptions::default()).await.unwrap();
    }

    /// The names of all files, and of all records.
    async fn left(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let files = self.blobs.list("backups", "", None, 100).await.unwrap().blobs;
        let records = self.storage(&Life::endless()).backups.list(&BackupFilter::default()).await.unwrap();
        let name = |backup: &Backup| backup.artifact().unwrap().blob_name.clone();
        (files.into_iter().map(|blob| blob.name).collect(), records.iter().map(name).collect())
    }
}

fn database() -> Database {
    Database {
        id: "shop".parse().unwrap(),
        name: "Shop".to_owned(),
        database_type: DatabaseType::Mysql,
        endpoint: Endpoint { host: "db".parse().unwrap(), port: 3306, tls: Tls::default() },
        database_name: "shop".parse().unwrap(),
        engine_id: None,
        credentials: Credentials::Own(Login::default()),
        policy: PolicyChoice { own: Some("development".parse().unwrap()), from_engine: false },
        enabled: false,
        schedule: None,
        retention_days: None,
        backup_destination: None,
        compression: true,
        options: DumpOptions::default(),
        tags: BTreeMap::new(),
        created_at: now(),
        updated_at: now(),
        created_by: None,
    }
}

fn completed(days: i64) -> Backup {
    let artifact = Artifact {
        blob_name: format!("mysql/shop/{days:02}.sql.gz"),
        blob_url: None,
        container: None,
        bytes: Some(6),
        format: None,
        sha256: None,
        consistency: None,
        warnings: Warnings::default(),
        globals: None,
    };
    let state = BackupState::Completed { run: Run::default(), artifact: Some(artifact) };
    Backup {
        id: BackupId::derived(&["b", &days.to_string()]),
        job_id: JobId::derived(&["j", &days.to_string()]),
        database_id: "shop".parse().unwrap(),
        database_name: "Shop".to_owned(),
        database_type: DatabaseType::Mysql,
        triggered_by: TriggeredBy::Scheduler,
        tier: Some(Tier::Daily),
        created_at: now() - TimeDelta::days(days),
        retry_count: 0,
        state,
        marks: Marks::default(),
    }
}

fn names(days: impl IntoIterator<Item = i64>) -> BTreeSet<String> {
    days.into_iter().map(|days| format!("mysql/shop/{days:02}.sql.gz")).collect()
}

/// The seven newest, and the pinned one.
fn kept() -> BTreeSet<String> {
    names((1..=7).chain([9]))
}

#[tokio::test]
async fn killed_between_any_two_effects_the_next_run_ends_what_was_begun() {
    let mut effects = 0;
    let mut points;
    loop {
        let world = World::new().await;
        let life = Life::of(effects);
        let storage = world.storage(&life);
        let died = life.live(run(&storage, &Clock::fixed(now()))).await.is_none();
        points = life.names();
        // Whatever happened: nothing that is to stay is gone, and no file is without its record.
        let (files, records) = world.left().await;
        assert!(files.is_superset(&kept()), "after {effects} effects: {files:?}");
        assert!(records.is_superset(&files), "after {effects} effects: {files:?} {records:?}");
        let later = Clock::fixed(now() + TimeDelta::hours(1));
        let outcome = run(&world.storage(&Life::endless()), &later).await.unwrap();
        assert!(
            matches!(outcome, Outcome::Done(Pruned { failed: 0, refused: 0, .. })),
            "{effects}: {outcome:?}"
        );
        assert_eq!(world.left().await, (kept(), kept()), "after {effects} effects");
        if !died {
            break;
        }
        effects += 1;
    }
    insta::assert_snapshot!(points.join("\n"), @"
    insert backupleases
    insert backuppolicies
    insert backuppolicies
    insert backuppolicies
    update backuphistory
    delete blob
    upsert backupdays
    delete backuphistory
    delete backupindex
    delete backupindex
    delete backupindex
    insert auditlogs
    update backuphistory
    delete blob
    upsert backupdays
    delete backuphistory
    delete backupindex
    delete backupindex
    delete backupindex
    insert auditlogs
    delete backupleases
    ");
}

#[tokio::test]
async fn two_runs_at_once_are_one() {
    let world = World::new().await;
    let storage = world.storage(&Life::endless());
    let held = storage.leases.take("retention", LEASE_TTL, now()).await.unwrap().unwrap();
    assert_eq!(run(&storage, &Clock::fixed(now())).await.unwrap(), Outcome::Busy);
    storage.leases.give_back(held).await;
    let clock = Clock::fixed(now());
    let (one, two) = tokio::join!(run(&storage, &clock), run(&storage, &clock));
    let done = [one.unwrap(), two.unwrap()];
    let deleted = done.iter().map(|outcome| match outcome {
        Outcome::Done(pruned) | Outcome::Stopped(pruned) => pruned.deleted,
        Outcome::Busy => 0,
    });
    assert_eq!(deleted.sum::<usize>(), 2, "{done:?}");
    assert_eq!(world.left().await, (kept(), kept()));
}

#[tokio::test]
async fn a_delete_that_storage_refuses_is_on_the_record_and_stops_nobody() {
    for (kind, words) in [
        // What the service's 409 for a protected blob is read as.
        (StorageErrorKind::Invalid, "immutability policy or a legal hold"),
        (StorageErrorKind::Changed, "lease"),
        (StorageErrorKind::Denied, "may not delete"),
    ] {
        let world = World::new().await;
        // The first of the two that go.
        let blobs = FaultyBlobs::new(world.blobs.clone()).with(BlobCall::Delete, 1, Fault::Refuse(kind));
        let storage = world.storage_on(&Life::endless(), Arc::new(blobs));
        let outcome = run(&storage, &Clock::fixed(now())).await.unwrap();
        assert!(
            matches!(outcome, Outcome::Done(Pruned { deleted: 1, refused: 1, failed: 0, .. })),
            "{outcome:?}"
        );
        let backups = storage.backups.list(&BackupFilter::default()).await.unwrap();
        let refused: Vec<&Marks> = backups
            .iter()
            .map(|backup| &backup.marks)
            .filter(|marks| marks.deletion_refused.is_some())
            .collect();
        assert_eq!(refused.len(), 1);
        let refusal = refused[0].deletion_refused.clone().unwrap();
        assert!(refusal.reason.contains(words), "{refusal:?}");
        assert_eq!(refused[0].deletion_begun_at, None, "it can be pinned again");
        run(&storage, &Clock::fixed(now() + TimeDelta::days(1))).await.unwrap();
        assert_eq!(world.left().await, (kept(), kept()));
    }
}

#[tokio::test]
async fn storage_that_is_away_costs_one_run() {
    let world = World::new().await;
    let away = Fault::Lose(StorageErrorKind::Unavailable);
    let blobs = FaultyBlobs::new(world.blobs.clone()).with(BlobCall::Delete, 1, away);
    let storage = world.storage_on(&Life::endless(), Arc::new(blobs));
    let outcome = run(&storage, &Clock::fixed(now())).await.unwrap();
    assert!(matches!(outcome, Outcome::Done(Pruned { deleted: 1, failed: 1, .. })), "{outcome:?}");
    run(&storage, &Clock::fixed(now() + TimeDelta::days(1))).await.unwrap();
    assert_eq!(world.left().await, (kept(), kept()));
}

#[tokio::test]
async fn a_pin_and_a_deletion_at_the_same_time_come_one_after_the_other() {
    let world = World::new().await;
    let storage = world.storage(&Life::endless());
    let pin = Pin { at: now(), by: "ann@example.org".to_owned() };
    let backup = completed(10);
    // Whoever read the record before the pin does not delete it after it.
    storage.backups.pin(&backup, &pin).await.unwrap();
    assert!(matches!(storage.remove(&backup, now()).await, Err(RemovalError::Pinned(found)) if found == pin));
    storage.backups.unpin(&backup).await.unwrap();
    // A deletion that died in the middle: its file may be gone, so it cannot be pinned any more.
    let life = Life::of(1);
    assert!(life.live(world.storage(&life).remove(&backup, now())).await.is_none());
    let error = storage.backups.pin(&backup, &pin).await.unwrap_err();
    assert_eq!(error.to_string(), "the backup is being deleted");
    storage.remove(&backup, now()).await.unwrap();
    assert_eq!(
        storage.backups.pin(&backup, &pin).await.unwrap_err().to_string(),
        "the record of the backup is gone"
    );
}

#[tokio::test]
async fn a_row_that_cannot_be_read_stops_nobody_and_stays() {
    let world = World::new().await;
    let storage = world.storage(&Life::endless());
    for table in ["backuphistory", "databaseconfigs", "backuppolicies", "engines", "settings"] {
        let table = Arc::clone(&world.tables.lock().unwrap()[table]);
        for partition in ["2026-03-01", "database", "backup_policy", "engine"] {
            let key = crate::storage::table::Key::new(partition, "poisoned");
            let properties = [("status".to_owned(), "nonsense".into()), ("created_at".to_owned(), 7.into())];
            table.insert(&crate::storage::table::Entity::new(key, properties.into())).await.unwrap();
        }
    }
    let outcome = run(&storage, &Clock::fixed(now())).await.unwrap();
    assert!(matches!(outcome, Outcome::Done(Pruned { deleted: 2, failed: 0, .. })), "{outcome:?}");
    assert_eq!(world.left().await, (kept(), kept()));
}

#[tokio::test]
async fn nothing_goes_while_backups_fail() {
    let world = World::new().await;
    let storage = world.storage(&Life::endless());
    for hours in 1..=3 {
        let failed = Backup {
            id: BackupId::random(),
            created_at: now() - TimeDelta::hours(hours),
            state: BackupState::Failed {
                run: Run::default(),
                failure: Failure::new("ConnectionFailed", "x"),
            },
            ..completed(0)
        };
        storage.backups.insert(&failed).await.unwrap();
    }
    let outcome = run(&storage, &Clock::fixed(now())).await.unwrap();
    assert!(matches!(outcome, Outcome::Done(Pruned { deleted: 0, paused: 1, .. })), "{outcome:?}");
}

#[tokio::test]
async fn a_deletion_that_was_begun_is_ended_and_nothing_relies_on_its_backup() {
    let world = World::new().await;
    // The file goes, and whoever deletes it dies before the record does.
    let life = Life::of(2);
    let newest = completed(1);
    assert!(life.live(world.storage(&life).remove(&newest, now())).await.is_none());
    let (files, records) = world.left().await;
    let name = &newest.artifact().unwrap().blob_name;
    assert!(!files.contains(name) && records.contains(name));
    run(&world.storage(&Life::endless()), &Clock::fixed(now())).await.unwrap();
    let stay: BTreeSet<String> =
        (2..=9).map(|days| completed(days).artifact().unwrap().blob_name.clone()).collect();
    assert_eq!(world.left().await, (stay.clone(), stay));
}

#[tokio::test]
async fn nothing_is_deleted_by_another_policy_than_one_that_cannot_be_read() {
    let spoil = async |world: &World, table: &str, row: &str| {
        let table = Arc::clone(&world.tables.lock().unwrap()[table]);
        let rows = query_all(&*table, &Query::default()).await.unwrap();
        let key = rows.into_iter().find(|entity| entity.key.row == row).unwrap().key;
        table.merge(&key, &[("name".to_owned(), 7.into())].into(), &Expect::Any).await.unwrap();
    };
    let stays_whole = async |world: &World| {
        let before = world.left().await;
        let outcome = run(&world.storage(&Life::endless()), &Clock::fixed(now())).await.unwrap();
        assert!(matches!(outcome, Outcome::Done(Pruned { deleted: 0, .. })), "{outcome:?}");
        assert_eq!(world.left().await, before);
    };
    let world = World::new().await;
    spoil(&world, "backuppolicies", "development").await;
    stays_whole(&world).await;

    // The policy is the one of an engine that cannot be read.
    let world = World::new().await;
    let storage = world.storage(&Life::endless());
    let engine = Engine {
        id: "main".parse().unwrap(),
        name: "Main".to_owned(),
        engine_type: EngineType::Mysql,
        endpoint: database().endpoint,
        login: Login::default(),
        connection_string: StoredSecret::None,
        policy_id: Some("production-critical".parse().unwrap()),
        max_concurrent_backups: 2,
        last_discovery: None,
        created_at: now(),
        updated_at: now(),
        created_by: None,
    };
    storage.engines.insert(&engine).await.unwrap();
    let found = storage.databases.get(&database().id).await.unwrap().unwrap();
    let on_engine = Database {
        engine_id: Some(engine.id.clone()),
        policy: PolicyChoice { own: None, from_engine: true },
        ..found.value
    };
    storage.databases.update(&on_engine, &found.etag).await.unwrap();
    spoil(&world, "engines", "main").await;
    stays_whole(&world).await;
}
