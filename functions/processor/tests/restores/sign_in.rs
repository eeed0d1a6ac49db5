//! Signing in to the server of a restore: with what the configuration says at each step.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use shared::models::{
    AuthMethod, BackupId, BackupJob, Cause, Credentials, DEFAULT_CONCURRENT_BACKUPS, Database, DumpOptions,
    Engine, EngineId, JobId, Login, PolicyChoice,
};
use shared::storage::table::{Continuation, ETag, Entity, Expect, Key, Page, Properties, Query};
use shared::storage::{StorageError, jobs};

use super::*;

/// A table of engines whose login is another one after some reads.
#[derive(Debug, Default)]
struct Turning {
    inner: MemoryTable,
    reads: AtomicU32,
    /// After how many reads the login is the second one.
    after: u32,
    first: [(&'static str, String); 2],
    second: [(&'static str, String); 2],
}

#[async_trait]
impl Table for Turning {
    async fn create(&self) -> Result<(), StorageError> {
        self.inner.create().await
    }
    async fn insert(&self, entity: &Entity) -> Result<ETag, StorageError> {
        self.inner.insert(entity).await
    }
    async fn merge(&self, key: &Key, properties: &Properties, expect: &Expect) -> Result<ETag, StorageError> {
        self.inner.merge(key, properties, expect).await
    }
    async fn insert_or_merge(&self, key: &Key, properties: &Properties) -> Result<ETag, StorageError> {
        self.inner.insert_or_merge(key, properties).await
    }
    async fn delete(&self, key: &Key, expect: &Expect) -> Result<(), StorageError> {
        self.inner.delete(key, expect).await
    }
    async fn get(&self, key: &Key) -> Result<Option<Entity>, StorageError> {
        let read = self.reads.fetch_add(1, Ordering::Relaxed);
        let login = if read < self.after { &self.first } else { &self.second };
        let mut found = self.inner.get(key).await?;
        if let Some(row) = &mut found {
            for (property, text) in login {
                row.properties.insert((*property).to_owned(), text.as_str().into());
            }
        }
        Ok(found)
    }
    async fn query(&self, query: &Query, from: Option<&Continuation>) -> Result<Page, StorageError> {
        self.inner.query(query, from).await
    }
}

/// Opens a world with an engine whose login changes while it is used.
async fn world_with(kind: DatabaseType, turning: Arc<Turning>) -> (World, EngineId) {
    let mut world = World::new().await;
    let server = target(kind, "");
    turning.create().await.unwrap();
    world.tables.lock().unwrap().insert("engines".to_owned(), turning);
    world.state.storage = storage(&world.state.config, &world.tables, &world.blobs, &Life::endless());
    let id: EngineId = "e-1".parse().unwrap();
    let engine = Engine {
        id: id.clone(),
        name: "One".to_owned(),
        engine_type: if is_mysql(kind) { "mysql" } else { "postgresql" }.parse().unwrap(),
        endpoint: Endpoint { host: server.host.parse().unwrap(), port: server.port, tls: Tls::default() },
        login: Login { auth_method: Some(AuthMethod::UserPassword), ..Login::default() },
        connection_string: StoredSecret::None,
        policy_id: None,
        max_concurrent_backups: DEFAULT_CONCURRENT_BACKUPS,
        last_discovery: None,
        created_at: Utc::now(),
        updated_at: Utc::now(),
        created_by: None,
    };
    world.state.storage.engines.insert(&engine).await.unwrap();
    (world, id)
}

/// Restores a backup to an engine whose login changes meanwhile.
async fn restored(kind: DatabaseType, turning: Turning, source: &str, name: &str) -> Restore {
    let (world, id) = world_with(kind, Arc::new(turning)).await;
    old(kind, source);
    let backup = world.backed_up(kind, source).await;
    let wish = Restore { place: Place::Engine(id), database: name.parse().unwrap(), ..backup };
    world.run(&wish).await
}

/// Backs a database up whose engine's login changes meanwhile; returns how it ended and how often the login
/// was read.
async fn backed_up(kind: DatabaseType, turning: Turning, name: &str) -> (BackupStatus, u32) {
    let turning = Arc::new(turning);
    let (world, id) = world_with(kind, turning.clone()).await;
    old(kind, name);
    let database = Database {
        id: "d-1".parse().unwrap(),
        name: "Shop".to_owned(),
        database_type: kind,
        endpoint: Endpoint { host: "elsewhere".parse().unwrap(), port: 1, tls: Tls::default() },
        database_name: name.parse().unwrap(),
        engine_id: Some(id),
        credentials: Credentials::Engine,
        policy: PolicyChoice { own: None, from_engine: true },
        enabled: true,
        schedule: None,
        retention_days: None,
        backup_destination: None,
        compression: true,
        options: DumpOptions::default(),
        tags: BTreeMap::new(),
        created_at: Utc::now(),
        updated_at: Utc::now(),
        created_by: None,
    };
    world.state.storage.databases.insert(&database).await.unwrap();
    // As exact as messages are.
    let now = chrono::DateTime::from_timestamp(Utc::now().timestamp(), 0).unwrap();
    let job = BackupJob::new(&database, Cause::Manual, (JobId::random(), BackupId::random()), now);
    world.state.storage.backups.insert(&job.record()).await.unwrap();
    deliver_text(&world.state, "backup_processor", jobs::encode(&job)).await;
    let id = job.backup_id.as_ref().unwrap();
    let record = world.state.storage.backups.get(id, job.created_at).await.unwrap().unwrap().value;
    (record.status(), turning.reads.load(Ordering::Relaxed))
}

fn login(username: &str, password: &str) -> [(&'static str, String); 2] {
    [("username", username.to_owned()), ("password", password.to_owned())]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_password_is_read_again() {
    for kind in KINDS {
        let server = target(kind, "");
        let right = login(&server.username, secrecy::ExposeSecret::expose_secret(&server.password));
        let wrong = login(&server.username, "wrong");
        let turning = Turning { after: 1, first: wrong.clone(), second: right, ..Turning::default() };
        let ended = restored(kind, turning, "refused source", "refused copy").await;
        assert_eq!(ended.status, BackupStatus::Completed, "{kind}: {}", message(&ended));
        let turning = Turning { first: wrong.clone(), second: wrong, ..Turning::default() };
        let ended = restored(kind, turning, "refused twice", "refused copy 2").await;
        assert_eq!(ended.failure.and_then(|failure| failure.class), Some("Preflight".to_owned()), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_reads_a_refused_password_again_from_its_row_on() {
    let kind = DatabaseType::Mysql;
    let server = target(kind, "");
    let right = login(&server.username, secrecy::ExposeSecret::expose_secret(&server.password));
    let wrong = login(&server.username, "wrong");
    let turning = Turning { second: right.clone(), ..Turning::default() };
    let (status, reads) = backed_up(kind, turning, "b source").await;
    assert_eq!(status, BackupStatus::Completed);
    // As often as that the password is wrong, and the next time it is not.
    let turning = Turning { after: reads, first: wrong.clone(), second: right, ..Turning::default() };
    assert_eq!(backed_up(kind, turning, "b source 2").await.0, BackupStatus::Completed);
    let turning = Turning { second: wrong, ..Turning::default() };
    assert_eq!(backed_up(kind, turning, "b source 3").await.0, BackupStatus::Failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_signs_in_as_the_configuration_says_then() {
    let kind = DatabaseType::Postgresql;
    let server = target(kind, "");
    let first = login(&server.username, secrecy::ExposeSecret::expose_secret(&server.password));
    sql(kind, "postgres", "CREATE ROLE later SUPERUSER LOGIN PASSWORD 'later-pw';");
    let turning = Turning { after: 1, first, second: login("later", "later-pw"), ..Turning::default() };
    let ended = restored(kind, turning, "later source", "later copy").await;
    assert_eq!(ended.status, BackupStatus::Completed, "{}", message(&ended));
    let owner =
        sql(kind, "postgres", "SELECT datdba::regrole FROM pg_database WHERE datname = 'later copy';");
    assert_eq!(owner.trim(), "later", "the check was made by another one");
}
