//! Deleting and cancelling backups, and requests that name themselves.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use shared::models::{Backup, BackupId, BackupJob, BackupState, Cause, Failure, JobId, Run};
use shared::storage::{BlobAddress, ClaimOutcome, StorageErrorKind};

use crate::support::{Fault, NOW, World, at, pretty};

const NAME: &str = "mysql/d-1/20260201_000000.sql.gz";

async fn world() -> World {
    let world = World::new();
    world.create_database("d-1", json!({})).await;
    world
}

/// Stores a record of `d-1`.
async fn record(world: &World, id: &str, at_text: &str, state: BackupState) -> Backup {
    let database = world.state.storage.databases.get(&"d-1".parse().unwrap()).await.unwrap().unwrap().value;
    let ids = (id.parse::<JobId>().unwrap(), id.parse::<BackupId>().unwrap());
    let backup = Backup { state, ..BackupJob::new(&database, Cause::Manual, ids, at(at_text)).record() };
    world.state.storage.backups.insert(&backup).await.unwrap();
    backup
}

fn failed(at_text: &str) -> BackupState {
    let failure = Failure::new("Test", "the disk is full");
    BackupState::Failed { run: Run::between(at(at_text), at(at_text)), failure }
}

async fn total(world: &World) -> Value {
    world.get("/backups").await["total_count"].clone()
}

async fn last_audit(world: &World) -> String {
    let audit = world.audit().await;
    let mut last: Vec<&str> = audit.lines().rev().take(2).collect();
    last.reverse();
    last.join("\n")
}

#[tokio::test]
async fn a_file_goes_with_its_record() {
    let world = world().await;
    world.completed("d-1", "2026-02-01T00:00:00Z", "own", 10).await;
    let path = format!("/backups/delete?blob_name={NAME}");
    insta::assert_snapshot!(pretty(&world.expect(200, "DELETE", &path, None).await), @r#"
    {
      "blob_name": "mysql/d-1/20260201_000000.sql.gz",
      "message": "The backup 20260201_000000.sql.gz is deleted."
    }
    "#);
    assert_eq!(total(&world).await, 0);
    assert!(world.blobs_in("own").await.is_empty());
    insta::assert_snapshot!(last_audit(&world).await, @r#"
    backup_deleted backup mysql/d-1/20260201_000000.sql.gz "Orders d-1" by admin@dilux.tech from 203.0.113.7: success -
      {"blob_name":"mysql/d-1/20260201_000000.sql.gz","database_alias":"Orders d-1","database_id":"d-1","database_type":"mysql","engine_id":null,"file_name":"20260201_000000.sql.gz","type":"file"}
    "#);
    world.expect(404, "DELETE", &path, None).await;
    world.expect(400, "DELETE", "/backups/delete", None).await;
    world.expect(400, "DELETE", "/backups/delete?blob_name=../x", None).await;
}

#[tokio::test]
async fn a_delete_that_died_half_way_is_finished_by_the_next() {
    // The file is gone, the record is there.
    let world = world().await;
    let backup = world.completed("d-1", "2026-02-01T00:00:00Z", "backups", 10).await;
    let blob = BlobAddress::new("backups", NAME);
    shared::storage::BlobStore::delete(&world.blobs, &blob).await.unwrap();
    world.expect(200, "DELETE", &format!("/backups/delete?blob_name={NAME}"), None).await;
    assert_eq!(total(&world).await, 0);
    // The file is there, nobody has a record of it.
    world.put(&blob, 3).await;
    world.expect(200, "DELETE", &format!("/backups/delete?blob_name={NAME}"), None).await;
    assert!(world.blobs_in("backups").await.is_empty());
    // By its id too.
    world.state.storage.backups.insert(&backup).await.unwrap();
    world.expect(200, "DELETE", &format!("/backups/{}", backup.id), None).await;
    world.expect(404, "DELETE", &format!("/backups/{}", backup.id), None).await;
}

#[tokio::test]
async fn a_record_goes_with_its_file_unless_it_is_being_worked_on() {
    let world = world().await;
    record(&world, "broken", "2026-02-01T00:00:00Z", failed("2026-02-01T00:00:00Z")).await;
    insta::assert_snapshot!(pretty(&world.expect(200, "DELETE", "/backups/broken", None).await), @r#"
    {
      "backup_id": "broken",
      "message": "The backup of Orders d-1 is deleted."
    }
    "#);
    insta::assert_snapshot!(last_audit(&world).await, @r#"
    backup_deleted backup broken "Orders d-1" by admin@dilux.tech from 203.0.113.7: success -
      {"backup_id":"broken","backup_status":"failed","database_name":"Orders d-1","database_type":"mysql","engine_id":null,"type":"record_only"}
    "#);
    let backup = world.completed("d-1", "2026-02-01T00:00:00Z", "backups", 10).await;
    world.expect(200, "DELETE", &format!("/backups/{}", backup.id), None).await;
    assert!(world.blobs_in("backups").await.is_empty());

    let pending = || BackupState::Pending { last_failure: None };
    record(&world, "young", "2026-03-01T11:00:00Z", pending()).await;
    record(&world, "old", "2026-03-01T09:00:00Z", pending()).await;
    let answer = world.expect(409, "DELETE", "/backups/young", None).await;
    insta::assert_snapshot!(answer["error"].as_str().unwrap(), @"The backup is queued or running; cancel it first, or wait until it has ended.");
    world.expect(200, "DELETE", "/backups/old", None).await;
    for unknown in ["none", "a%20b", "x%27", "..%2Fx"] {
        world.expect(404, "DELETE", &format!("/backups/{unknown}"), None).await;
    }
}

#[tokio::test]
async fn many_files_are_reported_one_by_one() {
    let world = world().await;
    for day in 1..=3 {
        world.completed("d-1", &format!("2026-02-0{day}T00:00:00Z"), "backups", 10).await;
    }
    let names = ["mysql/d-1/20260203_000000.sql.gz", "none", NAME, NAME];
    let answer = world.post("/backups/delete-bulk", &json!({ "blob_names": names })).await;
    insta::assert_snapshot!(pretty(&answer.1), @r#"
    {
      "deleted_count": 2,
      "error_count": 0,
      "message": "2 of 3 backups are deleted.",
      "not_found_count": 1,
      "results": {
        "deleted": [
          "mysql/d-1/20260203_000000.sql.gz",
          "mysql/d-1/20260201_000000.sql.gz"
        ],
        "errors": [],
        "not_found": [
          "none"
        ]
      }
    }
    "#);
    insta::assert_snapshot!(last_audit(&world).await, @r#"
    backup_deleted_bulk backup bulk "2 backups" by admin@dilux.tech from 203.0.113.7: success -
      {"deleted_count":2,"deleted_files":["mysql/d-1/20260203_000000.sql.gz","mysql/d-1/20260201_000000.sql.gz"],"error_count":0,"not_found_count":1}
    "#);
    assert_eq!(total(&world).await, 1);

    world.table("backupindex").fail(Fault::Read(StorageErrorKind::Unavailable));
    let audit = world.audit().await;
    let names = ["mysql/d-1/20260202_000000.sql.gz"];
    let (status, answer) = world.post("/backups/delete-bulk", &json!({ "blob_names": names })).await;
    assert_eq!((status, &answer["error_count"]), (200, &json!(1)));
    insta::assert_snapshot!(answer["results"]["errors"][0]["error"].as_str().unwrap(), @"It could not be deleted; try again in a moment.");
    assert_eq!(world.audit().await, audit, "nothing was deleted");
    assert_eq!(total(&world).await, 1);
}

#[tokio::test]
async fn lists_of_names_that_cannot_be_used_delete_nothing() {
    let world = world().await;
    world.completed("d-1", "2026-02-01T00:00:00Z", "backups", 10).await;
    let many: Vec<String> = (0..1001).map(|number| format!("mysql/d-1/{number}")).collect();
    let mut lines = Vec::new();
    for body in [
        json!({}),
        json!({"blob_names": null}),
        json!({"blob_names": NAME}),
        json!({"blob_names": []}),
        json!({ "blob_names": many }),
        json!({"blob_names": [NAME, 7]}),
        json!({"blob_names": [NAME, ""]}),
        json!({"blob_names": [NAME, "../x"]}),
        json!({"blob_names": [NAME, "a\u{0}b"]}),
        json!({"blob_names": [NAME, "x".repeat(2000)]}),
    ] {
        let (status, answer) = world.post("/backups/delete-bulk", &body).await;
        lines.push(format!("{status} {}", answer["error"].as_str().unwrap()));
    }
    insta::assert_snapshot!(lines.join("\n"), @"
    400 Missing: blob_names.
    400 blob_names: must not be empty or null
    400 blob_names: must be a list of texts, not a text
    400 blob_names: must have 1 to 1000 items
    400 blob_names: must have 1 to 1000 items
    400 blob_names: every item must be a text
    400 blob_names: has an item that is not the name of a backup file
    400 blob_names: has an item that is not the name of a backup file
    400 blob_names: has an item that is not the name of a backup file
    400 blob_names: has an item that is not the name of a backup file
    ");
    assert_eq!(total(&world).await, 1);
    assert_eq!(world.blobs_in("backups").await, [NAME]);
}

#[tokio::test]
async fn a_queued_backup_is_cancelled_and_never_starts() {
    let world = world().await;
    world.expect(202, "POST", "/databases/d-1/backup", None).await;
    let listed = world.get("/backups").await["backups"][0].clone();
    let path = format!("/backups/{}/cancel", listed["id"].as_str().unwrap());
    insta::assert_snapshot!(pretty(&world.expect(200, "POST", &path, None).await), @r#"
    {
      "backup_id": "<id 1>",
      "message": "The backup of Orders d-1 is cancelled.",
      "status": "cancelled"
    }
    "#);
    insta::assert_snapshot!(last_audit(&world).await, @r#"
    backup_cancelled backup <id 2> "Orders d-1" by admin@dilux.tech from 203.0.113.7: success -
      {"database_alias":"Orders d-1","database_id":"d-1","database_type":"mysql","engine_id":null,"job_id":"<id 1>","status_before":"pending"}
    "#);
    let listed = world.get("/backups?status=cancelled").await["backups"][0].clone();
    assert_eq!((&listed["status"], &listed["completed_at"]), (&json!("cancelled"), &json!(NOW)));
    let error = world.expect(409, "POST", &path, None).await;
    insta::assert_snapshot!(error["error"].as_str().unwrap(), @"The backup has ended already: it is cancelled.");
    let job = shared::storage::jobs::decode(&world.queue.take()[0].0, at(NOW)).unwrap();
    let outcome = world.state.storage.claims.claim(&job, at(NOW)).await.unwrap();
    assert!(matches!(outcome, ClaimOutcome::Finished(_)), "{outcome:?}");
    // The next request makes a new one.
    let next = world.expect(202, "POST", "/databases/d-1/backup", None).await;
    assert_ne!(next["job_id"], listed["job_id"]);
    for unknown in ["none", "a%20b"] {
        world.expect(404, "POST", &format!("/backups/{unknown}/cancel"), None).await;
    }
    record(&world, "broken", "2026-02-01T00:00:00Z", failed("2026-02-01T00:00:00Z")).await;
    world.expect(409, "POST", "/backups/broken/cancel", None).await;
}

/// Asks for a backup with keys and returns status and body.
async fn ask(world: &World, keys: &[&[u8]]) -> (u16, Value) {
    let mut request = Request::post("/api/databases/d-1/backup");
    for key in keys {
        request = request.header("idempotency-key", *key);
    }
    let (status, _, body) = world.exchange(request.body(Body::empty()).unwrap()).await;
    (status.as_u16(), serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn requests_with_the_same_key_have_the_same_job() {
    let world = world().await;
    let (status, first) = ask(&world, &[b"k-1"]).await;
    assert_eq!(status, 202);
    let (status, again) = ask(&world, &[b"k-1"]).await;
    assert_eq!((status, &again["job_id"]), (202, &first["job_id"]));
    insta::assert_snapshot!(again["message"].as_str().unwrap(), @"This backup of Orders d-1 was asked for before; its job is answered.");
    assert_eq!((world.queue.take().len(), total(&world).await), (1, json!(1)));
    // Also when the job has ended, and its record is gone.
    let id = world.get("/backups").await["backups"][0]["id"].as_str().unwrap().to_owned();
    world.expect(200, "POST", &format!("/backups/{id}/cancel"), None).await;
    assert_eq!(ask(&world, &[b"k-1"]).await.1["job_id"], first["job_id"]);
    world.expect(200, "DELETE", &format!("/backups/{id}"), None).await;
    assert_eq!(ask(&world, &[b"k-1"]).await.1["job_id"], first["job_id"]);
    let (_, other) = ask(&world, &[b"k-2"]).await;
    assert_ne!(other["job_id"], first["job_id"]);
    assert_eq!(total(&world).await, 1);
    // A key is answered with the job that was running, and stays so.
    let (_, third) = ask(&world, &[b"k-3"]).await;
    assert_eq!(third["job_id"], other["job_id"]);
    assert_eq!(ask(&world, &[b"k-3"]).await.1["job_id"], other["job_id"]);
}

#[tokio::test]
async fn requests_with_the_same_key_at_once_make_one_record() {
    let world = world().await;
    let answers = futures::future::join_all((0..8).map(|_| ask(&world, &[b"same"]))).await;
    assert!(answers.iter().all(|(status, body)| *status == 202 && body["job_id"] == answers[0].1["job_id"]));
    assert_eq!(total(&world).await, 1);
    let triggered = world.audit().await.matches("backup_triggered").count();
    assert_eq!(triggered, 1);
}

#[tokio::test]
async fn keys_that_cannot_be_used_are_refused() {
    let world = world().await;
    let long = vec![b'x'; 256];
    for keys in [&[&b""[..]][..], &[b"a b"], &[b"\xff"], &[b"\xc3\xbc"], &[&long], &[b"a", b"b"], &[b"a\tb"]]
    {
        let (status, body) = ask(&world, keys).await;
        assert_eq!(status, 400, "{keys:?}: {body}");
    }
    let (_, body) = ask(&world, &[b""]).await;
    insta::assert_snapshot!(body["error"].as_str().unwrap(), @"Idempotency-Key: must come once, with 1 to 255 visible ASCII characters");
    assert_eq!(total(&world).await, 0);
    assert_eq!(ask(&world, &[&vec![b'x'; 255]]).await.0, 202);
}
