//! Restores through the paths that the host calls: storage in memory, real servers and client programs.

#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "signs of life are compared with the clock of the system")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use archive::{Compression, Destination, Progress};
use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use dump::{DumpError, Limits, Target, Tools};
use end_to_end::servers::{assert_same, mariadb, postgresql};
use futures::{TryStreamExt as _, stream};
use processor::{AppState, app};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::config::{Config, Source};
use shared::models::{
    BackupStatus, ClaimId, DatabaseType, Endpoint, Place, Restore, RestoreId, RestoreMode, RestorePhase,
    RestoreProgress, Run, StoredSecret, Tls, Warnings,
};
use shared::secrets::Secrets;
use shared::storage::{
    BlobAddress, BlobStore, CommitOptions, Jobs, Life, MemoryBlobs, MemoryQueue, MemoryTable, Mortal, Signer,
    Storage, Table, restores,
};
use tower::ServiceExt as _;

#[path = "restores/sign_in.rs"]
mod sign_in;

const NASTY_MARIADB: &str = include_str!("../../../tests/fixtures/mariadb/nasty.sql");
const NASTY_POSTGRESQL: &str = include_str!("../../../tests/fixtures/postgresql/nasty.sql");

const KINDS: [DatabaseType; 2] = [DatabaseType::Mysql, DatabaseType::Postgresql];

fn is_mysql(kind: DatabaseType) -> bool {
    kind == DatabaseType::Mysql
}

fn target(kind: DatabaseType, database: &str) -> Target {
    if is_mysql(kind) {
        mariadb::Server::get().target(database)
    } else {
        postgresql::Server::get().target(database)
    }
}

fn sql(kind: DatabaseType, database: &str, statements: &str) -> String {
    if is_mysql(kind) {
        mariadb::Server::get().sql(database, statements)
    } else {
        postgresql::Server::get().sql(database, statements)
    }
}

fn create(kind: DatabaseType, database: &str) {
    if is_mysql(kind) {
        mariadb::Server::get().create(database);
    } else {
        postgresql::Server::get().create(database);
    }
}

fn describe(kind: DatabaseType, database: &str) -> String {
    if is_mysql(kind) {
        mariadb::Server::get().describe(database)
    } else {
        postgresql::Server::get().describe(database)
    }
}

/// Makes a database with code of every kind and returns what is in it.
fn old(kind: DatabaseType, database: &str) -> String {
    create(kind, database);
    let statements = if is_mysql(kind) {
        "CREATE TABLE parents (id INT PRIMARY KEY, v TEXT); INSERT INTO parents VALUES (1, 'old');
         CREATE TABLE children (id INT, p INT, FOREIGN KEY (p) REFERENCES parents (id)); INSERT INTO children VALUES (1, 1);
         CREATE TABLE only_old (v INT); CREATE SEQUENCE numbers;
         CREATE FUNCTION f(x INT) RETURNS INT DETERMINISTIC RETURN x + 1;
         CREATE VIEW a AS SELECT f(id) AS i FROM parents; CREATE VIEW b AS SELECT * FROM a;
         CREATE TRIGGER t BEFORE INSERT ON children FOR EACH ROW SET NEW.id = f(NEW.id);
         CREATE EVENT e ON SCHEDULE EVERY 1 YEAR DO DELETE FROM only_old;"
    } else {
        "CREATE TABLE parents (id int PRIMARY KEY, v text); INSERT INTO parents VALUES (1, 'old');
         CREATE TABLE children (id int, p int REFERENCES parents); INSERT INTO children VALUES (1, 1);
         CREATE VIEW a AS SELECT id FROM parents;"
    };
    sql(kind, database, statements);
    describe(kind, database)
}

fn drop_database(kind: DatabaseType, database: &str) {
    let (maintenance, quote) = if is_mysql(kind) { ("", '`') } else { ("postgres", '"') };
    sql(kind, maintenance, &format!("DROP DATABASE {quote}{database}{quote};"));
}

/// Tells which databases of its own a restore has left.
async fn left_over(kind: DatabaseType, restore: &Restore) -> Vec<String> {
    let there = dump::discover(&Tools::standard(), &target(kind, ""), &Limits::default()).await.unwrap();
    there.into_iter().filter(|name| [restore.beside(), restore.aside()].contains(name)).collect()
}

struct World {
    state: AppState,
    tables: Mutex<BTreeMap<String, Arc<dyn Table>>>,
    blobs: MemoryBlobs,
}

impl World {
    async fn new() -> Self {
        let config = Config::read(&Source::of(&[])).unwrap();
        let (tables, blobs) = (Mutex::default(), MemoryBlobs::default());
        let storage = storage(&config, &tables, &blobs, &Life::endless());
        storage.prepare(Utc::now()).await.unwrap();
        Self {
            tables,
            blobs,
            state: AppState {
                secrets: Secrets::open(&config).unwrap(),
                places: AppState::places(&config),
                config: Arc::new(config),
                storage,
                tools: Arc::new(Tools::standard()),
                clock: Clock::system(),
            },
        }
    }

    /// Stores a stream as a backup and returns the digest of its blob.
    async fn stored<S>(&self, name: &str, content: S, metadata: BTreeMap<String, String>) -> String
    where
        S: futures::Stream<Item = Result<Bytes, DumpError>>,
    {
        let address = BlobAddress::new("backups", name);
        let blobs = &*self.state.storage.blobs;
        let destination = Destination { store: blobs, address: &address, attempt: [1; 16], metadata };
        let agree = || async { Ok(BTreeMap::new()) };
        let compression = match name.rsplit_once('.') {
            Some((_, "gz")) => Compression::Gzip { level: 1 },
            _ => Compression::Zstd { level: 1 },
        };
        archive::store(content, compression, destination, &Progress::default(), agree).await.unwrap().sha256
    }

    /// Backs a database up.
    async fn backed_up(&self, kind: DatabaseType, database: &str) -> Restore {
        self.backed_up_as(kind, database, "zst").await
    }

    /// Backs a database up in one of the forms of compression.
    async fn backed_up_as(&self, kind: DatabaseType, database: &str, form: &str) -> Restore {
        let dump = dump::dump(&self.state.tools, &target(kind, database), &Limits::default()).await.unwrap();
        let metadata = dump.origin().metadata();
        let name = format!("{kind}/d/{database}.sql.{form}");
        let sha256 = self.stored(&name, dump, metadata).await;
        restore(kind, name, Some(sha256))
    }

    /// Delivers the message of a restore, as the host would, and returns what became of the restore.
    async fn run(&self, restore: &Restore) -> Restore {
        self.state.storage.restores.insert(restore).await.unwrap();
        self.deliver("restore_processor", &restore.id).await;
        self.state.storage.restores.get(&restore.id).await.unwrap().unwrap().value
    }

    /// Delivers the message to a processor that dies after so many effects on what is stored; `None` when it
    /// has died.
    async fn deliver_to_mortal(&self, effects: u64, id: &RestoreId) -> Option<()> {
        let life = Life::of(effects);
        let storage = storage(&self.state.config, &self.tables, &self.blobs, &life);
        let state = AppState { storage, ..self.state.clone() };
        life.live(deliver(&state, "restore_processor", id)).await
    }

    /// Lets the claim of a dead processor run out.
    async fn outlive_claim(&self, id: &RestoreId) {
        let restores = &self.state.storage.restores;
        let found = restores.get(id).await.unwrap().unwrap();
        let heartbeat_at = found.value.heartbeat_at.map(|at| at - TimeDelta::hours(1));
        restores.update(&Restore { heartbeat_at, ..found.value }, &found.etag).await.unwrap();
    }

    async fn deliver(&self, function: &str, id: &RestoreId) {
        deliver(&self.state, function, id).await;
    }
}

/// Opens storage in memory as a program with this life does.
fn storage(
    config: &Config,
    tables: &Mutex<BTreeMap<String, Arc<dyn Table>>>,
    blobs: &MemoryBlobs,
    life: &Life,
) -> Storage {
    let table = |name: &str| -> Arc<dyn Table> {
        let mut tables = tables.lock().unwrap();
        let inner = tables.entry(name.to_owned()).or_insert_with(|| Arc::new(MemoryTable::default()));
        Arc::new(Mortal::new(name, Arc::clone(inner), life))
    };
    let queue = || Arc::new(MemoryQueue::default());
    let blobs: Arc<dyn BlobStore> = Arc::new(blobs.clone());
    let jobs = Jobs::new(queue(), queue(), queue());
    Storage::assemble(config, table, jobs, Arc::new(Mortal::new("blobs", blobs, life)), Signer::None)
}

async fn deliver(state: &AppState, function: &str, id: &RestoreId) {
    deliver_text(state, function, restores::encode(id)).await;
}

async fn deliver_text(state: &AppState, function: &str, text: String) {
    let data = json!({ "msg": Value::String(text).to_string() });
    let body = json!({ "Data": data, "Metadata": { "DequeueCount": "1" } }).to_string();
    let request = Request::post(format!("/{function}")).header("content-type", "application/json");
    let answer = app(state.clone()).oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
}

fn restore(kind: DatabaseType, blob_name: String, sha256: Option<String>) -> Restore {
    let target = target(kind, "");
    Restore {
        id: RestoreId::random(),
        backup_id: "b-1".parse().unwrap(),
        database_type: kind,
        container: "backups".parse().unwrap(),
        blob_name,
        blob_bytes: None,
        sha256,
        place: Place::Server {
            endpoint: Endpoint { host: target.host.parse().unwrap(), port: target.port, tls: Tls::default() },
            username: target.username.parse().unwrap(),
            password: StoredSecret::Plain(target.password),
        },
        database: "x".parse().unwrap(),
        mode: RestoreMode::New,
        keep_failed: false,
        requested_by: "a@example.org".to_owned(),
        created_at: Utc::now(),
        sent_at: None,
        status: BackupStatus::Pending,
        phase: RestorePhase::Waiting,
        failed_in: None,
        cancel_requested: false,
        claim: None,
        heartbeat_at: None,
        progress: RestoreProgress::default(),
        work_database: None,
        has_made: false,
        run: Run::default(),
        failure: None,
        failed_line: None,
        adapted: Warnings::default(),
        warnings: Warnings::default(),
    }
}

fn message(restore: &Restore) -> String {
    restore.failure.as_ref().map(|failure| failure.message.clone()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nasty_database_comes_back_whole_under_a_new_name_and_in_the_place_of_another() {
    for kind in KINDS {
        let world = World::new().await;
        create(kind, "nasty r");
        sql(kind, "nasty r", if is_mysql(kind) { NASTY_MARIADB } else { NASTY_POSTGRESQL });
        let before = describe(kind, "nasty r");
        let backup = world.backed_up(kind, "nasty r").await;

        let new = Restore { database: "nasty `\"new".parse().unwrap(), ..backup.clone() };
        let ended = world.run(&new).await;
        assert_eq!(ended.status, BackupStatus::Completed, "{kind}: {}", message(&ended));
        assert_same(&before, &describe(kind, "nasty `\"new"));
        let Place::Server { password, .. } = &ended.place else { panic!("another place") };
        assert!(!password.is_kept(), "the password is still kept");

        old(kind, "nasty old");
        let replace = Restore {
            id: RestoreId::random(),
            database: "nasty old".parse().unwrap(),
            mode: RestoreMode::Replace,
            ..backup
        };
        let ended = world.run(&replace).await;
        assert_eq!(ended.status, BackupStatus::Completed, "{kind}: {}", message(&ended));
        assert_same(&before, &describe(kind, "nasty old"));
        assert!(left_over(kind, &replace).await.is_empty(), "{kind}: something is left over");

        let again = Restore { id: RestoreId::random(), ..new };
        let ended = world.run(&again).await;
        assert_eq!(ended.failure.and_then(|failure| failure.class), Some("Preflight".to_owned()));
        assert_same(&before, &describe(kind, "nasty `\"new"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_backups_are_refused_before_anything_is_written() {
    for (kind, form) in KINDS.into_iter().zip(["zst", "gz"]).chain(KINDS.into_iter().zip(["gz", "zst"])) {
        let world = World::new().await;
        old(kind, "undamaged");
        let before = describe(kind, "undamaged");
        let backup = world.backed_up_as(kind, "undamaged", form).await;
        let blobs = &world.state.storage.blobs;
        let address = BlobAddress::new("backups", &backup.blob_name);
        let whole: Vec<u8> = blobs
            .download(&address)
            .await
            .unwrap()
            .map_ok(|chunk| chunk.to_vec())
            .try_concat()
            .await
            .unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        let cut = whole[..whole.len() - 9].to_vec();
        for (bytes, name) in [(flipped, "flipped"), (cut, "cut")] {
            let name = format!("{kind}/d/{name}.sql.{form}");
            let damaged = BlobAddress::new("backups", &name);
            blobs.stage(&damaged, b"0001", bytes.into()).await.unwrap();
            let options = CommitOptions { content_type: String::new(), metadata: BTreeMap::new() };
            blobs.commit(&damaged, &[b"0001".to_vec()], &options).await.unwrap();
            let restore = Restore {
                id: RestoreId::random(),
                blob_name: name,
                database: "undamaged".parse().unwrap(),
                mode: RestoreMode::Replace,
                ..backup.clone()
            };
            let ended = world.run(&restore).await;
            assert_eq!(ended.status, BackupStatus::Failed);
            assert_eq!(ended.failed_in, Some(RestorePhase::Verifying), "{}", message(&ended));
            assert!(message(&ended).contains("nothing was written"), "{}", message(&ended));
        }
        // A dump that was cut before it was compressed is whole in every way but one.
        let text = stream::iter([Ok(Bytes::from_static(b"CREATE TABLE x (y INT);\n"))]);
        world.stored(&format!("{kind}/d/open.sql.{form}"), text, BTreeMap::new()).await;
        let restore = Restore {
            id: RestoreId::random(),
            blob_name: format!("{kind}/d/open.sql.{form}"),
            sha256: None,
            database: "undamaged".parse().unwrap(),
            mode: RestoreMode::Replace,
            ..backup
        };
        let ended = world.run(&restore).await;
        assert_eq!(ended.failure.and_then(|failure| failure.class), Some("Truncated".to_owned()));
        assert_same(&before, &describe(kind, "undamaged"));
        assert!(left_over(kind, &restore).await.is_empty());
        drop_database(kind, "undamaged");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_fails_leaves_the_old_database_and_names_the_line() {
    for kind in KINDS {
        let world = World::new().await;
        let before = old(kind, "kept");
        let closing =
            if is_mysql(kind) { "-- Dump completed" } else { "-- PostgreSQL database dump complete" };
        let text =
            format!("CREATE TABLE new_one (v INT);\nINSERT INTO no_such_table VALUES (1);\n{closing}\n");
        let name = format!("{kind}/d/wrong.sql.zst");
        let sha256 = world.stored(&name, stream::iter([Ok(text.into())]), BTreeMap::new()).await;
        for (mode, database, keep_failed) in [
            (RestoreMode::Replace, "kept", false),
            (RestoreMode::Replace, "kept", true),
            (RestoreMode::New, "never there", false),
        ] {
            let restore = Restore {
                database: database.parse().unwrap(),
                mode,
                keep_failed,
                ..restore(kind, name.clone(), Some(sha256.clone()))
            };
            let ended = world.run(&restore).await;
            assert_eq!(ended.status, BackupStatus::Failed);
            assert_eq!(ended.failed_in, Some(RestorePhase::Loading), "{}", message(&ended));
            assert_eq!(ended.failed_line, Some(2), "{}", message(&ended));
            if keep_failed {
                assert_eq!(left_over(kind, &restore).await, [restore.beside()], "{}", message(&ended));
                assert!(message(&ended).contains("as asked for"), "{}", message(&ended));
                sql(
                    kind,
                    if is_mysql(kind) { "" } else { "postgres" },
                    &format!("DROP DATABASE {};", restore.beside()),
                );
            } else {
                assert!(message(&ended).contains("was dropped"), "{}", message(&ended));
            }
            assert!(left_over(kind, &restore).await.is_empty());
        }
        assert_same(&before, &describe(kind, "kept"));
        let there = dump::discover(&world.state.tools, &target(kind, ""), &Limits::default()).await.unwrap();
        assert!(!there.iter().any(|name| name == "never there"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_whose_processor_was_killed_leaves_the_old_database_and_is_not_begun_again() {
    for kind in KINDS {
        let world = World::new().await;
        let before = old(kind, "survivor");
        let backup = world.backed_up(kind, "survivor").await;
        let killed = Restore {
            id: RestoreId::random(),
            database: "survivor".parse().unwrap(),
            mode: RestoreMode::Replace,
            status: BackupStatus::InProgress,
            phase: RestorePhase::Loading,
            claim: Some(ClaimId::random()),
            heartbeat_at: Some(Utc::now() - TimeDelta::hours(1)),
            ..backup
        };
        let killed = Restore { work_database: Some(killed.beside().parse().unwrap()), ..killed };
        create(kind, &killed.beside());
        let ended = world.run(&killed).await;
        assert_eq!(ended.status, BackupStatus::Failed);
        assert!(message(&ended).contains("not begun again by itself"), "{}", message(&ended));
        assert!(message(&ended).contains("The old database is in its place."), "{}", message(&ended));
        assert_same(&before, &describe(kind, "survivor"));
        assert!(left_over(kind, &killed).await.is_empty());
        // A message that comes twice changes nothing.
        world.deliver("restore_processor", &ended.id).await;
        world.deliver("restore_poison", &ended.id).await;
        let after = world.state.storage.restores.get(&ended.id).await.unwrap().unwrap().value;
        assert_eq!(message(&after), message(&ended));
    }
}

/// The processor dies before its first, second, … effect on what is stored; another one is given the message.
#[tokio::test(flavor = "multi_thread")]
async fn a_processor_that_dies_between_any_two_effects_leaves_the_old_or_the_new_and_nothing_half() {
    for kind in KINDS {
        let world = World::new().await;
        create(kind, "mortal source");
        sql(kind, "mortal source", "CREATE TABLE new (v int); INSERT INTO new VALUES (1), (2);");
        let after = describe(kind, "mortal source");
        let mut before = old(kind, "mortal old");
        let backup = world.backed_up(kind, "mortal source").await;
        let new = |name: &str| Restore { database: name.parse().unwrap(), ..backup.clone() };
        let replace = Restore { mode: RestoreMode::Replace, ..new("mortal old") };
        let mut outcomes = BTreeMap::new();
        // A new database is renamed in the end with PostgreSQL, and has its name from the beginning with MariaDB.
        let wishes = if is_mysql(kind) { vec![new("mortal new"), replace] } else { vec![replace] };
        for wish in wishes {
            // What comes before the third effect is the claim, and the questions beforehand.
            for effects in 3.. {
                let restore = Restore { id: RestoreId::random(), ..wish.clone() };
                world.state.storage.restores.insert(&restore).await.unwrap();
                let alive = world.deliver_to_mortal(effects, &restore.id).await.is_some();
                if !alive {
                    world.outlive_claim(&restore.id).await;
                    world.deliver("restore_processor", &restore.id).await;
                }
                let ended = world.state.storage.restores.get(&restore.id).await.unwrap().unwrap().value;
                let place = format!("{kind} {}, {effects} effects: {}", wish.mode, message(&ended));
                assert!(left_over(kind, &restore).await.is_empty(), "{place}");
                let names = dump::discover(&world.state.tools, &target(kind, ""), &Limits::default()).await;
                let is_there = names.unwrap().iter().any(|name| name == restore.database.as_str());
                *outcomes.entry((wish.mode.as_str(), ended.status.as_str())).or_insert(0) += 1;
                match (ended.status, wish.mode) {
                    (BackupStatus::Completed, _) => {
                        assert_same(&after, &describe(kind, restore.database.as_str()));
                        drop_database(kind, restore.database.as_str());
                        if wish.mode == RestoreMode::Replace {
                            before = old(kind, restore.database.as_str());
                        }
                    }
                    (BackupStatus::Failed, RestoreMode::Replace) => {
                        assert!(message(&ended).contains("not begun again by itself"), "{place}");
                        assert_same(&before, &describe(kind, restore.database.as_str()));
                    }
                    // Of a database that it has perhaps not made itself, the record tells.
                    (BackupStatus::Failed, RestoreMode::New) if is_there => {
                        assert!(is_mysql(kind) && message(&ended).contains("may be there"), "{place}");
                        drop_database(kind, restore.database.as_str());
                    }
                    (BackupStatus::Failed, RestoreMode::New) => {
                        assert!(message(&ended).contains("not begun again by itself"), "{place}");
                    }
                    _ => panic!("{place}"),
                }
                if alive {
                    break;
                }
            }
        }
        // In the beginning nothing was written, in the end everything; what is between has failed.
        assert!(outcomes[&("replace", "completed")] >= 2, "{outcomes:?}");
        assert!(outcomes[&("replace", "failed")] >= 3, "{outcomes:?}");
    }
}

/// What is on the server decides: a processor that died between two statements of the exchange can have left
/// the loaded database, the old one aside, both, or neither.
#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_broke_off_ends_as_what_is_found_says_and_drops_no_data_in_doubt() {
    for kind in KINDS {
        let world = World::new().await;
        old(kind, "exchanged");
        let before = describe(kind, "exchanged");
        for (loaded, aside) in [(true, false), (false, true), (true, true), (false, false)] {
            let broken_off = Restore {
                database: "exchanged".parse().unwrap(),
                mode: RestoreMode::Replace,
                status: BackupStatus::InProgress,
                phase: RestorePhase::Exchanging,
                claim: Some(ClaimId::random()),
                heartbeat_at: Some(Utc::now() - TimeDelta::hours(1)),
                ..restore(kind, format!("{kind}/d/none.sql.zst"), None)
            };
            let beside = broken_off.beside();
            let broken_off = Restore { work_database: Some(beside.parse().unwrap()), ..broken_off };
            for (name, there) in [(broken_off.beside(), loaded), (broken_off.aside(), aside)] {
                if there {
                    create(kind, &name);
                }
            }
            let ended = world.run(&broken_off).await;
            let place = format!("{kind}, loaded {loaded}, aside {aside}: {}", message(&ended));
            let mut left = left_over(kind, &broken_off).await;
            left.sort();
            match (loaded, aside) {
                (true, false) => {
                    assert_eq!(ended.status, BackupStatus::Failed, "{place}");
                    assert!(message(&ended).contains("The old database is in its place."), "{place}");
                    assert!(left.is_empty(), "{place}");
                }
                (true, true) => {
                    assert_eq!(ended.status, BackupStatus::Failed, "{place}");
                    assert!(message(&ended).contains("nothing was dropped"), "{place}");
                    assert_eq!(left.len(), 2, "{place}");
                }
                (false, _) => {
                    assert_eq!(ended.status, BackupStatus::Completed, "{place}");
                    let warnings = format!("{:?}", ended.warnings);
                    assert!(warnings.contains(&broken_off.aside()), "{place}: {warnings}");
                    assert_eq!(left.len(), usize::from(aside), "{place}");
                }
            }
            assert_same(&before, &describe(kind, "exchanged"));
            for name in left {
                sql(kind, if is_mysql(kind) { "" } else { "postgres" }, &format!("DROP DATABASE {name};"));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_to_stop_is_followed_and_a_message_that_was_given_up_ends_the_restore() {
    let world = World::new().await;
    let kind = DatabaseType::Mysql;
    let wish = Restore { cancel_requested: true, ..restore(kind, "mysql/d/none.sql.gz".to_owned(), None) };
    let ended = world.run(&wish).await;
    assert_eq!(ended.status, BackupStatus::Cancelled, "{}", message(&ended));
    let given_up = restore(kind, "mysql/d/none.sql.gz".to_owned(), None);
    world.state.storage.restores.insert(&given_up).await.unwrap();
    world.deliver("restore_poison", &given_up.id).await;
    let ended = world.state.storage.restores.get(&given_up.id).await.unwrap().unwrap().value;
    assert_eq!(ended.failure.and_then(|failure| failure.class), Some("GivenUp".to_owned()));
}

/// Answers like `sqlcmd` before a server that has databases and nothing else; their names are a file. That the
/// statements mean on a server what they should, this cannot tell.
const SQLCMD: &str = r#"#!/bin/sh
if [ "$1" = --version ]; then printf 'sqlcmd: x\n\nVersion: v1.8.2\n'; exit; fi
cd "$(dirname "$0")" || exit 1
case "$*" in *" -i "*) ;; *)
    echo "$*" >>loads; cat >loaded; [ -e broken ] && { echo 'Msg 102, Level 15, State 1, Server x, Line 1' >&2; exit 1; }
    echo '~Z'; exit;;
esac
for script; do :; done
cat "$script" >>statements
without() { grep -vxF "$1" databases >rest; mv rest databases; }
while IFS= read -r line; do
    name=${line#*\[}; name=${name%%\]*}
    case $line in
    'CREATE DATABASE ['*) echo "$name" >>databases;;
    'DROP DATABASE ['*) without "$name";;
    'ALTER DATABASE ['*'MODIFY NAME'*)
        to=${line##*\[}; to=${to%\]}
        if [ -e held ] && [ "$to" = "$(cat held)" ]; then
            rm held; echo 'Msg 5030, Level 16, State 12, Server x, Line 1' >&2; exit 1
        fi
        without "$name"; echo "$to" >>databases;;
    *@@VERSION*) echo '~V|Microsoft SQL Server 2022 (RTM) - 16.0.1000.6 (X64)';;
    *'~T|'*) echo '~T|utf16|Latin1_General_CI_AS';;
    *sys.databases*) sed 's/^/~D|/' databases;;
    esac
done <"$script"
echo '~Z'
"#;

struct StandIn(tempfile::TempDir);

impl StandIn {
    #[expect(clippy::disallowed_methods, reason = "a program that is being written cannot be started")]
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = std::process::Command::new("sh");
        writer.args(["-c", r#"printf %s "$2" >"$1/sqlcmd" && chmod 755 "$1/sqlcmd""#, "install"]);
        assert!(writer.arg(folder.path()).arg(SQLCMD).status().unwrap().success());
        let stand_in = Self(folder);
        stand_in.write("databases", "master\nshop\n");
        stand_in
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.path().join(name)).unwrap_or_default()
    }

    fn databases(&self) -> Vec<String> {
        let mut names: Vec<String> = self.read("databases").lines().map(str::to_owned).collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn backups_of_sql_server_are_loaded_beside_and_take_their_place() {
    let stand_in = StandIn::new();
    let mut world = World::new().await;
    world.state.tools = Arc::new(Tools::new(vec![stand_in.0.path().to_owned()]));
    let text = "CREATE TABLE [dbo].[t] (v int)\nGO\n-- dilux-backup: the dump is complete\n";
    let metadata = BTreeMap::new();
    let sha256 = world.stored("sqlserver/d/a.sql.zst", stream::iter([Ok(text.into())]), metadata).await;
    let backup = |database: &str, mode| Restore {
        database_type: DatabaseType::AzureSql,
        database: database.parse().unwrap(),
        mode,
        ..restore(DatabaseType::Postgresql, "sqlserver/d/a.sql.zst".to_owned(), Some(sha256.clone()))
    };

    let ended = world.run(&backup("copy", RestoreMode::New)).await;
    assert_eq!(ended.status, BackupStatus::Completed, "{}", message(&ended));
    assert_eq!(stand_in.databases(), ["copy", "master", "shop"]);
    assert!(stand_in.read("loaded").starts_with(text), "{}", stand_in.read("loaded"));
    assert!(
        stand_in.read("loads").contains(&format!("-d {} ", ended.beside())),
        "{}",
        stand_in.read("loads")
    );
    let ended = world.run(&backup("copy", RestoreMode::New)).await;
    assert_eq!(ended.failure.and_then(|failure| failure.class), Some("Preflight".to_owned()));

    let ended = world.run(&backup("shop", RestoreMode::Replace)).await;
    assert_eq!(ended.status, BackupStatus::Completed, "{}", message(&ended));
    assert_eq!(stand_in.databases(), ["copy", "master", "shop"]);
    let statements = stand_in.read("statements");
    assert!(statements.contains("COLLATE Latin1_General_CI_AS\n"), "{statements}");
    assert!(
        statements.contains("ALTER DATABASE [shop] SET SINGLE_USER WITH ROLLBACK IMMEDIATE\n"),
        "{statements}"
    );

    // The loaded one cannot take the name: the old one gets it back.
    stand_in.write("held", "shop");
    let ended = world.run(&backup("shop", RestoreMode::Replace)).await;
    assert_eq!(ended.status, BackupStatus::Failed);
    assert_eq!(stand_in.databases(), ["copy", "master", "shop"], "{}", message(&ended));
    assert!(stand_in.read("statements").contains("ALTER DATABASE [shop] SET MULTI_USER\n"));

    // A processor died before the old one had lost its name: others are let into it again.
    stand_in.write("statements", "");
    let broken_off = backup("shop", RestoreMode::Replace);
    stand_in.write("databases", &format!("copy\nmaster\nshop\n{}\n", broken_off.beside()));
    let broken_off = Restore {
        status: BackupStatus::InProgress,
        phase: RestorePhase::Exchanging,
        claim: Some(ClaimId::random()),
        heartbeat_at: Some(Utc::now() - TimeDelta::hours(1)),
        work_database: Some(broken_off.beside().parse().unwrap()),
        ..broken_off
    };
    let ended = world.run(&broken_off).await;
    assert_eq!(ended.status, BackupStatus::Failed, "{}", message(&ended));
    assert!(message(&ended).contains("The old database is in its place."), "{}", message(&ended));
    assert_eq!(stand_in.databases(), ["copy", "master", "shop"], "{}", message(&ended));
    assert!(stand_in.read("statements").contains("ALTER DATABASE [shop] SET MULTI_USER\n"));

    stand_in.write("broken", "");
    let ended = world.run(&backup("another", RestoreMode::New)).await;
    assert_eq!(ended.status, BackupStatus::Failed);
    assert_eq!(stand_in.databases(), ["copy", "master", "shop"], "{}", message(&ended));
}
