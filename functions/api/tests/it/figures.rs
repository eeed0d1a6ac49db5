//! Figures: the dashboard, the status page, the alerts and the storage page.

use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::models::{Backup, BackupId, BackupJob, BackupState, Cause, Failure, JobId, Run};
use shared::storage::{BlobAddress, Check, HealthReport, LastTick, StorageErrorKind};

use crate::support::{Fault, NOW, World, at, pretty};

/// Stores a failed backup.
async fn failed(world: &World, database: &str, at_text: &str) {
    let database =
        world.state.storage.databases.get(&database.parse().unwrap()).await.unwrap().unwrap().value;
    let key = format!("{}-{at_text}", database.id);
    let ids = (JobId::derived(&["job", &key]), BackupId::derived(&["backup", &key]));
    let failure = Failure::new("Test", format!("no disk at {at_text}"));
    let run = Run::between(at(at_text), at(at_text) + TimeDelta::seconds(1));
    let record = BackupJob::new(&database, Cause::Manual, ids, at(at_text)).record();
    let backup = Backup { state: BackupState::Failed { run, failure }, ..record };
    world.state.storage.backups.insert(&backup).await.unwrap();
}

#[tokio::test]
async fn an_empty_account_has_zeros() {
    let world = World::new();
    let mut status = world.get("/system-status").await;
    // What is installed is of this machine; the tests need PostgreSQL's programs, as far as they go.
    let tools = status.as_object_mut().unwrap().remove("tools").unwrap();
    let dumps = tools.as_array().unwrap().iter().find(|tool| tool["name"] == "pg_dump").unwrap();
    assert!(dumps["version"].as_str().unwrap().starts_with(|first: char| first.is_ascii_digit()), "{tools}");
    insta::assert_snapshot!(pretty(&status), @r#"
    {
      "backups": {
        "completed": 0,
        "failed": 0,
        "period": "1d",
        "success_rate": null,
        "today": 0
      },
      "health": null,
      "scheduler": null,
      "services": {
        "api": {
          "message": "The API answers.",
          "status": "healthy"
        },
        "databases": {
          "enabled": 0,
          "message": "0 of 0 databases are enabled.",
          "status": "healthy",
          "total": 0
        },
        "storage": {
          "message": "The storage account answers.",
          "status": "healthy"
        }
      },
      "status": "healthy",
      "storage": {
        "backup_count": 0,
        "total_size_bytes": 0,
        "total_size_formatted": "0 B"
      },
      "timestamp": "2026-03-01T12:00:00.123456Z"
    }
    "#);
    assert_eq!(world.get("/backup-alerts").await, json!({"alerts": [], "count": 0}));
    insta::assert_snapshot!(pretty(&world.get("/storage-stats").await), @r#"
    {
      "by_database": [],
      "by_engine": [],
      "by_type": {
        "azure_sql": {
          "count": 0,
          "size_bytes": 0,
          "size_formatted": "0 B"
        },
        "mysql": {
          "count": 0,
          "size_bytes": 0,
          "size_formatted": "0 B"
        },
        "postgresql": {
          "count": 0,
          "size_bytes": 0,
          "size_formatted": "0 B"
        },
        "sqlserver": {
          "count": 0,
          "size_bytes": 0,
          "size_formatted": "0 B"
        }
      },
      "total_backup_count": 0,
      "total_size_bytes": 0,
      "total_size_formatted": "0 B"
    }
    "#);
}

/// Asks for the numbers of a period.
async fn numbers(world: &World, period: &str) -> String {
    let answer = world.get(&format!("/system-status?period={period}")).await;
    let backups = &answer["backups"];
    let [shown, today, completed, failed, rate] =
        ["period", "today", "completed", "failed", "success_rate"].map(|name| backups[name].to_string());
    let storage = &answer["storage"];
    format!(
        "{period}: {shown} today {today} completed {completed} failed {failed} rate {rate} files {}",
        storage["backup_count"]
    )
}

#[tokio::test]
async fn periods_end_now_to_the_second_and_are_kept_for_a_minute() {
    let world = World::new();
    world.create_database("d-1", json!({})).await;
    for at_text in [
        "2026-03-01T00:00:00Z",
        "2026-02-28T12:00:01Z",
        "2026-02-28T11:59:59Z",
        "2026-02-22T12:00:01Z",
        "2026-02-22T11:00:00Z",
        "2025-01-01T00:00:00Z",
    ] {
        world.completed("d-1", at_text, "backups", 10).await;
    }
    failed(&world, "d-1", "2026-02-28T12:30:00Z").await;
    failed(&world, "d-1", "2026-02-28T11:30:00Z").await;
    let mut lines = Vec::new();
    for period in ["1d", "7d", "30d", "all", "", "year"] {
        lines.push(numbers(&world, period).await);
    }
    insta::assert_snapshot!(lines.join("\n"), @r#"
    1d: "1d" today 1 completed 2 failed 1 rate 66.7 files 6
    7d: "7d" today 1 completed 4 failed 2 rate 66.7 files 6
    30d: "30d" today 1 completed 5 failed 2 rate 71.4 files 6
    all: "all" today 1 completed 6 failed 2 rate 75.0 files 6
    : "1d" today 1 completed 2 failed 1 rate 66.7 files 6
    year: "1d" today 1 completed 2 failed 1 rate 66.7 files 6
    "#);
    world.completed("d-1", "2026-03-01T01:00:00Z", "backups", 10).await;
    assert_eq!(numbers(&world, "1d").await, lines[0], "kept");
    world.state.clock.set(at(NOW) + TimeDelta::seconds(60));
    insta::assert_snapshot!(numbers(&world, "1d").await, @r#"1d: "1d" today 2 completed 2 failed 1 rate 66.7 files 7"#);
}

#[tokio::test]
async fn a_part_that_fails_is_said_to_be_unhealthy_without_storages_words() {
    let world = World::new();
    world.table("backuphistory").fail(Fault::Read(StorageErrorKind::Unavailable));
    let answer = world.get("/system-status").await;
    assert_eq!(answer["status"], "degraded");
    insta::assert_snapshot!(answer["services"]["storage"].to_string(), @r#"{"message":"The backup history cannot be read: the storage account cannot be reached or is busy.","status":"unhealthy"}"#);
    assert_eq!(answer["backups"]["success_rate"], Value::Null);
    assert_eq!(world.get("/system-status").await["status"], "healthy", "a failure is not kept");
    world.table("backuphistory").fail(Fault::Read(StorageErrorKind::Unavailable));
    world.expect(503, "GET", "/backup-alerts", None).await;
}

#[tokio::test]
async fn alerts_count_the_present_run_of_failures() {
    let world = World::new();
    for id in ["all", "mixed", "one", "good", "long"] {
        world.create_database(id, json!({})).await;
    }
    for at_text in ["2026-02-10T01:00:00Z", "2026-02-27T01:00:00Z", "2026-03-01T01:00:00Z"] {
        failed(&world, "all", at_text).await;
    }
    // Of one day, the order decides.
    for at_text in
        ["2026-02-27T01:00:00Z", "2026-02-27T05:00:00Z", "2026-02-27T06:00:00Z", "2026-02-28T06:00:00Z"]
    {
        failed(&world, "mixed", at_text).await;
    }
    world.completed("mixed", "2026-02-27T02:00:00Z", "backups", 1).await;
    failed(&world, "one", "2026-02-27T05:00:00Z").await;
    failed(&world, "one", "2026-02-26T05:00:00Z").await;
    world.completed("one", "2026-02-27T04:00:00Z", "backups", 1).await;
    failed(&world, "good", "2026-02-20T05:00:00Z").await;
    failed(&world, "good", "2026-02-20T06:00:00Z").await;
    world.completed("good", "2026-02-20T07:00:00Z", "backups", 1).await;
    for day in 1..=9 {
        failed(&world, "long", &format!("2026-01-0{day}T05:00:00Z")).await;
    }
    let show = |answer: Value| {
        let lines = answer["alerts"].as_array().unwrap().iter().map(|alert| {
            let [id, count, at, error] =
                ["database_id", "consecutive_failures", "last_failure_at", "last_error"]
                    .map(|name| alert[name].to_string());
            format!("{id} {count} {at} {error}")
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(show(world.get("/backup-alerts").await), @r#"
    "all" 3 "2026-03-01T01:00:01Z" "no disk at 2026-03-01T01:00:00Z"
    "mixed" 3 "2026-02-28T06:00:01Z" "no disk at 2026-02-28T06:00:00Z"
    "long" 9 "2026-01-09T05:00:01Z" "no disk at 2026-01-09T05:00:00Z"
    "#);
    insta::assert_snapshot!(pretty(&world.get("/backup-alerts?consecutive_failures=4").await), @r#"
    {
      "alerts": [
        {
          "consecutive_failures": 9,
          "database_id": "long",
          "database_name": "Orders long",
          "database_type": "mysql",
          "last_error": "no disk at 2026-01-09T05:00:00Z",
          "last_failure_at": "2026-01-09T05:00:01Z",
          "overdue_since": null,
          "type": "failures"
        }
      ],
      "count": 1
    }
    "#);
    assert_eq!(world.get("/backup-alerts?consecutive_failures=1").await["count"], 4);
    world.expect(200, "DELETE", "/databases/all", None).await;
    assert_eq!(world.get("/backup-alerts").await["count"], 2, "a deleted database has none");
    assert_eq!(world.get("/backup-alerts?consecutive_failures=101").await["count"], 0, "as with 100");
    for bad in ["0", "x", "-1"] {
        world.expect(400, "GET", &format!("/backup-alerts?consecutive_failures={bad}"), None).await;
    }
}

#[tokio::test]
async fn databases_that_are_overdue_have_one_alert_with_all_that_is_known() {
    let world = World::new();
    world.state.storage.policies.seed(world.state.clock.now()).await.unwrap();
    for id in ["never", "once", "twice", "made", "off"] {
        world.create_database(id, json!({"enabled": id != "off"})).await;
    }
    // The next day, at 04:30: all but the one that is off are to be there since 02:00 (UTC).
    world.state.clock.set(at("2026-03-02T04:30:00Z"));
    failed(&world, "once", "2026-03-02T02:00:00Z").await;
    for at_text in ["2026-03-02T02:00:00Z", "2026-03-02T03:00:00Z"] {
        failed(&world, "twice", at_text).await;
    }
    world.completed("made", "2026-03-02T02:00:01Z", "backups", 1).await;
    let lines = async || {
        let answer = world.get("/backup-alerts").await;
        let line = |alert: &Value| {
            let members = ["database_id", "type", "consecutive_failures", "last_failure_at", "overdue_since"];
            format!("{} {}", members.map(|name| alert[name].to_string()).join(" "), alert["last_error"])
        };
        answer["alerts"].as_array().unwrap().iter().map(line).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(lines().await, @r#"
    "twice" "failures" 2 "2026-03-02T03:00:01Z" "2026-03-02T02:00:00Z" "no disk at 2026-03-02T03:00:00Z"
    "once" "overdue" 1 "2026-03-02T02:00:01Z" "2026-03-02T02:00:00Z" "no disk at 2026-03-02T02:00:00Z"
    "never" "overdue" 0 "2026-03-02T02:00:00Z" "2026-03-02T02:00:00Z" "No backup was completed since 2026-03-02T02:00:00Z, when the schedule asked for one."
    "#);
    world.completed("never", "2026-03-02T04:29:00Z", "backups", 1).await;
    world.state.clock.set(at("2026-03-02T04:31:00Z"));
    assert!(!lines().await.contains("never"));
}

#[tokio::test]
async fn what_the_scheduler_noted_is_shown() {
    let world = World::new();
    let tick = LastTick { databases: 3, queued: 2, failed: 1, ended: 0 };
    world.state.storage.watch.note_tick(at("2026-03-01T11:45:00Z"), tick).await.unwrap();
    let check = |name: &str, ok| Check { name: name.to_owned(), ok, message: format!("about {name}") };
    let report = HealthReport { checks: vec![check("storage", true), check("overdue", false)] };
    world.state.storage.watch.note_health(at("2026-03-01T06:00:00Z"), &report).await.unwrap();
    let answer = world.get("/system-status").await;
    assert_eq!(answer["status"], "healthy", "the services are");
    insta::assert_snapshot!(pretty(&json!([answer["health"], answer["scheduler"]])), @r#"
    [
      {
        "checked_at": "2026-03-01T06:00:00Z",
        "checks": [
          {
            "message": "about storage",
            "name": "storage",
            "ok": true
          },
          {
            "message": "about overdue",
            "name": "overdue",
            "ok": false
          }
        ],
        "status": "warning"
      },
      {
        "databases": 3,
        "ended": 0,
        "failed": 1,
        "last_tick_at": "2026-03-01T11:45:00Z",
        "queued": 2
      }
    ]
    "#);
}

#[tokio::test]
async fn files_are_added_up_by_database_engine_and_kind() {
    let world = World::new();
    let engine = world.create_engine("db9", json!({})).await;
    world.create_database("d-1", json!({"engine_id": engine, "backup_destination": "own"})).await;
    world.create_database("d-2", json!({"database_type": "postgresql"})).await;
    world.completed("d-1", "2026-02-01T00:00:00Z", "own", 1000).await;
    world.completed("d-2", "2026-02-01T00:00:01Z", "backups", 2000).await;
    for (name, bytes) in [("d-2/2025/01/02/old.sql.gz", 500), ("mysql/gone/x.sql.gz", 7), ("loose.txt", 1)] {
        world.put(&BlobAddress::new("backups", name), bytes).await;
    }
    insta::assert_snapshot!(pretty(&world.get("/storage-stats").await), @r#"
    {
      "by_database": [
        {
          "backup_count": 2,
          "database_id": "d-2",
          "database_name": "Orders d-2",
          "database_type": "postgresql",
          "engine_id": null,
          "size_bytes": 2500,
          "size_formatted": "2.44 KB"
        },
        {
          "backup_count": 1,
          "database_id": "d-1",
          "database_name": "Orders d-1",
          "database_type": "mysql",
          "engine_id": "<id 1>",
          "size_bytes": 1000,
          "size_formatted": "1000 B"
        }
      ],
      "by_engine": [
        {
          "backup_count": 1,
          "database_count": 1,
          "engine_id": "<id 1>",
          "engine_name": "db9",
          "engine_type": "mysql",
          "size_bytes": 1000,
          "size_formatted": "1000 B"
        }
      ],
      "by_type": {
        "azure_sql": {
          "count": 0,
          "size_bytes": 0,
          "size_formatted": "0 B"
        },
        "mysql": {
          "count": 2,
          "size_bytes": 1007,
          "size_formatted": "1007 B"
        },
        "postgresql": {
          "count": 2,
          "size_bytes": 2500,
          "size_formatted": "2.44 KB"
        },
        "sqlserver": {
          "count": 0,
          "size_bytes": 0,
          "size_formatted": "0 B"
        }
      },
      "total_backup_count": 5,
      "total_size_bytes": 3508,
      "total_size_formatted": "3.43 KB"
    }
    "#);
}
