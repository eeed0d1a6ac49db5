//! Deleting a database, with and without its backups.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use shared::models::BackupStatus;
use shared::storage::{
    BackupFilter, BlobAddress, BlobCall, BlobStore as _, ClaimOutcome, CommitOptions, Fault, FaultyBlobs,
    Life, StorageErrorKind, committed, jobs,
};

use crate::support::{self, World, pretty};

async fn with_backups() -> World {
    let world = World::new();
    world.create_database("d-1", json!({"backup_destination": "own"})).await;
    world.create_database("d-2", json!({})).await;
    world.completed("d-1", "2026-02-01T02:00:00Z", "backups", 10).await;
    world.completed("d-1", "2026-02-02T02:00:00Z", "own", 20).await;
    world.completed("d-2", "2026-02-03T02:00:00Z", "backups", 30).await;
    // Files that no record names: one of today, one of the older layout, one of somebody with a longer id.
    world.put(&BlobAddress::new("own", "mysql/d-1/20260101_000000.sql.gz"), 5).await;
    world.put(&BlobAddress::new("backups", "d-1/2025/01/01/x.sql.gz"), 5).await;
    world.put(&BlobAddress::new("backups", "mysql/d-10/20260101_000000.sql.gz"), 5).await;
    world.expect(202, "POST", "/databases/d-1/backup", None).await;
    world
}

async fn left(world: &World) -> String {
    let mut lines = Vec::new();
    for container in ["backups", "own"] {
        let page = world.blobs.list(container, "", None, 100).await.unwrap();
        lines.extend(page.blobs.into_iter().map(|blob| format!("{container}/{}", blob.name)));
    }
    lines.push(format!("{} records", world.table("backuphistory").rows().await.len()));
    lines.join("\n")
}

#[tokio::test]
async fn backups_stay_unless_they_are_named() {
    let world = with_backups().await;
    let before = left(&world).await;
    let answer = world.expect(200, "DELETE", "/databases/d-1", None).await;
    insta::assert_snapshot!(pretty(&answer), @r#"
    {
      "message": "The database Orders d-1 is deleted."
    }
    "#);
    assert_eq!(left(&world).await, before);
    world.expect(404, "GET", "/databases/d-1", None).await;
    world.expect(404, "DELETE", "/databases/d-1?delete_backups=true", None).await;
    let audit = world.audit().await;
    insta::assert_snapshot!(audit.lines().rev().take(2).collect::<Vec<_>>().join("\n"), @r#"
      {"database_name":"orders","database_type":"mysql","engine_id":null,"host":"db1.example","port":3306}
    database_deleted database d-1 "Orders d-1" by admin@dilux.tech from 203.0.113.7: success -
    "#);
}

#[tokio::test]
async fn all_files_and_records_of_the_database_go_and_no_others() {
    let world = with_backups().await;
    let answer = world.expect(200, "DELETE", "/databases/d-1?delete_backups=true", None).await;
    insta::assert_snapshot!(pretty(&answer), @r#"
    {
      "backups_deleted": {
        "deleted_files": 4,
        "deleted_records": 3,
        "errors": []
      },
      "message": "The database Orders d-1 is deleted."
    }
    "#);
    insta::assert_snapshot!(left(&world).await, @"
    backups/mysql/d-10/20260101_000000.sql.gz
    backups/mysql/d-2/20260203_020000.sql.gz
    1 records
    ");
    let audit = world.audit().await;
    insta::assert_snapshot!(audit.lines().rev().take(2).collect::<Vec<_>>().join("\n"), @r#"
      {"backups_deleted":4,"database_name":"orders","database_type":"mysql","engine_id":null,"host":"db1.example","port":3306,"records_deleted":3}
    database_deleted database d-1 "Orders d-1" by admin@dilux.tech from 203.0.113.7: success -
    "#);
}

#[tokio::test]
async fn a_file_that_stays_keeps_its_record_and_is_named() {
    let mut world = with_backups().await;
    let refuse = Fault::Refuse(StorageErrorKind::Denied);
    world.state.storage.blobs =
        Arc::new(FaultyBlobs::new(world.blobs.clone()).with(BlobCall::Delete, 1, refuse));
    let answer = world.expect(200, "DELETE", "/databases/d-1?delete_backups=true", None).await;
    insta::assert_snapshot!(pretty(&answer), @r#"
    {
      "backups_deleted": {
        "deleted_files": 3,
        "deleted_records": 2,
        "errors": [
          "own/mysql/d-1/20260202_020000.sql.gz: this service may not delete files; check its key or its roles on the storage account"
        ]
      },
      "message": "The database Orders d-1 is deleted."
    }
    "#);
    insta::assert_snapshot!(left(&world).await, @"
    backups/mysql/d-10/20260101_000000.sql.gz
    backups/mysql/d-2/20260203_020000.sql.gz
    own/mysql/d-1/20260202_020000.sql.gz
    2 records
    ");
    world.expect(404, "GET", "/databases/d-1", None).await;
}

#[tokio::test]
async fn in_a_container_of_somebody_else_nothing_goes_but_backups_of_the_database() {
    let world = with_backups().await;
    for name in ["d-1/2025/report.pdf", "mysql/d-1/notes.sql", "mysql/d-1/20260101_000000.txt"] {
        world.put(&BlobAddress::new("own", name), 5).await;
    }
    // This one says itself what it is of.
    let of_another = BTreeMap::from([(committed::DATABASE_ID.to_owned(), "d-3".to_owned())]);
    let claimed = BlobAddress::new("own", "mysql/d-1/20260101_000001.sql.gz");
    world.blobs.stage(&claimed, b"one", "x".into()).await.unwrap();
    let options = CommitOptions { metadata: of_another, ..CommitOptions::default() };
    world.blobs.commit(&claimed, &[b"one".to_vec()], &options).await.unwrap();
    world.expect(200, "DELETE", "/databases/d-1?delete_backups=true", None).await;
    insta::assert_snapshot!(left(&world).await, @"
    backups/mysql/d-10/20260101_000000.sql.gz
    backups/mysql/d-2/20260203_020000.sql.gz
    own/d-1/2025/report.pdf
    own/mysql/d-1/20260101_000000.txt
    own/mysql/d-1/20260101_000001.sql.gz
    own/mysql/d-1/notes.sql
    1 records
    ");
}

#[tokio::test]
async fn containers_of_the_functions_host_are_no_destination() {
    let world = World::new();
    world.create_database("d-1", json!({})).await;
    let body = json!({"backup_destination": "azure-webjobs-secrets"});
    let answer = world.expect(400, "PUT", "/databases/d-1", Some(&body)).await;
    assert!(answer["error"].as_str().unwrap().contains("backup_destination"), "{answer}");
}

#[tokio::test]
async fn a_backup_that_is_being_completed_stays_and_its_record_too() {
    let world = World::new();
    world.create_database("d-1", json!({})).await;
    world.expect(202, "POST", "/databases/d-1/backup", None).await;
    let job = jobs::decode(&world.queue.take()[0].0, support::at(support::NOW)).unwrap();
    let claims = &world.state.storage.claims;
    let outcome = claims.claim(&job, support::at(support::NOW)).await.unwrap();
    let ClaimOutcome::Granted(mut claim) = outcome else { panic!("{outcome:?}") };
    claims.begin_commit(&mut claim, support::at(support::NOW)).await.unwrap();
    let answer = world.expect(200, "DELETE", "/databases/d-1?delete_backups=true", None).await;
    let errors = answer["backups_deleted"]["errors"].as_array().unwrap();
    assert!(errors[0].as_str().unwrap().contains("is being completed at this moment"), "{answer}");
    assert_eq!(statuses(&world).await, [BackupStatus::InProgress]);
}

#[tokio::test]
async fn an_id_that_is_the_name_of_a_type_takes_nobody_elses_files() {
    let world = with_backups().await;
    let before = left(&world).await;
    for id in ["mysql", "postgresql", "sqlserver"] {
        world.create_database(id, json!({})).await;
        let answer = world.expect(200, "DELETE", &format!("/databases/{id}?delete_backups=true"), None).await;
        assert_eq!(
            answer["backups_deleted"],
            json!({"deleted_files": 0, "deleted_records": 0, "errors": []})
        );
    }
    assert_eq!(left(&world).await, before);
}

async fn statuses(world: &World) -> Vec<BackupStatus> {
    let records = world.state.storage.backups.list(&BackupFilter::default()).await.unwrap();
    records.iter().map(shared::models::Backup::status).collect()
}

#[tokio::test]
async fn what_waits_for_its_turn_is_cancelled_with_its_database() {
    let world = World::new();
    world.create_database("d-1", json!({})).await;
    world.create_database("d-2", json!({})).await;
    world.completed("d-1", "2026-02-01T02:00:00Z", "backups", 10).await;
    for path in ["/databases/d-1/backup", "/databases/d-2/backup"] {
        world.expect(202, "POST", path, None).await;
    }
    world.expect(200, "DELETE", "/databases/d-1", None).await;
    let shown = world.get("/backups?database_id=d-1").await;
    let shown: Vec<_> =
        shown["backups"].as_array().unwrap().iter().map(|b| (&b["status"], &b["error_message"])).collect();
    let reason = json!("the database was deleted before its backup began");
    assert_eq!(shown, [(&json!("cancelled"), &reason), (&json!("completed"), &json!(null))]);
    let others = world.get("/backups?database_id=d-2").await;
    assert_eq!(others["backups"][0]["status"], "pending");
    let audit = world.audit().await;
    insta::assert_snapshot!(audit.lines().rev().take(4).collect::<Vec<_>>().join("\n"), @r#"
      {"database_name":"orders","database_type":"mysql","engine_id":null,"host":"db1.example","port":3306}
    database_deleted database d-1 "Orders d-1" by admin@dilux.tech from 203.0.113.7: success -
      {"database_alias":"Orders d-1","database_id":"d-1","database_type":"mysql","engine_id":null,"job_id":"<id 1>","reason":"the database was deleted before its backup began","status_before":"pending"}
    backup_cancelled backup <id 3> "Orders d-1" by admin@dilux.tech from 203.0.113.7: success -
    "#);
}

#[tokio::test]
async fn what_cannot_be_cancelled_at_once_stops_no_deletion() {
    let world = World::new();
    world.create_database("d-1", json!({})).await;
    world.expect(202, "POST", "/databases/d-1/backup", None).await;
    world.table("backuphistory").fail(support::Fault::Read(StorageErrorKind::Unavailable));
    world.expect(200, "DELETE", "/databases/d-1", None).await;
    assert_eq!(statuses(&world).await, [BackupStatus::Pending], "the processor cancels it");
}

#[tokio::test]
async fn a_deletion_that_dies_anywhere_leaves_no_job_that_can_fail() {
    for query in ["", "?delete_backups=true"] {
        for effects in 0.. {
            let world = World::new();
            world.create_database("d-1", json!({})).await;
            world.completed("d-1", "2026-02-01T02:00:00Z", "backups", 10).await;
            world.expect(202, "POST", "/databases/d-1/backup", None).await;
            let life = Life::of(effects);
            let path = format!("/databases/d-1{query}");
            let first = life.live(world.mortal(&life).send("DELETE", &path, None)).await;
            if first.is_none() {
                // Whoever asks again finds it gone, or goes on.
                let (status, answer) = world.send("DELETE", &path, None).await;
                assert!(matches!(status, 200 | 404), "{effects}: {status} {answer}");
            }
            world.expect(404, "GET", "/databases/d-1", None).await;
            // What is still pending has no configuration any more, and is cancelled by its message.
            let left = statuses(&world).await;
            let seldom = [BackupStatus::Pending, BackupStatus::Completed];
            let mostly = [BackupStatus::Cancelled, BackupStatus::Completed];
            match query {
                "" if first.is_some() => assert_eq!(left, mostly, "{effects}"),
                "" => assert!(left == mostly || left == seldom, "{effects}: {left:?}"),
                _ => assert_eq!(left, [], "{effects}"),
            }
            if first.is_some() {
                assert!(effects > 3, "{effects}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_database_whose_row_cannot_be_read_says_so_and_can_be_deleted() {
    let world = World::new();
    world.create_database("d-1", json!({})).await;
    world.completed("d-1", "2026-02-01T02:00:00Z", "backups", 10).await;
    world.spoil("databaseconfigs", "database_type").await;
    let paths = [
        ("GET", "/databases/d-1"),
        ("PUT", "/databases/d-1"),
        ("POST", "/databases/d-1/backup"),
        ("DELETE", "/databases/d-1?delete_backups=true"),
    ];
    for (method, path) in paths {
        let body = (method == "PUT").then(|| json!({"enabled": false}));
        let answer = world.expect(500, method, path, body.as_ref()).await;
        let error = answer["error"].as_str().unwrap();
        assert!(
            error.contains("cannot be read: database_type makes no sense there"),
            "{method} {path}: {error}"
        );
    }
    let answer = world.expect(200, "DELETE", "/databases/d-1", None).await;
    assert_eq!(answer["message"], "The database d-1, whose configuration could not be read, is deleted.");
    world.expect(404, "GET", "/databases/d-1", None).await;
    assert_eq!(statuses(&world).await, [BackupStatus::Completed]);
    let audit = world.audit().await;
    assert!(audit.contains(r#"database_deleted database d-1 "d-1" by admin@dilux.tech"#), "{audit}");
}
