//! Tests of a whole account in memory, and of the configurations in it.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::rows::Row as _;
use super::table::{Expect, Table};
use super::{
    Engines, Fault, FaultyQueue, FaultyTable, Jobs, MemoryBlobs, MemoryQueue, MemoryTable, QueueCall,
    Storage, StorageErrorKind, TableCall,
};
use crate::config::{Config, Source};
use crate::models::{
    BackupPolicy, Endpoint, Engine, EngineType, Login, StoredSecret, TierConfig, Tls, system_policies,
};

fn config() -> Config {
    Config::read(&Source::of(&[("BACKUP_RETENTION_DAYS", "12"), ("BACKUP_CONTAINER_NAME", "our-backups")]))
        .unwrap()
}

fn at(days: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000 + days)
}

fn sorted(mut policies: Vec<BackupPolicy>) -> Vec<BackupPolicy> {
    policies.sort_by(|a, b| a.id.cmp(&b.id));
    policies
}

#[tokio::test]
async fn a_fresh_account_gets_what_every_installation_has() {
    let (storage, queue) = Storage::memory(&config());
    storage.prepare(at(0)).await.unwrap();
    assert_eq!(sorted(storage.policies.list().await.unwrap()), sorted(system_policies(at(0))));
    assert_eq!(storage.jobs.depth().await.unwrap(), (0, 0));
    assert!(queue.take().is_empty());
    assert_eq!(storage.default_container(), "our-backups");
    assert!(storage.blobs.list("our-backups", "", None, 10).await.unwrap().blobs.is_empty());
    assert_eq!(storage.settings.get(at(3)).await.unwrap().default_retention_days, 12);
    storage.ping().await.unwrap();
}

#[tokio::test]
async fn preparing_again_changes_nothing_and_keeps_what_people_changed() {
    let policies = MemoryTable::default();
    let (_, storage) =
        storage_on(FaultyTable::new(policies.clone()), FaultyQueue::new(MemoryQueue::default()));
    storage.prepare(at(0)).await.unwrap();
    let found = storage.policies.get(&"production-standard".parse().unwrap()).await.unwrap().unwrap();
    let edited = BackupPolicy {
        hourly: TierConfig { enabled: false, keep_count: 3, ..found.value.hourly },
        updated_at: at(1),
        ..found.value
    };
    let entity = edited.entity();
    policies.merge(&entity.key, &entity.properties, &Expect::Version(found.etag)).await.unwrap();
    let before = storage.policies.list().await.unwrap();
    storage.prepare(at(2)).await.unwrap();
    assert_eq!(storage.policies.list().await.unwrap(), before);
    assert!(before.contains(&edited));
    // One that somebody deleted behind our back comes back alone.
    policies.delete(&entity.key, &Expect::Any).await.unwrap();
    storage.prepare(at(3)).await.unwrap();
    let after = storage.policies.list().await.unwrap();
    assert_eq!(after.len(), 3);
    assert_eq!(after.iter().filter(|policy| policy.created_at == at(3)).count(), 1);
}

/// Makes an account whose policies and jobs lie where the test can reach them.
fn storage_on(policies: FaultyTable, queue: FaultyQueue) -> (Arc<FaultyTable>, Storage) {
    let policies = Arc::new(policies);
    let table = |name: &str| -> Arc<dyn Table> {
        if name == "backuppolicies" { policies.clone() } else { Arc::new(MemoryTable::default()) }
    };
    let jobs = Jobs::new(Arc::new(queue), Arc::new(MemoryQueue::default()), Arc::new(MemoryQueue::default()));
    let storage = Storage::assemble(
        &config(),
        table,
        jobs,
        Arc::new(MemoryBlobs::default()),
        crate::storage::Signer::None,
    );
    (policies, storage)
}

#[tokio::test]
async fn what_preparing_could_not_do_is_done_the_next_time() {
    let kind = StorageErrorKind::Unavailable;
    let broken = [
        (FaultyTable::new(MemoryTable::default()).with(TableCall::Create, 1, Fault::Refuse(kind)), None),
        (FaultyTable::new(MemoryTable::default()).with(TableCall::Insert, 2, Fault::Refuse(kind)), None),
        (FaultyTable::new(MemoryTable::default()).with(TableCall::Insert, 2, Fault::Lose(kind)), None),
        (FaultyTable::new(MemoryTable::default()), Some(QueueCall::Create)),
    ];
    for (policies, queue_call) in broken {
        let mut queue = FaultyQueue::new(MemoryQueue::default());
        if let Some(call) = queue_call {
            queue = queue.with(call, 1, Fault::Refuse(kind));
        }
        let (_, storage) = storage_on(policies, queue);
        assert_eq!(storage.prepare(at(0)).await.unwrap_err().kind(), kind);
        storage.prepare(at(1)).await.unwrap();
        assert_eq!(storage.policies.list().await.unwrap().len(), 3);
    }
}

fn engine(id: &str, name: &str) -> Engine {
    Engine {
        id: id.parse().unwrap(),
        name: name.to_owned(),
        engine_type: EngineType::Mysql,
        endpoint: Endpoint { host: "db1".parse().unwrap(), port: 3306, tls: Tls::default() },
        login: Login::default(),
        connection_string: StoredSecret::None,
        policy_id: None,
        max_concurrent_backups: 2,
        last_discovery: None,
        created_at: at(0),
        updated_at: at(0),
        created_by: None,
    }
}

/// Engines of earlier systems lie beside the databases; the newer place wins and both are cleaned.
#[tokio::test]
async fn engines_are_found_in_both_places() {
    let (newer, older) = (MemoryTable::default(), MemoryTable::default());
    let engines = Engines { table: Arc::new(newer.clone()), older: Arc::new(older.clone()) };
    older.insert(&engine("e1", "older").entity()).await.unwrap();
    older.insert(&engine("e2", "older").entity()).await.unwrap();
    engines.insert(&engine("e2", "newer")).await.unwrap();
    engines.insert(&engine("e3", "newer")).await.unwrap();
    let names: Vec<String> = engines
        .list()
        .await
        .unwrap()
        .into_iter()
        .map(|engine| format!("{} {}", engine.id, engine.name))
        .collect();
    assert_eq!(names, ["e1 older", "e2 newer", "e3 newer"]);

    // A change brings an engine to its new place, and is seen from then on.
    let found = engines.get(&"e1".parse().unwrap()).await.unwrap().unwrap();
    let changed = Engine { name: "changed".to_owned(), ..found.value };
    engines.update(&changed, &found.etag).await.unwrap();
    assert_eq!(engines.get(&changed.id).await.unwrap().unwrap().value.name, "changed");
    assert_eq!(engines.list().await.unwrap().len(), 3);
    // Whoever has read the older row in the meantime is told.
    let late = engines.update(&engine("e1", "late"), &found.etag).await;
    assert_eq!(late.unwrap_err().kind(), StorageErrorKind::Changed);

    for id in ["e1", "e2", "e3"] {
        assert!(engines.delete(&id.parse().unwrap()).await.unwrap());
        assert!(!engines.delete(&id.parse().unwrap()).await.unwrap());
    }
    assert!(engines.list().await.unwrap().is_empty());
}
