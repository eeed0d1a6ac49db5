//! Rows and the versions of secrets that they name: what the API stores, what another program reads, and what
//! is left in the vault when a request fails or programs meet.

use std::sync::{Arc, Mutex};

use api::{AppState, app};
use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use chrono::{DateTime, TimeDelta, Utc};
use end_to_end::vault::VaultStandIn;
use futures::FutureExt as _;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use shared::config::{Config, Source};
use shared::connection;
use shared::models::{DatabaseId, EngineId, StoredSecret};
use shared::secrets::{Orphans, SecretOwner, Secrets};
use shared::storage::table::{
    Continuation, ETag, Entity, Expect, Key, Page, Properties, Query, Table, Value as Cell,
};
use shared::storage::{
    Fault, FaultyTable, MemoryBlobs, MemoryTable, Signer, Storage, StorageError, StorageErrorKind, TableCall,
};
use tower::ServiceExt as _;

/// What somebody else does in the middle of a call.
type Meanwhile = Box<dyn FnOnce() + Send>;

/// The calls in whose middle somebody else can do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    BeforeGet,
    BeforeInsert,
    AfterInsert,
    BeforeMerge,
}

/// A table at whose calls something else happens.
#[derive(Clone, Default)]
struct Eventful {
    inner: MemoryTable,
    events: Arc<Mutex<Vec<(Moment, u32, Meanwhile)>>>,
}

impl std::fmt::Debug for Eventful {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Eventful")
    }
}

impl Eventful {
    /// Does something at the `nth` moment from now.
    fn at(&self, moment: Moment, nth: u32, what: impl FnOnce() + Send + 'static) {
        self.events.lock().unwrap().push((moment, nth, Box::new(what)));
    }

    fn come(&self, moment: Moment) {
        let mut events = self.events.lock().unwrap();
        for (_, left, _) in events.iter_mut().filter(|(at, ..)| *at == moment) {
            *left -= 1;
        }
        let due: Vec<_> = events.extract_if(.., |(_, left, _)| *left == 0).collect();
        drop(events);
        for (_, _, what) in due {
            what();
        }
    }

    /// Puts a row into the table, as another program does.
    fn put(&self, row: &Entity) {
        at_once(self.inner.insert(row));
    }

    fn remove(&self, key: &Key) {
        at_once(self.inner.delete(key, &Expect::Any));
    }
}

#[async_trait]
impl Table for Eventful {
    async fn create(&self) -> Result<(), StorageError> {
        self.inner.create().await
    }
    async fn insert(&self, entity: &Entity) -> Result<ETag, StorageError> {
        self.come(Moment::BeforeInsert);
        let done = self.inner.insert(entity).await;
        self.come(Moment::AfterInsert);
        done
    }
    async fn merge(&self, key: &Key, properties: &Properties, expect: &Expect) -> Result<ETag, StorageError> {
        self.come(Moment::BeforeMerge);
        self.inner.merge(key, properties, expect).await
    }
    async fn insert_or_merge(&self, key: &Key, properties: &Properties) -> Result<ETag, StorageError> {
        self.inner.insert_or_merge(key, properties).await
    }
    async fn delete(&self, key: &Key, expect: &Expect) -> Result<(), StorageError> {
        self.inner.delete(key, expect).await
    }
    async fn get(&self, key: &Key) -> Result<Option<Entity>, StorageError> {
        self.come(Moment::BeforeGet);
        self.inner.get(key).await
    }
    async fn query(&self, query: &Query, from: Option<&Continuation>) -> Result<Page, StorageError> {
        self.inner.query(query, from).await
    }
}

/// The API on a vault and on tables in memory.
struct World {
    vault: Arc<VaultStandIn>,
    state: AppState,
    eventful: Eventful,
    table: FaultyTable,
    restores: MemoryTable,
}

impl World {
    async fn new() -> Self {
        let variables =
            [("ENVIRONMENT", "production"), ("AUTH_MODE", "mock"), ("ALLOW_MOCK_AUTH_IN_PRODUCTION", "true")];
        let config = Config::read(&Source::of(&variables)).unwrap();
        let vault = Arc::new(VaultStandIn::start().await);
        let eventful = Eventful::default();
        eventful.create().await.unwrap();
        let table = FaultyTable::new(eventful.clone());
        let jobs = Storage::memory(&config).0.jobs;
        let mut state = AppState::new(config.clone()).unwrap();
        let configuration = table.clone();
        let restores = created();
        let restores_table = restores.clone();
        // All in tables of their own, so that calls of the configuration can be told to fail.
        let table_of = |name: &str| -> Arc<dyn Table> {
            match name {
                "databaseconfigs" => Arc::new(configuration.clone()),
                "restores" => Arc::new(restores_table.clone()),
                _ => Arc::new(created()),
            }
        };
        let blobs = Arc::new(MemoryBlobs::default());
        state.storage = Storage::assemble(&config, table_of, jobs, blobs, Signer::None);
        state.secrets = Secrets::assemble(&config, Some(vault.client()));
        Self { vault, state, eventful, table, restores }
    }

    /// Returns the secret store of another program, which remembers things of its own.
    fn other_program(&self) -> Secrets {
        Secrets::assemble(&self.state.config, Some(self.vault.client()))
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> u16 {
        let request = Request::builder().method(method).uri(format!("/api{path}"));
        let request = request.header("content-type", "application/json").body(Body::from(body.to_string()));
        let response = app(self.state.clone()).oneshot(request.unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("marked"), "{method} {path}: {status}");
        status
    }

    /// Inserts a row as an earlier system wrote it.
    fn insert_old(&self, id: &str) {
        self.vault.put(&format!("database-{id}"), "marked-old");
        self.eventful.put(&old_row(id));
    }

    /// Returns the host and the password that a program would connect with now.
    async fn target(&self, program: &Secrets, id: &str) -> String {
        let id: DatabaseId = id.parse().unwrap();
        let database = self.state.storage.databases.get(&id).await.unwrap().unwrap().value;
        let found = connection::for_database(&database, None, program).await.unwrap();
        format!("{} {}", found.endpoint.host, found.password.expose_secret())
    }
}

/// Waits for a table in memory, which never makes anybody wait.
fn at_once<T>(call: impl Future<Output = Result<T, StorageError>>) -> T {
    call.now_or_never().unwrap().unwrap()
}

fn created() -> MemoryTable {
    let table = MemoryTable::default();
    at_once(table.create());
    table
}

fn old_row(id: &str) -> Entity {
    let name = format!("database-{id}");
    let texts = [
        ("name", "Orders"),
        ("database_type", "mysql"),
        ("host", "old.example"),
        ("database_name", "orders"),
        ("username", "app"),
        ("auth_method", ""),
        ("password_secret_name", name.as_str()),
    ];
    let text = |(name, value): (&str, &str)| (name.to_owned(), Cell::from(value));
    let port = ("port".to_owned(), Cell::Int32(3306));
    Entity::new(Key::new("database", id), texts.into_iter().map(text).chain([port]).collect())
}

fn database(id: &str, password: &str) -> Value {
    json!({
        "id": id, "name": "Orders", "database_type": "mysql", "host": "old.example", "port": 3306,
        "database_name": "orders", "username": "app", "password": password,
    })
}

fn moved(password: &str) -> Value {
    json!({"host": "new.example", "password": password})
}

#[tokio::test]
async fn a_password_that_is_remembered_is_never_sent_to_another_host() {
    let world = World::new().await;
    let processor = world.other_program();
    assert_eq!(world.send("POST", "/databases", &database("d-1", "marked-1")).await, 201);
    world.insert_old("d-2");
    assert_eq!(world.target(&processor, "d-1").await, "old.example marked-1");
    assert_eq!(world.target(&processor, "d-2").await, "old.example marked-old");
    for id in ["d-1", "d-2"] {
        assert_eq!(world.send("PUT", &format!("/databases/{id}"), &moved("marked-dummy")).await, 200);
        assert_eq!(world.target(&processor, id).await, "new.example marked-dummy");
    }
}

#[tokio::test]
async fn a_password_whose_row_is_refused_counts_for_nobody() {
    let world = World::new().await;
    assert_eq!(world.send("POST", "/databases", &database("d-1", "marked-1")).await, 201);
    world.insert_old("d-2");
    let refusals = [(StorageErrorKind::Changed, 2, 409), (StorageErrorKind::Unavailable, 1, 503)];
    for (id, known) in [("d-1", "marked-1"), ("d-2", "marked-old")] {
        for (kind, times, status) in refusals {
            // The first write of an old row notes the version that it means.
            let first = world.table.calls(TableCall::Merge) + u64::from(known == "marked-old" && times == 2);
            let mut table = world.table.clone();
            for nth in 1..=times {
                table = table.with(TableCall::Merge, first + nth, Fault::Refuse(kind));
            }
            assert_eq!(world.send("PUT", &format!("/databases/{id}"), &moved("marked-dummy")).await, status);
            for program in [&world.state.secrets, &world.other_program()] {
                assert_eq!(world.target(program, id).await, format!("old.example {known}"), "{kind:?}");
            }
        }
        assert_eq!(world.vault.versions(&format!("database-{id}")).last().unwrap(), "marked-dummy");
        assert_eq!(world.send("PUT", &format!("/databases/{id}"), &json!({"name": "New"})).await, 200);
        assert_eq!(world.target(&world.other_program(), id).await, format!("old.example {known}"));
    }
}

#[tokio::test]
async fn the_row_that_was_first_keeps_its_own_password() {
    let world = World::new().await;
    let id: DatabaseId = "d-1".parse().unwrap();
    let owner = SecretOwner::Database(&id);
    // Somebody else has looked whether the id is free, and stores the row after our password was kept.
    let other = world.other_program();
    let StoredSecret::Named { version: Some(version), .. } =
        other.keep(owner, "marked-1".into()).await.unwrap()
    else {
        panic!("a version")
    };
    let mut row = old_row("d-1");
    row.properties.insert("password_secret_version".to_owned(), version.as_str().into());
    let eventful = world.eventful.clone();
    world.eventful.at(Moment::BeforeInsert, 1, move || eventful.put(&row));
    assert_eq!(world.send("POST", "/databases", &database("d-1", "marked-2")).await, 409);
    assert_eq!(world.vault.versions("database-d-1"), ["marked-1", "marked-2"]);
    assert_eq!(world.vault.deleted(), [""; 0]);
    assert_eq!(world.target(&world.state.secrets, "d-1").await, "old.example marked-1");
}

#[tokio::test]
async fn a_rotation_never_brings_an_older_password_back() {
    let world = World::new().await;
    let mut row = old_row("d-1");
    row.properties.insert("password_secret_name".to_owned(), "".into());
    row.properties.insert("password".to_owned(), "marked-old".into());
    world.eventful.put(&row);
    // Between the vault and the row of the rotation, somebody stores a new password.
    let (vault, eventful) = (world.vault.clone(), world.eventful.clone());
    world.eventful.at(Moment::BeforeMerge, 1, move || {
        vault.put("database-d-1", "marked-new");
        let columns =
            [("password_secret_name", "database-d-1"), ("password_secret_version", "v2"), ("password", "")];
        let columns = columns.map(|(name, text)| (name.to_owned(), text.into())).into();
        at_once(eventful.inner.merge(&Key::new("database", "d-1"), &columns, &Expect::Any));
    });
    let rotated = world.state.secrets.rotate(&world.state.storage).await.unwrap();
    assert_eq!((rotated.moved, rotated.settled, rotated.failed.len()), (0, 1, 0));
    assert_eq!(world.vault.versions("database-d-1"), ["marked-old", "marked-new"]);
    assert_eq!(world.target(&world.other_program(), "d-1").await, "old.example marked-new");

    // A row of an earlier system gets the version that it means.
    world.insert_old("d-2");
    let rotated = world.state.secrets.rotate(&world.state.storage).await.unwrap();
    assert_eq!((rotated.moved, rotated.settled, rotated.failed.len()), (1, 1, 0));
    world.vault.put("database-d-2", "marked-by-hand");
    assert_eq!(world.target(&world.other_program(), "d-2").await, "old.example marked-old");
}

#[tokio::test]
async fn a_secret_goes_with_the_last_row_that_names_it() {
    let world = World::new().await;
    assert_eq!(world.send("POST", "/databases", &database("d-1", "marked-1")).await, 201);
    // A deletion meets a new database of the same id, which is stored right after the secret was deleted.
    let id: DatabaseId = "d-1".parse().unwrap();
    let stored = StoredSecret::Named { name: "database-d-1".to_owned(), version: None };
    let row = world.eventful.inner.get(&Key::new("database", "d-1")).await.unwrap().unwrap();
    world.state.storage.databases.delete(&id).await.unwrap();
    let (eventful, again) = (world.eventful.clone(), Entity::new(row.key.clone(), row.properties.clone()));
    world.eventful.at(Moment::BeforeGet, 2, move || eventful.put(&again));
    let (secrets, storage, owner) = (&world.state.secrets, &world.state.storage, SecretOwner::Database(&id));
    secrets.forget(storage, owner, &stored).await.unwrap();
    assert_eq!(world.vault.deleted(), [""; 0], "it was got back");
    assert_eq!(world.target(&world.other_program(), "d-1").await, "old.example marked-1");
    secrets.forget(storage, owner, &stored).await.unwrap();
    assert_eq!(world.vault.deleted(), [""; 0], "the row names it");
    assert_eq!(world.send("DELETE", "/databases/d-1", &Value::Null).await, 200);
    assert_eq!(world.vault.deleted(), ["database-d-1"]);
}

#[tokio::test]
async fn whoever_stores_a_row_gets_its_secret_back_from_a_deletion() {
    let world = World::new().await;
    let vault = world.vault.clone();
    world.eventful.at(Moment::AfterInsert, 1, move || vault.delete("database-d-1"));
    assert_eq!(world.send("POST", "/databases", &database("d-1", "marked-1")).await, 201);
    assert_eq!(world.target(&world.other_program(), "d-1").await, "old.example marked-1");
}

#[tokio::test]
async fn a_change_whose_row_was_deleted_meanwhile_leaves_no_secret() {
    let world = World::new().await;
    assert_eq!(world.send("POST", "/databases", &database("d-1", "marked-1")).await, 201);
    let (vault, eventful) = (world.vault.clone(), world.eventful.clone());
    world.eventful.at(Moment::BeforeMerge, 1, move || eventful.remove(&Key::new("database", "d-1")));
    assert_eq!(world.send("PUT", "/databases/d-1", &moved("marked-2")).await, 404);
    assert_eq!(vault.names(), [""; 0]);
    assert_eq!(vault.deleted(), ["database-d-1"]);
}

#[tokio::test]
async fn what_nothing_has_any_more_is_named_and_deleted_only_on_demand() {
    let world = World::new().await;
    let now: DateTime<Utc> = DateTime::from_timestamp(1_900_000_000, 0).unwrap();
    world.vault.set_clock(now.timestamp() - 86_400);
    assert_eq!(world.send("POST", "/databases", &database("d-1", "marked-1")).await, 201);
    let unreadable = [("password_secret_name".to_owned(), "Database-D-2".into())].into();
    world.eventful.put(&Entity::new(Key::new("database", "d-2"), unreadable));
    let engine: EngineId = "e-1".parse().unwrap();
    for owner in [SecretOwner::Engine(&engine), SecretOwner::EngineConnectionString(&engine)] {
        world.state.secrets.keep(owner, "marked-2".into()).await.unwrap();
    }
    let string = [("connection_string_secret_name".to_owned(), "engine-e-1-cs".into())].into();
    world.eventful.put(&Entity::new(Key::new("engine", "e-1"), string));
    for name in ["database-d-2", "database-d-3", "restore-r-1", "restore-r-2", "somebody-elses"] {
        world.vault.put(name, "marked-4");
    }
    let ended = [
        ("backup_id", "b-1"),
        ("database_type", "mysql"),
        ("container_name", "backups"),
        ("blob_name", "x"),
        ("host", "db"),
        ("username", "u"),
        ("database_name", "shop"),
        ("mode", "new"),
        ("created_at", "2026-03-01T00:00:00"),
        ("status", "completed"),
        ("phase", "ended"),
    ];
    let text = |(name, value): (&str, &str)| (name.to_owned(), Cell::from(value));
    let port = ("port".to_owned(), Cell::Int32(3306));
    let ended = Entity::new(Key::new("restore", "r-1"), ended.into_iter().map(text).chain([port]).collect());
    world.restores.insert(&ended).await.unwrap();

    let (secrets, storage) = (&world.state.secrets, &world.state.storage);
    let young = secrets.sweep(storage, true, now - TimeDelta::seconds(1)).await.unwrap().unwrap();
    assert_eq!(young, Orphans::default(), "a request may be about to store its row");
    let found = secrets.sweep(storage, false, now).await.unwrap().unwrap();
    let names = |orphans: &Orphans| -> Vec<String> {
        orphans.found.iter().map(|orphan| orphan.name.clone()).collect()
    };
    assert_eq!(found.removed, ["restore-r-1"], "it has ended");
    assert_eq!(names(&found), ["database-d-3", "engine-e-1", "restore-r-2"]);
    let removed = secrets.sweep(storage, true, now).await.unwrap().unwrap();
    assert_eq!(removed.removed, names(&found));
    assert_eq!(removed.found, []);
    assert_eq!(world.vault.names(), ["database-d-1", "database-d-2", "engine-e-1-cs", "somebody-elses"]);
}
