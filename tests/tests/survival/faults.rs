//! Storage that answers with errors, throttles, is slow, breaks connections or is gone for a time, while a
//! backup of a real database runs through the processor.
//!
//! Each case has a processor, a database record and a proxy of its own; some run side by side, since most of
//! the time goes into waiting. What is gone here for seven seconds outlives a claim of four, as three minutes
//! outlive the two of the product.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use dump::Tools;
use end_to_end::azurite::Azurite;
use end_to_end::servers::mariadb;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::config::{Config, Source};
use shared::models::{
    Backup, BackupId, BackupJob, BackupStatus, Cause, Credentials, Database, DatabaseType, DumpOptions,
    Endpoint, JobId, Login, PolicyChoice, StoredSecret, Tls,
};
use shared::secrets::Secrets;
use shared::storage::{BackupFilter, BlobAddress, Jobs, MemoryQueue, Storage, jobs};
use tower::ServiceExt as _;

use crate::proxy::{Fault, Proxy, Rule};

const SOURCE: &str = "survival_faults";

/// More than the first block, without compression.
const ROWS: &str = "
    CREATE TABLE a_first (id INT PRIMARY KEY AUTO_INCREMENT, v TEXT);
    INSERT INTO a_first (v) SELECT CONCAT(SHA2(RAND(), 512), SHA2(RAND(), 512), SHA2(RAND(), 512), SHA2(RAND(), 512)) FROM seq_1_to_10000;";

const BLOCK: (&str, &str) = ("PUT", "blockid=");
const COMMIT: (&str, &str) = ("PUT", "comp=blocklist");
const RECORD: (&str, &str) = ("PATCH", "/backuphistory(");
const LEASE: (&str, &str) = ("POST", "/backupleases");
const ANY: (&str, &str) = ("", "");

/// Two tries more than the client of tables makes by itself.
const LONG: usize = 7;

/// How many cases run side by side.
const AT_ONCE: usize = 9;

/// What is spoiled, what takes longest first: which requests, how many pass before, and how many are spoiled.
type Case = (&'static str, (&'static str, &'static str), usize, usize, Fault);

const CASES: [Case; 18] = [
    ("the record cannot be written for long", RECORD, 3, LONG, Fault::Answer(503)),
    ("the lease cannot be taken for long", LEASE, 0, LONG, Fault::Answer(500)),
    ("everything is slow", ANY, 0, usize::MAX, Fault::Delay(Duration::from_millis(150))),
    ("everything is gone before a block", BLOCK, 1, 1, Fault::Vanish(Duration::from_secs(7))),
    ("everything is gone before the commit", COMMIT, 0, 1, Fault::Vanish(Duration::from_secs(7))),
    ("a block is answered with 500", BLOCK, 1, 1, Fault::Answer(500)),
    ("a block is answered with 503 and later", BLOCK, 0, 2, Fault::Throttle(503)),
    ("a block is throttled", BLOCK, 1, 2, Fault::Throttle(429)),
    ("a block is cut in the middle", BLOCK, 0, 2, Fault::CutInBody),
    ("the answer to a block is lost", BLOCK, 1, 1, Fault::LoseAnswer),
    ("a block is refused", BLOCK, 1, 1, Fault::Answer(403)),
    ("the commit is answered with 500", COMMIT, 0, 2, Fault::Answer(500)),
    ("the commit is answered with 409", COMMIT, 0, 1, Fault::Answer(409)),
    ("the commit is answered with 412", COMMIT, 0, 1, Fault::Answer(412)),
    ("the answer to the commit is lost", COMMIT, 0, 1, Fault::LoseAnswer),
    ("the record has changed", RECORD, 0, 1, Fault::Answer(412)),
    ("the answer to the record is lost", RECORD, 3, 1, Fault::LoseAnswer),
    ("the answer to the lease is lost", LEASE, 0, 1, Fault::LoseAnswer),
];

fn config(connection: &str) -> Config {
    Config::read(&Source::of(&[("STORAGE_CONNECTION_STRING", connection), ("CLAIM_SECONDS", "4")])).unwrap()
}

fn database(number: usize, clock: &Clock) -> Database {
    let target = mariadb::Server::get().target(SOURCE);
    let login = Login {
        auth_method: None,
        username: Some(target.username.parse().unwrap()),
        password: StoredSecret::Plain(target.password),
    };
    Database {
        id: format!("shop-{number:02}").parse().unwrap(),
        name: format!("Shop {number}"),
        database_type: DatabaseType::Mysql,
        endpoint: Endpoint { host: target.host.parse().unwrap(), port: target.port, tls: Tls::default() },
        database_name: SOURCE.parse().unwrap(),
        engine_id: None,
        credentials: Credentials::Own(login),
        policy: PolicyChoice { own: None, from_engine: false },
        enabled: true,
        schedule: None,
        retention_days: None,
        backup_destination: None,
        compression: false,
        options: DumpOptions::default(),
        tags: BTreeMap::new(),
        created_at: clock.now(),
        updated_at: clock.now(),
        created_by: None,
    }
}

/// A processor that reaches storage by the proxy, and the host before it.
struct Processor {
    state: processor::AppState,
    queue: MemoryQueue,
}

impl Processor {
    fn new(connection: &str) -> Self {
        let config = config(connection);
        let (queue, others) = (MemoryQueue::default(), || Arc::new(MemoryQueue::default()));
        let mut storage = Storage::open(&config).unwrap();
        storage.jobs = Jobs::new(Arc::new(queue.clone()), others(), others());
        let state = processor::AppState {
            secrets: Secrets::open(&config).unwrap(),
            places: processor::AppState::places(&config),
            config: Arc::new(config),
            storage,
            tools: Arc::new(Tools::standard()),
            clock: Clock::system(),
        };
        Self { state, queue }
    }

    /// Delivers a message, and what follows from it, until nothing is left. Returns how many deliveries that
    /// took. Pauses are shortened, but for those that wait for a claim to run out.
    async fn deliver(&self, message: String) -> usize {
        let mut messages = vec![message];
        for delivery in 1..=40 {
            let text = messages.remove(0);
            let data = json!({ "msg": Value::String(text.clone()).to_string() });
            let body = json!({ "Data": data, "Metadata": { "DequeueCount": "1" } }).to_string();
            let request = Request::post("/backup_processor").header("content-type", "application/json");
            let request = request.body(Body::from(body)).unwrap();
            let answer = processor::app(self.state.clone()).oneshot(request).await.unwrap();
            if !answer.status().is_success() {
                messages.push(text);
            }
            messages.extend(self.queue.take().into_iter().map(|(text, _)| text));
            if messages.is_empty() {
                return delivery;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        panic!("the job does not come to an end");
    }
}

/// Runs one case and returns how it ended.
async fn run(azurite: &Azurite, direct: &Storage, number: usize, case: Case) -> String {
    let (_, (method, part), after, times, fault) = case;
    let clock = Clock::system();
    let database = database(number, &clock);
    direct.databases.insert(&database).await.unwrap();
    let job = BackupJob::new(&database, Cause::Manual, (JobId::random(), BackupId::random()), clock.now());
    direct.backups.insert(&job.record()).await.unwrap();
    let proxy = Proxy::start(azurite.ports(), Rule { method, part, after, times, fault }).await;
    let processor = Processor::new(&azurite.connection_string_by(proxy.ports));
    let deliveries = processor.deliver(jobs::encode(&job)).await;
    let records = direct.backups.list(&BackupFilter::of(&database.id)).await.unwrap();
    let [record] = &records[..] else { panic!("{case:?}: {records:?}") };
    assert!(proxy.spoiled() > 0, "{case:?} spoils nothing: {record:?}");
    let prefix = format!("mysql/{}/", database.id);
    let blobs = direct.blobs.list("backups", &prefix, None, 10).await.unwrap().blobs;
    let blobs: BTreeSet<String> = blobs.into_iter().map(|blob| blob.name).collect();
    // Longer than the claim holds, so that whoever was at work cannot have gone on as if nothing had been.
    assert!(deliveries > 1 || !matches!(fault, Fault::Vanish(_)), "{case:?}");
    let mut ended = record.status().to_string();
    match record.status() {
        BackupStatus::Completed => {
            let artifact = record.artifact().unwrap();
            assert_eq!(blobs, BTreeSet::from([artifact.blob_name.clone()]), "{case:?}");
            assert!(is_whole(direct, record).await, "{case:?}");
        }
        BackupStatus::Failed => {
            assert_eq!(blobs, BTreeSet::new(), "{case:?}");
            let failure = record.failure().unwrap();
            write!(ended, ": {}: {}", failure.class.as_deref().unwrap_or_default(), failure.message).unwrap();
        }
        BackupStatus::Pending | BackupStatus::InProgress | BackupStatus::Cancelled => {
            panic!("{case:?}: {record:?}")
        }
    }
    without_time(&ended.replace(database.id.as_str(), "<id>"))
}

/// Leaves out when a blob was made that a text names.
fn without_time(text: &str) -> String {
    match text.split_once("/<id>/") {
        Some((before, after)) => format!("{before}/<id>/<time>{}", &after["20260304_100700".len()..]),
        None => text.to_owned(),
    }
}

/// Reads a backup back as anybody would.
async fn is_whole(storage: &Storage, record: &Backup) -> bool {
    let address = BlobAddress::new("backups", &record.artifact().unwrap().blob_name);
    let opened = archive::open(&*storage.blobs, &address, &archive::Progress::default()).await.unwrap();
    let pieces: Vec<_> = opened.content.try_collect().await.unwrap();
    let sql = String::from_utf8(pieces.concat()).unwrap();
    sql.matches("INSERT INTO").count() > 1 && sql[sql.len() - 200..].contains("-- Dump completed")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_whole_or_not_there_whatever_storage_does() {
    let server = mariadb::Server::get();
    server.create(SOURCE);
    server.sql(SOURCE, ROWS);
    let azurite = Azurite::start().await;
    let direct = Storage::open(&config(&azurite.connection_string())).unwrap();
    direct.prepare(Clock::system().now()).await.unwrap();
    let cases = CASES.iter().enumerate().map(|(number, case)| run(&azurite, &direct, number, *case));
    let cases = cases.enumerate().map(|(number, case)| async move { (number, case.await) });
    let ended = stream::iter(cases.collect::<Vec<_>>()).buffer_unordered(AT_ONCE);
    let ended: BTreeMap<usize, String> = ended.collect().await;
    let lines = CASES.iter().zip(ended.values()).map(|((name, ..), ended)| format!("{name}: {ended}"));
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @"
    the record cannot be written for long: completed
    the lease cannot be taken for long: completed
    everything is slow: completed
    everything is gone before a block: completed
    everything is gone before the commit: completed
    a block is answered with 500: completed
    a block is answered with 503 and later: completed
    a block is throttled: completed
    a block is cut in the middle: completed
    the answer to a block is lost: completed
    a block is refused: failed: Storage: could not upload a block of blob backups/mysql/<id>/<time>.sql: storage refused the credentials; nothing was stored
    the commit is answered with 500: completed
    the commit is answered with 409: failed: Storage: could not commit blob backups/mysql/<id>/<time>.sql: it exists already; nothing was stored
    the commit is answered with 412: failed: Storage: could not commit blob backups/mysql/<id>/<time>.sql: it exists already; nothing was stored
    the answer to the commit is lost: completed
    the record has changed: completed
    the answer to the record is lost: completed
    the answer to the lease is lost: completed
    ");
}
