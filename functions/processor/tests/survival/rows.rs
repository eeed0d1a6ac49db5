//! Rows that nobody can read.

use serde_json::json;
use shared::models::BackupStatus;
use shared::storage::Life;
use shared::storage::table::{Entity, Key, Query, Table as _, Value, query_all};

use crate::world::World;

const PARTITIONS: [&str; 9] =
    ["database", "engine", "backup_policy", "settings", "lease", "named", "day", "restore", "2026-03-04"];

#[tokio::test]
async fn a_poisoned_row_in_every_table_stops_no_job_and_no_retention() {
    let world = World::new().await;
    let names = world.table_names();
    assert!(names.len() >= 14, "{names:?}");
    for name in names {
        for partition in PARTITIONS {
            let properties = [("status", "completed".into()), ("created_at", Value::Int32(7))];
            let properties = properties.map(|(name, value)| (name.to_owned(), value));
            let entity = Entity::new(Key::new(partition, "poisoned"), properties.into());
            world.table(&name).insert(&entity).await.unwrap();
        }
    }
    let message = world.queued("1").await;
    assert_eq!(world.deliver(&Life::endless(), "backup_processor", &message).await, Some(200));
    world.is_whole(1, "with poisoned rows").await;
    let timer = world.call(&Life::endless(), "cleanup_old_backups", json!({ "timer": {} })).await;
    assert_eq!(timer, Some(200));
    world.is_whole(1, "after retention").await;
}

/// The host has given up a job whose database cannot be read: its record ends.
#[tokio::test]
async fn a_job_whose_database_cannot_be_read_can_be_given_up() {
    let world = World::new().await;
    let message = world.queued("1").await;
    let poison = [("database_type".to_owned(), "?".into())];
    let key = Key::new("database", "shop");
    world.table("databaseconfigs").insert_or_merge(&key, &poison.into()).await.unwrap();
    assert_eq!(world.deliver(&Life::endless(), "backup_poison", &message).await, Some(200));
    let failure = world.records().await[0].failure().cloned().unwrap();
    assert_eq!(failure.class.as_deref(), Some("GivenUp"));
}

/// The very rows that a job needs: it ends, or is given up by the host, and says so.
#[tokio::test]
async fn a_job_whose_own_row_cannot_be_read_ends() {
    for (table, ends_as) in [
        ("databaseconfigs", Some(BackupStatus::Failed)),
        ("backupleases", Some(BackupStatus::Completed)),
        ("backuphistory", None),
    ] {
        let world = World::new().await;
        let message = world.queued("1").await;
        if table == "backupleases" {
            let lease =
                Entity::new(Key::new("lease", "shop"), [("expires_at".to_owned(), "soon".into())].into());
            world.table(table).insert(&lease).await.unwrap();
        }
        for row in query_all(&world.table(table), &Query::default()).await.unwrap() {
            let poison = ["database_type", "status", "expires_at"].map(|name| (name.to_owned(), "?".into()));
            world.table(table).insert_or_merge(&row.key, &poison.into()).await.unwrap();
        }
        let answer = world.deliver(&Life::endless(), "backup_processor", &message).await;
        if let Some(status) = ends_as {
            assert_eq!(answer, Some(200), "{table}");
            let record = &world.records().await[0];
            assert_eq!(record.status(), status, "{table}");
            let why = record.failure().map(|failure| failure.message.as_str());
            assert!(why.is_none_or(|why| why.contains("configuration of the database")), "{why:?}");
            assert_eq!(world.leases().await, 0, "{table}");
        } else {
            // Nothing can be known of this job: its message goes the host's way for those, and no file is made.
            assert_eq!(answer, Some(500), "{table}");
            assert!(world.files().await.is_empty());
        }
    }
}
