//! The audit log as administrators see it.

use serde_json::{Value, json};
use shared::storage::StorageErrorKind;
use shared::storage::table::{Entity, Key};

use crate::support::{Fault, World, pretty};

/// Makes a world with a record of today's and one of an earlier system's.
async fn world_with_two() -> World {
    let world = World::new();
    world.create_database("d-1", json!({})).await;
    let old = Entity::new(
        Key::new("202512", "8235071199876543_old-1"),
        [
            ("timestamp", "2025-12-05T10:00:00.123456"),
            ("user_id", "anonymous"),
            ("user_email", "anonymous"),
            ("action", "made_up"),
            ("resource_type", "database"),
            ("resource_id", "d-0"),
            ("resource_name", "Old"),
            ("status", "success"),
            ("ip_address", "unknown"),
        ]
        .map(|(name, value)| (name.to_owned(), value.into()))
        .into(),
    );
    world.table("auditlogs").put(&old).await;
    world
}

#[tokio::test]
async fn the_log_is_listed_newest_first_with_all_members() {
    let world = world_with_two().await;
    insta::assert_snapshot!(pretty(&world.get("/audit").await), @r#"
    {
      "count": 2,
      "has_more": false,
      "logs": [
        {
          "action": "database_created",
          "details": {
            "database_name": "orders",
            "database_type": "mysql",
            "engine_id": null,
            "host": "db1.example",
            "policy_id": "production-standard",
            "port": 3306
          },
          "error_message": null,
          "id": "<id 1>",
          "ip_address": "203.0.113.7",
          "resource_id": "d-1",
          "resource_name": "Orders d-1",
          "resource_type": "database",
          "status": "success",
          "timestamp": "2026-03-01T12:00:00.123456Z",
          "user_email": "admin@dilux.tech",
          "user_id": "dev-user-00000000-0000-0000-0000-000000000000"
        },
        {
          "action": "made_up",
          "details": null,
          "error_message": null,
          "id": "old-1",
          "ip_address": "unknown",
          "resource_id": "d-0",
          "resource_name": "Old",
          "resource_type": "database",
          "status": "success",
          "timestamp": "2025-12-05T10:00:00.123456Z",
          "user_email": "anonymous",
          "user_id": "anonymous"
        }
      ],
      "total": 2
    }
    "#);
}

#[tokio::test]
async fn filters_hold_together() {
    let world = world_with_two().await;
    let ids = |answer: &Value| -> Vec<String> {
        answer["logs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|log| log["resource_id"].as_str().unwrap().to_owned())
            .collect()
    };
    for (query, expected) in [
        ("limit=1", vec!["d-1"]),
        ("limit=1&offset=1", vec!["d-0"]),
        ("offset=2", vec![]),
        ("start_date=2026-01-01", vec!["d-1"]),
        ("end_date=2025-12-05", vec!["d-0"]),
        ("start_date=2025-12-06&end_date=2025-12-31", vec![]),
        ("action=database_created&status=success&resource_type=database", vec!["d-1"]),
        ("user_id=anonymous", vec!["d-0"]),
        ("user_id=anonymous' or PartitionKey ge '0", vec![]),
        ("search=DILUX.tech", vec!["d-1"]),
        ("search=d-0", vec!["d-0"]),
        ("database_type=mysql", vec!["d-1"]),
        ("engine_id=none", vec![]),
        ("resource_name=oRDERS", vec!["d-1"]),
        ("action=&status=&search=", vec!["d-1", "d-0"]),
    ] {
        let query = query.replace(' ', "%20").replace('\'', "%27");
        assert_eq!(ids(&world.get(&format!("/audit?{query}")).await), expected, "{query}");
    }
}

#[tokio::test]
async fn statistics_count_each_kind() {
    let world = world_with_two().await;
    insta::assert_snapshot!(pretty(&world.get("/audit/stats").await), @r#"
    {
      "by_action": {
        "database_created": 1,
        "made_up": 1
      },
      "by_resource_type": {
        "database": 2
      },
      "by_status": {
        "success": 2
      },
      "by_user": [
        {
          "count": 1,
          "email": "anonymous",
          "user_id": "anonymous"
        },
        {
          "count": 1,
          "email": "admin@dilux.tech",
          "user_id": "dev-user-00000000-0000-0000-0000-000000000000"
        }
      ],
      "total": 2
    }
    "#);
    assert_eq!(world.get("/audit/stats?end_date=2025-12-31").await["total"], 1);
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_a_400() {
    let world = World::new();
    for query in [
        "limit=0",
        "limit=x",
        "offset=-1",
        "start_date=yesterday",
        "end_date=2025-02-30",
        "action=made_up",
        "resource_type=x",
        "status=pending",
    ] {
        world.expect(400, "GET", &format!("/audit?{query}"), None).await;
    }
    world.expect(400, "GET", "/audit/stats?start_date=1", None).await;
    assert_eq!(world.get("/audit?limit=100000").await["count"], 0);
}

#[tokio::test]
async fn storage_that_fails_is_a_503() {
    let world = World::new();
    world.create_database("d-1", json!({})).await;
    for path in ["/audit", "/audit/stats"] {
        world.table("auditlogs").fail(Fault::Read(StorageErrorKind::Unavailable));
        world.expect(503, "GET", path, None).await;
        world.get(path).await;
    }
}

#[tokio::test]
async fn names_are_listed_with_labels() {
    let world = World::new();
    let lines = |answer: &Value, list: &str| -> String {
        let names = answer[list].as_array().unwrap();
        let line = |name: &Value| {
            format!("{}: {}", name["value"].as_str().unwrap(), name["label"].as_str().unwrap())
        };
        names.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(lines(&world.get("/audit/actions").await, "actions"), @"
    create: Create
    update: Update
    delete: Delete
    backup_completed: Backup Completed
    backup_failed: Backup Failed
    backup_deleted: Backup Deleted
    backup_deleted_bulk: Backup Deleted Bulk
    backup_deleted_retention: Backup Deleted Retention
    backup_triggered: Backup Triggered
    backup_downloaded: Backup Downloaded
    database_created: Database Created
    database_updated: Database Updated
    database_deleted: Database Deleted
    database_test_connection: Database Test Connection
    policy_created: Policy Created
    policy_updated: Policy Updated
    policy_deleted: Policy Deleted
    user_created: User Created
    user_updated: User Updated
    user_deleted: User Deleted
    user_login: User Login
    user_logout: User Logout
    access_request_approved: Access Request Approved
    access_request_rejected: Access Request Rejected
    settings_updated: Settings Updated
    backup_cancelled: Backup Cancelled
    restore_requested: Restore Requested
    restore_completed: Restore Completed
    restore_failed: Restore Failed
    restore_cancelled: Restore Cancelled
    backup_pinned: Backup Pinned
    backup_unpinned: Backup Unpinned
    ");
    insta::assert_snapshot!(lines(&world.get("/audit/resource-types").await, "resource_types"), @"
    backup: Backup
    database: Database
    engine: Engine
    policy: Policy
    user: User
    settings: Settings
    access_request: Access Request
    ");
}
