//! Databases: create, get, list, statistics.

use serde_json::{Value, json};
use shared::storage::table::{Entity, Key, Properties, Table as _};

use crate::support::{Fault, World, database, pretty};

#[tokio::test]
async fn a_created_database_is_shown_stored_and_recorded() {
    let world = World::new();
    let (status, answer) = world.post("/databases", &database("d-1")).await;
    assert_eq!(status, 201);
    insta::assert_snapshot!(pretty(&answer), @r#"
    {
      "database": {
        "auth_method": null,
        "backup_destination": null,
        "compression": true,
        "compression_format": "gzip",
        "compression_level": null,
        "created_at": "2026-03-01T12:00:00.123456Z",
        "created_by": "admin@dilux.tech",
        "database_name": "orders",
        "database_type": "mysql",
        "dump_timeout_minutes": null,
        "enabled": true,
        "engine_id": null,
        "exclude_table_data": [],
        "exclude_tables": [],
        "host": "db1.example",
        "id": "d-1",
        "include_privileges": false,
        "include_schemas": [],
        "name": "Orders d-1",
        "password_secret_name": null,
        "policy_id": "production-standard",
        "port": 3306,
        "retention_days": null,
        "schedule": null,
        "stall_timeout_minutes": null,
        "tags": {},
        "tls_ca": null,
        "tls_mode": "prefer",
        "updated_at": "2026-03-01T12:00:00.123456Z",
        "use_engine_credentials": false,
        "use_engine_policy": false,
        "username": "backup"
      },
      "message": "The database Orders d-1 is configured."
    }
    "#);
    // No policy is there yet, not even the default one.
    assert_eq!(shown_later(&world, "d-1").await, (answer["database"].clone(), Value::Null));
    insta::assert_snapshot!(world.audit().await, @r#"
    database_created database d-1 "Orders d-1" by admin@dilux.tech from 203.0.113.7: success -
      {"database_name":"orders","database_type":"mysql","engine_id":null,"host":"db1.example","policy_id":"production-standard","port":3306}
    "#);
}

/// Gets a database, and apart from it the member that only lists and gets have.
async fn shown_later(world: &World, id: &str) -> (Value, Value) {
    let mut shown = world.get(&format!("/databases/{id}")).await["database"].clone();
    let next = shown.as_object_mut().unwrap().remove("next_backup_at").unwrap();
    (shown, next)
}

#[tokio::test]
async fn every_member_comes_back() {
    let world = World::new();
    world.state.storage.policies.seed(world.state.clock.now()).await.unwrap();
    let more = json!({
        "name": "  Größe 东京 ", "database_type": "postgresql", "host": "2001:db8::1", "port": 5433,
        "database_name": "we ird'; \"name\"", "auth_method": "user_password", "username": "u@host",
        "policy_id": "development", "enabled": false, "schedule": "CRON_TZ=Europe/Berlin 30 2 * * 1-5",
        "retention_days": 3650, "backup_destination": "own-container", "compression": false,
        "tags": {"team": "a'b", "ü": ""}, "unknown": {"is": ["ignored"]},
        "password_secret_name": "engine-somebody-elses", "created_by": "eve", "created_at": "1999-01-01",
    });
    let created = world.create_database("all", more).await;
    insta::assert_snapshot!(pretty(&created), @r#"
    {
      "auth_method": "user_password",
      "backup_destination": "own-container",
      "compression": false,
      "compression_format": "gzip",
      "compression_level": null,
      "created_at": "2026-03-01T12:00:00.123456Z",
      "created_by": "admin@dilux.tech",
      "database_name": "we ird'; \"name\"",
      "database_type": "postgresql",
      "dump_timeout_minutes": null,
      "enabled": false,
      "engine_id": null,
      "exclude_table_data": [],
      "exclude_tables": [],
      "host": "2001:db8::1",
      "id": "all",
      "include_globals": false,
      "include_privileges": false,
      "include_role_passwords": false,
      "include_schemas": [],
      "name": "Größe 东京",
      "password_secret_name": null,
      "policy_id": "development",
      "port": 5433,
      "retention_days": 3650,
      "schedule": "CRON_TZ=Europe/Berlin 30 2 * * 1-5",
      "stall_timeout_minutes": null,
      "tags": {
        "team": "a'b",
        "ü": ""
      },
      "tls_ca": null,
      "tls_mode": "prefer",
      "updated_at": "2026-03-01T12:00:00.123456Z",
      "use_engine_credentials": false,
      "use_engine_policy": false,
      "username": "u@host"
    }
    "#);
    assert_eq!(shown_later(&world, "all").await, (created, Value::Null));
}

#[tokio::test]
async fn with_engine_credentials_the_engine_says_where() {
    let world = World::new();
    let engine = world.create_engine("db9", json!({})).await;
    let body = json!({
        "name": "Shop", "database_type": "postgresql", "host": "evil.example", "port": 1, "database_name": "shop",
        "engine_id": engine, "use_engine_credentials": true, "username": "root", "password": "",
        "policy_id": "production-standard", "use_engine_policy": true,
    });
    let (status, answer) = world.post("/databases", &body).await;
    assert_eq!(status, 201, "{answer}");
    insta::assert_snapshot!(pretty(&answer), @r#"
    {
      "database": {
        "auth_method": null,
        "backup_destination": null,
        "compression": true,
        "compression_format": "gzip",
        "compression_level": null,
        "created_at": "2026-03-01T12:00:00.123456Z",
        "created_by": "admin@dilux.tech",
        "database_name": "shop",
        "database_type": "mysql",
        "dump_timeout_minutes": null,
        "enabled": true,
        "engine_id": "<id 1>",
        "exclude_table_data": [],
        "exclude_tables": [],
        "host": "db9.example",
        "id": "<id 2>",
        "include_privileges": false,
        "include_schemas": [],
        "name": "Shop",
        "password_secret_name": null,
        "policy_id": "production-standard",
        "port": 3307,
        "retention_days": null,
        "schedule": null,
        "stall_timeout_minutes": null,
        "tags": {},
        "tls_ca": null,
        "tls_mode": "prefer",
        "updated_at": "2026-03-01T12:00:00.123456Z",
        "use_engine_credentials": true,
        "use_engine_policy": true,
        "username": null
      },
      "message": "The database Shop is configured."
    }
    "#);
    let row = &world.table("databaseconfigs").rows().await[0];
    assert!(!format!("{row:?}").contains("s3cret-pw"), "the engine's secret is copied: {row:?}");
}

#[tokio::test]
async fn an_engine_of_sql_server_has_azure_databases_too() {
    let world = World::new();
    let engine = world.create_engine("sql", json!({"engine_type": "sqlserver", "port": 0})).await;
    let body = |kind: &str| {
        json!({
            "name": "x", "database_type": kind, "database_name": "x", "engine_id": engine,
            "use_engine_credentials": true,
        })
    };
    for (wished, got) in [("azure_sql", "azure_sql"), ("sqlserver", "sqlserver"), ("mysql", "sqlserver")] {
        let answer = world.expect(201, "POST", "/databases", Some(&body(wished))).await;
        assert_eq!(
            (&answer["database"]["database_type"], &answer["database"]["port"]),
            (&json!(got), &json!(1433))
        );
    }
}

#[tokio::test]
async fn compression_is_as_the_settings_say_unless_the_body_does() {
    let world = World::new();
    let key = Key::new("settings", "app");
    let created = world.create_database("before", json!({"compression": "(absent)"})).await;
    assert_eq!(created["compression"], true);
    let mut row = Properties::new();
    row.insert("default_compression".to_owned(), false.into());
    row.insert("updated_at".to_owned(), "2026-01-01T00:00:00".into());
    let table = world.table("settings");
    table.insert(&Entity::new(key, row)).await.unwrap();
    let stored = world.get("/settings").await;
    assert_eq!(stored["settings"]["default_compression"], false, "{stored}");
    let created = world.create_database("after", json!({"compression": "(absent)"})).await;
    assert_eq!(created["compression"], false);
    let created = world.create_database("given", json!({"compression": true})).await;
    assert_eq!(created["compression"], true);
}

#[tokio::test]
async fn an_id_can_be_wished_for_once() {
    let world = World::new();
    world.create_database("wish-1", json!({})).await;
    let (status, answer) = world.post("/databases", &database("wish-1")).await;
    assert_eq!(
        (status, answer["error"].as_str()),
        (409, Some("A database with the id wish-1 exists already."))
    );
    let created = world.create_database("(absent)", json!({"id": "(absent)"})).await;
    assert_eq!(created["id"].as_str().map(str::len), Some(36));
}

#[tokio::test]
async fn a_record_that_cannot_be_stored_does_not_fail_the_change() {
    let world = World::new();
    world.table("auditlogs").fail(Fault::Insert);
    world.create_database("d-1", json!({})).await;
    let audit = &world.state.storage.audit;
    assert_eq!((audit.waiting(), audit.lost()), (1, 0));
    audit.flush().await;
    assert_eq!((audit.waiting(), audit.lost()), (0, 0));
    assert!(world.audit().await.starts_with("database_created database d-1"));
}

async fn ids(world: &World, query: &str) -> String {
    let answer = world.get(&format!("/databases?{query}")).await;
    let ids: Vec<&str> = answer["databases"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|database| database["id"].as_str())
        .collect();
    format!(
        "{query}: {} | {} of {} more {}",
        ids.join(" "),
        answer["count"],
        answer["total"],
        answer["has_more"]
    )
}

#[tokio::test]
async fn the_list_is_sorted_filtered_and_paged() {
    let world = World::new();
    world.state.storage.policies.seed(world.state.clock.now()).await.unwrap();
    let engine = world.create_engine("db1", json!({})).await;
    world.create_database("c", json!({"name": "beta", "enabled": false})).await;
    world
        .create_database("b", json!({"name": "Alpha", "database_type": "postgresql", "host": "PG.example"}))
        .await;
    world.create_database("a", json!({"name": "alpha", "database_name": "100%_O'Reilly"})).await;
    world
        .create_database("d", json!({"name": "Gamma", "engine_id": engine, "policy_id": "development"}))
        .await;
    let mut lines = Vec::new();
    for query in [
        "",
        "limit=2",
        "limit=2&offset=2",
        "limit=2&offset=3",
        "offset=99",
        "limit=5000",
        "enabled_only=TRUE",
        "enabled_only=1",
        "type=postgresql",
        "type=",
        "search=ALPHA",
        "search=pg.ex",
        "search=o'reil",
        "search=%25_",
        "host=PG.example",
        "policy_id=development",
        "policy_id=x'%20or%201%20eq%201",
        "engine_id=x'%20or%20PartitionKey%20ge%20'0",
        "unknown=1",
    ] {
        lines.push(ids(&world, query).await);
    }
    lines.push(ids(&world, &format!("engine_id={engine}")).await.replace(&engine, "ENGINE"));
    insta::assert_snapshot!(lines.join("\n"), @"
    : a b c d | 4 of 4 more false
    limit=2: a b | 2 of 4 more true
    limit=2&offset=2: c d | 2 of 4 more false
    limit=2&offset=3: d | 1 of 4 more false
    offset=99:  | 0 of 4 more false
    limit=5000: a b c d | 4 of 4 more false
    enabled_only=TRUE: a b d | 3 of 3 more false
    enabled_only=1: a b c d | 4 of 4 more false
    type=postgresql: b | 1 of 1 more false
    type=: a b c d | 4 of 4 more false
    search=ALPHA: a b | 2 of 2 more false
    search=pg.ex: b | 1 of 1 more false
    search=o'reil: a | 1 of 1 more false
    search=%25_: a | 1 of 1 more false
    host=PG.example: b | 1 of 1 more false
    policy_id=development: d | 1 of 1 more false
    policy_id=x'%20or%201%20eq%201:  | 0 of 0 more false
    engine_id=x'%20or%20PartitionKey%20ge%20'0:  | 0 of 0 more false
    unknown=1: a b c d | 4 of 4 more false
    engine_id=ENGINE: d | 1 of 1 more false
    ");
    let mut errors = Vec::new();
    for query in ["limit=0", "limit=-1", "limit=x", "offset=-1", "offset=1.5", "type=oracle"] {
        let answer = world.expect(400, "GET", &format!("/databases?{query}"), None).await;
        errors.push(answer["error"].as_str().unwrap().to_owned());
    }
    insta::assert_snapshot!(errors.join("\n"), @r#"
    limit: must be a whole number from 1
    limit: must be a whole number from 1
    limit: must be a whole number from 1
    offset: must be a whole number from 0
    offset: must be a whole number from 0
    type: "oracle" is not a known database type; use one of: mysql, postgresql, sqlserver, azure_sql
    "#);
}

#[tokio::test]
async fn names_of_engines_are_joined_where_there_is_one() {
    let world = World::new();
    let engine = world.create_engine("db1", json!({})).await;
    world.create_database("with", json!({"engine_id": engine})).await;
    world.create_database("without", json!({})).await;
    let engine_name = |list: &Value, at: usize| list["databases"][at].get("engine_name").cloned();
    let list = world.get("/databases").await;
    assert_eq!((engine_name(&list, 0), engine_name(&list, 1)), (Some(json!("db1")), None));
    world.state.storage.engines.delete(&engine.parse().unwrap()).await.unwrap();
    let list = world.get("/databases").await;
    assert_eq!((engine_name(&list, 0), &list["databases"][0]["engine_id"]), (None, &json!(engine)));
}

#[tokio::test]
async fn a_row_that_cannot_be_read_hides_nothing_else() {
    let world = World::new();
    world.create_database("good", json!({})).await;
    let mut row = Properties::new();
    row.insert("name".to_owned(), "bad".into());
    row.insert("port".to_owned(), "nonsense".into());
    world.table("databaseconfigs").insert(&Entity::new(Key::new("database", "bad"), row)).await.unwrap();
    let list = world.get("/databases").await;
    assert_eq!((&list["total"], &list["databases"][0]["id"]), (&json!(1), &json!("good")));
    let answer = world.expect(500, "GET", "/databases/bad", None).await;
    assert!(answer["request_id"].is_string() && !answer.to_string().contains("nonsense"), "{answer}");
}

#[tokio::test]
async fn statistics_count_records_and_bytes() {
    let world = World::new();
    world.create_database("d-1", json!({})).await;
    insta::assert_snapshot!(pretty(&world.get("/databases/d-1/backup-stats").await), @r#"
    {
      "count": 0,
      "database_id": "d-1",
      "total_size_bytes": 0,
      "total_size_formatted": "0 B"
    }
    "#);
    world.completed("d-1", "2026-02-01T02:00:00Z", "backups", 1000).await;
    world.completed("d-1", "2026-02-02T02:00:00Z", "backups", 572).await;
    world.expect(202, "POST", "/databases/d-1/backup", None).await;
    insta::assert_snapshot!(pretty(&world.get("/databases/d-1/backup-stats").await), @r#"
    {
      "count": 3,
      "database_id": "d-1",
      "total_size_bytes": 1572,
      "total_size_formatted": "1.54 KB"
    }
    "#);
}
