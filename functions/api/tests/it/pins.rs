//! Pins, and what retention would do.

use serde_json::{Value, json};
use shared::models::BackupId;
use shared::storage::{BlobAddress, BlobStore as _, Table as _};

use crate::support::{World, pretty};

async fn world() -> (World, BackupId) {
    let world = World::new();
    world.state.storage.policies.seed(world.state.clock.now()).await.unwrap();
    world.create_database("d-1", json!({})).await;
    let backup = world.completed("d-1", "2026-01-01T00:00:00Z", "backups", 10).await;
    (world, backup.id)
}

#[tokio::test]
async fn a_pin_is_shown_and_recorded_once() {
    let (world, id) = world().await;
    let answer = world.expect(200, "POST", &format!("/backups/{id}/pin"), None).await;
    assert_eq!(answer["backup"]["pinned_by"], "admin@dilux.tech");
    world.expect(200, "POST", &format!("/backups/{id}/pin"), None).await;
    let list = world.get("/backups?database_id=d-1").await;
    assert_eq!(list["backups"][0]["pinned_at"], "2026-03-01T12:00:00.123456Z");
    let answer = world.expect(200, "POST", &format!("/backups/{id}/unpin"), None).await;
    assert_eq!(answer["backup"].get("pinned_at"), None);
    world.expect(200, "POST", &format!("/backups/{id}/unpin"), None).await;
    let audit = world.audit().await;
    let lines: Vec<&str> = audit.lines().filter(|line| line.starts_with("backup_")).collect();
    assert_eq!(lines.len(), 2, "{audit}");
    assert!(
        lines[0].starts_with("backup_pinned backup <id 1> \"Orders d-1\" by admin@dilux.tech"),
        "{audit}"
    );
    assert!(lines[1].starts_with("backup_unpinned"), "{audit}");
}

#[tokio::test]
async fn what_cannot_be_pinned_is_refused() {
    let (world, _) = world().await;
    world.expect(404, "POST", "/backups/nothing/pin", None).await;
    world.expect(404, "POST", "/backups/nothing/unpin", None).await;
    let (_, queued) = world.post("/databases/d-1/backup", &json!({})).await;
    let list = world.get("/backups?database_id=d-1").await;
    let pending =
        list["backups"].as_array().unwrap().iter().find(|backup| backup["job_id"] == queued["job_id"]);
    let id = pending.unwrap()["id"].as_str().unwrap().to_owned();
    let answer = world.expect(400, "POST", &format!("/backups/{id}/pin"), None).await;
    assert_eq!(answer["error"], "Only a completed backup can be pinned; this one holds no file.");
}

#[tokio::test]
async fn a_pinned_backup_outlives_its_database() {
    let (world, id) = world().await;
    let other = world.completed("d-1", "2026-01-02T00:00:00Z", "backups", 10).await;
    let roles = "mysql/d-1/20260101_000000.globals.sql.gz";
    world.put(&BlobAddress::new("backups", roles), 5).await;
    let history = world.table("backuphistory");
    let row = history.rows().await.into_iter().find(|row| row.key.row.ends_with(id.as_str())).unwrap();
    let named = [("globals_blob_name".to_owned(), roles.into())].into();
    history.insert_or_merge(&row.key, &named).await.unwrap();
    world.expect(200, "POST", &format!("/backups/{id}/pin"), None).await;
    let answer = world.expect(200, "DELETE", "/databases/d-1?delete_backups=true", None).await;
    assert_eq!(answer["backups_deleted"]["deleted_files"], 1);
    assert_eq!(
        answer["backups_deleted"]["errors"],
        json!(["backups/mysql/d-1/20260101_000000.sql.gz: the backup is pinned by admin@dilux.tech"])
    );
    let exists = async |name: &str| {
        world.blobs.properties(&BlobAddress::new("backups", name)).await.unwrap().is_some()
    };
    assert!(exists("mysql/d-1/20260101_000000.sql.gz").await);
    assert!(exists(roles).await);
    assert!(!exists(&other.artifact().unwrap().blob_name).await);
    assert!(world.state.storage.backups.find(&id).await.unwrap().is_some());
}

#[tokio::test]
async fn no_route_deletes_a_pinned_backup() {
    let (world, id) = world().await;
    world.expect(200, "POST", &format!("/backups/{id}/pin"), None).await;
    let name = "mysql/d-1/20260101_000000.sql.gz";
    let answer = world.expect(409, "DELETE", &format!("/backups/{id}"), None).await;
    assert_eq!(answer["error"], "The backup is pinned by admin@dilux.tech.");
    world.expect(409, "DELETE", &format!("/backups/delete?blob_name={name}"), None).await;
    let body = json!({"blob_names": [name]});
    let (_, answer) = world.post("/backups/delete-bulk", &body).await;
    assert_eq!(answer["results"]["errors"][0]["error"], "The backup is pinned by admin@dilux.tech.");
    assert!(world.blobs.properties(&BlobAddress::new("backups", name)).await.unwrap().is_some());
    world.expect(200, "POST", &format!("/backups/{id}/unpin"), None).await;
    world.expect(200, "DELETE", &format!("/backups/{id}"), None).await;
    assert!(world.blobs.properties(&BlobAddress::new("backups", name)).await.unwrap().is_none());
}

#[tokio::test]
async fn the_preview_says_what_goes_and_why() {
    let (world, id) = world().await;
    world.completed("d-1", "2026-01-02T00:00:00Z", "backups", 20).await;
    world.completed("d-1", "2026-01-03T00:00:00Z", "backups", 30).await;
    world.expect(200, "POST", &format!("/backups/{id}/pin"), None).await;
    insta::assert_snapshot!(pretty(&world.get("/retention/preview?database_id=d-1").await), @r#"
    {
      "backups": [
        {
          "backup_id": "<id 1>",
          "blob_name": "mysql/d-1/20260103_000000.sql.gz",
          "created_at": "2026-01-03T00:00:00Z",
          "decision": "keep",
          "file_size_bytes": 30,
          "reason": "the newest backup of the database",
          "status": "completed",
          "tier": null
        },
        {
          "backup_id": "<id 2>",
          "blob_name": "mysql/d-1/20260102_000000.sql.gz",
          "created_at": "2026-01-02T00:00:00Z",
          "decision": "delete",
          "file_size_bytes": 20,
          "reason": "without a tier and older than 30 days",
          "status": "completed",
          "tier": null
        },
        {
          "backup_id": "<id 3>",
          "blob_name": "mysql/d-1/20260101_000000.sql.gz",
          "created_at": "2026-01-01T00:00:00Z",
          "decision": "keep",
          "file_size_bytes": 10,
          "reason": "pinned",
          "status": "completed",
          "tier": null
        }
      ],
      "database_id": "d-1",
      "delete_count": 1,
      "keep_count": 2,
      "paused": false
    }
    "#);
    world.expect(400, "GET", "/retention/preview", None).await;
    world.expect(400, "GET", "/retention/preview?database_id=a/b", None).await;
    world.expect(404, "GET", "/retention/preview?database_id=nobody", None).await;
    // Nothing was deleted.
    assert_eq!(world.get("/backups?database_id=d-1").await["total_count"], Value::from(3));
}
