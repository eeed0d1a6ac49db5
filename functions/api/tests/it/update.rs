//! Changing a database.

use serde_json::{Value, json};
use shared::models::StoredSecret;
use shared::secrets::SecretOwner;

use crate::support::{Fault, World, at, pretty};

async fn put(world: &World, change: Value) -> (u16, Value) {
    world.send("PUT", "/databases/d-1", Some(&change)).await
}

/// Returns the password that is stored for the database.
async fn password(world: &World) -> Option<String> {
    use secrecy::ExposeSecret as _;
    let id = "d-1".parse().unwrap();
    let database = world.state.storage.databases.get(&id).await.unwrap().unwrap().value;
    let stored = database.own_login().map_or(StoredSecret::None, |login| login.password.clone());
    let secret = world.state.secrets.read(SecretOwner::Database(&id), &stored).await.unwrap();
    secret.map(|secret| secret.expose_secret().to_owned())
}

#[tokio::test]
async fn only_what_is_given_changes() {
    let world = World::new();
    let before = world.create_database("d-1", json!({"tags": {"a": "1"}, "retention_days": 7})).await;
    world.state.clock.set(at("2026-03-02T00:00:00Z"));
    let change =
        json!({"name": "New", "retention_days": null, "schedule": "0 2 * * *", "port": 3307, "password": ""});
    let (status, answer) = put(&world, change).await;
    assert_eq!(status, 200, "{answer}");
    let mut expected = before.clone();
    for (name, value) in
        [("name", json!("New")), ("retention_days", Value::Null), ("schedule", json!("0 2 * * *"))]
    {
        expected[name] = value;
    }
    expected["port"] = json!(3307);
    expected["updated_at"] = json!("2026-03-02T00:00:00Z");
    assert_eq!(answer["database"], expected);
    assert_eq!(answer["message"], "The database New is changed.");
    assert_eq!(password(&world).await.as_deref(), Some("s3cret-pw"));
    insta::assert_snapshot!(world.audit().await, @r#"
    database_created database d-1 "Orders d-1" by admin@dilux.tech from 203.0.113.7: success -
      {"database_name":"orders","database_type":"mysql","engine_id":null,"host":"db1.example","policy_id":"production-standard","port":3306}
    database_updated database d-1 "New" by admin@dilux.tech from 203.0.113.7: success -
      {"changes":{"name":{"from":"Orders d-1","to":"New"},"port":{"from":3306,"to":3307},"retention_days":{"from":7,"to":null},"schedule":{"from":null,"to":"0 2 * * *"}},"database_type":"mysql","engine_id":null}
    "#);
}

#[tokio::test]
async fn what_the_form_sends_unchanged_is_no_change() {
    let world = World::new();
    let before = world.create_database("d-1", json!({})).await;
    let form = json!({
        "name": before["name"], "database_type": "mysql", "host": "db1.example", "port": 3306,
        "database_name": "orders", "username": "backup", "password": "", "policy_id": "production-standard",
        "use_engine_policy": false, "engine_id": null, "use_engine_credentials": false, "enabled": true,
        "compression": true,
    });
    assert_eq!(put(&world, form).await.1["database"], before);
    assert!(!world.audit().await.contains("changes"));
}

#[tokio::test]
async fn a_new_password_is_stored_and_recorded_without_its_text() {
    let world = World::new();
    world.create_database("d-1", json!({})).await;
    assert_eq!(put(&world, json!({"password": "another-pw"})).await.0, 200);
    assert_eq!(password(&world).await.as_deref(), Some("another-pw"));
    insta::assert_snapshot!(world.audit().await, @r#"
    database_created database d-1 "Orders d-1" by admin@dilux.tech from 203.0.113.7: success -
      {"database_name":"orders","database_type":"mysql","engine_id":null,"host":"db1.example","policy_id":"production-standard","port":3306}
    database_updated database d-1 "Orders d-1" by admin@dilux.tech from 203.0.113.7: success -
      {"changes":{"password":{"from":"***","to":"***"}},"database_type":"mysql","engine_id":null}
    "#);
}

#[tokio::test]
async fn credentials_move_to_the_engine_and_back() {
    let world = World::new();
    let engine = world.create_engine("db9", json!({"engine_type": "postgresql", "port": 5433})).await;
    world.create_database("d-1", json!({})).await;
    // Names a place of its own besides, which must not get the engine's password.
    let to_engine = json!({
        "engine_id": engine, "use_engine_credentials": true, "host": "evil.example", "port": 1, "password": "dropped-pw",
    });
    let (status, answer) = put(&world, to_engine).await;
    assert_eq!(status, 200, "{answer}");
    insta::assert_snapshot!(pretty(&answer["database"]), @r#"
    {
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
      "host": "db9.example",
      "id": "d-1",
      "include_globals": false,
      "include_privileges": false,
      "include_role_passwords": false,
      "include_schemas": [],
      "name": "Orders d-1",
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
      "use_engine_policy": false,
      "username": null
    }
    "#);
    let row = format!("{:?}", world.table("databaseconfigs").rows().await);
    assert!(!row.contains("-pw"), "a password is left behind: {row}");

    let (status, answer) = put(&world, json!({"use_engine_credentials": false, "username": "u"})).await;
    assert_eq!(status, 400, "{answer}");
    insta::assert_snapshot!(answer["error"].as_str().unwrap(), @"password: is required: none is stored for the database's own credentials");
    let (status, answer) = put(&world, json!({"use_engine_credentials": false, "password": "p"})).await;
    assert_eq!(status, 400, "{answer}");
    insta::assert_snapshot!(answer["error"].as_str().unwrap(), @"username: is required with the database's own credentials");
    let (status, answer) = put(&world, json!({"engine_id": null})).await;
    assert_eq!(status, 400, "{answer}");
    insta::assert_snapshot!(answer["error"].as_str().unwrap(), @"use_engine_credentials: needs an engine_id; choose an engine or set it to false");
    let back =
        json!({"use_engine_credentials": false, "username": "u", "password": "own-pw", "engine_id": null});
    let (status, answer) = put(&world, back).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(password(&world).await.as_deref(), Some("own-pw"));
    assert_eq!(answer["database"]["host"], "db9.example");
}

#[tokio::test]
async fn a_database_whose_engine_is_gone_can_still_be_renamed() {
    let world = World::new();
    let engine = world.create_engine("db9", json!({})).await;
    world.create_database("d-1", json!({"engine_id": engine, "use_engine_credentials": true})).await;
    world.state.storage.engines.delete(&engine.parse().unwrap()).await.unwrap();
    let (status, answer) = put(&world, json!({"name": "New", "host": "evil.example"})).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        (&answer["database"]["host"], &answer["database"]["engine_id"]),
        (&json!("db9.example"), &json!(engine))
    );
    assert_eq!(put(&world, json!({"engine_id": engine})).await.0, 404);
}

#[tokio::test]
async fn inheritance_of_policies_can_be_switched() {
    let world = World::new();
    let engine = world.create_engine("db9", json!({})).await;
    world.create_database("d-1", json!({})).await;
    let inherit = json!({"engine_id": engine, "use_engine_policy": true, "policy_id": null});
    let database = &put(&world, inherit).await.1["database"];
    assert_eq!((&database["policy_id"], &database["use_engine_policy"]), (&Value::Null, &json!(true)));
    assert_eq!(world.get("/databases/d-1").await["database"]["policy_id"], Value::Null);
    assert_eq!(put(&world, json!({"engine_id": null})).await.0, 400);
    let database = &put(&world, json!({"use_engine_policy": false})).await.1["database"];
    assert_eq!(database["policy_id"], "production-standard");
}

#[tokio::test]
async fn somebody_elses_change_in_between_is_kept_and_a_second_one_is_a_409() {
    let world = World::new();
    world.create_database("d-1", json!({})).await;
    let table = world.table("databaseconfigs");
    table.fail(Fault::Change);
    assert_eq!(put(&world, json!({"name": "Once"})).await.0, 200);
    table.fail(Fault::Change);
    table.fail(Fault::Change);
    let (status, answer) = put(&world, json!({"name": "Twice"})).await;
    assert_eq!(status, 409);
    insta::assert_snapshot!(answer["error"].as_str().unwrap(), @"Somebody else keeps changing this database; load it again and repeat.");
    assert_eq!(world.get("/databases/d-1").await["database"]["name"], "Once");
}

#[tokio::test]
async fn without_a_secret_store_a_production_password_is_a_503_and_nothing_is_stored() {
    let mut world = World::new();
    world.create_database("d-1", json!({})).await;
    let production = World::with(&[("ENVIRONMENT", "production"), ("AUTH_MODE", "azure")]);
    world.state.secrets = production.state.secrets;
    let (status, answer) = put(&world, json!({"name": "New", "password": "another-pw"})).await;
    assert_eq!(status, 503);
    insta::assert_snapshot!(answer["error"].as_str().unwrap(), @"No secret store is set up, so passwords cannot be kept; set KEY_VAULT_NAME or SECRETS_KEY, or ENVIRONMENT=development on a developer's machine.");
    assert_eq!(put(&world, json!({"name": "New"})).await.0, 200);
    let body = crate::support::database("d-2");
    assert_eq!(world.post("/databases", &body).await.0, 503);
    assert_eq!(world.table("databaseconfigs").rows().await.len(), 1);
}
