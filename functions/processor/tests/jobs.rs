//! Jobs and retention over storage in memory, through the paths that the host calls.
//!
//! No client tool can be found here: what a test completes was completed without a dump.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use dump::Tools;
use processor::{AppState, app};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::config::{Config, Source};
use shared::models::{
    Artifact, AuditAction, Backup, BackupId, BackupJob, BackupState, BackupStatus, Cause, Credentials,
    Database, DatabaseType, DumpOptions, Endpoint, Engine, EngineId, EngineType, Failure, JobId, Lane, Login,
    Marks, PlannedBlob, PolicyChoice, Run, StoredSecret, Tier, Tls, TriggeredBy, Warnings,
};
use shared::secrets::Secrets;
use shared::storage::{
    AuditFilter, BackupFilter, BlobAddress, BlobCall, ClaimError, ClaimOutcome, CommitOptions, Fault,
    FaultyBlobs, MemoryQueue, PlaceOutcome, Storage, StorageErrorKind, jobs,
};
use tower::ServiceExt as _;

const NOW: &str = "2026-03-04T10:07:00Z";

struct Setting {
    state: AppState,
    queue: MemoryQueue,
}

impl Setting {
    async fn new() -> Self {
        let config = Config::read(&Source::of(&[])).unwrap();
        let (storage, queue) = Storage::memory(&config);
        storage.prepare(at(NOW)).await.unwrap();
        let state = AppState {
            secrets: Secrets::open(&config).unwrap(),
            places: AppState::places(&config),
            config: Arc::new(config),
            storage,
            tools: Arc::new(Tools::new(Vec::new())),
            clock: Clock::fixed(at(NOW)),
        };
        let setting = Self { state, queue };
        setting.state.storage.databases.insert(&database()).await.unwrap();
        setting
    }

    /// Calls a function as the host would, and returns the status of the answer.
    async fn call(&self, function: &str, data: Value) -> u16 {
        let body = json!({ "Data": data, "Metadata": { "DequeueCount": "1" } }).to_string();
        let request = Request::post(format!("/{function}")).header("content-type", "application/json");
        let answer = app(self.state.clone()).oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        answer.status().as_u16()
    }

    async fn deliver(&self, function: &str, text: &str) -> u16 {
        self.call(function, json!({ "msg": Value::String(text.to_owned()).to_string() })).await
    }

    /// Delivers a job whose record is stored, as by its sender.
    async fn run(&self, job: &BackupJob) -> u16 {
        match self.state.storage.backups.insert(&job.record()).await {
            Err(error) if error.kind() == StorageErrorKind::AlreadyExists => {}
            other => other.unwrap(),
        }
        self.deliver("backup_processor", &jobs::encode(job)).await
    }

    async fn record(&self, job: &BackupJob) -> Backup {
        let id = job.backup_id.as_ref().unwrap();
        self.state.storage.backups.get(id, job.created_at).await.unwrap().unwrap().value
    }

    async fn commit(&self, name: &str, metadata: &[(&str, &str)]) {
        let address = BlobAddress::new("backups", name);
        self.state.storage.blobs.stage(&address, b"0001", Bytes::from_static(b"stored")).await.unwrap();
        let metadata =
            metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let options = CommitOptions { content_type: "application/gzip".to_owned(), metadata };
        self.state.storage.blobs.commit(&address, &[b"0001".to_vec()], &options).await.unwrap();
    }

    async fn has_blob(&self, name: &str) -> bool {
        let address = BlobAddress::new("backups", name);
        self.state.storage.blobs.properties(&address).await.unwrap().is_some()
    }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
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

fn engine(id: &EngineId, most: u16) -> Engine {
    Engine {
        id: id.clone(),
        name: "Main".to_owned(),
        engine_type: EngineType::Mysql,
        endpoint: database().endpoint,
        login: Login::default(),
        connection_string: StoredSecret::None,
        policy_id: None,
        max_concurrent_backups: most,
        last_discovery: None,
        created_at: at("2026-01-01T00:00:00Z"),
        updated_at: at("2026-01-01T00:00:00Z"),
        created_by: None,
    }
}

fn job() -> BackupJob {
    BackupJob::new(&database(), Cause::Manual, (JobId::random(), BackupId::random()), at(NOW))
}

/// A processor that claims the job, plans its blob, and dies.
async fn dies_after_planning(setting: &Setting, job: &BackupJob, blob: &str) {
    let claims = &setting.state.storage.claims;
    let ClaimOutcome::Granted(mut claim) = claims.claim(job, at(NOW)).await.unwrap() else {
        panic!("the first claim is granted")
    };
    let planned = PlannedBlob { container: "backups".parse().unwrap(), name: blob.to_owned() };
    claims.plan(&mut claim, &planned).await.unwrap();
    setting.state.clock.set(at(NOW) + TimeDelta::minutes(10));
}

#[tokio::test]
async fn an_artifact_that_was_committed_but_not_recorded_is_found_again() {
    let (setting, job) = (Setting::new().await, job());
    dies_after_planning(&setting, &job, "mysql/shop/x.sql.gz").await;
    let id = job.id.to_string();
    setting.commit("mysql/shop/x.sql.gz", &[("job_id", &id), ("sha256", "abc")]).await;
    assert_eq!(setting.run(&job).await, 200);
    let record = setting.record(&job).await;
    let artifact = record.artifact().unwrap();
    assert_eq!(artifact.blob_name, "mysql/shop/x.sql.gz");
    assert_eq!((artifact.bytes, artifact.sha256.as_deref()), (Some(6), Some("abc")));
    assert_eq!(record.retry_count, 1);
}

#[tokio::test]
async fn a_blob_of_another_job_is_not_taken_for_the_artifact() {
    let (setting, job) = (Setting::new().await, job());
    dies_after_planning(&setting, &job, "mysql/shop/x.sql.gz").await;
    setting.commit("mysql/shop/x.sql.gz", &[("job_id", "another")]).await;
    assert_eq!(setting.run(&job).await, 200);
    assert_eq!(setting.record(&job).await.status(), BackupStatus::Failed);
}

#[tokio::test]
async fn a_job_without_credentials_fails_at_once_and_says_what_to_do() {
    let (setting, job) = (Setting::new().await, job());
    let text = jobs::encode(&job);
    assert_eq!(setting.run(&job).await, 200);
    let record = setting.record(&job).await;
    let failure = record.failure().unwrap();
    assert_eq!(failure.class.as_deref(), Some("Credentials"));
    assert!(failure.message.contains("no user name is configured for Shop"), "{}", failure.message);
    // The same message again: acknowledged, and nothing changes.
    assert_eq!(setting.deliver("backup_processor", &text).await, 200);
    assert_eq!(setting.record(&job).await, record);
    assert!(setting.queue.take().is_empty());
}

#[tokio::test]
async fn a_job_that_finds_its_database_busy_waits_in_the_queue() {
    let (setting, first, second) = (Setting::new().await, job(), job());
    let claims = &setting.state.storage.claims;
    let ClaimOutcome::Granted(_claim) = claims.claim(&first, at(NOW)).await.unwrap() else {
        panic!("the first claim is granted")
    };
    assert_eq!(setting.run(&second).await, 200);
    let waiting = setting.queue.take();
    assert_eq!(waiting.len(), 1);
    assert_eq!(jobs::decode(&waiting[0].0, at(NOW)).unwrap(), second);
    assert!(waiting[0].1.as_secs() >= 1, "{:?}", waiting[0].1);
}

/// Puts the database on a server that bears so many dumps at once.
async fn on_a_server(setting: &Setting, most: u16) -> EngineId {
    let storage = &setting.state.storage;
    let id: EngineId = "main".parse().unwrap();
    storage.engines.insert(&engine(&id, most)).await.unwrap();
    let stored = storage.databases.get(&database().id).await.unwrap().unwrap();
    let on_engine = Database { engine_id: Some(id.clone()), ..stored.value };
    storage.databases.update(&on_engine, &stored.etag).await.unwrap();
    id
}

#[tokio::test]
async fn a_job_whose_server_bears_no_more_waits_in_the_queue_and_counts_as_alive() {
    let (setting, job) = (Setting::new().await, job());
    let engine = on_a_server(&setting, 1).await;
    let storage = &setting.state.storage;
    storage.backups.insert(&job.record()).await.unwrap();
    let other = JobId::random();
    let taken = storage.places.take(&engine, 1, (&other, at(NOW)), at(NOW)).await.unwrap();
    let PlaceOutcome::Granted(mut place) = taken else { panic!("it is free") };
    let mut pauses = Vec::new();
    // For three hours somebody else is at work; a job that nobody notes counts as lost after two.
    for minutes in 0..180 {
        setting.state.clock.set(at(NOW) + TimeDelta::minutes(minutes));
        assert!(storage.places.keep(&mut place, setting.state.clock.now()).await.unwrap());
        assert_eq!(setting.run(&job).await, 200);
        let waiting = setting.queue.take();
        assert_eq!(waiting.len(), 1, "the message is sent anew, so that its deliveries begin again");
        pauses.push(waiting[0].1.as_secs());
    }
    assert_eq!(
        (pauses[0], pauses[4], pauses[5], pauses[179]),
        (10, 10, 2, 2),
        "the next place is kept for it"
    );
    assert!(storage.backups.end_stuck(&*storage.blobs, setting.state.clock.now()).await.unwrap().is_empty());
    let record = setting.record(&job).await;
    assert_eq!((record.status(), record.retry_count), (BackupStatus::Pending, 0));

    storage.places.leave(place).await;
    assert_eq!(setting.run(&job).await, 200);
    // There is no client tool, so it ends at once, and gives its place back.
    assert_eq!(setting.record(&job).await.status(), BackupStatus::Failed);
    let free = storage.places.take(&engine, 1, (&other, at(NOW)), setting.state.clock.now()).await.unwrap();
    assert!(matches!(free, PlaceOutcome::Granted(_)));
}

#[tokio::test]
async fn a_job_that_is_cancelled_in_its_turn_keeps_nobody_waiting() {
    for is_deleted in [false, true] {
        let (setting, waiting, next) = (Setting::new().await, job(), job());
        let engine = on_a_server(&setting, 1).await;
        let storage = &setting.state.storage;
        let taken = storage.places.take(&engine, 1, (&JobId::random(), at(NOW)), at(NOW)).await.unwrap();
        let PlaceOutcome::Granted(mut place) = taken else { panic!("it is free") };
        for minutes in 0..=5 {
            setting.state.clock.set(at(NOW) + TimeDelta::minutes(minutes));
            assert!(storage.places.keep(&mut place, setting.state.clock.now()).await.unwrap());
            assert_eq!(setting.run(&waiting).await, 200);
        }
        assert_eq!(setting.queue.take().last().unwrap().1.as_secs(), 2, "the next place is kept for it");
        storage.places.leave(place).await;
        let (record, now) = (setting.record(&waiting).await, setting.state.clock.now());
        if is_deleted {
            assert!(storage.backups.delete(&record).await.unwrap());
        } else {
            storage.backups.cancel(&record.id, &*storage.blobs, now).await.unwrap();
        }
        // Its message comes after the two seconds.
        assert_eq!(setting.deliver("backup_processor", &jobs::encode(&waiting)).await, 200);
        assert!(setting.queue.take().is_empty());
        assert_eq!(setting.run(&next).await, 200);
        assert!(setting.queue.take().is_empty(), "the place is free");
        assert_eq!(setting.record(&next).await.status(), BackupStatus::Failed, "there is no client tool");
    }
}

#[tokio::test]
async fn a_job_that_has_ended_needs_no_place() {
    let (setting, job) = (Setting::new().await, job());
    let engine = on_a_server(&setting, 1).await;
    let places = &setting.state.storage.places;
    let _taken = places.take(&engine, 1, (&JobId::random(), at(NOW)), at(NOW)).await.unwrap();
    let failure = Failure::new("Test", "it was ended".to_owned());
    let record = Backup {
        state: BackupState::Failed { run: Run::between(at(NOW), at(NOW)), failure },
        ..job.record()
    };
    setting.state.storage.backups.insert(&record).await.unwrap();
    assert_eq!(setting.run(&job).await, 200);
    assert!(setting.queue.take().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_program_runs_no_more_dumps_at_once_than_it_may() {
    let (setting, job) = (Setting::new().await, job());
    let taken = setting.state.places.clone().acquire_many_owned(2).await.unwrap();
    assert_eq!(setting.run(&job).await, 200);
    assert_eq!(setting.queue.take().len(), 1, "both are taken, as many as there are by default");
    drop(taken);
    assert_eq!(setting.run(&job).await, 200);
    assert!(setting.queue.take().is_empty());
    assert_eq!(setting.record(&job).await.status(), BackupStatus::Failed, "there is no client tool");
    assert_eq!(setting.state.places.available_permits(), 2);
}

#[tokio::test]
async fn a_job_whose_processor_always_dies_is_given_up_with_that_reason() {
    let (setting, job) = (Setting::new().await, job());
    for death in 0..3 {
        let now = at(NOW) + TimeDelta::minutes(10 * death);
        let claims = &setting.state.storage.claims;
        assert!(matches!(claims.claim(&job, now).await.unwrap(), ClaimOutcome::Granted(_)));
    }
    setting.state.clock.set(at(NOW) + TimeDelta::hours(1));
    assert_eq!(setting.run(&job).await, 200);
    let record = setting.record(&job).await;
    assert_eq!(record.failure().unwrap().class.as_deref(), Some("WorkerLost"));
}

#[tokio::test]
async fn an_artifact_is_found_even_when_all_attempts_are_used_up() {
    for function in ["backup_processor", "backup_poison"] {
        let (setting, job) = (Setting::new().await, job());
        let claims = &setting.state.storage.claims;
        for death in 0..4 {
            let now = at(NOW) + TimeDelta::minutes(10 * death);
            let ClaimOutcome::Granted(mut claim) = claims.claim(&job, now).await.unwrap() else {
                panic!("the claim is granted")
            };
            let name = "mysql/shop/x.sql.gz".to_owned();
            let planned = PlannedBlob { container: "backups".parse().unwrap(), name };
            claims.plan(&mut claim, &planned).await.unwrap();
        }
        setting.commit("mysql/shop/x.sql.gz", &[("job_id", job.id.as_str())]).await;
        setting.state.clock.set(at(NOW) + TimeDelta::hours(1));
        assert_eq!(setting.deliver(function, &jobs::encode(&job)).await, 200);
        assert_eq!(setting.record(&job).await.status(), BackupStatus::Completed, "{function}");
    }
}

#[tokio::test]
async fn a_job_whose_claim_was_lost_to_another_job_comes_again() {
    let (setting, job) = (Setting::new().await, job());
    let claims = setting.state.storage.claims.clone();
    // Another job takes the database while this one is claimed and before it ends.
    let ClaimOutcome::Granted(claim) = claims.claim(&job, at(NOW)).await.unwrap() else {
        panic!("the claim is granted")
    };
    let later = at(NOW) + TimeDelta::minutes(10);
    let other = BackupJob::new(&database(), Cause::Manual, (JobId::random(), BackupId::random()), later);
    assert!(matches!(claims.claim(&other, later).await.unwrap(), ClaimOutcome::Granted(_)));
    let mut claim = claim;
    assert!(matches!(claims.confirm(&mut claim, later).await, Err(ClaimError::Lost)));
    setting.state.clock.set(later);
    assert_eq!(setting.run(&job).await, 200);
    assert_eq!(setting.queue.take().len(), 1, "the job waits for its turn");
}

#[tokio::test]
async fn a_poisoned_message_ends_its_record_and_one_that_is_no_job_is_dropped() {
    let (setting, job) = (Setting::new().await, job());
    setting.state.storage.backups.insert(&job.record()).await.unwrap();
    assert_eq!(setting.deliver("backup_poison", &jobs::encode(&job)).await, 200);
    let record = setting.record(&job).await;
    assert_eq!(record.failure().unwrap().class.as_deref(), Some("GivenUp"));
    assert_eq!(setting.deliver("backup_poison", "no job").await, 200);
    assert_eq!(setting.deliver("backup_processor", "no job").await, 500);
}

#[tokio::test]
async fn the_message_of_a_record_that_was_deleted_is_dropped() {
    for function in ["backup_processor", "backup_poison"] {
        let (setting, job) = (Setting::new().await, job());
        assert_eq!(setting.deliver(function, &jobs::encode(&job)).await, 200);
        let storage = &setting.state.storage;
        assert_eq!(storage.backups.list(&BackupFilter::default()).await.unwrap(), [], "{function}");
        assert!(setting.queue.take().is_empty(), "{function}");
        // Earlier systems sent messages whose record came later.
        let earlier = BackupJob { backup_id: None, ..job };
        assert_eq!(setting.deliver(function, &jobs::encode(&earlier)).await, 200);
        assert_eq!(storage.backups.list(&BackupFilter::default()).await.unwrap().len(), 1, "{function}");
    }
}

#[tokio::test]
async fn a_job_of_a_deleted_database_is_withdrawn_and_no_failure() {
    for function in ["backup_processor", "backup_poison"] {
        let (setting, job) = (Setting::new().await, job());
        let storage = &setting.state.storage;
        storage.backups.insert(&job.record()).await.unwrap();
        storage.databases.delete(&job.database_id).await.unwrap();
        for _ in 0..2 {
            assert_eq!(setting.deliver(function, &jobs::encode(&job)).await, 200);
            let record = setting.record(&job).await;
            assert_eq!((record.status(), record.failure()), (BackupStatus::Cancelled, None), "{function}");
            let reason = "the database is not configured any more, so there is nothing to back up";
            assert_eq!(record.reason(), Some(reason), "{function}");
        }
        assert!(setting.queue.take().is_empty(), "{function}");
        let audit = storage.audit.list(&AuditFilter::default(), 0, 10, at(NOW)).await.unwrap();
        let actions: Vec<_> = audit.records.iter().map(|record| record.action.as_str()).collect();
        assert_eq!(actions, [AuditAction::BackupCancelled.as_str()], "{function}");
    }
}

#[tokio::test]
async fn what_was_stored_before_its_database_was_deleted_is_a_backup() {
    let (setting, job) = (Setting::new().await, job());
    dies_after_planning(&setting, &job, "mysql/shop/x.sql.gz").await;
    setting.commit("mysql/shop/x.sql.gz", &[("job_id", job.id.as_str())]).await;
    setting.state.storage.databases.delete(&job.database_id).await.unwrap();
    assert_eq!(setting.run(&job).await, 200);
    assert_eq!(setting.record(&job).await.status(), BackupStatus::Completed);
}

#[tokio::test]
async fn retention_deletes_blob_and_record_and_keeps_the_newest() {
    let setting = Setting::new().await;
    let storage = &setting.state.storage;
    let days_ago = |days: i64, tier: Option<Tier>| {
        let name = format!("mysql/shop/{days}-{}.sql.gz", tier.map_or("none", Tier::as_str));
        let artifact = Artifact {
            blob_name: name,
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
        backup(days, tier, state)
    };
    // "development" keeps 7 daily ones; without a tier 30 days count.
    let mut stored: Vec<Backup> = (1..=9).map(|days| days_ago(days, Some(Tier::Daily))).collect();
    stored.extend([days_ago(29, None), days_ago(31, None), days_ago(200, Some(Tier::Monthly))]);
    let failure = Failure::new("Killed", "x");
    stored.push(backup(91, None, BackupState::Failed { run: Run::default(), failure }));
    for backup in &stored {
        storage.backups.insert(backup).await.unwrap();
        if let Some(artifact) = backup.artifact() {
            setting.commit(&artifact.blob_name, &[]).await;
        }
    }
    assert_eq!(setting.call("cleanup_old_backups", json!({ "timer": {} })).await, 200);
    let mut kept: Vec<String> = storage
        .backups
        .list(&BackupFilter::default())
        .await
        .unwrap()
        .iter()
        .map(|backup| backup.artifact().unwrap().blob_name.clone())
        .collect();
    kept.sort();
    let expected = [
        "mysql/shop/1-daily.sql.gz",
        "mysql/shop/2-daily.sql.gz",
        "mysql/shop/200-monthly.sql.gz",
        "mysql/shop/29-none.sql.gz",
        "mysql/shop/3-daily.sql.gz",
        "mysql/shop/4-daily.sql.gz",
        "mysql/shop/5-daily.sql.gz",
        "mysql/shop/6-daily.sql.gz",
        "mysql/shop/7-daily.sql.gz",
    ];
    assert_eq!(kept, expected);
    for gone in ["mysql/shop/8-daily.sql.gz", "mysql/shop/9-daily.sql.gz", "mysql/shop/31-none.sql.gz"] {
        assert!(!setting.has_blob(gone).await, "{gone}");
    }
    assert!(setting.has_blob("mysql/shop/1-daily.sql.gz").await);
}

fn backup(days: i64, tier: Option<Tier>, state: BackupState) -> Backup {
    Backup {
        id: BackupId::random(),
        job_id: JobId::random(),
        database_id: "shop".parse().unwrap(),
        database_name: "Shop".to_owned(),
        database_type: DatabaseType::Mysql,
        triggered_by: TriggeredBy::Scheduler,
        tier,
        created_at: at(NOW) - TimeDelta::days(days),
        retry_count: 0,
        marks: Marks::default(),
        state,
    }
}

/// A record of the same tick as `job`, of another tier, whose dump is stored.
async fn dumped_for(setting: &Setting, job: &BackupJob, began: &str) -> Backup {
    let claims = &setting.state.storage.claims;
    let ClaimOutcome::Granted(claim) = claims.claim(job, at(began)).await.unwrap() else {
        panic!("the claim was not granted");
    };
    let name = "mysql/shop/20260304_100710.sql.gz";
    let metadata = [("job_id", job.id.as_str()), ("sha256", "5ca1ab1e"), ("tool", "mysqldump")];
    setting.commit(name, &metadata).await;
    let artifact = Artifact {
        blob_name: name.to_owned(),
        blob_url: None,
        container: Some("backups".parse().unwrap()),
        bytes: Some(6),
        format: Some("sql.gz".to_owned()),
        sha256: Some("5ca1ab1e".to_owned()),
        consistency: None,
        warnings: ["one table is MyISAM".to_owned()].iter().collect(),
        globals: None,
    };
    claims.complete(*claim, artifact, at(began) + TimeDelta::seconds(5)).await.unwrap()
}

fn scheduled(tier: Tier, created_at: &str) -> BackupJob {
    let cause = Cause::Scheduled { lane: Lane::Tier(tier), slot: at("2026-03-04T10:00:00Z") };
    BackupJob::new(&database(), cause, (JobId::random(), BackupId::random()), at(created_at))
}

#[tokio::test]
async fn the_dump_of_one_tier_serves_the_others_of_its_tick() {
    let setting = Setting::new().await;
    let (weekly, daily) = (scheduled(Tier::Weekly, NOW), scheduled(Tier::Daily, NOW));
    let source = dumped_for(&setting, &weekly, NOW).await;

    assert_eq!(setting.run(&daily).await, 200);
    let copy = setting.record(&daily).await;
    let (source, artifact) = (source.artifact().unwrap(), copy.artifact().unwrap());
    assert_ne!(artifact.blob_name, source.blob_name);
    assert_eq!((&artifact.sha256, artifact.bytes), (&source.sha256, source.bytes));
    assert_eq!(artifact.warnings, source.warnings);
    assert_eq!(copy.tier, Some(Tier::Daily));
    let address = setting.state.storage.locate(artifact);
    let metadata = setting.state.storage.blobs.properties(&address).await.unwrap().unwrap().metadata;
    let of = |name: &str| metadata[name].as_str();
    assert_eq!((of("job_id"), of("tier"), of("backup_id")), (daily.id.as_str(), "daily", copy.id.as_str()));
    assert_eq!((of("sha256"), of("tool")), ("5ca1ab1e", "mysqldump"));

    // Delivered twice, it has its effect once.
    assert_eq!(setting.run(&daily).await, 200);
    let blobs = setting.state.storage.blobs.list("backups", "mysql/shop/", None, 10).await.unwrap().blobs;
    assert_eq!(blobs.len(), 2);
}

/// Without a client tool, a job that may not copy fails or waits for its next attempt.
async fn is_not_copied(setting: &Setting, job: &BackupJob) {
    assert_eq!(setting.run(job).await, 200);
    assert!(setting.record(job).await.artifact().is_none());
    let blobs = setting.state.storage.blobs.list("backups", "mysql/shop/", None, 10).await.unwrap().blobs;
    assert!(blobs.len() < 2, "{blobs:?}");
}

#[tokio::test]
async fn what_was_dumped_for_something_else_is_not_copied() {
    // By hand, which asks for a dump of this moment.
    let setting = Setting::new().await;
    dumped_for(&setting, &scheduled(Tier::Weekly, NOW), NOW).await;
    is_not_copied(&setting, &job()).await;

    // Of another tick.
    let setting = Setting::new().await;
    dumped_for(&setting, &scheduled(Tier::Weekly, "2026-03-04T10:06:00Z"), NOW).await;
    is_not_copied(&setting, &scheduled(Tier::Daily, NOW)).await;

    // From a configuration that has changed since.
    let setting = Setting::new().await;
    dumped_for(&setting, &scheduled(Tier::Weekly, NOW), NOW).await;
    let stored = setting.state.storage.databases.get(&"shop".parse().unwrap()).await.unwrap().unwrap();
    let changed = Database { updated_at: at("2026-03-04T10:07:01Z"), ..stored.value };
    setting.state.storage.databases.update(&changed, &stored.etag).await.unwrap();
    is_not_copied(&setting, &scheduled(Tier::Daily, NOW)).await;

    // In another form than is wanted now.
    let setting = Setting::new().await;
    dumped_for(&setting, &scheduled(Tier::Weekly, NOW), NOW).await;
    let stored = setting.state.storage.databases.get(&"shop".parse().unwrap()).await.unwrap().unwrap();
    let changed = Database { compression: false, ..stored.value };
    setting.state.storage.databases.update(&changed, &stored.etag).await.unwrap();
    is_not_copied(&setting, &scheduled(Tier::Daily, NOW)).await;

    // Whose blob is gone.
    let setting = Setting::new().await;
    dumped_for(&setting, &scheduled(Tier::Weekly, NOW), NOW).await;
    let address = BlobAddress::new("backups", "mysql/shop/20260304_100710.sql.gz");
    assert!(setting.state.storage.blobs.delete(&address).await.unwrap());
    is_not_copied(&setting, &scheduled(Tier::Daily, NOW)).await;
}

#[tokio::test]
async fn a_copy_whose_answer_is_lost_is_found_and_one_that_is_refused_costs_a_dump() {
    for (fault, status) in [
        (Fault::Lose(StorageErrorKind::AlreadyExists), BackupStatus::Completed),
        (Fault::Lose(StorageErrorKind::Unavailable), BackupStatus::Pending),
        (Fault::Refuse(StorageErrorKind::Invalid), BackupStatus::Failed),
    ] {
        let mut setting = Setting::new().await;
        let daily = scheduled(Tier::Daily, NOW);
        dumped_for(&setting, &scheduled(Tier::Weekly, NOW), NOW).await;
        let blobs = setting.state.storage.blobs.clone();
        setting.state.storage.blobs = Arc::new(FaultyBlobs::over(blobs).with(BlobCall::Copy, 1, fault));
        assert_eq!(setting.run(&daily).await, 200);
        assert_eq!(setting.record(&daily).await.status(), status, "{fault:?}");
        // The next delivery finds what the first one had copied.
        assert_eq!(setting.run(&daily).await, 200);
        let copied = setting.record(&daily).await.artifact().is_some();
        assert_eq!(copied, status != BackupStatus::Failed, "{fault:?}");
    }
}

#[tokio::test]
async fn nothing_is_answered_below_the_public_prefix() {
    let setting = Setting::new().await;
    for name in
        ["backup_processor", "backup_poison", "cleanup_old_backups", "restore_processor", "restore_poison"]
    {
        for prefix in ["api/", "api//", "api/../", "API/", "admin/functions/"] {
            assert_eq!(setting.call(&format!("{prefix}{name}"), json!({})).await, 404, "{prefix}{name}");
        }
        let asked = Request::get(format!("/{name}")).body(Body::empty()).unwrap();
        assert_eq!(app(setting.state.clone()).oneshot(asked).await.unwrap().status(), 405, "{name}");
    }
    assert_eq!(setting.call("dynamic_scheduler", json!({})).await, 404);
}
