//! The roles of a PostgreSQL server beside a dump: storage in memory, real servers and client programs.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use archive::Progress;
use axum::body::Body;
use axum::http::Request;
use chrono::{DateTime, TimeDelta, Utc};
use dump::{Limits, Target, Tools, restore_globals};
use end_to_end::servers::postgresql::{PASSWORD, Server, text};
use processor::{AppState, app};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::config::{Config, Source};
use shared::models::{
    Backup, BackupId, BackupJob, BackupStatus, Cause, Credentials, Database, DatabaseType, DumpOptions,
    Endpoint, JobId, Login, PolicyChoice, Roles, StoredSecret, Tls,
};
use shared::secrets::Secrets;
use shared::storage::{
    BlobAddress, BlobStore, Jobs, Life, MemoryBlobs, MemoryQueue, MemoryTable, Mortal, Signer, Storage,
    Table, jobs,
};
use tower::ServiceExt as _;

const NOW: &str = "2026-03-04T10:07:00Z";

/// Names and settings that a careless script would stumble over.
const ROLES: &str = r#"
CREATE ROLE "g team"; CREATE ROLE "g'ira ""x" LOGIN PASSWORD 'hidden-word' CONNECTION LIMIT 3;
GRANT "g team" TO "g'ira ""x" WITH ADMIN OPTION;
ALTER ROLE "g'ira ""x" SET search_path = 'a b', public;
ALTER ROLE "g team" SET "work_mem" = '7MB';
COMMENT ON ROLE "g team" IS E'it''s\nCREATE ROLE postgres;\n\\restrict x\n-- PostgreSQL database cluster dump complete\nmore';
"#;

const DESCRIPTION: &str = r"
SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcanlogin, rolconnlimit, rolconfig, shobj_description(oid, 'pg_authid')
  FROM pg_roles WHERE rolname LIKE 'g%' ORDER BY rolname;
SELECT roleid::regrole, member::regrole, admin_option FROM pg_auth_members WHERE member::regrole::text LIKE '%g%' ORDER BY 1, 2;
";

struct World {
    config: Config,
    tables: Mutex<BTreeMap<String, Arc<dyn Table>>>,
    blobs: MemoryBlobs,
    clock: Clock,
    job: BackupJob,
}

impl World {
    /// Makes storage that knows a database of this server, whose roles are wanted.
    async fn new(server: &Server, user: &str, roles: Roles) -> Self {
        let database = Database {
            id: "shop".parse().unwrap(),
            name: "Shop".to_owned(),
            database_type: DatabaseType::Postgresql,
            endpoint: Endpoint { host: "127.0.0.1".parse().unwrap(), port: server.port, tls: Tls::default() },
            database_name: "postgres".parse().unwrap(),
            engine_id: None,
            credentials: Credentials::Own(Login {
                auth_method: None,
                username: Some(user.parse().unwrap()),
                password: StoredSecret::Plain(PASSWORD.into()),
            }),
            policy: PolicyChoice { own: Some("development".parse().unwrap()), from_engine: false },
            enabled: true,
            schedule: None,
            retention_days: None,
            backup_destination: None,
            compression: true,
            options: DumpOptions { roles, ..DumpOptions::default() },
            tags: BTreeMap::new(),
            created_at: at(NOW),
            updated_at: at(NOW),
            created_by: None,
        };
        let ids = (JobId::random(), BackupId::random());
        let world = Self {
            config: Config::read(&Source::of(&[])).unwrap(),
            tables: Mutex::default(),
            blobs: MemoryBlobs::default(),
            clock: Clock::fixed(at(NOW)),
            job: BackupJob::new(&database, Cause::Manual, ids, at(NOW)),
        };
        let storage = world.storage(&Life::endless());
        storage.prepare(at(NOW)).await.unwrap();
        storage.databases.insert(&database).await.unwrap();
        storage.backups.insert(&world.job.record()).await.unwrap();
        world
    }

    fn storage(&self, life: &Life) -> Storage {
        let table = |name: &str| -> Arc<dyn Table> {
            let mut tables = self.tables.lock().unwrap();
            let inner = tables.entry(name.to_owned()).or_insert_with(|| Arc::new(MemoryTable::default()));
            Arc::clone(inner)
        };
        let queue = || Arc::new(MemoryQueue::default());
        let blobs: Arc<dyn BlobStore> = Arc::new(self.blobs.clone());
        let jobs = Jobs::new(queue(), queue(), queue());
        let blobs = Arc::new(Mortal::new("blobs", blobs, life));
        Storage::assemble(&self.config, table, jobs, blobs, Signer::None)
    }

    /// Delivers the job to a processor that dies after so many effects on blobs, if it does not come to its end.
    async fn deliver(&self, life: &Life) -> Option<()> {
        let state = AppState {
            secrets: Secrets::open(&self.config).unwrap(),
            places: AppState::places(&self.config),
            config: Arc::new(self.config.clone()),
            storage: self.storage(life),
            tools: Arc::new(Tools::standard()),
            clock: self.clock.clone(),
        };
        let data = json!({ "msg": Value::String(jobs::encode(&self.job)).to_string() });
        let body = json!({ "Data": data, "Metadata": { "DequeueCount": "1" } }).to_string();
        let request = Request::post("/backup_processor").header("content-type", "application/json");
        let request = request.body(Body::from(body)).unwrap();
        life.live(async move { app(state).oneshot(request).await.unwrap() }).await.map(|_| ())
    }

    async fn record(&self) -> Backup {
        let backups = self.storage(&Life::endless()).backups;
        backups.get(self.job.backup_id.as_ref().unwrap(), at(NOW)).await.unwrap().unwrap().value
    }

    async fn names(&self) -> Vec<String> {
        let listing = self.blobs.list("backups", "", None, 100).await.unwrap();
        listing.blobs.into_iter().map(|blob| blob.name).collect()
    }

    /// Loads the stored roles into a server.
    async fn load(&self, target: &Target) -> Vec<String> {
        let globals = self.record().await.artifact().unwrap().globals.clone().unwrap();
        let address = BlobAddress::new("backups", globals.blob_name);
        let opened = archive::open(&self.blobs, &address, &Progress::default()).await.unwrap();
        let (tools, limits) = (Tools::standard(), Limits::default());
        let loading = restore_globals(&tools, target, opened.content, &limits);
        loading.await.unwrap().adapted
    }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_come_back_on_another_server_and_those_that_are_there_stay() {
    let (source, other) = (Server::get(), Server::start(None));
    source.sql("postgres", &format!("DROP ROLE IF EXISTS \"g team\", \"g'ira \"\"x\"; {ROLES}"));
    other.sql("postgres", "CREATE ROLE \"g team\" LOGIN;");
    let world = World::new(source, "backup", Roles::WithoutPasswords).await;
    world.deliver(&Life::endless()).await.unwrap();
    let record = world.record().await;
    let artifact = record.artifact().unwrap_or_else(|| panic!("{record:?}"));
    let globals = artifact.globals.clone().unwrap();
    assert_eq!(globals.blob_name, "postgresql/shop/20260304_100700.globals.sql.gz");
    assert_eq!(artifact.blob_name, "postgresql/shop/20260304_100700.sql.gz");
    assert_eq!(world.names().await, [globals.blob_name.as_str(), artifact.blob_name.as_str()]);

    let target = other.target("postgres");
    let adapted = world.load(&target).await;
    let left: Vec<&str> =
        adapted.iter().map(String::as_str).filter(|line| line.contains("is there already")).collect();
    assert_eq!(
        left,
        ["backup", "g team", "postgres"]
            .map(|name| format!("the role \"{name}\" is there already and was left as it is"))
    );
    // It could sign in before, and still can.
    other.sql("postgres", "DO $$ BEGIN ASSERT (SELECT rolcanlogin FROM pg_roles WHERE rolname = 'g team'); END $$; ALTER ROLE \"g team\" NOLOGIN;");
    assert_eq!(source.sql("postgres", DESCRIPTION), other.sql("postgres", DESCRIPTION));
    let passwords = "SELECT count(*) FROM pg_authid WHERE rolname LIKE 'g%' AND rolpassword IS NOT NULL;";
    assert_eq!(other.sql("postgres", passwords), "0\n");
    // Once more: nothing is changed by it.
    let again = world.load(&target).await;
    assert!(again.iter().any(|line| line.contains("g'ira \"x")), "{again:?}");
    assert_eq!(source.sql("postgres", DESCRIPTION), other.sql("postgres", DESCRIPTION));

    let storage = world.storage(&Life::endless());
    storage.remove(&record, at(NOW)).await.unwrap();
    assert_eq!(world.names().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_come_only_if_wanted_and_a_backup_without_its_roles_fails() {
    let server = Server::get();
    server.sql("postgres", &format!("CREATE ROLE \"p plain\" LOGIN PASSWORD {};", text(PASSWORD)));
    let allowed = World::new(server, "backup", Roles::WithPasswords).await;
    allowed.deliver(&Life::endless()).await.unwrap();
    let other = Server::start(None);
    allowed.load(&other.target("postgres")).await;
    let hash = "SELECT rolpassword FROM pg_authid WHERE rolname = 'p plain';";
    assert_eq!(server.sql("postgres", hash), other.sql("postgres", hash));

    // Hashes are for superusers only.
    let refused = World::new(server, "p plain", Roles::WithPasswords).await;
    refused.deliver(&Life::endless()).await.unwrap();
    let record = refused.record().await;
    assert_eq!(record.status(), BackupStatus::Failed);
    let failure = record.failure().unwrap();
    assert_eq!(failure.class.as_deref(), Some("PermissionDenied"), "{}", failure.message);
    assert!(failure.message.contains("include_globals"), "{}", failure.message);
    assert_eq!(refused.names().await, [""; 0]);

    let without = World::new(server, "p plain", Roles::WithoutPasswords).await;
    without.deliver(&Life::endless()).await.unwrap();
    assert_eq!(without.record().await.status(), BackupStatus::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processor_that_dies_between_any_two_effects_on_blobs_leaves_no_roles_without_a_dump() {
    let server = Server::get();
    for effects in 1.. {
        let world = World::new(server, "backup", Roles::WithoutPasswords).await;
        let ended = world.deliver(&Life::of(effects)).await.is_some();
        world.clock.set(at(NOW) + TimeDelta::minutes(30));
        world.deliver(&Life::endless()).await.unwrap();
        let record = world.record().await;
        let artifact = record.artifact().unwrap_or_else(|| panic!("{effects}: {record:?}"));
        let globals = artifact.globals.as_ref().unwrap_or_else(|| panic!("{effects}: {record:?}"));
        assert_eq!(
            world.names().await,
            [globals.blob_name.as_str(), artifact.blob_name.as_str()],
            "after {effects} effects"
        );
        if ended {
            return;
        }
    }
}
