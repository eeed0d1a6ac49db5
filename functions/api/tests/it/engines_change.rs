//! Changing, testing and deleting engines.

use std::net::TcpListener;
use std::sync::Arc;

use serde_json::{Value, json};
use shared::models::StoredSecret;
use shared::secrets::SecretOwner;
use shared::storage::{BlobCall, Fault as BlobFault, FaultyBlobs, StorageErrorKind};

use crate::support::{Fault, World, at, pretty};

async fn put(world: &World, id: &str, change: Value) -> (u16, Value) {
    world.send("PUT", &format!("/engines/{id}"), Some(&change)).await
}

/// Returns the password that is stored for an engine.
async fn password(world: &World, id: &str) -> Option<String> {
    use secrecy::ExposeSecret as _;
    let id = id.parse().unwrap();
    let engine = world.state.storage.engines.get(&id).await.unwrap().unwrap().value;
    let stored: &StoredSecret = &engine.login.password;
    let secret = world.state.secrets.read(SecretOwner::Engine(&id), stored).await.unwrap();
    secret.map(|secret| secret.expose_secret().to_owned())
}

fn last(audit: &str, lines: usize) -> String {
    audit.lines().rev().take(lines).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn only_what_is_given_changes() {
    let world = World::new();
    let id = world.create_engine("db1", json!({})).await;
    let before = world.get(&format!("/engines/{id}")).await;
    world.state.clock.set(at("2026-03-02T00:00:00Z"));
    let form = json!({
        "name": "New", "engine_type": "mysql", "host": "DB1.example", "port": 3307, "username": "admin",
        "password": "", "policy_id": "development",
    });
    let (status, answer) = put(&world, &id, form).await;
    assert_eq!(status, 200, "{answer}");
    let mut expected = before;
    for (name, value) in [("name", "New"), ("username", "admin"), ("policy_id", "development")] {
        expected[name] = json!(value);
    }
    expected["updated_at"] = json!("2026-03-02T00:00:00Z");
    assert_eq!(answer, json!({"engine": expected}));
    assert_eq!(world.get(&format!("/engines/{id}")).await, expected);
    assert_eq!(password(&world, &id).await.as_deref(), Some("s3cret-pw"));
    let secrets =
        json!({"password": "another-pw", "connection_string": "Server=x;Password=third-pw", "port": 0});
    assert_eq!(put(&world, &id, secrets).await.0, 200);
    assert_eq!(password(&world, &id).await.as_deref(), Some("another-pw"));
    insta::assert_snapshot!(last(&world.audit().await, 4), @r#"
    update engine <id 1> "New" by admin@dilux.tech from 203.0.113.7: success -
      {"engine_id":"<id 1>","engine_type":"mysql","updated_fields":["name","policy_id","username"]}
    update engine <id 1> "New" by admin@dilux.tech from 203.0.113.7: success -
      {"engine_id":"<id 1>","engine_type":"mysql","updated_fields":["password","connection_string"]}
    "#);
}

#[tokio::test]
async fn credentials_follow_what_is_left_of_them() {
    let world = World::new();
    let id = world.create_engine("db1", json!({})).await;
    let mut lines = Vec::new();
    for change in [
        json!({"auth_method": null}),
        json!({"username": null}),
        json!({"username": "u", "password": "p"}),
        json!({"auth_method": "connection_string"}),
        json!({"connection_string": "Server=x"}),
        json!({"auth_method": "managed_identity"}),
        json!({"auth_method": "user_password", "policy_id": "development"}),
        json!({"policy_id": ""}),
    ] {
        let text = change.to_string();
        let (status, answer) = put(&world, &id, change).await;
        let engine = &answer["engine"];
        let members = ["auth_method", "username", "discovery_enabled", "policy_id"];
        let shown = members.map(|member| engine[member].to_string()).join(" ");
        lines.push(format!("{text} -> {status} {shown}"));
    }
    insta::assert_snapshot!(lines.join("\n"), @r#"
    {"auth_method":null} -> 200 null "root" true null
    {"username":null} -> 200 null null false null
    {"password":"p","username":"u"} -> 200 "user_password" "u" true null
    {"auth_method":"connection_string"} -> 200 "connection_string" "u" false null
    {"connection_string":"Server=x"} -> 200 "connection_string" "u" true null
    {"auth_method":"managed_identity"} -> 200 "managed_identity" "u" true null
    {"auth_method":"user_password","policy_id":"development"} -> 200 "user_password" "u" true "development"
    {"policy_id":""} -> 200 "user_password" "u" true null
    "#);
}

#[tokio::test]
async fn how_many_dumps_it_bears_at_once_can_be_said() {
    let world = World::new();
    let id = world.create_engine("db1", json!({"max_concurrent_backups": 5})).await;
    let mut lines = vec![world.get(&format!("/engines/{id}")).await["max_concurrent_backups"].to_string()];
    for value in [json!(1), json!(100), json!(0), json!(101), json!("2"), json!(1.5), json!(null)] {
        let (status, answer) = put(&world, &id, json!({"max_concurrent_backups": value})).await;
        lines.push(format!("{status} {} {}", answer["engine"]["max_concurrent_backups"], answer["error"]));
    }
    let (_, answer) = put(&world, &id, json!({"name": "other"})).await;
    lines.push(answer["engine"]["max_concurrent_backups"].to_string());
    insta::assert_snapshot!(lines.join("\n"), @r#"
    5
    200 1 null
    200 100 null
    400 null "max_concurrent_backups: must be a whole number from 1 to 100, not 0"
    400 null "max_concurrent_backups: must be a whole number from 1 to 100, not 101"
    400 null "max_concurrent_backups: must be a whole number from 1 to 100, not a text"
    400 null "max_concurrent_backups: must be a whole number from 1 to 100, not 1.5"
    200 2 null
    2
    "#);
}

#[tokio::test]
async fn what_is_wrong_is_refused_with_its_name_and_stores_nothing() {
    let world = World::new();
    let id = world.create_engine("db1", json!({"password": null})).await;
    world.create_database("d-1", json!({"engine_id": id})).await;
    let (engines, databases) =
        (world.table("engines").rows().await, world.table("databaseconfigs").rows().await);
    let audit = world.audit().await;
    let mut lines = Vec::new();
    for change in [
        json!({"name": ""}),
        json!({"name": null}),
        json!({"name": "a\u{2066}b"}),
        json!({"engine_type": "postgresql"}),
        json!({"host": "db2.example"}),
        json!({"host": "db1.ex\u{430}mple"}),
        json!({"host": null}),
        json!({"port": 3306}),
        json!({"port": 99999}),
        json!({"auth_method": "kerberos"}),
        json!({"auth_method": 1}),
        json!({"username": "-x"}),
        json!({"password": 5}),
        json!({"connection_string": {}}),
        json!({"policy_id": "none"}),
        json!({"policy_id": 5}),
        json!({"apply_to_all_databases": "yes"}),
        json!({"apply_policy_to_all_databases": null}),
        json!({"apply_to_all_databases": true}),
    ] {
        let (status, answer) = put(&world, &id, change).await;
        lines.push(format!("{status} {}", answer["error"].as_str().unwrap_or("ACCEPTED")));
    }
    insta::assert_snapshot!(lines.join("\n"), @r#"
    400 name: must be 1 to 100 characters, without control characters
    400 name: must not be empty or null
    400 name: must not have invisible or direction-changing characters
    400 engine_type: cannot be changed; add another server instead
    400 host: cannot be changed; add another server instead
    400 host: must be a host name or an address, without anything around it; write names with other letters in their ASCII form (xn--…)
    400 host: must not be empty or null
    400 port: cannot be changed; add another server instead
    400 port: must be a whole number from 0 to 65535, not 99999
    400 auth_method: "kerberos" is not a known authentication method; use one of: user_password, managed_identity, azure_ad, connection_string
    400 auth_method: must be a text, not 1
    400 username: must be 1 to 256 characters without control characters, and must not begin with a hyphen
    400 password: must be a text
    400 connection_string: must be a text
    400 policy_id: there is no backup policy none; choose one of the list
    400 policy_id: must be a text, not 5
    400 apply_to_all_databases: must be true or false, not a text
    400 apply_policy_to_all_databases: must not be empty or null
    400 apply_to_all_databases: the server itself has no complete credentials; enter them first
    "#);
    assert_eq!(world.table("engines").rows().await, engines);
    assert_eq!(world.table("databaseconfigs").rows().await, databases);
    assert_eq!(world.audit().await, audit);
    assert_eq!(put(&world, "none", json!({})).await.0, 404);
}

#[tokio::test]
async fn its_databases_take_over_credentials_and_policy() {
    let world = World::new();
    let id = world.create_engine("db1", json!({"engine_type": "postgresql", "port": 5433})).await;
    let other = world.create_engine("db2", json!({})).await;
    world.create_database("a", json!({"engine_id": id})).await;
    world.create_database("b", json!({"engine_id": id, "use_engine_credentials": true})).await;
    world.create_database("c", json!({"engine_id": other})).await;
    world.create_database("d", json!({})).await;
    world.state.storage.policies.seed(world.state.clock.now()).await.unwrap();
    let untouched = [world.get("/databases/c").await, world.get("/databases/d").await];
    let change = json!({"policy_id": "development", "apply_to_all_databases": true, "apply_policy_to_all_databases": true});
    let (status, answer) = put(&world, &id, change.clone()).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!((&answer["databases_updated"], &answer["databases_policy_updated"]), (&json!(1), &json!(2)));
    assert_eq!(answer["engine"]["database_count"], 2);
    insta::assert_snapshot!(pretty(&world.get("/databases/a").await), @r#"
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
        "database_type": "postgresql",
        "dump_timeout_minutes": null,
        "enabled": true,
        "engine_id": "<id 1>",
        "exclude_table_data": [],
        "exclude_tables": [],
        "host": "db1.example",
        "id": "a",
        "include_globals": false,
        "include_privileges": false,
        "include_role_passwords": false,
        "include_schemas": [],
        "name": "Orders a",
        "next_backup_at": "2026-03-02T02:00:00Z",
        "password_secret_name": null,
        "policy_id": "production-standard",
        "port": 5433,
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
      }
    }
    "#);
    let row = format!("{:?}", world.table("databaseconfigs").rows().await[0]);
    assert!(row.contains("\"a\"") && !row.contains("s3cret-pw"), "{row}");
    assert_eq!([world.get("/databases/c").await, world.get("/databases/d").await], untouched);
    insta::assert_snapshot!(last(&world.audit().await, 6), @r#"
    update engine <id 1> "db1" by admin@dilux.tech from 203.0.113.7: success -
      {"engine_id":"<id 1>","engine_type":"postgresql","updated_fields":["policy_id"]}
    database_updated database a "Orders a" by admin@dilux.tech from 203.0.113.7: success -
      {"changes":{"database_type":{"from":"mysql","to":"postgresql"},"include_globals":{"from":null,"to":false},"include_role_passwords":{"from":null,"to":false},"port":{"from":3306,"to":5433},"use_engine_credentials":{"from":false,"to":true},"use_engine_policy":{"from":false,"to":true},"username":{"from":"backup","to":null}},"database_type":"postgresql","engine_id":"<id 1>"}
    database_updated database b "Orders b" by admin@dilux.tech from 203.0.113.7: success -
      {"changes":{"use_engine_policy":{"from":false,"to":true}},"database_type":"postgresql","engine_id":"<id 1>"}
    "#);
    // A second time there is nothing left to do.
    let audit = world.audit().await.lines().count();
    let (_, answer) = put(&world, &id, change).await;
    assert_eq!((&answer["databases_updated"], &answer["databases_policy_updated"]), (&json!(0), &json!(0)));
    assert_eq!(world.audit().await.lines().count(), audit + 2, "only the engine's own record");
    // Without a policy there is none to follow.
    let none = json!({"policy_id": null, "apply_policy_to_all_databases": true});
    assert_eq!(put(&world, &other, none).await.1["databases_policy_updated"], Value::Null);
    assert_eq!(world.get("/databases/c").await["database"]["use_engine_policy"], false);
}

#[tokio::test]
async fn a_change_that_did_not_end_is_sent_again() {
    let world = World::new();
    let id = world.create_engine("db1", json!({})).await;
    for name in ["a", "b", "c"] {
        world.create_database(name, json!({"engine_id": id})).await;
    }
    let change = json!({"password": "another-pw", "apply_to_all_databases": true});
    // The rows are: the list, one database, and then storage is gone.
    world.table("databaseconfigs").fail_read_after(2, StorageErrorKind::Unavailable);
    assert_eq!(put(&world, &id, change.clone()).await.0, 503);
    let follows = async |name: &str| {
        world.get(&format!("/databases/{name}")).await["database"]["use_engine_credentials"].clone()
    };
    assert_eq!(
        [follows("a").await, follows("b").await, follows("c").await],
        [true, false, false].map(Value::from)
    );
    let (status, answer) = put(&world, &id, change).await;
    assert_eq!((status, &answer["databases_updated"]), (200, &json!(2)));
    assert_eq!(
        [follows("a").await, follows("b").await, follows("c").await],
        [true, true, true].map(Value::from)
    );
    let audit = world.audit().await;
    assert_eq!(audit.matches("database_updated database").count(), 3, "{audit}");
    assert_eq!(password(&world, &id).await.as_deref(), Some("another-pw"));
}

#[tokio::test]
async fn somebody_elses_change_of_a_database_is_kept() {
    let world = World::new();
    let id = world.create_engine("db1", json!({})).await;
    world.create_database("a", json!({"engine_id": id})).await;
    world.table("databaseconfigs").fail(Fault::Change);
    let (status, answer) = put(&world, &id, json!({"apply_to_all_databases": true})).await;
    assert_eq!((status, &answer["databases_updated"]), (200, &json!(1)));
}

#[tokio::test]
async fn an_engine_of_an_earlier_system_moves_when_it_is_changed() {
    let world = World::new();
    let id = world.create_engine("db1", json!({})).await;
    world.move_rows("engines", "databaseconfigs").await;
    assert_eq!(put(&world, &id, json!({"name": "New"})).await.0, 200);
    assert_eq!(put(&world, &id, json!({"name": "Newer"})).await.0, 200);
    assert_eq!(world.get("/engines").await["total"], 1);
    assert_eq!(world.get(&format!("/engines/{id}")).await["name"], "Newer");
    world.expect(200, "DELETE", &format!("/engines/{id}"), None).await;
    assert!(
        world.table("databaseconfigs").rows().await.is_empty()
            && world.table("engines").rows().await.is_empty()
    );
}

async fn with_databases() -> (World, String) {
    let world = World::new();
    let id = world.create_engine("db1", json!({})).await;
    world.create_database("a", json!({"engine_id": id})).await;
    world.create_database("b", json!({"engine_id": id, "use_engine_credentials": true})).await;
    world.create_database("c", json!({})).await;
    for (database, hour) in [("a", "02"), ("b", "03"), ("c", "04")] {
        world.completed(database, &format!("2026-02-01T{hour}:00:00Z"), "backups", 10).await;
    }
    (world, id)
}

#[tokio::test]
async fn an_engine_without_databases_just_goes() {
    let world = World::new();
    let id = world.create_engine("db1", json!({})).await;
    let answer = world.expect(200, "DELETE", &format!("/engines/{id}?delete_backups=true"), None).await;
    insta::assert_snapshot!(pretty(&answer), @r#"
    {
      "deleted": true,
      "message": "The server db1 is deleted."
    }
    "#);
    insta::assert_snapshot!(last(&world.audit().await, 2), @r#"
    delete engine <id 1> "db1" by admin@dilux.tech from 203.0.113.7: success -
      {"cascade_backups":false,"cascade_databases":false,"databases_deleted":0,"engine_id":"<id 1>","engine_type":"mysql","host":"db1.example"}
    "#);
    world.expect(404, "DELETE", &format!("/engines/{id}"), None).await;
}

#[tokio::test]
async fn an_engine_with_databases_stays_unless_they_are_named() {
    let (world, id) = with_databases().await;
    for query in ["", "?delete_backups=true", "?delete_databases=false"] {
        let answer = world.expect(400, "DELETE", &format!("/engines/{id}{query}"), None).await;
        assert_eq!(
            answer["error"],
            "The server db1 still has 2 databases; delete them first, or ask for delete_databases."
        );
    }
    world.spoil("databaseconfigs", "port").await;
    world.expect(400, "DELETE", &format!("/engines/{id}"), None).await;
    assert_eq!(world.table("databaseconfigs").rows().await.len(), 3);
}

#[tokio::test]
async fn its_databases_go_and_their_backups_stay() {
    let (world, id) = with_databases().await;
    let answer = world.expect(200, "DELETE", &format!("/engines/{id}?delete_databases=true"), None).await;
    insta::assert_snapshot!(pretty(&answer), @r#"
    {
      "databases_deleted": 2,
      "deleted": true,
      "message": "The server db1 and 2 databases are deleted."
    }
    "#);
    assert_eq!(world.table("databaseconfigs").rows().await.len(), 1);
    assert_eq!(world.table("backuphistory").rows().await.len(), 3);
    insta::assert_snapshot!(last(&world.audit().await, 6), @r#"
    database_deleted database a "Orders a" by admin@dilux.tech from 203.0.113.7: success -
      {"cascade_from_engine":"<id 1>","database_name":"orders","database_type":"mysql","engine_id":"<id 1>","host":"db1.example","port":3306}
    database_deleted database b "Orders b" by admin@dilux.tech from 203.0.113.7: success -
      {"cascade_from_engine":"<id 1>","database_name":"orders","database_type":"mysql","engine_id":"<id 1>","host":"db1.example","port":3307}
    delete engine <id 1> "db1" by admin@dilux.tech from 203.0.113.7: success -
      {"cascade_backups":false,"cascade_databases":true,"databases_deleted":2,"engine_id":"<id 1>","engine_type":"mysql","host":"db1.example"}
    "#);
}

#[tokio::test]
async fn its_databases_go_with_their_backups() {
    let (mut world, id) = with_databases().await;
    let refuse = BlobFault::Refuse(StorageErrorKind::Denied);
    world.state.storage.blobs =
        Arc::new(FaultyBlobs::new(world.blobs.clone()).with(BlobCall::Delete, 1, refuse));
    let path = format!("/engines/{id}?delete_databases=true&delete_backups=true");
    let answer = world.expect(200, "DELETE", &path, None).await;
    insta::assert_snapshot!(pretty(&answer), @r#"
    {
      "backups_deleted": {
        "deleted_files": 1,
        "deleted_records": 1,
        "errors": [
          "backups/mysql/a/20260201_020000.sql.gz: this service may not delete files; check its key or its roles on the storage account"
        ]
      },
      "databases_deleted": 2,
      "deleted": true,
      "message": "The server db1 and 2 databases are deleted."
    }
    "#);
    assert_eq!(world.table("databaseconfigs").rows().await.len(), 1);
    insta::assert_snapshot!(last(&world.audit().await, 6), @r#"
    database_deleted database a "Orders a" by admin@dilux.tech from 203.0.113.7: success -
      {"backups_deleted":0,"cascade_from_engine":"<id 1>","database_name":"orders","database_type":"mysql","engine_id":"<id 1>","host":"db1.example","port":3306,"records_deleted":0}
    database_deleted database b "Orders b" by admin@dilux.tech from 203.0.113.7: success -
      {"backups_deleted":1,"cascade_from_engine":"<id 1>","database_name":"orders","database_type":"mysql","engine_id":"<id 1>","host":"db1.example","port":3307,"records_deleted":1}
    delete engine <id 1> "db1" by admin@dilux.tech from 203.0.113.7: success -
      {"cascade_backups":true,"cascade_databases":true,"databases_deleted":2,"engine_id":"<id 1>","engine_type":"mysql","host":"db1.example"}
    "#);
}

#[tokio::test]
async fn a_deletion_that_did_not_end_is_sent_again() {
    let (world, id) = with_databases().await;
    let path = format!("/engines/{id}?delete_databases=true&delete_backups=true");
    // Storage goes away when the second database is to go, whose backups are gone by then.
    world.table("databaseconfigs").fail(Fault::SecondDelete);
    world.expect(503, "DELETE", &path, None).await;
    world.expect(404, "GET", "/databases/a", None).await;
    world.get(&format!("/engines/{id}")).await;
    let answer = world.expect(200, "DELETE", &path, None).await;
    assert_eq!(
        (&answer["databases_deleted"], &answer["backups_deleted"]["deleted_files"]),
        (&json!(1), &json!(0))
    );
    let audit = world.audit().await;
    assert_eq!(audit.matches("database_deleted database").count(), 2, "{audit}");
    assert_eq!(audit.matches("delete engine").count(), 1, "{audit}");
}

#[tokio::test]
async fn a_test_goes_to_the_engines_own_place() {
    let world = World::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (kind, name) in [("mysql", "a"), ("postgresql", "b"), ("sqlserver", "c")] {
        let id =
            world.create_engine(name, json!({"engine_type": kind, "host": "127.0.0.1", "port": port})).await;
        let answer = world.expect(200, "POST", &format!("/engines/{id}/test"), None).await;
        assert_eq!(answer["success"], false);
        assert!(answer["latency_ms"].as_f64().unwrap() >= 0.0);
        // The client of SQL Server comes from its vendor, so it is not on every machine that runs this.
        let classes: &[&str] =
            if kind == "sqlserver" { &["ConnectionFailed", "ToolNotFound"] } else { &["ConnectionFailed"] };
        assert!(classes.iter().any(|class| answer["error_type"] == *class), "{answer}");
        assert!(!answer["message"].as_str().unwrap().contains("s3cret-pw"), "{answer}");
    }
    // The web application shows the reason of a test that came to nothing only when the test is answered.
    let by_token = json!({"host": "elsewhere.example", "auth_method": "managed_identity", "password": null});
    let id = world.create_engine("t", by_token).await;
    let answer = world.expect(200, "POST", &format!("/engines/{id}/test"), None).await;
    assert_eq!((&answer["success"], &answer["error_type"]), (&json!(false), &json!("ConnectionFailed")));
    assert!(answer["message"].as_str().unwrap().contains("TOKEN_HOSTS"), "{answer}");
    let id = world.create_engine("d", json!({"password": null})).await;
    let answer = world.expect(400, "POST", &format!("/engines/{id}/test"), None).await;
    insta::assert_snapshot!(answer["error"].as_str().unwrap(), @"No password is stored for d; edit it and enter one.");
    world.expect(404, "POST", "/engines/none/test", None).await;
}
