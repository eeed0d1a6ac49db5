//! Days of a whole installation in which everything dies, comes twice, or loses its answers, at random
//! but repeatable instants: ticks, processors, messages, storage.
//!
//! The short form runs with the other tests. `scripts/bench chaos` runs the long one, with other seeds.

#![expect(
    clippy::disallowed_methods,
    reason = "stand-ins are written by a child process; the environment sets the size"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use chrono::{DateTime, TimeDelta, Utc};
use dump::Tools;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::config::{Config, Source};
use shared::models::{
    Backup, BackupStatus, Credentials, Database, DatabaseType, DumpOptions, Endpoint, JobId, Lane, Login,
    PolicyChoice, StoredSecret, Tls, system_policies,
};
use shared::schedule::{Plan, next_slots};
use shared::secrets::Secrets;
use shared::storage::{
    BackupFilter, BlobStore, Fault, FaultyTable, Jobs, Life, MemoryBlobs, MemoryQueue, MemoryTable, Mortal,
    Queue, Reservation, Signer, Storage, StorageError, StorageErrorKind, Table, TableCall,
};
use tempfile::TempDir;
use tower::ServiceExt as _;

const START: &str = "2026-03-04T00:00:00Z";

/// How often the host delivers a message before it gives up.
const MOST_DELIVERIES: u32 = 5;

/// The writes whose answers may be lost, and what the client is told that repeats them.
const WRITES: [(TableCall, StorageErrorKind); 4] = [
    (TableCall::Insert, StorageErrorKind::AlreadyExists),
    (TableCall::Merge, StorageErrorKind::Changed),
    (TableCall::InsertOrMerge, StorageErrorKind::Unavailable),
    (TableCall::Delete, StorageErrorKind::NotFound),
];

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

/// A message as the queue service keeps it.
#[derive(Debug, Clone)]
struct Message {
    text: String,
    visible_at: DateTime<Utc>,
    deliveries: u32,
}

/// A queue in simulated time.
#[derive(Debug, Clone)]
struct SimulatedQueue {
    messages: Arc<Mutex<Vec<Message>>>,
    clock: Clock,
}

impl SimulatedQueue {
    fn push(&self, message: Message) {
        self.messages.lock().unwrap().push(message);
    }

    /// Takes out what is visible, in the order in which it became so.
    fn take_visible(&self) -> Vec<Message> {
        let now = self.clock.now();
        let mut messages = self.messages.lock().unwrap();
        let (mut visible, hidden): (Vec<_>, Vec<_>) =
            messages.drain(..).partition(|message| message.visible_at <= now);
        *messages = hidden;
        visible.sort_by_key(|message| message.visible_at);
        visible
    }

    fn len(&self) -> usize {
        self.messages.lock().unwrap().len()
    }
}

#[async_trait]
impl Queue for SimulatedQueue {
    async fn create(&self) -> Result<(), StorageError> {
        Ok(())
    }

    async fn send(&self, text: &str, delay: Duration) -> Result<String, StorageError> {
        let visible_at = self.clock.now() + TimeDelta::from_std(delay).unwrap();
        self.push(Message { text: text.to_owned(), visible_at, deliveries: 0 });
        Ok("simulated".to_owned())
    }

    async fn depth(&self) -> Result<u64, StorageError> {
        Ok(u64::try_from(self.len()).unwrap())
    }

    async fn peek(&self) -> Result<Vec<String>, StorageError> {
        let now = self.clock.now();
        let messages = self.messages.lock().unwrap();
        let visible = messages.iter().filter(|message| message.visible_at <= now);
        Ok(visible.take(32).map(|message| message.text.clone()).collect())
    }
}

struct World {
    tables: Mutex<BTreeMap<String, (MemoryTable, FaultyTable)>>,
    blobs: MemoryBlobs,
    queue: SimulatedQueue,
    tools: Arc<Tools>,
    _folder: TempDir,
    clock: Clock,
    dice: Dice,
    deaths: u64,
    lost: u64,
    wild: bool,
}

impl World {
    async fn new(seed: u64, databases: &[Database]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let version = "Distrib 10.11.19-MariaDB, for x (y)";
        install(folder.path(), "mysql", &format!("mysql  Ver 15.1 {version}"), "echo 10.11.19-MariaDB");
        let dump = "echo 'SELECT 1;'; echo '-- Dump completed on 2026-01-02  3:04:05'";
        install(folder.path(), "mysqldump", &format!("mysqldump  Ver 10.19 {version}"), dump);
        let clock = Clock::fixed(START.parse().unwrap());
        let world = Self {
            tables: Mutex::default(),
            blobs: MemoryBlobs::default(),
            queue: SimulatedQueue { messages: Arc::default(), clock: clock.clone() },
            tools: Arc::new(Tools::new(vec![folder.path().to_owned()])),
            _folder: folder,
            clock,
            dice: Dice(seed),
            deaths: 0,
            lost: 0,
            wild: true,
        };
        let storage = world.storage(&Life::endless());
        storage.prepare(world.clock.now()).await.unwrap();
        for database in databases {
            storage.databases.insert(database).await.unwrap();
        }
        world
    }

    fn storage(&self, life: &Life) -> Storage {
        let table = |name: &str| -> Arc<dyn Table> {
            let mut tables = self.tables.lock().unwrap();
            let made = tables.entry(name.to_owned()).or_insert_with(|| {
                let memory = MemoryTable::default();
                (memory.clone(), FaultyTable::new(memory))
            });
            // What was to go wrong and has not does not in peace.
            let table: Arc<dyn Table> =
                if self.wild { Arc::new(made.1.clone()) } else { Arc::new(made.0.clone()) };
            Arc::new(Mortal::new(name, table, life))
        };
        let queue: Arc<dyn Queue> = Arc::new(self.queue.clone());
        let others = || Arc::new(MemoryQueue::default());
        let jobs = Jobs::new(Arc::new(Mortal::new("backup-jobs", queue, life)), others(), others());
        let blobs: Arc<dyn BlobStore> = Arc::new(self.blobs.clone());
        let blobs = Arc::new(Mortal::new("blob", blobs, life));
        Storage::assemble(&config(), table, jobs, blobs, Signer::None)
    }

    fn processor(&self, life: &Life) -> Router {
        let config = config();
        processor::app(processor::AppState {
            secrets: Secrets::open(&config).unwrap(),
            places: processor::AppState::places(&config),
            config: Arc::new(config),
            storage: self.storage(life),
            tools: Arc::clone(&self.tools),
            clock: self.clock.clone(),
        })
    }

    /// A life that may be short, over storage that may lose an answer or refuse a call.
    fn life(&mut self) -> Life {
        if !self.wild {
            return Life::endless();
        }
        if self.dice.roll(6) == 0 {
            let tables: Vec<FaultyTable> =
                self.tables.lock().unwrap().values().map(|made| made.1.clone()).collect();
            let table = self.dice.roll(u64::try_from(tables.len()).unwrap());
            let (call, repeated) = WRITES[usize::try_from(self.dice.roll(4)).unwrap()];
            let fault = match self.dice.roll(3) {
                0 => Fault::Refuse(StorageErrorKind::Unavailable),
                1 => Fault::Lose(repeated),
                _ => Fault::Lose(StorageErrorKind::Unavailable),
            };
            tables[usize::try_from(table).unwrap()].fail_next(call, fault);
            self.lost += 1;
        }
        if self.dice.roll(3) == 0 { Life::of(self.dice.roll(20)) } else { Life::endless() }
    }

    /// What happens every 15 minutes: one scheduler, or two that do not know of each other.
    async fn tick(&mut self) {
        for _ in 0..=u64::from(self.wild && self.dice.roll(5) == 0) {
            let life = self.life();
            let state = scheduler::AppState {
                storage: self.storage(&life),
                clock: self.clock.clone(),
                jitter: Duration::ZERO,
            };
            match life.live(scheduler::tick(&state)).await {
                Some(report) => assert!(self.wild || report.unwrap().failed == 0),
                None => self.deaths += 1,
            }
        }
    }

    /// Delivers what is visible, some of it twice, as the host would.
    async fn deliver(&mut self) {
        let now = self.clock.now();
        for mut message in self.queue.take_visible() {
            if self.wild && self.dice.roll(10) == 0 {
                let visible_at = now + TimeDelta::minutes(5 * i64::try_from(self.dice.roll(4)).unwrap());
                self.queue.push(Message { visible_at, ..message.clone() });
            }
            let is_given_up = message.deliveries >= MOST_DELIVERIES;
            let function = if is_given_up { "backup_poison" } else { "backup_processor" };
            let life = self.life();
            if !self.call(&life, function, &message.text).await {
                self.deaths += 1;
                message.deliveries += 1;
                // The host hides it for ten minutes when its program was killed.
                message.visible_at = now + TimeDelta::minutes(10);
                self.queue.push(message);
            }
        }
    }

    async fn call(&self, life: &Life, function: &str, text: &str) -> bool {
        let data = json!({ "msg": Value::String(text.to_owned()).to_string() });
        let body = json!({ "Data": data, "Metadata": { "DequeueCount": "1" } }).to_string();
        let request = Request::post(format!("/{function}")).header("content-type", "application/json");
        let request = request.body(Body::from(body)).unwrap();
        match life.live(self.processor(life).oneshot(request)).await {
            Some(answer) => answer.unwrap().status().is_success(),
            None => false,
        }
    }

    async fn records(&self) -> Vec<Backup> {
        self.storage(&Life::endless()).backups.list(&BackupFilter::default()).await.unwrap()
    }

    async fn files(&self) -> BTreeSet<String> {
        let mut files = BTreeSet::new();
        let mut marker = None;
        loop {
            let page = self.blobs.list("backups", "", marker.as_deref(), 1000).await.unwrap();
            files.extend(page.blobs.into_iter().map(|blob| blob.name));
            marker = page.marker;
            if marker.is_none() {
                return files;
            }
        }
    }
}

fn config() -> Config {
    Config::read(&Source::of(&[])).unwrap()
}

fn install(folder: &Path, name: &str, version: &str, script: &str) {
    let text = format!("#!/bin/sh\nif [ \"$1\" = --version ]; then echo '{version}'; exit; fi\n{script}\n");
    let status = Command::new("sh")
        .args(["-c", r#"printf %s "$2" >"$1" && chmod 755 "$1""#, "install"])
        .arg(folder.join(name))
        .arg(text)
        .status();
    assert!(status.unwrap().success());
}

fn database(number: usize) -> Database {
    let start: DateTime<Utc> = START.parse().unwrap();
    let login = Login {
        auth_method: None,
        username: Some("app".parse().unwrap()),
        password: StoredSecret::Plain("s3cret".into()),
    };
    Database {
        id: format!("db-{number:03}").parse().unwrap(),
        name: format!("Shop {number}"),
        database_type: DatabaseType::Mysql,
        endpoint: Endpoint { host: "db.invalid".parse().unwrap(), port: 3306, tls: Tls::default() },
        database_name: "shop".parse().unwrap(),
        engine_id: None,
        credentials: Credentials::Own(login),
        policy: PolicyChoice { own: Some("development".parse().unwrap()), from_engine: false },
        enabled: true,
        schedule: number.is_multiple_of(3).then(|| "CRON_TZ=Asia/Kathmandu 20 */6 * * *".parse().unwrap()),
        retention_days: None,
        backup_destination: None,
        compression: true,
        options: DumpOptions::default(),
        tags: BTreeMap::new(),
        created_at: start,
        updated_at: start,
        created_by: None,
    }
}

/// Lets an installation live for some days, then in peace for some hours, and looks at what is left.
async fn live(seed: u64, databases: usize, days: i64) {
    let databases: Vec<Database> = (0..databases).map(database).collect();
    let mut world = World::new(seed, &databases).await;
    let start = world.clock.now();
    let storm = start + TimeDelta::days(days);
    let end = storm + TimeDelta::hours(9);
    let mut now = start;
    while now <= end {
        world.clock.set(now);
        world.wild = now < storm;
        if (now - start).num_minutes() % 15 == 0 {
            world.tick().await;
        }
        world.deliver().await;
        now += TimeDelta::minutes(5);
    }
    assert_eq!(world.queue.len(), 0, "seed {seed}: messages are left");
    let records = world.records().await;
    is_whole(&world, &databases, &records, seed, (start, storm)).await;
    let (deaths, lost) = (world.deaths, world.lost);
    println!("seed {seed}: {deaths} deaths, {lost} faults, {} backups, all whole", records.len());
    assert!(deaths > 0 && lost > 0);
}

/// Every slot is served by one complete backup, or its failure is reported; nothing is unfinished, no
/// record is without its file, and no file without its record.
async fn is_whole(
    world: &World,
    databases: &[Database],
    records: &[Backup],
    seed: u64,
    (start, until): (DateTime<Utc>, DateTime<Utc>),
) {
    for record in records {
        assert!(record.is_finished(), "seed {seed}: {record:?}");
    }
    let mut by_job: BTreeMap<&JobId, Vec<&Backup>> = BTreeMap::new();
    for record in records {
        by_job.entry(&record.job_id).or_default().push(record);
    }
    let policy = system_policies(start).remove(2);
    for database in databases {
        let plan = database.schedule.as_ref().map_or(Plan::Tiers(&policy), Plan::Cron);
        for due in next_slots(plan, start, 10_000).into_iter().take_while(|due| due.slot <= until) {
            is_served(&by_job, database, due.lane, due.slot, seed);
        }
    }
    let completed: Vec<&Backup> =
        records.iter().filter(|record| record.status() == BackupStatus::Completed).collect();
    let named: BTreeSet<String> =
        completed.iter().map(|record| record.artifact().unwrap().blob_name.clone()).collect();
    assert_eq!(named.len(), completed.len(), "seed {seed}: two records share a file");
    assert_eq!(world.files().await, named, "seed {seed}");
}

fn is_served(
    by_job: &BTreeMap<&JobId, Vec<&Backup>>,
    database: &Database,
    lane: Lane,
    slot: DateTime<Utc>,
    seed: u64,
) {
    let what = format!("seed {seed}: {} of {} at {slot}", lane.as_str(), database.id);
    let mut reservation = Reservation::new(&database.id, lane, slot, slot);
    let (mut jobs, mut completed) = (0, 0);
    // A slot whose backup failed may have been served again, with ids that follow from the first.
    while let Some(records) = by_job.get(&reservation.job_id) {
        assert_eq!(records.len(), 1, "{what}: one job has several records");
        jobs += 1;
        completed += usize::from(records[0].status() == BackupStatus::Completed);
        reservation = reservation.again(slot);
    }
    assert!(jobs > 0, "{what}: nobody served it");
    assert!(completed <= 1, "{what}: served {completed} times");
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a whole number, not {text}")))
}

#[tokio::test]
async fn days_of_random_deaths_end_with_every_slot_served() {
    let Some(minutes) = number("CHAOS_MINUTES") else {
        for seed in 1..=2 {
            live(seed, 6, 2).await;
        }
        return;
    };
    let end = Instant::now() + Duration::from_mins(minutes);
    let databases = usize::try_from(number("CHAOS_DATABASES").unwrap_or(200)).unwrap();
    let mut seed = number("CHAOS_SEED").unwrap_or(1);
    loop {
        live(seed, databases, 3).await;
        seed += 1;
        if Instant::now() > end {
            return;
        }
    }
}
