//! Restores as a client asks for them, watches them and stops them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::models::{BackupStatus, Place, RestoreId};
use shared::storage::{
    Jobs, Life, MemoryBlobs, MemoryQueue, MemoryTable, Mortal, Queue, Signer, Storage, Table, restores,
};

use crate::support::{World, merge, pretty, redacted};

const AT: &str = "2026-02-28T02:00:00Z";

struct Setting {
    world: World,
    queue: MemoryQueue,
    path: String,
}

impl Setting {
    async fn new() -> Self {
        let mut world = World::new();
        let queue = MemoryQueue::default();
        let other = || Arc::new(MemoryQueue::default());
        world.state.storage.jobs = Jobs::new(other(), other(), Arc::new(queue.clone()));
        world.create_database("d-1", json!({})).await;
        let backup = world.completed("d-1", AT, "backups", 100).await;
        Self { world, queue, path: format!("/backups/{}/restore", backup.id) }
    }

    async fn stored(&self, id: &str) -> shared::models::Restore {
        let id: RestoreId = id.parse().unwrap();
        self.world.state.storage.restores.get(&id).await.unwrap().unwrap().value
    }
}

/// A wish that is fine.
fn wish() -> Value {
    json!({
        "target": {"host": "db2.example", "port": 3307, "username": "admin", "password": "s3cret-target"},
        "database_name": "orders_copy",
    })
}

#[tokio::test]
async fn a_wish_becomes_a_record_and_a_message_without_a_secret() {
    let Setting { world, queue, path } = &Setting::new().await;
    let (status, answer) = world.post(path, &wish()).await;
    assert_eq!(status, 202, "{answer}");
    let id = answer["restore_id"].as_str().unwrap();
    let messages = queue.take();
    assert_eq!(messages[0].0, json!({"restore_id": id}).to_string());
    insta::assert_snapshot!(redacted(&pretty(&world.get(&format!("/restores/{id}")).await["restore"])), @r#"
    {
      "adapted": [],
      "backup_id": "<id 1>",
      "blob_name": "mysql/d-1/20260228_020000.sql.gz",
      "cancel_requested": false,
      "completed_at": null,
      "created_at": "2026-03-01T12:00:00.123456Z",
      "database_name": "orders_copy",
      "database_type": "mysql",
      "duration_seconds": null,
      "error_details": null,
      "error_message": null,
      "failed_in": null,
      "failed_line": null,
      "host": "db2.example",
      "id": "<id 2>",
      "keep_failed": false,
      "mode": "new",
      "phase": "waiting",
      "port": 3307,
      "progress": {
        "read_bytes": 0,
        "sql_bytes": 0,
        "total_bytes": 100
      },
      "requested_by": "admin@dilux.tech",
      "started_at": null,
      "status": "pending",
      "target_engine_id": null,
      "username": "admin",
      "warnings": []
    }
    "#);
    let audit = world.audit().await;
    assert!(audit.contains("restore_requested backup"), "{audit}");
    assert!(!audit.contains("s3cret"), "{audit}");
    let list = world.get("/restores").await;
    assert_eq!((&list["count"], &list["total"], &list["has_more"]), (&json!(1), &json!(1), &json!(false)));
}

#[tokio::test]
async fn what_cannot_be_restored_or_was_not_confirmed_is_refused() {
    let Setting { world, queue, path } = &Setting::new().await;
    let engine = world.create_engine("pg", json!({"engine_type": "postgresql"})).await;
    let mut errors = Vec::new();
    for change in [
        json!({"database_name": "(absent)"}),
        json!({"target": "(absent)"}),
        json!({"target_engine_id": "no-such"}),
        json!({"target": "(absent)", "target_engine_id": "no-such"}),
        json!({"target": "(absent)", "target_engine_id": engine}),
        json!({"target": {"host": "db"}}),
        json!({"target": {"host": "--x", "username": "a", "password": "b"}}),
        json!({"target": "db"}),
        json!({"database_name": "mysql"}),
        json!({"mode": "overwrite"}),
        json!({"mode": "replace"}),
        json!({"mode": "replace", "confirm": "Orders_copy"}),
        json!({"keep_failed": "yes"}),
    ] {
        let mut body = wish();
        merge(&mut body, change);
        let (status, answer) = world.post(path, &body).await;
        errors.push(format!("{status} {}", answer["error"].as_str().unwrap_or("ACCEPTED")));
    }
    insta::assert_snapshot!(redacted(&errors.join("\n")), @r#"
    400 Missing: database_name.
    400 Missing: target_engine_id or target.
    400 target: cannot be given together with target_engine_id
    404 The engine no-such does not exist; it may have been deleted.
    400 target_engine_id: is no mysql server
    400 Missing: target.username, target.password.
    400 host: must be 1 to 255 characters without spaces or control characters, and must not begin with a hyphen
    400 target: must be an object, not a text
    400 database_name: is a database of the server's own; choose another
    400 mode: "overwrite" is not a known restore mode; use one of: new, replace
    400 confirm: must repeat the database_name that is to be replaced
    400 confirm: must repeat the database_name that is to be replaced
    400 keep_failed: must be true or false, not a text
    "#);
    let (status, _) = world.post("/backups/no-such/restore", &wish()).await;
    assert_eq!(status, 404);
    assert!(queue.take().is_empty());
    assert_eq!(world.get("/restores").await["total"], 0);
    let mut confirmed = wish();
    merge(&mut confirmed, json!({"mode": "replace", "confirm": "orders_copy"}));
    assert_eq!(world.post(path, &confirmed).await.0, 202);
}

#[tokio::test]
async fn backups_of_sql_server_go_to_servers_of_its_kind_and_targets_are_judged() {
    let setting = Setting::new().await;
    let Setting { world, queue, .. } = &setting;
    world.create_database("d-2", json!({"database_type": "azure_sql", "port": 1433})).await;
    let backup = world.completed("d-2", "2026-02-27T02:00:00Z", "backups", 100).await;
    let path = format!("/backups/{}/restore", backup.id);
    let engine = world.create_engine("ms", json!({"engine_type": "sqlserver"})).await;
    let mysql = world.create_engine("my", json!({})).await;
    let to = |engine: &str| json!({"target_engine_id": engine, "database_name": "orders_copy"});
    assert_eq!(world.post(&path, &to(&engine)).await.0, 202);
    assert_eq!(world.post(&path, &to(&mysql)).await.0, 400);
    assert_eq!(queue.take().len(), 1);
    // The address at which a cloud gives its machines their credentials.
    for host in ["169.254.169.254", "0xa9fea9fe"] {
        let mut body = wish();
        merge(
            &mut body,
            json!({"target": {"host": host, "port": 1433, "username": "a", "password": "s3cret-target"}}),
        );
        for path in [path.clone(), format!("{path}/check")] {
            let (status, answer) = world.post(&path, &body).await;
            assert_eq!(status, 400, "{answer}");
            assert!(
                answer["error"].as_str().unwrap().starts_with("host: is an address of the local link"),
                "{answer}"
            );
        }
    }
    assert!(queue.take().is_empty());
}

#[tokio::test]
async fn a_restore_that_waits_ends_at_once_when_it_is_stopped_and_one_that_runs_is_told() {
    let setting = Setting::new().await;
    let Setting { world, path, .. } = &setting;
    let id = world.post(path, &wish()).await.1["restore_id"].as_str().unwrap().to_owned();
    let cancel = format!("/restores/{id}/cancel");
    let (status, answer) = world.send("POST", &cancel, None).await;
    assert_eq!((status, &answer["restore"]["status"]), (202, &json!("cancelled")));
    let Place::Server { password, .. } = setting.stored(&id).await.place else { panic!("another place") };
    assert!(!password.is_kept());
    assert_eq!(world.send("POST", &cancel, None).await.0, 400);

    let id = world.post(path, &wish()).await.1["restore_id"].as_str().unwrap().to_owned();
    let restores = &world.state.storage.restores;
    let found = restores.get(&id.parse().unwrap()).await.unwrap().unwrap();
    let mut running = found.value;
    running.status = BackupStatus::InProgress;
    restores.update(&running, &found.etag).await.unwrap();
    let (status, answer) = world.send("POST", &format!("/restores/{id}/cancel"), None).await;
    assert_eq!((status, &answer["restore"]["status"]), (202, &json!("in_progress")));
    assert!(setting.stored(&id).await.cancel_requested);
}

/// A program that dies between the record and the message leaves a restore that says so itself: its message
/// is then sent by the scheduler.
#[tokio::test]
async fn a_request_that_is_killed_at_any_instant_leaves_no_restore_that_waits_for_ever() {
    let mut world = World::new();
    let config = world.state.config.clone();
    let tables: Mutex<BTreeMap<String, Arc<dyn Table>>> = Mutex::default();
    let queue = MemoryQueue::default();
    let storage = |life: &Life| {
        let table = |name: &str| -> Arc<dyn Table> {
            let mut tables = tables.lock().unwrap();
            let inner = tables.entry(name.to_owned()).or_insert_with(|| Arc::new(MemoryTable::default()));
            Arc::new(Mortal::new(name, Arc::clone(inner), life))
        };
        let mortal = |queue: MemoryQueue| -> Arc<dyn Queue> {
            Arc::new(Mortal::new("queue", Arc::new(queue) as Arc<dyn Queue>, life))
        };
        let jobs =
            Jobs::new(mortal(MemoryQueue::default()), mortal(MemoryQueue::default()), mortal(queue.clone()));
        Storage::assemble(&config, table, jobs, Arc::new(MemoryBlobs::default()), Signer::None)
    };
    world.state.storage = storage(&Life::endless());
    world.create_database("d-1", json!({})).await;
    let backup = world.completed("d-1", AT, "backups", 100).await;
    let path = format!("/backups/{}/restore", backup.id);
    let (mut left, mut sent_later) = (0, 0);
    for effects in 0.. {
        let life = Life::of(effects);
        world.state.storage = storage(&life);
        let answered = life.live(world.post(&path, &wish())).await.is_some();
        let alive = storage(&Life::endless());
        let queued: Vec<RestoreId> =
            queue.take().iter().filter_map(|(text, _)| restores::decode(text)).collect();
        let all = alive.restores.list().await.unwrap();
        for restore in all.iter().filter(|restore| restore.status == BackupStatus::Pending) {
            let vain = restore.waits_in_vain(restore.created_at + TimeDelta::minutes(5));
            assert!(vain || queued.contains(&restore.id), "after {effects} effects: {restore:?}");
            assert!(!restore.waits_in_vain(restore.created_at + TimeDelta::minutes(4)));
            sent_later += usize::from(!queued.contains(&restore.id));
            // Done with it.
            let found = alive.restores.get(&restore.id).await.unwrap().unwrap();
            let done = shared::models::Restore { status: BackupStatus::Cancelled, ..found.value };
            alive.restores.update(&done, &found.etag).await.unwrap();
        }
        left = all.len();
        if answered {
            break;
        }
    }
    assert!(left >= 2 && sent_later >= 1, "the instant between record and message was not visited");
}

#[tokio::test]
async fn a_check_says_what_stands_in_the_way_and_writes_nothing() {
    let Setting { world, path, queue } = &Setting::new().await;
    let mut body = wish();
    merge(
        &mut body,
        json!({"target": {"host": "127.0.0.1", "port": 1, "username": "admin", "password": "s3cret-target"}}),
    );
    let (status, answer) = world.post(&format!("{path}/check"), &body).await;
    assert_eq!((status, &answer["result"]), (200, &json!("fail")), "{answer}");
    let checks = answer["checks"].as_array().unwrap();
    let named: Vec<String> =
        checks.iter().map(|check| format!("{} {}", check["name"], check["result"])).collect();
    assert_eq!(named, [r#""backup" "ok""#, r#""type" "ok""#, r#""connection" "fail""#]);
    assert!(!answer.to_string().contains("s3cret"));
    assert!(queue.take().is_empty());
    assert_eq!(world.get("/restores").await["total"], 0);
}
