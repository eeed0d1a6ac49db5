//! The health monitor, lost messages and late backups, over storage in memory.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use scheduler::{AppState, app, tick};
use shared::clock::Clock;
use shared::config::{Config, Source};
use shared::models::{
    Artifact, Attempt, Backup, BackupId, BackupJob, BackupState, BackupStatus, Cause, Credentials, Database,
    DatabaseType, DumpOptions, Endpoint, JobId, Lane, Login, PlannedBlob, PolicyChoice, Run, Tls, Warnings,
};
use shared::overdue::overdue;
use shared::storage::{
    BackupFilter, BlobAddress, BlobCall, CommitOptions, Fault, FaultyBlobs, HealthReport, MemoryQueue,
    Reservation, SlotState, Storage, StorageErrorKind, jobs,
};
use tower::ServiceExt as _;

const NOW: &str = "2026-03-04T10:07:00Z";

struct Setting {
    state: AppState,
    queue: MemoryQueue,
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn database(id: &str) -> Database {
    Database {
        id: id.parse().unwrap(),
        name: format!("Shop {id}"),
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

impl Setting {
    async fn new() -> Self {
        let config = Config::read(&Source::of(&[])).unwrap();
        let (storage, queue) = Storage::memory(&config);
        let state = AppState { storage, clock: Clock::fixed(at(NOW)), jitter: Duration::ZERO };
        state.storage.prepare(at(NOW)).await.unwrap();
        Self { state, queue }
    }

    async fn configure(&self, id: &str, change: impl FnOnce(&mut Database)) {
        let mut database = database(id);
        change(&mut database);
        self.state.storage.databases.insert(&database).await.unwrap();
    }

    /// Calls a function as the host would.
    async fn call(&self, function: &str) -> u16 {
        let body = r#"{"Data":{"timer":{"IsPastDue":false}},"Metadata":{}}"#;
        let request = Request::post(format!("/{function}")).header("content-type", "application/json");
        let answer = app(self.state.clone()).oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        answer.status().as_u16()
    }

    fn job(id: &str, made: &str) -> BackupJob {
        BackupJob::new(&database(id), Cause::Manual, (JobId::random(), BackupId::random()), at(made))
    }

    async fn store(&self, id: &str, made: &str, state: BackupState) -> Backup {
        let backup = Backup { state, ..Self::job(id, made).record() };
        self.state.storage.backups.insert(&backup).await.unwrap();
        backup
    }

    async fn completed(&self, id: &str, made: &str, blob: &str) -> Backup {
        let artifact = Artifact {
            blob_name: blob.to_owned(),
            blob_url: None,
            container: Some("backups".parse().unwrap()),
            bytes: Some(6),
            format: None,
            sha256: None,
            consistency: None,
            warnings: Warnings::default(),
            globals: None,
        };
        let run = Run::between(at(made), at(made) + TimeDelta::seconds(1));
        self.store(id, made, BackupState::Completed { run, artifact: Some(artifact) }).await
    }

    async fn put(&self, blob: &str) {
        let (store, address) = (&self.state.storage.blobs, BlobAddress::new("backups", blob));
        store.stage(&address, b"0001", Bytes::from_static(b"stored")).await.unwrap();
        let options =
            CommitOptions { content_type: "application/gzip".to_owned(), metadata: BTreeMap::default() };
        store.commit(&address, &[b"0001".to_vec()], &options).await.unwrap();
    }

    async fn overdue(&self, now: &str) -> String {
        let databases = self.state.storage.databases.list().await.unwrap();
        let found = overdue(&self.state.storage, &databases, at(now)).await.unwrap();
        let lines = found.iter().map(|(id, wanted)| format!("{id}: {} since {}", wanted.slot, wanted.since));
        lines.collect::<Vec<_>>().join("\n")
    }

    async fn health(&self) -> HealthReport {
        self.state.storage.watch.last_health().await.unwrap().unwrap().1
    }

    fn sent(&self) -> Vec<BackupJob> {
        self.queue.take().iter().map(|(text, _)| jobs::decode(text, at(NOW)).unwrap()).collect()
    }
}

#[tokio::test]
async fn databases_without_the_backup_of_their_last_slot_are_overdue() {
    let setting = Setting::new().await;
    for id in ["fresh", "stale", "never", "waits", "early"] {
        setting.configure(id, |_| {}).await;
    }
    setting.configure("off", |database| database.enabled = false).await;
    setting.configure("new", |database| database.updated_at = at("2026-03-04T08:30:00Z")).await;
    setting.completed("fresh", "2026-03-04T02:00:09Z", "a").await;
    setting.completed("stale", "2026-03-03T02:00:09Z", "b").await;
    // On the day of the slot, and before it.
    setting.completed("early", "2026-03-04T01:59:59Z", "c").await;
    setting.completed("waits", "2026-03-03T02:00:09Z", "d").await;
    setting.store("waits", "2026-03-04T02:00:09Z", BackupState::Pending { last_failure: None }).await;
    insta::assert_snapshot!(setting.overdue(NOW).await, @"
    early: 2026-03-04 02:00:00 UTC since 2026-03-04 02:00:00 UTC
    never: 2026-03-04 02:00:00 UTC since 2026-03-04 02:00:00 UTC
    stale: 2026-03-04 02:00:00 UTC since 2026-03-04 02:00:00 UTC
    waits: 2026-03-04 02:00:00 UTC since 2026-03-04 02:00:00 UTC
    ");
    assert_eq!(setting.overdue("2026-03-04T03:59:59Z").await.lines().count(), 1, "within the grace: never");
}

#[tokio::test]
async fn what_a_clock_that_was_ahead_has_made_hides_nothing() {
    let setting = Setting::new().await;
    for id in ["tomorrow", "today", "good"] {
        setting.configure(id, |_| {}).await;
    }
    // The slot of these is of yesterday.
    for id in ["late-today", "late-good"] {
        setting.configure(id, |database| database.schedule = Some("0 22 * * *".parse().unwrap())).await;
    }
    setting.completed("tomorrow", "2026-03-03T02:00:09Z", "a").await;
    setting.completed("tomorrow", "2026-03-05T10:00:00Z", "b").await;
    setting.completed("today", "2026-03-04T23:00:00Z", "c").await;
    setting.completed("good", "2026-03-05T10:00:00Z", "d").await;
    setting.completed("good", "2026-03-04T02:00:09Z", "e").await;
    setting.completed("late-today", "2026-03-04T22:00:00Z", "f").await;
    setting.completed("late-good", "2026-03-04T00:30:00Z", "g").await;
    setting.completed("late-good", "2026-03-04T22:00:00Z", "h").await;
    insta::assert_snapshot!(setting.overdue(NOW).await, @"
    late-today: 2026-03-03 22:00:00 UTC since 2026-03-03 22:00:00 UTC
    today: 2026-03-04 02:00:00 UTC since 2026-03-04 02:00:00 UTC
    tomorrow: 2026-03-04 02:00:00 UTC since 2026-03-04 02:00:00 UTC
    ");
}

#[tokio::test]
async fn an_edit_does_not_hide_that_a_database_is_overdue() {
    let setting = Setting::new().await;
    for id in ["served", "unserved"] {
        let nightly = |database: &mut Database| {
            database.schedule = Some("0 2 * * *".parse().unwrap());
            database.updated_at = at("2026-03-04T09:00:00Z");
        };
        setting.configure(id, nightly).await;
    }
    let (id, lane) = ("served".parse().unwrap(), Lane::Schedule);
    let reserved = Reservation::new(&id, lane, at("2026-03-04T02:00:00Z"), at("2026-03-04T02:00:00Z"));
    let slots = &setting.state.storage.slots;
    assert!(slots.reserve(&id, &mut SlotState::default(), &[(lane, reserved)]).await.unwrap());
    insta::assert_snapshot!(setting.overdue(NOW).await, @"served: 2026-03-04 02:00:00 UTC since 2026-03-04 02:00:00 UTC");
}

#[tokio::test]
async fn what_runs_once_a_year_is_looked_for_in_the_whole_history() {
    let setting = Setting::new().await;
    for id in ["made", "missed"] {
        let yearly = |database: &mut Database| {
            database.schedule = Some("0 2 5 1 *".parse().unwrap());
            database.updated_at = at("2025-01-01T00:00:00Z");
        };
        setting.configure(id, yearly).await;
    }
    setting.completed("made", "2026-01-05T02:00:09Z", "a").await;
    setting.completed("missed", "2025-01-05T02:00:09Z", "b").await;
    insta::assert_snapshot!(setting.overdue("2026-12-01T00:00:00Z").await, @"missed: 2026-01-05 02:00:00 UTC since 2026-01-05 02:00:00 UTC");
    setting.completed("missed", "2026-11-30T02:00:09Z", "c").await;
    assert_eq!(setting.overdue("2026-12-01T00:00:00Z").await, "");
}

#[tokio::test]
async fn what_the_monitor_sees_is_kept() {
    let setting = Setting::new().await;
    setting.configure("shop", |_| {}).await;
    assert_eq!(setting.call("health_monitor").await, 200);
    let line = |report: &HealthReport| {
        let lines =
            report.checks.iter().map(|check| format!("{} {}: {}", check.ok, check.name, check.message));
        lines.collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(line(&setting.health().await), @"
    true storage: the storage account answers
    true databases: 1 of 1 databases are enabled
    true policies: there are 3 backup policies
    true success_rate: no backup ended in the last 24 hours
    true queue: 0 jobs wait, 0 messages are in the poison queue
    true scheduler: there was no tick yet
    false overdue: overdue: Shop shop
    true orphans: files and records fit together
    ");
    assert_eq!(setting.call("dynamic_scheduler").await, 200);
    let (when, last) = setting.state.storage.watch.last_tick().await.unwrap().unwrap();
    assert_eq!((when, last.databases, last.queued), (at(NOW), 1, 2));
    setting.state.clock.set(at(NOW) + TimeDelta::minutes(51));
    assert_eq!(setting.call("health_monitor").await, 200);
    assert!(line(&setting.health().await).contains("false scheduler: the last tick was 51 minutes ago"));
}

#[tokio::test]
async fn files_and_records_that_do_not_fit_together_are_reported_and_stay() {
    let setting = Setting::new().await;
    let storage = &setting.state.storage;
    setting.completed("shop", "2026-03-04T02:00:00Z", "mysql/shop/good").await;
    let lost = setting.completed("shop", "2026-03-03T02:00:00Z", "mysql/shop/lost").await;
    let planned =
        PlannedBlob { container: "backups".parse().unwrap(), name: "mysql/shop/planned".to_owned() };
    let attempt = Attempt {
        started_at: Some(at(NOW)),
        heartbeat_at: Some(at(NOW)),
        planned: Some(planned),
        ..Attempt::default()
    };
    setting.store("shop", "2026-03-04T10:00:00Z", BackupState::InProgress(attempt)).await;
    for blob in ["mysql/shop/good", "mysql/shop/nobodys", "mysql/shop/planned"] {
        setting.put(blob).await;
    }
    // Files in memory are as old as the machine's clock says.
    let written = storage.blobs.properties(&BlobAddress::new("backups", "mysql/shop/good")).await.unwrap();
    let written = written.unwrap().last_modified.unwrap();
    let of_orphans = async |now: DateTime<Utc>| {
        setting.state.clock.set(now);
        assert_eq!(setting.call("health_monitor").await, 200);
        let report = setting.health().await;
        report.checks.into_iter().find(|check| check.name == "orphans").unwrap()
    };
    let young = of_orphans(written + TimeDelta::hours(23)).await;
    assert_eq!(
        young.message,
        format!(
            "0 files have no record, 1 records miss their file: backups/mysql/shop/lost of backup {} is not there",
            lost.id
        )
    );
    let old = of_orphans(written + TimeDelta::hours(25)).await;
    assert!(!old.ok);
    assert_eq!(
        old.message,
        format!(
            "1 files have no record, 1 records miss their file: backups/mysql/shop/nobodys has no record, backups/mysql/shop/lost of backup {} is not there",
            lost.id
        )
    );
    let nobodys = BlobAddress::new("backups", "mysql/shop/nobodys");
    assert!(storage.blobs.properties(&nobodys).await.unwrap().is_some());
    assert_eq!(storage.backups.list(&BackupFilter::default()).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_record_whose_message_was_lost_has_it_sent_anew_when_nobody_can_have_it() {
    let setting = Setting::new().await;
    setting.configure("shop", |database| database.enabled = false).await;
    let pending = || BackupState::Pending { last_failure: None };
    let lost = setting.store("shop", "2026-03-04T09:57:00Z", pending()).await;
    setting.store("shop", "2026-03-04T09:58:00Z", pending()).await;
    setting.store("gone", "2026-03-04T09:00:00Z", pending()).await;
    setting.completed("shop", "2026-03-04T09:00:00Z", "a").await;
    // Somebody's message is in the queue; it may be this one.
    setting.state.storage.jobs.send(&Setting::job("shop", NOW), Duration::from_mins(5)).await.unwrap();
    assert_eq!(setting.call("dynamic_scheduler").await, 200);
    assert_eq!(setting.sent().len(), 1);
    assert_eq!(setting.call("dynamic_scheduler").await, 200);
    let sent = setting.sent();
    assert_eq!(sent.len(), 1, "the other one has just been made, and what is not configured cannot be made");
    assert_eq!(
        (&sent[0].id, sent[0].record()),
        (&lost.job_id, lost.clone()),
        "it stands for the same record"
    );
}

#[tokio::test]
async fn a_backlog_of_hours_fails_nobody() {
    let setting = Setting::new().await;
    setting.configure("shop", |database| database.enabled = false).await;
    let storage = &setting.state.storage;
    let jobs = ["2026-03-04T03:00:00Z", "2026-03-04T05:00:00Z"].map(|made| Setting::job("shop", made));
    for job in &jobs {
        storage.backups.insert(&job.record()).await.unwrap();
        storage.jobs.send(job, Duration::ZERO).await.unwrap();
    }
    // Before them waits one that everybody forgot.
    let lost =
        setting.store("shop", "2026-03-04T00:30:00Z", BackupState::Pending { last_failure: None }).await;
    assert_eq!(setting.call("dynamic_scheduler").await, 200);
    let ended = |records: Vec<Backup>| -> Vec<BackupId> {
        records.into_iter().filter(Backup::is_finished).map(|backup| backup.id).collect()
    };
    let all = || async { storage.backups.list(&BackupFilter::default()).await.unwrap() };
    assert_eq!(ended(all().await), [lost.id]);
    assert_eq!(setting.sent().len(), 2);
    // The queue is empty now, and nothing was heard of them for hours.
    assert_eq!(setting.call("dynamic_scheduler").await, 200);
    assert_eq!(ended(all().await).len(), 3);
}

#[tokio::test]
async fn a_tick_that_finds_lost_messages_serves_no_slot_twice() {
    let setting = Setting::new().await;
    setting.configure("shop", |_| {}).await;
    assert_eq!(setting.call("dynamic_scheduler").await, 200);
    let first = setting.sent();
    // The queue is cleared, by mistake.
    setting.state.clock.set(at(NOW) + TimeDelta::minutes(15));
    assert_eq!(setting.call("dynamic_scheduler").await, 200);
    let mut again = setting.sent();
    again.sort_by_key(|job| std::cmp::Reverse(job.tier));
    let ids = |jobs: &[BackupJob]| jobs.iter().map(|job| job.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&again), ids(&first));
    let records = setting.state.storage.backups.list(&BackupFilter::default()).await.unwrap();
    assert_eq!(records.len(), 2);
    assert!(records.iter().all(|record| record.status() == BackupStatus::Pending));
    assert_eq!(tick(&setting.state).await.unwrap().queued, 0);
}

#[tokio::test]
async fn names_of_requests_are_forgotten_after_a_day() {
    let setting = Setting::new().await;
    let backups = &setting.state.storage.backups;
    let shop = "shop".parse().unwrap();
    let reserve = async |name: &str, now| backups.reserve_request(&shop, name, now).await.unwrap();
    let old = reserve("old", at("2026-03-03T10:06:59Z")).await;
    backups.note_answer(&old, &old.job_id).await.unwrap();
    let young = reserve("young", at("2026-03-03T10:07:00Z")).await;
    backups.note_answer(&young, &young.job_id).await.unwrap();
    setting.completed("shop", "2026-03-03T10:06:00Z", "mysql/shop/a").await;
    assert_eq!(setting.call("health_monitor").await, 200);
    assert!(reserve("young", at(NOW)).await.answered.is_some());
    let again = reserve("old", at(NOW)).await;
    assert_eq!((again.answered, again.repeated, again.created_at), (None, false, at(NOW)));
    assert_eq!(again.job_id, old.job_id);
    assert_eq!(backups.list(&BackupFilter::default()).await.unwrap().len(), 1, "nothing else is touched");
    assert_eq!(backups.forget_requests(at(NOW)).await.unwrap(), 0);
}

#[tokio::test]
async fn a_container_that_may_not_be_looked_at_hides_nothing_else() {
    let mut setting = Setting::new().await;
    setting.completed("shop", "2026-03-04T02:00:00Z", "mysql/shop/good").await;
    setting.configure("other", |database| database.backup_destination = Some("own".parse().unwrap())).await;
    setting.put("mysql/shop/good").await;
    // The default one is looked at first.
    let blobs = FaultyBlobs::over(Arc::clone(&setting.state.storage.blobs));
    let refuse = Fault::Refuse(StorageErrorKind::Denied);
    setting.state.storage.blobs = Arc::new(blobs.with(BlobCall::List, 2, refuse));
    assert_eq!(setting.call("health_monitor").await, 200);
    let report = setting.health().await;
    let bad = report
        .checks
        .iter()
        .filter(|check| !check.ok)
        .map(|check| format!("{}: {}", check.name, check.message));
    insta::assert_snapshot!(bad.collect::<Vec<_>>().join("\n"), @"
    overdue: overdue: Shop other
    orphans: files and records fit together; not looked at: own
    ");
}
