//! Ticks of the scheduler over many databases: requests, seconds and memory.
//!
//! Each tick is a program of its own, so that its memory is that of one tick. Requests are those that the
//! repositories make, pages included.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use end_to_end::azurite::Azurite;
use end_to_end::processes::Process;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use scheduler::AppState;
use shared::clock::Clock;
use shared::config::{Config, Source, StorageConfig};
use shared::models::{
    Credentials, Database, DatabaseType, DumpOptions, Endpoint, Lane, Login, PolicyChoice, Tier, Tls,
};
use shared::storage::{
    AzureQueue, AzureTable, FaultyQueue, FaultyTable, Jobs, MemoryBlobs, MemoryQueue, QueueCall, Reservation,
    Signer, Slots, Storage, StorageError, Table, TableCall,
};
use storage_account::{Service, StorageAccount};

use crate::{batches, long_past};

/// The command of one tick.
pub(crate) const ONE: &str = "tick";

/// How many rows are written at a time.
const WRITERS: usize = 16;

/// Fills an account and measures.
pub(crate) async fn measure(databases: u32) {
    let azurite = Azurite::start().await;
    let connection = azurite.connection_string();
    let config = Config::read(&Source::of(&[("STORAGE_CONNECTION_STRING", &connection)])).unwrap();
    let storage = Storage::open(&config).unwrap();
    let (began, now) = (Instant::now(), Clock::system().now());
    storage.prepare(now).await.unwrap();
    fill(&storage, &connection, databases, now).await;
    println!(
        "{databases} databases with two backups each stored in {:.0} s\n",
        began.elapsed().as_secs_f64()
    );
    println!("{:<34} {:>8} {:>9} {:>8} {:>9}", "", "queued", "requests", "seconds", "peak MiB");
    for name in ["nothing due", "nothing due, again"] {
        run(name, &connection);
    }
    make_due(&storage.slots, 1000.min(databases), now).await.unwrap();
    run("1,000 due", &connection);
    run("after it", &connection);
    make_due(&storage.slots, 1000.min(databases), now).await.unwrap();
    let others = connection.clone();
    let beside = std::thread::spawn(move || run("1,000 due, two at once: the first", &others));
    run("the second", &connection);
    beside.join().unwrap();
}

/// Databases whose slots were served, and what their backups of two days left in the history.
async fn fill(storage: &Storage, connection: &str, databases: u32, now: DateTime<Utc>) {
    let stored = (0..databases).map(|number| async move {
        let database = database(number, now);
        storage.databases.insert(&database).await?;
        let mut state = storage.slots.get(&database.id).await?;
        let served = [Tier::Daily, Tier::Weekly].map(|tier| served(&database, tier, now));
        storage.slots.reserve(&database.id, &mut state, &served).await.map(drop)
    });
    all(stored.collect()).await.unwrap();
    let account = StorageAccount::from_connection_string(connection).unwrap();
    let rows = (0..databases * 2).map(|number| {
        let at = now - TimeDelta::milliseconds(i64::from(number) * 86_400_000 / i64::from(databases));
        long_past::backup_of(&id(number % databases), number, at)
    });
    batches::store(&account, "backuphistory", rows).await;
}

/// Sets the daily slot of some databases back.
async fn make_due(slots: &Slots, databases: u32, now: DateTime<Utc>) -> Result<(), StorageError> {
    let changed = (0..databases).map(|number| async move {
        let database = database(number, now);
        let mut state = slots.get(&database.id).await?;
        // Another one each time: the ids of a job follow from its slot, and its slot is a new one.
        let earlier = served(&database, Tier::Daily, now - TimeDelta::days(3));
        slots.reserve(&database.id, &mut state, &[earlier]).await.map(drop)
    });
    all(changed.collect()).await
}

async fn all<T>(writes: Vec<T>) -> Result<(), StorageError>
where
    T: Future<Output = Result<(), StorageError>>,
{
    stream::iter(writes).buffer_unordered(WRITERS).try_collect().await
}

fn served(database: &Database, tier: Tier, at: DateTime<Utc>) -> (Lane, Reservation) {
    let lane = Lane::Tier(tier);
    (lane, Reservation { queued: true, ..Reservation::new(&database.id, lane, at, at) })
}

fn id(number: u32) -> String {
    format!("db-{number:06}")
}

fn database(number: u32, now: DateTime<Utc>) -> Database {
    Database {
        id: id(number).parse().unwrap(),
        name: format!("Shop {number}"),
        database_type: DatabaseType::Mysql,
        endpoint: Endpoint { host: "db.example.com".parse().unwrap(), port: 3306, tls: Tls::default() },
        database_name: "shop".parse().unwrap(),
        engine_id: None,
        credentials: Credentials::Own(Login::default()),
        policy: PolicyChoice { own: Some("development".parse().unwrap()), from_engine: false },
        enabled: true,
        schedule: None,
        retention_days: None,
        backup_destination: None,
        compression: true,
        options: DumpOptions::default(),
        tags: BTreeMap::from([("team".to_owned(), format!("team {}", number % 20))]),
        created_at: now,
        updated_at: now,
        created_by: None,
    }
}

/// Starts the program of one tick, and prints what it tells.
fn run(name: &str, connection: &str) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(ONE).env("STORAGE_CONNECTION_STRING", connection).stderr(Stdio::inherit());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{name} failed");
    println!("{name:<34} {}", String::from_utf8(output.stdout).unwrap().trim_end());
}

/// Runs one tick, and tells what it cost.
pub(crate) async fn one() {
    let config = Config::from_env().unwrap();
    let StorageConfig::Account(account) = &config.storage else { panic!("an account with a key is needed") };
    let tables: Mutex<Vec<FaultyTable>> = Mutex::default();
    let table = |name: &str| -> Arc<dyn Table> {
        let options = account.client_options(Service::Table);
        let table = AzureTable::new(account.endpoint(Service::Table).clone(), name, None, options);
        let table = FaultyTable::new(table);
        tables.lock().unwrap().push(table.clone());
        Arc::new(table)
    };
    let options = account.client_options(Service::Queue);
    let endpoint = account.endpoint(Service::Queue).clone();
    let queue = FaultyQueue::new(AzureQueue::new(endpoint, &config.names.queue, None, options).unwrap());
    let others = || Arc::new(MemoryQueue::default());
    let jobs = Jobs::new(Arc::new(queue.clone()), others(), others());
    let storage = Storage::assemble(&config, table, jobs, Arc::new(MemoryBlobs::default()), Signer::None);
    let state = AppState { storage, clock: Clock::system(), jitter: Duration::ZERO };
    let began = Instant::now();
    let report = scheduler::tick(&state).await.unwrap();
    let seconds = began.elapsed().as_secs_f64();
    assert_eq!(report.failed, 0, "{report:?}");
    let calls = [
        TableCall::Create,
        TableCall::Insert,
        TableCall::Merge,
        TableCall::InsertOrMerge,
        TableCall::Delete,
        TableCall::Get,
        TableCall::Query,
    ];
    let tables = tables.into_inner().unwrap();
    let of_tables: u64 = tables.iter().flat_map(|table| calls.map(|call| table.calls(call))).sum();
    let requests = of_tables + queue.calls(QueueCall::Send);
    let itself = Process { id: std::process::id(), name: String::new() };
    let peak = itself.peak_memory().unwrap() >> 20;
    println!("{:>8} {requests:>9} {seconds:>8.1} {peak:>9}", report.queued);
}
