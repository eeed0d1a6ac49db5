//! Health, version, settings, policies and the calling user.

use serde_json::json;
use shared::storage::StorageErrorKind;

use crate::support::{Fault, World, pretty};

#[tokio::test]
async fn is_healthy_while_storage_answers() {
    let world = World::new();
    insta::assert_snapshot!(pretty(&world.get("/health").await), @r#"
    {
      "service": "dilux-backup-api",
      "status": "healthy",
      "timestamp": "2026-03-01T12:00:00.123456Z",
      "version": "1.0.0"
    }
    "#);
    world.table("settings").fail(Fault::Read(StorageErrorKind::Unavailable));
    insta::assert_snapshot!(pretty(&world.expect(503, "GET", "/health", None).await), @r#"
    {
      "error": "The storage of this service cannot be used.",
      "request_id": "r-1",
      "service": "dilux-backup-api",
      "status": "unhealthy",
      "timestamp": "2026-03-01T12:00:00.123456Z",
      "version": "1.0.0"
    }
    "#);
    world.get("/health").await;
}

#[tokio::test]
async fn tells_its_version() {
    let world = World::with(&[("APP_VERSION", "2.3.4"), ("INSTALLATION_ID", "here")]);
    insta::assert_snapshot!(pretty(&world.get("/version").await), @r#"
    {
      "environment": "development",
      "installation_id": "here",
      "version": "2.3.4"
    }
    "#);
}

#[tokio::test]
async fn shows_the_default_settings() {
    let world = World::with(&[("BACKUP_RETENTION_DAYS", "45")]);
    insta::assert_snapshot!(pretty(&world.get("/settings").await), @r#"
    {
      "settings": {
        "access_requests_enabled": true,
        "dark_mode": false,
        "default_compression": true,
        "default_retention_days": 45,
        "updated_at": "2026-03-01T12:00:00.123456Z"
      }
    }
    "#);
}

#[tokio::test]
async fn lists_the_policies_system_ones_first() {
    let world = World::new();
    world.state.storage.policies.seed(world.state.clock.now()).await.unwrap();
    let answer = world.get("/backup-policies").await;
    assert_eq!(answer["count"], 3);
    let names: Vec<_> = answer["policies"].as_array().unwrap().iter().map(|policy| &policy["name"]).collect();
    assert_eq!(names, ["Development", "Production Critical", "Production Standard"]);
    insta::assert_snapshot!(pretty(&answer["policies"][2]), @r#"
    {
      "created_at": "2026-03-01T12:00:00.123456Z",
      "daily": {
        "day_of_month": 1,
        "day_of_week": 0,
        "enabled": true,
        "interval_hours": 1,
        "keep_count": 7,
        "month": 1,
        "time": "02:00"
      },
      "description": "All five tiers with a balanced history; the default",
      "hourly": {
        "day_of_month": 1,
        "day_of_week": 0,
        "enabled": true,
        "interval_hours": 1,
        "keep_count": 12,
        "month": 1,
        "time": "02:00"
      },
      "id": "production-standard",
      "is_system": true,
      "monthly": {
        "day_of_month": 1,
        "day_of_week": 0,
        "enabled": true,
        "interval_hours": 1,
        "keep_count": 2,
        "month": 1,
        "time": "04:00"
      },
      "name": "Production Standard",
      "time_zone": "UTC",
      "updated_at": "2026-03-01T12:00:00.123456Z",
      "weekly": {
        "day_of_month": 1,
        "day_of_week": 0,
        "enabled": true,
        "interval_hours": 1,
        "keep_count": 4,
        "month": 1,
        "time": "03:00"
      },
      "yearly": {
        "day_of_month": 1,
        "day_of_week": 0,
        "enabled": true,
        "interval_hours": 1,
        "keep_count": 1,
        "month": 1,
        "time": "05:00"
      }
    }
    "#);
}

#[tokio::test]
async fn counts_who_uses_a_policy() {
    let world = World::new();
    world.state.storage.policies.seed(world.state.clock.now()).await.unwrap();
    let engine = world.create_engine("db1", json!({"policy_id": "production-critical"})).await;
    world.create_database("own", json!({"policy_id": "production-critical"})).await;
    world.create_database("other", json!({"policy_id": "development"})).await;
    let inherits = json!({"engine_id": engine, "use_engine_policy": true, "policy_id": null});
    world.create_database("inherits", inherits).await;
    world.create_database("does-not", json!({"engine_id": engine})).await;
    let answer = world.get("/backup-policies/production-critical").await;
    assert_eq!((&answer["usage_count"], &answer["policy"]["id"]), (&json!(2), &json!("production-critical")));
    assert_eq!(world.get("/backup-policies/production-standard").await["usage_count"], 1);
    world.expect(404, "GET", "/backup-policies/none", None).await;
}

#[tokio::test]
async fn the_mock_user_is_made_at_its_first_use() {
    let world = World::new();
    insta::assert_snapshot!(pretty(&world.get("/users/me").await), @r#"
    {
      "is_first_run": true,
      "user": {
        "created_at": "2026-03-01T12:00:00.123456Z",
        "created_by": null,
        "dark_mode": false,
        "email": "admin@dilux.tech",
        "enabled": true,
        "id": "dev-user-00000000-0000-0000-0000-000000000000",
        "last_login": null,
        "name": "Dev Admin",
        "page_size": 25,
        "role": "admin",
        "updated_at": "2026-03-01T12:00:00.123456Z"
      }
    }
    "#);
    assert_eq!(world.get("/users/me").await["is_first_run"], false);
    assert_eq!(world.table("users").rows().await.len(), 1);
}

#[tokio::test]
async fn whoever_has_not_signed_in_is_told_to() {
    let world = World::with(&[("AUTH_MODE", "azure")]);
    insta::assert_snapshot!(world.expect(401, "GET", "/users/me", None).await, @r#"{"error":"Sign-in with the directory is required.","request_id":"r-1"}"#);
    world.get("/settings").await;
}
