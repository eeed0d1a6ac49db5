//! Ticks that die between any two effects, come twice, run beside each other, see odd clocks and damaged
//! rows, or have ten thousand databases to look at.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use chrono::{DateTime, TimeDelta, Utc};
use scheduler::{AppState, TickReport, app, tick};
use shared::clock::Clock;
use shared::config::{Config, Source};
use shared::models::{
    Backup, BackupJob, BackupStatus, Credentials, Database, DatabaseType, DumpOptions, Endpoint, JobId, Lane,
    Login, PolicyChoice, Tier, Tls,
};
use shared::storage::table::{Entity, Expect, Key, Value};
use shared::storage::{
    BackupFilter, ClaimOutcome, FaultyQueue, FaultyTable, Jobs, Life, MemoryBlobs, MemoryQueue, MemoryTable,
    Mortal, Queue, QueueCall, Reservation, Signer, SlotState, Storage, Table, TableCall, jobs,
};
use tower::ServiceExt as _;

/// A Wednesday. The policy "development" has a daily tier at 02:00 and a weekly one.
const NOW: &str = "2026-03-04T10:07:00Z";
const NEXT: &str = "2026-03-04T10:15:00Z";

const DAILY: Lane = Lane::Tier(Tier::Daily);
const WEEKLY: Lane = Lane::Tier(Tier::Weekly);

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// What outlives every program.
struct World {
    tables: Mutex<BTreeMap<String, FaultyTable>>,
    messages: MemoryQueue,
    queue: FaultyQueue,
}

impl World {
    async fn with(databases: usize) -> Self {
        let messages = MemoryQueue::default();
        let queue = FaultyQueue::new(messages.clone());
        let world = Self { tables: Mutex::default(), messages, queue };
        let storage = world.storage(&Life::endless());
        storage.prepare(at(NOW)).await.unwrap();
        for number in 0..databases {
            storage.databases.insert(&database(number)).await.unwrap();
        }
        world
    }

    fn table(&self, name: &str) -> FaultyTable {
        let mut tables = self.tables.lock().unwrap();
        tables.entry(name.to_owned()).or_insert_with(|| FaultyTable::new(MemoryTable::default())).clone()
    }

    fn storage(&self, life: &Life) -> Storage {
        let config = Config::read(&Source::of(&[])).unwrap();
        let table = |name: &str| -> Arc<dyn Table> {
            let table: Arc<dyn Table> = Arc::new(self.table(name));
            Arc::new(Mortal::new(name, table, life))
        };
        let queue: Arc<dyn Queue> = Arc::new(self.queue.clone());
        let jobs = Jobs::new(
            Arc::new(Mortal::new("backup-jobs", queue, life)),
            Arc::new(MemoryQueue::default()),
            Arc::new(MemoryQueue::default()),
        );
        Storage::assemble(&config, table, jobs, Arc::new(MemoryBlobs::default()), Signer::None)
    }

    /// A scheduler with a life of its own.
    fn scheduler(&self, life: &Life, now: DateTime<Utc>) -> AppState {
        AppState { storage: self.storage(life), clock: Clock::fixed(now), jitter: Duration::ZERO }
    }

    async fn tick(&self, now: &str) -> TickReport {
        tick(&self.scheduler(&Life::endless(), at(now))).await.unwrap()
    }

    fn sent(&self) -> Vec<BackupJob> {
        self.messages.take().iter().map(|(text, _)| jobs::decode(text, at(NOW)).unwrap()).collect()
    }

    async fn records(&self) -> Vec<Backup> {
        self.storage(&Life::endless()).backups.list(&BackupFilter::default()).await.unwrap()
    }

    /// How many requests of all kinds have come to storage.
    fn requests(&self) -> u64 {
        let calls = [
            TableCall::Create,
            TableCall::Insert,
            TableCall::Merge,
            TableCall::InsertOrMerge,
            TableCall::Delete,
            TableCall::Get,
            TableCall::Query,
        ];
        let tables = self.tables.lock().unwrap();
        let of_tables = tables.values().flat_map(|table| calls.map(|call| table.calls(call))).sum::<u64>();
        of_tables
            + [QueueCall::Create, QueueCall::Send, QueueCall::Depth, QueueCall::Peek]
                .map(|call| self.queue.calls(call))
                .iter()
                .sum::<u64>()
    }

    /// Lets a processor end a job.
    async fn complete(&self, job: &BackupJob, now: DateTime<Utc>) {
        let claims = self.storage(&Life::endless()).claims;
        let ClaimOutcome::Granted(claim) = claims.claim(job, now).await.unwrap() else {
            panic!("the claim of {} is granted", job.id)
        };
        let failure = shared::models::Failure::new("Unsupported", "no database is behind this test");
        claims.fail(*claim, failure, now).await.unwrap();
    }
}

fn database(number: usize) -> Database {
    Database {
        id: format!("db-{number:05}").parse().unwrap(),
        name: format!("Shop {number}"),
        database_type: DatabaseType::Mysql,
        endpoint: Endpoint { host: "db".parse().unwrap(), port: 3306, tls: Tls::default() },
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
        tags: BTreeMap::new(),
        created_at: at("2026-01-01T00:00:00Z"),
        updated_at: at("2026-01-01T00:00:00Z"),
        created_by: None,
    }
}

fn ids(jobs: &[BackupJob]) -> BTreeSet<&JobId> {
    jobs.iter().map(|job| &job.id).collect()
}

/// Every slot has one job, every job one record, and every message is one of them.
async fn is_served_once(world: &World, sent: &[BackupJob], slots: usize, when: &str) {
    let named: BTreeSet<String> =
        sent.iter().map(|job| format!("{} {:?} {:?}", job.database_id, job.tier, job.scheduled_at)).collect();
    let ids = ids(sent);
    assert_eq!((ids.len(), named.len()), (slots, slots), "{when}: each slot has one job");
    let records = world.records().await;
    assert_eq!(records.len(), slots, "{when}: each job has one record");
    assert!(records.iter().all(|record| ids.contains(&record.job_id)), "{when}");
}

#[tokio::test]
async fn a_tick_that_dies_between_any_two_effects_is_ended_by_the_next() {
    let mut effects = 0;
    let mut points;
    loop {
        let world = World::with(2).await;
        let life = Life::of(effects);
        let state = world.scheduler(&life, at(NOW));
        let died = life.live(tick(&state)).await.is_none();
        let when = format!("after {effects} effects, before \"{}\"", life.names().last().unwrap());
        let mut sent = world.sent();
        // A message is never sent before its record.
        let known: BTreeSet<JobId> = world.records().await.into_iter().map(|record| record.job_id).collect();
        assert!(sent.iter().all(|job| known.contains(&job.id)), "{when}");
        world.tick(NEXT).await;
        sent.extend(world.sent());
        is_served_once(&world, &sent, 4, &when).await;
        // What the dead one had sent and not noted comes again, which is one database's at most.
        assert!(sent.len() <= 6, "{when}: {} messages", sent.len());
        assert_eq!(world.tick("2026-03-04T10:30:00Z").await.queued, 0, "{when}");
        points = life.names();
        if !died {
            assert_eq!(sent.len(), 4);
            break;
        }
        effects += 1;
    }
    insta::assert_snapshot!(points.join("\n"), @"
    insert backuppolicies
    insert backuppolicies
    insert backuppolicies
    insert backupslots
    upsert backupdays
    insert backupindex
    insert backupindex
    insert backuphistory
    send backup-jobs
    upsert backupdays
    insert backupindex
    insert backupindex
    insert backuphistory
    send backup-jobs
    update backupslots
    insert backupslots
    upsert backupdays
    insert backupindex
    insert backupindex
    insert backuphistory
    send backup-jobs
    upsert backupdays
    insert backupindex
    insert backupindex
    insert backuphistory
    send backup-jobs
    update backupslots
    ");
}

#[tokio::test]
async fn what_a_dead_tick_has_queued_is_not_queued_again_once_it_was_taken_up() {
    let world = World::with(1).await;
    // It dies before it can note that both messages were sent.
    let names = {
        let life = Life::endless();
        let probe = World::with(1).await;
        tick(&probe.scheduler(&life, at(NOW))).await.unwrap();
        life.names()
    };
    let life = Life::of(u64::try_from(names.len() - 1).unwrap());
    assert!(life.live(tick(&world.scheduler(&life, at(NOW)))).await.is_none());
    let sent = world.sent();
    assert_eq!(sent.len(), 2);
    for job in &sent {
        world.complete(job, job.created_at).await;
    }
    assert_eq!(world.tick(NEXT).await.queued, 0);
    assert!(world.sent().is_empty());
}

#[tokio::test]
async fn a_tick_that_comes_hours_after_a_dead_one_makes_records_of_its_own_time() {
    let world = World::with(1).await;
    let storage = world.storage(&Life::endless());
    let id = &database(0).id;
    let reserved = Reservation::new(id, WEEKLY, at("2026-03-01T02:00:00Z"), at(NOW));
    storage.slots.reserve(id, &mut SlotState::default(), &[(WEEKLY, reserved)]).await.unwrap();
    world.tick("2026-03-04T13:15:00Z").await;
    // A record of three hours ago would be taken for one that nobody works on.
    assert_eq!(world.tick("2026-03-04T13:30:00Z").await.ended, 0);
    let sent = world.sent();
    is_served_once(&world, &sent, 2, "hours later").await;
    for job in &sent {
        assert_eq!(job.created_at, at("2026-03-04T13:15:00Z"));
    }
}

/// The second one begins wherever the first one stands, and lives longer than it.
#[tokio::test]
async fn two_schedulers_of_which_one_may_die_anywhere_serve_each_slot_once() {
    for seed in 0..120 {
        let world = World::with(3).await;
        let most = if seed % 3 == 0 { Life::endless() } else { Life::of(seed / 3) };
        let (one, two) = (most.among_others(seed * 77), Life::endless().among_others(seed * 1313 + 5));
        let (first, second) = (world.scheduler(&one, at(NOW)), world.scheduler(&two, at(NOW)));
        let (_, done) = tokio::join!(one.live(tick(&first)), tick(&second));
        assert_eq!(done.unwrap().failed, 0);
        let mut sent = world.sent();
        world.tick(NEXT).await;
        sent.extend(world.sent());
        is_served_once(&world, &sent, 6, &format!("seed {seed}")).await;
    }
}

#[tokio::test]
async fn clocks_that_jump_by_minutes_or_a_day_lose_and_double_nothing() {
    let next = at("2026-03-05T02:00:00Z");
    // A processor may have the clock of the scheduler. The next tick may be late.
    for (processor_jumps, first_after) in [(true, next), (false, next), (false, at("2026-03-05T12:00:00Z"))] {
        for jump in [-1440, -90, -10, 10, 90, 1440] {
            let world = World::with(1).await;
            // What was sent, and when that really was.
            let mut sent: Vec<(DateTime<Utc>, BackupJob)> = Vec::new();
            let ticks = [
                (at(NOW), 0),
                (at(NOW) + TimeDelta::minutes(1), jump),
                (at(NEXT), 0),
                // The clock is right again, and the next slot comes in its time.
                (first_after, 0),
                (first_after + TimeDelta::minutes(15), 0),
            ];
            for (now, jump) in ticks {
                let odd = now + TimeDelta::minutes(jump);
                tick(&world.scheduler(&Life::endless(), odd)).await.unwrap();
                for job in world.sent() {
                    world.complete(&job, if processor_jumps { odd } else { now }).await;
                    sent.push((now, job));
                }
            }
            let when = format!("{jump}, {processor_jumps}, {first_after}");
            let ids: BTreeSet<&JobId> = sent.iter().map(|(_, job)| &job.id).collect();
            assert_eq!((ids.len(), world.records().await.len()), (sent.len(), sent.len()), "{when}");
            // What was made before its slot does not serve it.
            let in_time = sent.iter().filter(|(now, job)| job.scheduled_at.is_some_and(|slot| slot <= *now));
            let in_time: Vec<_> = in_time.map(|(_, job)| (job.tier, job.scheduled_at)).collect();
            let slots: BTreeSet<_> = in_time.iter().copied().collect();
            assert_eq!(slots.len(), in_time.len(), "{when}: a slot came twice");
            for slot in [at("2026-03-04T02:00:00Z"), next] {
                assert!(slots.contains(&(Some(Tier::Daily), Some(slot))), "{when}: {slot} was left out");
            }
        }
    }
}

#[tokio::test]
async fn ten_thousand_databases_with_nothing_due_cost_few_requests() {
    let world = World::with(10_000).await;
    let slots = world.storage(&Life::endless()).slots;
    for number in 0..10_000 {
        let id = database(number).id;
        let served = [DAILY, WEEKLY].map(|lane| {
            let slot = at("2026-03-04T02:00:00Z");
            (lane, Reservation { queued: true, ..Reservation::new(&id, lane, slot, slot) })
        });
        assert!(slots.reserve(&id, &mut SlotState::default(), &served).await.unwrap());
    }
    let before = world.requests();
    let report = world.tick(NEXT).await;
    assert_eq!((report.databases, report.queued), (10_000, 0));
    let requests = world.requests() - before;
    assert!(requests < 40, "{requests} requests");
    // At midnight every failure is looked for.
    let before = world.requests();
    assert_eq!(world.tick("2026-03-05T00:00:00Z").await.queued, 0);
    let requests = world.requests() - before;
    assert!(requests < 40, "{requests} requests at midnight");
}

#[tokio::test]
async fn a_thousand_due_ones_come_once_though_the_tick_dies_and_two_come_after_it() {
    let world = World::with(0).await;
    let databases = world.storage(&Life::endless()).databases;
    for number in 0..1000 {
        let due = Database { schedule: Some("10 10 * * *".parse().unwrap()), ..database(number) };
        databases.insert(&due).await.unwrap();
    }
    let life = Life::of(3500);
    assert!(life.live(tick(&world.scheduler(&life, at(NEXT)))).await.is_none());
    let mut sent = world.sent();
    assert!((300..900).contains(&sent.len()), "{}", sent.len());
    let (one, two) = (Life::endless().among_others(3), Life::endless().among_others(8));
    let (first, second) = (world.scheduler(&one, at(NEXT)), world.scheduler(&two, at(NEXT)));
    let (first, second) = tokio::join!(tick(&first), tick(&second));
    assert_eq!((first.unwrap().failed, second.unwrap().failed), (0, 0));
    sent.extend(world.sent());
    is_served_once(&world, &sent, 1000, "a thousand due").await;
    // One message was on its way when the tick died, and may come again.
    assert!(sent.len() <= 1001, "{} messages", sent.len());
    assert_eq!(world.tick("2026-03-04T10:30:00Z").await.queued, 0);
}

#[tokio::test]
async fn a_poisoned_row_in_every_table_stops_nobody() {
    let world = World::with(1).await;
    world
        .storage(&Life::endless())
        .audit
        .stats(&shared::storage::AuditFilter::default(), at(NOW))
        .await
        .unwrap();
    let names: Vec<String> = world.tables.lock().unwrap().keys().cloned().collect();
    assert!(names.len() >= 14, "{names:?}");
    let properties = [
        ("status", "pending".into()),
        ("triggered_by", "scheduler".into()),
        ("created_at", Value::Int32(7)),
        ("hourly_slot", Value::Bool(true)),
    ];
    for name in names {
        for partition in
            ["database", "engine", "backup_policy", "policy", "slots", "lease", "named", "day", "2026-03-04"]
        {
            let properties = properties.clone().map(|(name, value)| (name.to_owned(), value));
            for row in ["poisoned", "0", "stretch"] {
                let entity = Entity::new(Key::new(partition, row), properties.clone().into());
                world.table(&name).insert(&entity).await.unwrap();
            }
        }
    }
    let report = world.tick(NOW).await;
    assert_eq!((report.queued, report.failed), (2, 0));
    let records = world.records().await;
    assert!(records.len() == 2 && records.iter().all(|record| record.status() == BackupStatus::Pending));
}

#[tokio::test]
async fn a_database_that_cannot_be_read_keeps_no_lost_job_of_another_from_being_sent_anew() {
    let world = World::with(2).await;
    assert_eq!(world.tick(NOW).await.queued, 4);
    // The queue is cleared, and the configuration of the first one spoiled.
    assert_eq!(world.sent().len(), 4);
    let key = Key::new("database", "db-00000");
    let poison = [("database_type".to_owned(), Value::Int32(7))];
    world.table("databaseconfigs").merge(&key, &poison.into(), &Expect::Any).await.unwrap();
    // The function looks for lost messages, not the tick alone.
    let state = world.scheduler(&Life::endless(), at("2026-03-04T10:30:00Z"));
    let timer = Request::post("/dynamic_scheduler").header("content-type", "application/json");
    let timer = timer.body(Body::from(r#"{"Data":{"timer":{"IsPastDue":false}},"Metadata":{}}"#)).unwrap();
    assert!(app(state).oneshot(timer).await.unwrap().status().is_success());
    let anew: Vec<String> = world.sent().iter().map(|job| job.database_id.to_string()).collect();
    assert_eq!(anew, ["db-00001", "db-00001"]);
}
