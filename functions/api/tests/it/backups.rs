//! The history, the files and their addresses.

use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::models::{
    Attempt, Backup, BackupId, BackupJob, BackupState, Cause, DumpProgress, Failure, JobId, Lane, Run, Tier,
};
use shared::storage::{BlobAddress, StorageErrorKind};

use crate::support::{Fault, World, at, pretty};

async fn record(world: &World, database: &str, at_text: &str, cause: Cause, state: BackupState) -> Backup {
    let database =
        world.state.storage.databases.get(&database.parse().unwrap()).await.unwrap().unwrap().value;
    let ids = (JobId::derived(&["job", at_text]), BackupId::derived(&["backup", at_text]));
    let mut backup = BackupJob::new(&database, cause, ids, at(at_text)).record();
    backup.state = state;
    world.state.storage.backups.insert(&backup).await.unwrap();
    backup
}

async fn history() -> (World, String) {
    let world = World::new();
    let engine = world.create_engine("db9", json!({})).await;
    world.create_database("d-1", json!({"engine_id": engine})).await;
    world.create_database("d-2", json!({"database_type": "postgresql"})).await;
    world.completed("d-1", "2026-02-01T00:00:00Z", "backups", 10).await;
    world.completed("d-2", "2026-02-01T23:59:59.999Z", "backups", 20).await;
    let daily = Cause::Scheduled { lane: Lane::Tier(Tier::Daily), slot: at("2026-02-02T02:00:00Z") };
    let began = at("2026-02-02T02:00:01Z");
    let failed = BackupState::Failed {
        run: Run::between(began, began + TimeDelta::milliseconds(1500)),
        failure: Failure::new("AuthenticationFailed", "the server refused the password"),
    };
    record(&world, "d-1", "2026-02-02T02:00:00Z", daily, failed).await;
    let attempt = Attempt {
        started_at: Some(at("2026-02-03T02:00:01Z")),
        heartbeat_at: None,
        planned: None,
        progress: DumpProgress { dumped_bytes: 5000, uploaded_bytes: 700 },
    };
    record(&world, "d-2", "2026-02-03T02:00:00Z", Cause::Manual, BackupState::InProgress(attempt)).await;
    (world, engine)
}

#[tokio::test]
async fn records_are_shown_with_the_engine_of_today() {
    let (world, _) = history().await;
    insta::assert_snapshot!(pretty(&world.get("/backups?page_size=3").await), @r#"
    {
      "backups": [
        {
          "blob_name": null,
          "blob_url": null,
          "bytes_dumped": 5000,
          "bytes_uploaded": 700,
          "completed_at": null,
          "created_at": "2026-02-03T02:00:00Z",
          "database_id": "d-2",
          "database_name": "Orders d-2",
          "database_type": "postgresql",
          "duration_seconds": null,
          "error_details": null,
          "error_message": null,
          "file_format": null,
          "file_size_bytes": null,
          "heartbeat_at": null,
          "id": "<id 1>",
          "job_id": "<id 2>",
          "retry_count": 0,
          "started_at": "2026-02-03T02:00:01Z",
          "status": "in_progress",
          "tier": null,
          "triggered_by": "manual"
        },
        {
          "blob_name": null,
          "blob_url": null,
          "completed_at": "2026-02-02T02:00:02.500Z",
          "created_at": "2026-02-02T02:00:00Z",
          "database_id": "d-1",
          "database_name": "Orders d-1",
          "database_type": "mysql",
          "duration_seconds": 1.5,
          "engine_id": "<id 3>",
          "engine_name": "db9",
          "error_details": "AuthenticationFailed",
          "error_message": "the server refused the password",
          "file_format": null,
          "file_size_bytes": null,
          "id": "<id 4>",
          "job_id": "<id 5>",
          "retry_count": 0,
          "started_at": "2026-02-02T02:00:01Z",
          "status": "failed",
          "tier": "daily",
          "triggered_by": "scheduler"
        },
        {
          "blob_name": "postgresql/d-2/20260201_235959.sql.gz",
          "blob_url": "memory://account/backups/postgresql/d-2/20260201_235959.sql.gz",
          "completed_at": "2026-02-02T00:00:04.999Z",
          "created_at": "2026-02-01T23:59:59.999Z",
          "database_id": "d-2",
          "database_name": "Orders d-2",
          "database_type": "postgresql",
          "duration_seconds": 5.0,
          "error_details": null,
          "error_message": null,
          "file_format": "sql.gz",
          "file_size_bytes": 20,
          "id": "<id 6>",
          "job_id": "<id 7>",
          "retry_count": 0,
          "started_at": "2026-02-01T23:59:59.999Z",
          "status": "completed",
          "tier": null,
          "triggered_by": "manual"
        }
      ],
      "count": 3,
      "has_more": true,
      "page": 1,
      "page_size": 3,
      "total_count": 4
    }
    "#);
}

#[tokio::test]
async fn an_engine_that_is_gone_has_no_name() {
    let (world, engine) = history().await;
    world.state.storage.engines.delete(&engine.parse().unwrap()).await.unwrap();
    let list = world.get("/backups?database_id=d-1").await;
    let first = &list["backups"][0];
    assert_eq!((&first["engine_id"], first.get("engine_name")), (&json!(engine), Some(&Value::Null)));
}

async fn days(world: &World, query: &str) -> String {
    let answer = world.get(&format!("/backups?{query}")).await;
    let rows: Vec<String> = answer["backups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            format!(
                "{} {}",
                row["database_id"].as_str().unwrap(),
                &row["created_at"].as_str().unwrap()[8..10]
            )
        })
        .collect();
    let [count, total, page, size, more] =
        ["count", "total_count", "page", "page_size", "has_more"].map(|name| answer[name].to_string());
    format!("{query}: {} | {count} of {total}, page {page} of {size}, more {more}", rows.join(", "))
}

#[tokio::test]
async fn the_list_is_filtered_and_paged() {
    let (world, engine) = history().await;
    world.create_engine("empty", json!({})).await;
    let empty = world.get("/engines?search=empty").await["items"][0]["id"].as_str().unwrap().to_owned();
    let mut lines = Vec::new();
    for query in [
        "",
        "limit=3",
        "limit=3&page=2",
        "limit=3&page_size=1",
        "page_size=2&page=2",
        "page=99999999999999999999",
        "page_size=1000",
        "database_id=d-1",
        "database_id=none",
        "database_id=x'%20or%20PartitionKey%20ge%20'0",
        "engine_id=ENGINE",
        "engine_id=EMPTY",
        "engine_id=ENGINE&database_id=d-1",
        "engine_id=ENGINE&database_id=d-2",
        "status=failed",
        "status=in_progress",
        "status=",
        "triggered_by=scheduler",
        "database_type=postgresql",
        "start_date=2026-02-02",
        "end_date=2026-02-01",
        "start_date=2026-02-01&end_date=2026-02-01&database_type=mysql",
    ] {
        let asked = query.replace("ENGINE", &engine).replace("EMPTY", &empty);
        lines.push(days(&world, &asked).await.replace(&engine, "ENGINE").replace(&empty, "EMPTY"));
    }
    insta::assert_snapshot!(lines.join("\n"), @"
    : d-2 03, d-1 02, d-2 01, d-1 01 | 4 of 4, page 1 of 25, more false
    limit=3: d-2 03, d-1 02, d-2 01 | 3 of 4, page 1 of 3, more true
    limit=3&page=2: d-1 01 | 1 of 4, page 2 of 3, more false
    limit=3&page_size=1: d-2 03 | 1 of 4, page 1 of 1, more true
    page_size=2&page=2: d-2 01, d-1 01 | 2 of 4, page 2 of 2, more false
    page=99999999999999999999:  | 0 of 4, page 18446744073709551615 of 25, more false
    page_size=1000: d-2 03, d-1 02, d-2 01, d-1 01 | 4 of 4, page 1 of 100, more false
    database_id=d-1: d-1 02, d-1 01 | 2 of 2, page 1 of 25, more false
    database_id=none:  | 0 of 0, page 1 of 25, more false
    database_id=x'%20or%20PartitionKey%20ge%20'0:  | 0 of 0, page 1 of 25, more false
    engine_id=ENGINE: d-1 02, d-1 01 | 2 of 2, page 1 of 25, more false
    engine_id=EMPTY:  | 0 of 0, page 1 of 25, more false
    engine_id=ENGINE&database_id=d-1: d-1 02, d-1 01 | 2 of 2, page 1 of 25, more false
    engine_id=ENGINE&database_id=d-2:  | 0 of 0, page 1 of 25, more false
    status=failed: d-1 02 | 1 of 1, page 1 of 25, more false
    status=in_progress: d-2 03 | 1 of 1, page 1 of 25, more false
    status=: d-2 03, d-1 02, d-2 01, d-1 01 | 4 of 4, page 1 of 25, more false
    triggered_by=scheduler: d-1 02 | 1 of 1, page 1 of 25, more false
    database_type=postgresql: d-2 03, d-2 01 | 2 of 2, page 1 of 25, more false
    start_date=2026-02-02: d-2 03, d-1 02 | 2 of 2, page 1 of 25, more false
    end_date=2026-02-01: d-2 01, d-1 01 | 2 of 2, page 1 of 25, more false
    start_date=2026-02-01&end_date=2026-02-01&database_type=mysql: d-1 01 | 1 of 1, page 1 of 25, more false
    ");
    let mut errors = Vec::new();
    for query in [
        "page=0",
        "page_size=-1",
        "limit=x",
        "status=done",
        "triggered_by=me",
        "database_type=x",
        "start_date=1.2.2026",
    ] {
        let answer = world.expect(400, "GET", &format!("/backups?{query}"), None).await;
        errors.push(answer["error"].as_str().unwrap().to_owned());
    }
    insta::assert_snapshot!(errors.join("\n"), @r#"
    page: must be a whole number from 1
    page_size: must be a whole number from 1
    limit: must be a whole number from 1
    status: "done" is not a known backup status; use one of: pending, in_progress, completed, failed, cancelled
    triggered_by: "me" is not a known trigger; use one of: manual, scheduler
    database_type: "x" is not a known database type; use one of: mysql, postgresql, sqlserver, azure_sql
    start_date: must be a day such as 2025-12-31
    "#);
    world.table("backuphistory").fail(Fault::Read(StorageErrorKind::Unavailable));
    world.expect(503, "GET", "/backups", None).await;
}

#[tokio::test]
async fn files_are_listed_by_name() {
    let (world, _) = history().await;
    insta::assert_snapshot!(pretty(&world.get("/backups/files").await), @r#"
    {
      "count": 2,
      "files": [
        {
          "content_type": "application/gzip",
          "created_at": "2025-01-01T00:00:00Z",
          "last_modified": "2025-01-01T00:00:00Z",
          "name": "mysql/d-1/20260201_000000.sql.gz",
          "size": 10
        },
        {
          "content_type": "application/gzip",
          "created_at": "2025-01-01T00:00:01Z",
          "last_modified": "2025-01-01T00:00:01Z",
          "name": "postgresql/d-2/20260201_235959.sql.gz",
          "size": 20
        }
      ]
    }
    "#);
    assert_eq!(world.get("/backups/files?prefix=mysql/").await["count"], 1);
    assert_eq!(world.get("/backups/files?prefix=none").await["count"], 0);
    assert_eq!(world.get("/backups/files?limit=1").await["count"], 1);
    for query in ["limit=0", "limit=x", "prefix=a%00b"] {
        world.expect(400, "GET", &format!("/backups/files?{query}"), None).await;
    }
    let empty = World::new();
    assert_eq!(empty.get("/backups/files").await, json!({"files": [], "count": 0}));
}

const NAME: &str = "mysql/d-1/20260201_000000.sql.gz";

/// Cuts the signature off an address.
fn unsigned(answer: &Value) -> String {
    let url = answer["download_url"].as_str().unwrap();
    let (head, signature) = url.split_once("&sig=").unwrap();
    assert!(signature.len() > 40, "{url}");
    head.to_owned()
}

#[tokio::test]
async fn an_address_reads_one_file_for_some_hours() {
    let (world, _) = history().await;
    let answer = world.get(&format!("/backups/download?blob_name={NAME}")).await;
    assert_eq!((&answer["blob_name"], &answer["expires_in_hours"]), (&json!(NAME), &json!(1)));
    insta::assert_snapshot!(unsigned(&answer), @"http://127.0.0.1:10000/devstoreaccount1/backups/mysql/d-1/20260201_000000.sql.gz?sv=2021-12-02&sr=b&sp=r&se=2026-03-01T13%3A00%3A00Z&spr=https%2Chttp&rscd=attachment%3B+filename%3D%2220260201_000000.sql.gz%22");
    let answer = world.get(&format!("/backups/download?blob_name={NAME}&expiry_hours=24")).await;
    assert!(unsigned(&answer).contains("se=2026-03-02T12%3A00%3A00Z"));
    let audit = world.audit().await;
    let last: Vec<&str> = audit.lines().rev().take(2).collect();
    insta::assert_snapshot!(last.join("\n"), @r#"
      {"blob_name":"mysql/d-1/20260201_000000.sql.gz","database_alias":"Orders d-1","database_id":"d-1","database_type":"mysql","engine_id":"<id 1>","expiry_hours":24,"file_name":"20260201_000000.sql.gz"}
    backup_downloaded backup mysql/d-1/20260201_000000.sql.gz "Orders d-1" by admin@dilux.tech from 203.0.113.7: success -
    "#);
    assert!(!audit.contains("sig="), "{audit}");
}

#[tokio::test]
async fn an_address_can_have_another_place_and_needs_https_in_production() {
    let public = ("STORAGE_PUBLIC_URL", "https://files.example.org:8443/ignored");
    for (variables, start, protocol) in [
        (vec![public], "https://files.example.org:8443/devstoreaccount1/backups/mysql/", "spr=https%2Chttp"),
        (
            vec![
                ("ENVIRONMENT", "production"),
                ("AUTH_MODE", "mock"),
                ("ALLOW_MOCK_AUTH_IN_PRODUCTION", "true"),
            ],
            "http://127.0.0.1:10000/devstoreaccount1/backups/mysql/",
            "spr=https&",
        ),
    ] {
        let world = World::with(&variables);
        world.put(&BlobAddress::new("backups", "mysql/x/y.sql"), 3).await;
        let answer = world.get("/backups/download?blob_name=mysql/x/y.sql").await;
        let url = answer["download_url"].as_str().unwrap();
        assert!(url.starts_with(start) && url.contains(protocol), "{url}");
        // A file without a record is recorded with what its name tells.
        assert!(world.audit().await.contains("\"database_alias\":null"));
    }
}

#[tokio::test]
async fn the_container_is_the_one_that_the_record_names() {
    let world = World::new();
    world.create_database("d-1", json!({"backup_destination": "own"})).await;
    world.completed("d-1", "2026-02-01T00:00:00Z", "own", 10).await;
    let answer = world.get(&format!("/backups/download?blob_name={NAME}")).await;
    assert!(unsigned(&answer).contains("/devstoreaccount1/own/mysql/d-1/"), "{answer}");
    // A file that no record names is looked for in the default container only.
    world.put(&BlobAddress::new("own", "mysql/d-1/secret.sql"), 3).await;
    world.expect(404, "GET", "/backups/download?blob_name=mysql/d-1/secret.sql", None).await;
}

#[tokio::test]
async fn no_address_is_made_for_what_is_not_there() {
    let (mut world, _) = history().await;
    let mut lines = Vec::new();
    for query in [
        "",
        "blob_name=",
        "blob_name=mysql/d-1/none.sql.gz",
        "blob_name=../backups/x",
        "blob_name=mysql/../x",
        "blob_name=mysql/./x",
        "blob_name=/x",
        "blob_name=x/",
        "blob_name=x.",
        "blob_name=a%5Cb",
        "blob_name=a%0Ab",
        "blob_name=a%00b",
        &format!("blob_name={}", "x".repeat(1025)),
        &format!("blob_name={NAME}&expiry_hours=0"),
        &format!("blob_name={NAME}&expiry_hours=25"),
        &format!("blob_name={NAME}&expiry_hours=-5"),
        &format!("blob_name={NAME}&expiry_hours=99999999999999999999"),
    ] {
        let (status, answer) = world.send("GET", &format!("/backups/download?{query}"), None).await;
        let shown: String = query.chars().take(70).collect();
        lines.push(format!("{shown} -> {status} {}", answer["error"].as_str().unwrap()));
    }
    insta::assert_snapshot!(lines.join("\n"), @"
     -> 400 blob_name: is required
    blob_name= -> 400 blob_name: is required
    blob_name=mysql/d-1/none.sql.gz -> 404 The backup file mysql/d-1/none.sql.gz does not exist; it may have been deleted.
    blob_name=../backups/x -> 400 blob_name: is not the name of a backup file
    blob_name=mysql/../x -> 400 blob_name: is not the name of a backup file
    blob_name=mysql/./x -> 400 blob_name: is not the name of a backup file
    blob_name=/x -> 400 blob_name: is not the name of a backup file
    blob_name=x/ -> 400 blob_name: is not the name of a backup file
    blob_name=x. -> 400 blob_name: is not the name of a backup file
    blob_name=a%5Cb -> 400 blob_name: is not the name of a backup file
    blob_name=a%0Ab -> 400 blob_name: is not the name of a backup file
    blob_name=a%00b -> 400 blob_name: is not the name of a backup file
    blob_name=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx -> 400 blob_name: is not the name of a backup file
    blob_name=mysql/d-1/20260201_000000.sql.gz&expiry_hours=0 -> 400 expiry_hours: must be a whole number from 1 to 24
    blob_name=mysql/d-1/20260201_000000.sql.gz&expiry_hours=25 -> 400 expiry_hours: must be a whole number from 1 to 24
    blob_name=mysql/d-1/20260201_000000.sql.gz&expiry_hours=-5 -> 400 expiry_hours: must be a whole number from 1 to 24
    blob_name=mysql/d-1/20260201_000000.sql.gz&expiry_hours=99999999999999 -> 400 expiry_hours: must be a whole number from 1 to 24
    ");
    assert!(!world.audit().await.contains("backup_downloaded"));
    world.state.storage.signer = shared::storage::Signer::None;
    let (status, answer) = world.send("GET", &format!("/backups/download?blob_name={NAME}"), None).await;
    assert_eq!(status, 503);
    insta::assert_snapshot!(answer["error"].as_str().unwrap(), @"Download addresses can be signed only with an account key or an identity; set STORAGE_CONNECTION_STRING to a connection string with AccountKey, or fetch the file from the storage account.");
}
