//! Asking for a backup.

use serde_json::{Value, json};
use shared::config::{Config, Source};
use shared::storage::{BackupFilter, Storage, StorageErrorKind};

use crate::support::{Fault, World, at, pretty, redacted};

const PATH: &str = "/databases/d-1/backup";

async fn world() -> World {
    let world = World::new();
    world.create_database("d-1", json!({"enabled": false})).await;
    world
}

async fn records(world: &World) -> Vec<shared::models::Backup> {
    world.state.storage.backups.list(&BackupFilter::default()).await.unwrap()
}

#[tokio::test]
async fn the_record_is_pending_and_the_message_names_it() {
    let world = world().await;
    let answer = world.expect(202, "POST", PATH, None).await;
    insta::assert_snapshot!(pretty(&answer), @r#"
    {
      "job_id": "<id 1>",
      "message": "A backup of Orders d-1 is queued.",
      "queue_message_id": "memory-1"
    }
    "#);
    insta::assert_snapshot!(pretty(&world.get("/backups").await), @r#"
    {
      "backups": [
        {
          "blob_name": null,
          "blob_url": null,
          "completed_at": null,
          "created_at": "2026-03-01T12:00:00.123456Z",
          "database_id": "d-1",
          "database_name": "Orders d-1",
          "database_type": "mysql",
          "duration_seconds": null,
          "error_details": null,
          "error_message": null,
          "file_format": null,
          "file_size_bytes": null,
          "id": "<id 1>",
          "job_id": "<id 2>",
          "retry_count": 0,
          "started_at": null,
          "status": "pending",
          "tier": null,
          "triggered_by": "manual"
        }
      ],
      "count": 1,
      "has_more": false,
      "page": 1,
      "page_size": 25,
      "total_count": 1
    }
    "#);
    let messages = world.queue.take();
    assert_eq!(messages.len(), 1);
    let message: Value = serde_json::from_str(&messages[0].0).unwrap();
    assert_eq!(message["id"], answer["job_id"]);
    assert_eq!(message["backup_id"], records(&world).await[0].id.as_str());
    insta::assert_snapshot!(redacted(&messages[0].0), @r#"{"id":"<id 1>","database_id":"d-1","database_name":"Orders d-1","database_type":"mysql","host":"db1.example","port":3306,"database_name_target":"orders","username":"backup","password_secret_name":null,"compression":true,"backup_destination":null,"triggered_by":"manual","tier":null,"created_at":"2026-03-01T12:00:00.123456","scheduled_at":null,"backup_id":"<id 2>"}"#);
    insta::assert_snapshot!(world.audit().await.lines().skip(2).collect::<Vec<_>>().join("\n"), @r#"
    backup_triggered backup <id 1> "Orders d-1" by admin@dilux.tech from 203.0.113.7: success -
      {"database_alias":"Orders d-1","database_id":"d-1","database_type":"mysql","engine_id":null,"triggered_by":"manual"}
    "#);
}

#[tokio::test]
async fn a_second_wish_is_answered_with_the_first_job() {
    let world = world().await;
    let first = world.expect(202, "POST", PATH, None).await;
    let second = world.expect(202, "POST", PATH, Some(&json!({}))).await;
    assert_eq!(first["job_id"], second["job_id"]);
    assert_eq!(second["queue_message_id"], Value::Null);
    assert_eq!(second["message"], "A backup of Orders d-1 is queued already; its job is answered.");
    // The message is sent again, in case the first one was lost; both are of the one job.
    let messages = world.queue.take();
    assert_eq!((messages.len(), records(&world).await.len()), (2, 1));
    assert_eq!(messages[0].0, messages[1].0);
    assert_eq!(world.audit().await.matches("backup_triggered").count(), 1);
}

#[tokio::test]
async fn a_job_without_a_sign_of_life_for_two_hours_stands_in_nobodys_way() {
    let world = world().await;
    let first = world.expect(202, "POST", PATH, None).await;
    world.state.clock.set(at("2026-03-01T13:59:59Z"));
    assert_eq!(world.expect(202, "POST", PATH, None).await["job_id"], first["job_id"]);
    world.state.clock.set(at("2026-03-01T14:00:01Z"));
    assert_ne!(world.expect(202, "POST", PATH, None).await["job_id"], first["job_id"]);
}

#[tokio::test]
async fn many_wishes_at_once_make_one_job() {
    let world = world().await;
    let wishes = (0..8).map(|_| world.expect(202, "POST", PATH, None));
    let answers: Vec<Value> = futures::future::join_all(wishes).await;
    let first = &answers[0]["job_id"];
    assert!(answers.iter().all(|answer| answer["job_id"] == *first), "{answers:?}");
    assert_eq!((world.queue.take().len(), records(&world).await.len()), (1, 1));
}

#[tokio::test]
async fn two_records_of_the_same_moment_leave_the_first_alone() {
    // Another instance of the service stores its record between the first look and the second.
    let world = world().await;
    let other = World::new();
    other.state.clock.set(at("2026-03-01T11:59:59Z"));
    other.create_database("d-1", json!({})).await;
    other.expect(202, "POST", PATH, None).await;
    let earlier = records(&other).await.remove(0);
    world.state.storage.backups.insert(&earlier).await.unwrap();
    world.table("backuphistory").fail(Fault::Hide);
    let answer = world.expect(202, "POST", PATH, None).await;
    assert_eq!(answer["job_id"], earlier.job_id.as_str());
    assert_eq!((world.queue.take().len(), records(&world).await.len()), (0, 1));
}

#[tokio::test]
async fn a_message_that_cannot_be_sent_leaves_no_record() {
    let mut world = world().await;
    // Nobody listens on this port.
    let dead = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;QueueEndpoint=http://127.0.0.1:1/a;\
                BlobEndpoint=http://127.0.0.1:1/a;TableEndpoint=http://127.0.0.1:1/a";
    let config = Config::read(&Source::of(&[("STORAGE_CONNECTION_STRING", dead)])).unwrap();
    world.state.storage.jobs = Storage::open(&config).unwrap().jobs;
    let (status, answer) = world.send("POST", PATH, None).await;
    assert_eq!(status, 503, "{answer}");
    assert_eq!(records(&world).await.len(), 0);
    assert_eq!(world.audit().await.matches("backup_triggered").count(), 0);
}

#[tokio::test]
async fn a_record_that_cannot_be_stored_sends_no_message() {
    let world = world().await;
    world.table("backuphistory").fail(Fault::Insert);
    world.expect(503, "POST", PATH, None).await;
    assert_eq!(world.queue.take().len(), 0);
    let world = self::world().await;
    world.table("backuphistory").fail(Fault::Read(StorageErrorKind::Unavailable));
    world.expect(503, "POST", PATH, None).await;
    assert_eq!((world.queue.take().len(), records(&world).await.len()), (0, 0));
}

#[tokio::test]
async fn a_database_that_nobody_could_sign_in_to_is_refused() {
    let world = World::new();
    let nobody = world.create_engine("nobody", json!({"username": null, "password": null})).await;
    let half = world.create_engine("half", json!({"password": ""})).await;
    let cloud = world.create_engine("cloud", json!({"auth_method": "managed_identity"})).await;
    let gone = world.create_engine("gone", json!({})).await;
    let mut lines = Vec::new();
    for (id, engine) in [("a", &nobody), ("b", &half), ("c", &cloud), ("d", &gone)] {
        world.create_database(id, json!({"engine_id": engine, "use_engine_credentials": true})).await;
    }
    world.state.storage.engines.delete(&gone.parse().unwrap()).await.unwrap();
    for id in ["a", "b", "c", "d"] {
        let answer = world.expect(400, "POST", &format!("/databases/{id}/backup"), None).await;
        lines.push(answer["error"].as_str().unwrap().to_owned());
    }
    insta::assert_snapshot!(lines.join("\n"), @"
    No user name is configured for nobody; edit it and enter one.
    No password is stored for half; edit it and enter one.
    The token of the directory that cloud signs in with is sent to Azure's own databases only, and cloud.example is none of them; name it in TOKEN_HOSTS if it may have tokens, or use a user name and a password.
    The database uses the credentials of an engine that does not exist any more; choose another engine or give the database its own user name and password.
    ");
    assert_eq!((world.queue.take().len(), records(&world).await.len()), (0, 0));
}

#[tokio::test]
async fn an_engines_credentials_suffice() {
    let world = World::new();
    let engine = world.create_engine("db9", json!({})).await;
    world.create_database("d-1", json!({"engine_id": engine, "use_engine_credentials": true})).await;
    world.expect(202, "POST", PATH, None).await;
    let message = world.queue.take().remove(0).0;
    assert!(message.contains("db9.example") && !message.contains("s3cret-pw"), "{message}");
}
