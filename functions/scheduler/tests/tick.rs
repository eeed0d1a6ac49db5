//! Ticks over storage in memory.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use chrono::{DateTime, TimeDelta, Utc};
use scheduler::{AppState, TickReport, app, tick};
use shared::clock::Clock;
use shared::config::{Config, Source};
use shared::models::{
    Artifact, Backup, BackupId, BackupJob, BackupState, BackupStatus, Credentials, Database, DatabaseId,
    DatabaseType, DumpOptions, Endpoint, Engine, EngineType, Failure, JobId, Login, Marks, PolicyChoice, Run,
    StoredSecret, Tier, Tls, TriggeredBy, Warnings,
};
use shared::storage::{BackupFilter, ClaimOutcome, LastTick, MemoryQueue, Storage, jobs};
use tower::ServiceExt as _;

/// A Wednesday, so that no tier but the hourly one has a slot in the following hour.
const NOW: &str = "2026-03-04T10:07:00Z";

struct Setting {
    state: AppState,
    queue: MemoryQueue,
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
        let mut database = Database {
            id: id.parse().unwrap(),
            name: id.to_owned(),
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
        };
        change(&mut database);
        self.state.storage.databases.insert(&database).await.unwrap();
    }

    async fn tick_at(&self, now: &str) -> TickReport {
        self.state.clock.set(at(now));
        tick(&self.state).await.unwrap()
    }

    /// Takes the jobs out of the queue.
    fn jobs(&self) -> Vec<BackupJob> {
        self.queue.take().iter().map(|(text, _)| jobs::decode(text, DateTime::UNIX_EPOCH).unwrap()).collect()
    }

    async fn records(&self) -> Vec<Backup> {
        self.state.storage.backups.list(&BackupFilter::default()).await.unwrap()
    }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn tiers(jobs: &[BackupJob]) -> Vec<Option<Tier>> {
    jobs.iter().map(|job| job.tier).collect()
}

#[tokio::test]
async fn queues_each_slot_once_with_its_record_highest_tier_first() {
    let setting = Setting::new().await;
    setting.configure("shop", |_| {}).await;
    assert_eq!(setting.tick_at(NOW).await.queued, 2);
    let jobs = setting.jobs();
    assert_eq!(tiers(&jobs), [Some(Tier::Weekly), Some(Tier::Daily)]);
    for job in &jobs {
        let record = setting.state.storage.backups.get(job.backup_id.as_ref().unwrap(), job.created_at);
        let record = record.await.unwrap().unwrap().value;
        assert_eq!(record.status(), BackupStatus::Pending);
        assert_eq!(record.job_id, job.id);
        assert_eq!(record.triggered_by, TriggeredBy::Scheduler);
    }
    assert_eq!(setting.tick_at("2026-03-04T10:15:00Z").await.queued, 0);
    assert_eq!(setting.tick_at("2026-03-05T01:59:59Z").await.queued, 0);
    // Four days without a tick: one slot of each tier, not four.
    assert_eq!(setting.tick_at("2026-03-08T09:00:00Z").await.queued, 2);
}

#[tokio::test]
async fn leaves_disabled_databases_alone() {
    let setting = Setting::new().await;
    setting.configure("off", |database| database.enabled = false).await;
    let report = setting.tick_at(NOW).await;
    assert_eq!((report.databases, report.queued), (0, 0));
}

#[tokio::test]
async fn a_schedule_decides_alone_and_has_no_tier() {
    let setting = Setting::new().await;
    setting.configure("shop", |database| database.schedule = Some("30 9 * * *".parse().unwrap())).await;
    assert_eq!(setting.tick_at(NOW).await.queued, 1);
    let jobs = setting.jobs();
    assert_eq!(tiers(&jobs), [None]);
    assert_eq!(jobs[0].scheduled_at, Some(at("2026-03-04T09:30:00Z")));
    assert_eq!(jobs[0].triggered_by, TriggeredBy::Scheduler);
    assert_eq!(setting.tick_at("2026-03-05T09:29:00Z").await.queued, 0);
    assert_eq!(setting.tick_at("2026-03-05T09:30:00Z").await.queued, 1);
}

#[tokio::test]
async fn a_tier_runs_by_the_clock_of_its_policys_zone() {
    let setting = Setting::new().await;
    setting.configure("shop", |_| {}).await;
    let policies = &setting.state.storage.policies;
    let mut policy = policies.get(&"development".parse().unwrap()).await.unwrap().unwrap().value;
    policy.id = "berlin".parse().unwrap();
    policy.time_zone = "Europe/Berlin".parse().unwrap();
    policies.insert(&policy).await.unwrap();
    setting.configure("laden", |database| database.policy.own = Some(policy.id)).await;
    setting.tick_at(NOW).await;
    setting.jobs();
    // 02:00 in Berlin is 01:00 UTC in winter.
    setting.tick_at("2026-03-05T01:00:00Z").await;
    let jobs = setting.jobs();
    assert_eq!(jobs.iter().map(|job| job.database_id.as_str()).collect::<Vec<_>>(), ["laden"]);
    assert_eq!(jobs[0].scheduled_at, Some(at("2026-03-05T01:00:00Z")));
    // On the night on which 02:00 does not exist, at 03:00, which is 01:00 UTC.
    setting.tick_at("2026-03-29T00:59:59Z").await;
    setting.jobs();
    setting.tick_at("2026-03-29T01:00:00Z").await;
    assert_eq!(tiers(&setting.jobs()), [Some(Tier::Weekly), Some(Tier::Daily)]);
}

#[tokio::test]
async fn jobs_are_spread_by_a_pause_of_their_database() {
    let mut setting = Setting::new().await;
    setting.state.jitter = Duration::from_mins(10);
    for number in 0..30 {
        setting.configure(&format!("shop-{number}"), |_| {}).await;
    }
    setting.tick_at(NOW).await;
    let mut pauses: Vec<Duration> = setting.queue.take().into_iter().map(|(_, pause)| pause).collect();
    assert_eq!(pauses.len(), 60);
    assert!(pauses.iter().all(|pause| *pause <= Duration::from_mins(10)));
    pauses.sort();
    pauses.dedup();
    assert!(pauses.len() > 20, "{pauses:?}");
}

#[tokio::test]
async fn two_ticks_at_once_queue_nothing_twice_in_effect() {
    let setting = Setting::new().await;
    for number in 0..20 {
        setting.configure(&format!("shop-{number}"), |_| {}).await;
    }
    setting.state.clock.set(at(NOW));
    let (one, two) = tokio::join!(tick(&setting.state), tick(&setting.state));
    assert!(one.unwrap().queued + two.unwrap().queued >= 40);
    let mut ids: Vec<JobId> = setting.jobs().into_iter().map(|job| job.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 40);
    assert_eq!(setting.records().await.len(), 40);
}

#[tokio::test]
async fn what_an_earlier_system_did_is_not_done_again() {
    let setting = Setting::new().await;
    setting.configure("shop", |_| {}).await;
    let made = |tier, hours| Backup {
        id: BackupId::random(),
        job_id: JobId::random(),
        database_id: "shop".parse::<DatabaseId>().unwrap(),
        database_name: "Shop".to_owned(),
        database_type: DatabaseType::Mysql,
        triggered_by: TriggeredBy::Scheduler,
        tier: Some(tier),
        created_at: at(NOW) - TimeDelta::hours(hours),
        retry_count: 0,
        marks: Marks::default(),
        state: BackupState::Completed {
            run: Run::default(),
            artifact: Some(Artifact {
                blob_name: "mysql/shop/x.sql.gz".to_owned(),
                blob_url: None,
                container: None,
                bytes: Some(1),
                format: None,
                sha256: None,
                consistency: None,
                warnings: Warnings::default(),
                globals: None,
            }),
        },
    };
    // The daily slot of today is done; the weekly one of Sunday was missed.
    for backup in [made(Tier::Daily, 5), made(Tier::Weekly, 24 * 9)] {
        setting.state.storage.backups.insert(&backup).await.unwrap();
    }
    assert_eq!(setting.tick_at(NOW).await.queued, 1);
    assert_eq!(tiers(&setting.jobs()), [Some(Tier::Weekly)]);
    // What the history said at the first tick still holds at the next one.
    assert_eq!(setting.tick_at("2026-03-04T10:15:00Z").await.queued, 0);
}

#[tokio::test]
async fn a_slot_whose_backup_failed_is_served_again_after_an_hour_of_rest() {
    let setting = Setting::new().await;
    setting.configure("shop", |database| database.schedule = Some("30 9 1 * *".parse().unwrap())).await;
    assert_eq!(setting.tick_at(NOW).await.queued, 1);
    let first = setting.jobs().remove(0);
    setting.fail(&first, "ConnectionFailed", "2026-03-04T10:20:00Z").await;
    assert_eq!(setting.tick_at("2026-03-04T11:15:00Z").await.queued, 0);
    assert_eq!(setting.tick_at("2026-03-04T11:30:00Z").await.queued, 1);
    let second = setting.jobs().remove(0);
    assert_ne!(second.id, first.id);
    assert_eq!(second.scheduled_at, first.scheduled_at);
    // A refused password is not tried again by itself.
    setting.fail(&second, "AuthenticationFailed", "2026-03-04T11:31:00Z").await;
    assert_eq!(setting.tick_at("2026-03-04T13:00:00Z").await.queued, 0);
    assert_eq!(setting.tick_at("2026-04-01T09:30:00Z").await.queued, 1);
}

impl Setting {
    /// Lets a processor fail a job.
    async fn fail(&self, job: &BackupJob, class: &str, now: &str) {
        let claims = &self.state.storage.claims;
        let ClaimOutcome::Granted(claim) = claims.claim(job, at(now)).await.unwrap() else {
            panic!("the claim is granted")
        };
        claims.fail(*claim, Failure::new(class, "gone"), at(now)).await.unwrap();
    }

    async fn edit(&self, id: &str, now: &str, change: impl FnOnce(&mut Database)) {
        let databases = &self.state.storage.databases;
        let stored = databases.get(&id.parse().unwrap()).await.unwrap().unwrap();
        let mut edited = Database { updated_at: at(now), ..stored.value };
        change(&mut edited);
        databases.update(&edited, &stored.etag).await.unwrap();
    }

    /// Queues the slot of a monthly schedule, and fails its job.
    async fn with_a_failed_month(class: &str) -> (Self, BackupJob) {
        let setting = Self::new().await;
        setting.configure("shop", |database| database.schedule = Some("30 9 1 * *".parse().unwrap())).await;
        assert_eq!(setting.tick_at(NOW).await.queued, 1);
        let job = setting.jobs().remove(0);
        setting.fail(&job, class, "2026-03-04T10:20:00Z").await;
        (setting, job)
    }
}

#[tokio::test]
async fn a_slot_that_failed_for_want_of_the_vault_is_served_again() {
    let (setting, first) = Setting::with_a_failed_month("CredentialsUnavailable").await;
    assert_eq!(setting.tick_at("2026-03-04T11:15:00Z").await.queued, 0);
    assert_eq!(setting.tick_at("2026-03-04T11:30:00Z").await.queued, 1);
    assert_eq!(setting.jobs()[0].scheduled_at, first.scheduled_at);
}

#[tokio::test]
async fn a_slot_that_failed_for_a_password_is_served_again_once_the_database_or_its_server_was_changed() {
    let (setting, first) = Setting::with_a_failed_month("AuthenticationFailed").await;
    assert_eq!(setting.tick_at("2026-03-04T13:00:00Z").await.queued, 0);
    setting.edit("shop", "2026-03-04T13:10:00Z", |_| {}).await;
    assert_eq!(setting.tick_at("2026-03-04T13:15:00Z").await.queued, 1);
    let second = setting.jobs().remove(0);
    assert_eq!(second.scheduled_at, first.scheduled_at);
    // It was the wrong password: one change is one try.
    setting.fail(&second, "AuthenticationFailed", "2026-03-04T13:16:00Z").await;
    assert_eq!(setting.tick_at("2026-03-04T15:00:00Z").await.queued, 0);
    // Two weeks later it is the server that is changed.
    let engine = Engine {
        id: "main".parse().unwrap(),
        name: "Main".to_owned(),
        engine_type: EngineType::Mysql,
        endpoint: Endpoint { host: "db".parse().unwrap(), port: 3306, tls: Tls::default() },
        login: Login::default(),
        connection_string: StoredSecret::None,
        policy_id: None,
        max_concurrent_backups: 2,
        last_discovery: None,
        created_at: at("2026-01-01T00:00:00Z"),
        updated_at: at("2026-03-18T13:10:00Z"),
        created_by: None,
    };
    setting.edit("shop", "2026-03-04T13:10:00Z", |shop| shop.engine_id = Some(engine.id.clone())).await;
    assert_eq!(setting.tick_at("2026-03-18T13:00:00Z").await.queued, 0);
    setting.state.storage.engines.insert(&engine).await.unwrap();
    assert_eq!(setting.tick_at("2026-03-18T13:15:00Z").await.queued, 1);
    assert_eq!(setting.jobs()[0].scheduled_at, first.scheduled_at);
}

#[tokio::test]
async fn a_change_that_a_clock_ahead_has_dated_is_not_tried_again_and_again() {
    let (setting, _) = Setting::with_a_failed_month("AuthenticationFailed").await;
    setting.edit("shop", "2026-03-05T10:00:00Z", |_| {}).await;
    assert_eq!(setting.tick_at("2026-03-04T13:15:00Z").await.queued, 0);
    assert_eq!(setting.tick_at("2026-03-05T10:00:00Z").await.queued, 1);
}

#[tokio::test]
async fn no_failure_is_too_old_to_be_made_good() {
    // The database was off for five days.
    let (setting, _) = Setting::with_a_failed_month("ConnectionFailed").await;
    setting.edit("shop", "2026-03-04T10:30:00Z", |shop| shop.enabled = false).await;
    assert_eq!(setting.tick_at("2026-03-04T11:30:00Z").await.queued, 0);
    setting.edit("shop", "2026-03-09T09:00:00Z", |shop| shop.enabled = true).await;
    assert_eq!(setting.tick_at("2026-03-09T09:15:00Z").await.queued, 1);

    // The scheduler was off for as long.
    let (setting, _) = Setting::with_a_failed_month("ConnectionFailed").await;
    let tick = LastTick { databases: 1, queued: 1, failed: 0, ended: 0 };
    setting.state.storage.watch.note_tick(at(NOW), tick).await.unwrap();
    assert_eq!(setting.tick_at("2026-03-09T09:15:00Z").await.queued, 1);

    // Nobody can tell why it was not seen in time.
    let (setting, _) = Setting::with_a_failed_month("ConnectionFailed").await;
    assert_eq!(setting.tick_at("2026-03-09T09:15:00Z").await.queued, 0);
    assert_eq!(setting.tick_at("2026-03-10T00:00:00Z").await.queued, 1);
}

#[tokio::test]
async fn very_many_changes_at_once_are_found_too() {
    let setting = Setting::new().await;
    for number in 0..101 {
        let monthly = |database: &mut Database| database.schedule = Some("30 9 1 * *".parse().unwrap());
        setting.configure(&format!("shop-{number}"), monthly).await;
    }
    assert_eq!(setting.tick_at(NOW).await.queued, 101);
    for job in setting.jobs() {
        setting.fail(&job, "AuthenticationFailed", "2026-03-04T10:20:00Z").await;
    }
    for number in 0..101 {
        setting.edit(&format!("shop-{number}"), "2026-03-09T09:00:00Z", |_| {}).await;
    }
    assert_eq!(setting.tick_at("2026-03-09T09:15:00Z").await.queued, 101);
}

#[tokio::test]
async fn ends_what_has_shown_no_sign_of_life() {
    let setting = Setting::new().await;
    setting.configure("shop", |_| {}).await;
    setting.tick_at(NOW).await;
    assert_eq!(setting.tick_at("2026-03-04T12:07:01Z").await.ended, 0, "their messages still wait");
    assert_eq!(setting.jobs().len(), 2);
    assert_eq!(setting.tick_at("2026-03-04T12:06:00Z").await.ended, 0);
    assert_eq!(setting.tick_at("2026-03-04T12:07:01Z").await.ended, 2);
    let records = setting.records().await;
    assert!(records.iter().all(|record| record.status() == BackupStatus::Failed), "{records:?}");
    assert!(records[0].failure().unwrap().message.contains("no sign of life"));
}

#[tokio::test]
async fn nothing_is_answered_below_the_public_prefix() {
    let setting = Setting::new().await;
    for name in ["dynamic_scheduler", "health_monitor", "backup_processor"] {
        for prefix in ["/api/", "/api/../", "/admin/functions/"] {
            let asked = Request::post(format!("{prefix}{name}")).body(Body::from("{}")).unwrap();
            let answer = app(setting.state.clone()).oneshot(asked).await.unwrap();
            assert_eq!(answer.status(), 404, "{prefix}{name}");
        }
    }
}
