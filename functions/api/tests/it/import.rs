//! Importing databases of an engine.

use serde_json::{Value, json};
use shared::storage::StorageErrorKind;

use crate::support::{Fault, World, pretty};

async fn import(world: &World, id: &str, body: Value) -> (u16, Value) {
    world.post(&format!("/engines/{id}/databases"), &body).await
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "the whole of two answers")]
async fn each_database_is_configured_on_the_engines_place() {
    let world = World::new();
    let id = world.create_engine("db1", json!({"engine_type": "postgresql", "port": 5433})).await;
    world.expect(200, "PUT", "/settings", Some(&json!({"default_compression": false}))).await;
    let wishes = json!([{"name": "shop", "alias": " The shop "}, {"name": "crm", "policy_id": "development", "alias": ""}]);
    let (status, answer) = import(&world, &id, json!({"databases": wishes, "host": "evil.example"})).await;
    assert_eq!(status, 201, "{answer}");
    insta::assert_snapshot!(pretty(&answer), @r#"
    {
      "created": [
        {
          "auth_method": null,
          "backup_destination": null,
          "compression": false,
          "compression_format": "gzip",
          "compression_level": null,
          "created_at": "2026-03-01T12:00:00.123456Z",
          "created_by": "admin@dilux.tech",
          "database_name": "shop",
          "database_type": "postgresql",
          "dump_timeout_minutes": null,
          "enabled": true,
          "engine_id": "<id 1>",
          "exclude_table_data": [],
          "exclude_tables": [],
          "host": "db1.example",
          "id": "<id 2>",
          "include_globals": false,
          "include_privileges": false,
          "include_role_passwords": false,
          "include_schemas": [],
          "name": "The shop",
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
        },
        {
          "auth_method": null,
          "backup_destination": null,
          "compression": false,
          "compression_format": "gzip",
          "compression_level": null,
          "created_at": "2026-03-01T12:00:00.123456Z",
          "created_by": "admin@dilux.tech",
          "database_name": "crm",
          "database_type": "postgresql",
          "dump_timeout_minutes": null,
          "enabled": true,
          "engine_id": "<id 1>",
          "exclude_table_data": [],
          "exclude_tables": [],
          "host": "db1.example",
          "id": "<id 3>",
          "include_globals": false,
          "include_privileges": false,
          "include_role_passwords": false,
          "include_schemas": [],
          "name": "crm",
          "password_secret_name": null,
          "policy_id": "development",
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
      ],
      "errors": [],
      "total_created": 2,
      "total_errors": 0
    }
    "#);
    let listed = world.get("/databases").await;
    assert_eq!(listed["total"], 2);
    let own = answer["created"][0]["id"].as_str().unwrap();
    let mut shown = world.get(&format!("/databases/{own}")).await["database"].clone();
    crate::support::merge(&mut shown, json!({"next_backup_at": "(absent)"}));
    assert_eq!(shown, answer["created"][0]);
    insta::assert_snapshot!(world.audit().await, @r#"
    create engine <id 1> "db1" by admin@dilux.tech from 203.0.113.7: success -
      {"engine_id":"<id 1>","engine_type":"postgresql","host":"db1.example","port":5433}
    settings_updated settings app-settings "Application Settings" by admin@dilux.tech from 203.0.113.7: success -
      {"changes":{"default_compression":{"from":true,"to":false}}}
    database_created database <id 2> "The shop" by admin@dilux.tech from 203.0.113.7: success -
      {"database_name":"shop","database_type":"postgresql","engine_id":"<id 1>","from_discovery":true,"host":"db1.example","policy_id":"production-standard","port":5433}
    database_created database <id 3> "crm" by admin@dilux.tech from 203.0.113.7: success -
      {"database_name":"crm","database_type":"postgresql","engine_id":"<id 1>","from_discovery":true,"host":"db1.example","policy_id":"development","port":5433}
    "#);
}

#[tokio::test]
async fn without_a_choice_the_engines_policy_is_taken() {
    let world = World::new();
    let id = world.create_engine("db1", json!({"policy_id": "development"})).await;
    let wishes = json!([{"name": "a"}, {"name": "b", "policy_id": ""}, {"name": "c", "policy_id": "production-critical"}]);
    let (_, answer) = import(&world, &id, json!({"databases": wishes})).await;
    let shown: Vec<String> = answer["created"]
        .as_array()
        .unwrap()
        .iter()
        .map(|database| {
            format!("{} {} {}", database["name"], database["policy_id"], database["use_engine_policy"])
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    "a" null true
    "b" null true
    "c" "production-critical" false
    "#);
}

#[tokio::test]
async fn what_is_there_already_comes_back_as_an_error() {
    let world = World::new();
    let id = world.create_engine("db1", json!({})).await;
    world.create_database("d-1", json!({"engine_id": id, "database_name": "shop"})).await;
    let wishes =
        json!([{"name": "shop"}, {"name": "crm"}, {"name": "crm"}, {"name": "erp", "policy_id": "none"}]);
    let (status, answer) = import(&world, &id, json!({"databases": wishes})).await;
    assert_eq!((status, &answer["total_created"], &answer["total_errors"]), (201, &json!(1), &json!(3)));
    insta::assert_snapshot!(pretty(&answer["errors"]), @r#"
    [
      {
        "database": "shop",
        "error": "is configured for this server already"
      },
      {
        "database": "crm",
        "error": "is configured for this server already"
      },
      {
        "database": "erp",
        "error": "policy_id: there is no backup policy none; choose one of the list"
      }
    ]
    "#);
    // The same again has nothing left to do, which is a 400 that says so.
    let (status, answer) =
        import(&world, &id, json!({"databases": [{"name": "shop"}, {"name": "crm"}]})).await;
    assert_eq!(status, 400);
    insta::assert_snapshot!(pretty(&answer), @r#"
    {
      "created": [],
      "error": "None of the databases could be imported.",
      "errors": [
        {
          "database": "shop",
          "error": "is configured for this server already"
        },
        {
          "database": "crm",
          "error": "is configured for this server already"
        }
      ],
      "request_id": "r-1",
      "total_created": 0,
      "total_errors": 2
    }
    "#);
    assert_eq!(world.get("/databases").await["total"], 2);
}

#[tokio::test]
async fn what_is_wrong_is_refused_as_a_whole() {
    let world = World::new();
    let id = world.create_engine("db1", json!({"password": null})).await;
    let mut lines = Vec::new();
    let many: Vec<Value> = (0..501).map(|number| json!({"name": number.to_string()})).collect();
    for body in [
        json!({}),
        json!({"databases": []}),
        json!({"databases": null}),
        json!({"databases": {"name": "a"}}),
        json!({"databases": ["a"]}),
        json!({"databases": many}),
        json!({"databases": [{"name": "a"}, {}]}),
        json!({"databases": [{"name": "a"}, {"name": null}]}),
        json!({"databases": [{"name": "a"}, {"name": "--all"}]}),
        json!({"databases": [{"name": "a\nb"}]}),
        json!({"databases": [{"name": "a", "alias": 1}]}),
        json!({"databases": [{"name": "a", "alias": "  "}]}),
        json!({"databases": [{"name": "a", "policy_id": "a/b"}]}),
        json!({"databases": [{"name": "a"}], "use_engine_credentials": "no"}),
        json!({"databases": [{"name": "a"}], "use_engine_credentials": false}),
    ] {
        let (status, answer) = import(&world, &id, body).await;
        lines.push(format!("{status} {}", answer["error"].as_str().unwrap_or("ACCEPTED")));
    }
    insta::assert_snapshot!(lines.join("\n"), @"
    400 databases: must name 1 to 500 databases
    400 databases: must name 1 to 500 databases
    400 databases: must not be empty or null
    400 databases: must be a list of objects, not an object
    400 databases[0]: must be an object, not a text
    400 databases: must name 1 to 500 databases
    400 databases[1].name: is missing
    400 databases[1].name: must not be empty or null
    400 databases[1].name: must be 1 to 128 characters without control characters, and must not begin with a hyphen
    400 databases[0].name: must be 1 to 128 characters without control characters, and must not begin with a hyphen
    400 databases[0].alias: must be a text, not 1
    400 databases[0].alias: must be 1 to 200 characters, without control characters
    400 databases[0].policy_id: not an identifier: use 1 to 128 letters, digits, dots, underscores and hyphens
    400 use_engine_credentials: must be true or false, not a text
    400 No password is stored for db1; edit it and enter one.
    ");
    assert_eq!(import(&world, "none", json!({"databases": [{"name": "a"}]})).await.0, 404);
    assert!(world.table("databaseconfigs").rows().await.is_empty());
}

#[tokio::test]
async fn each_database_gets_its_own_credentials_when_asked_for() {
    let world = World::new();
    let id = world.create_engine("db1", json!({})).await;
    let body = json!({"databases": [{"name": "a"}, {"name": "b"}], "use_engine_credentials": false});
    let (status, answer) = import(&world, &id, body).await;
    assert_eq!(status, 201, "{answer}");
    for database in answer["created"].as_array().unwrap() {
        assert_eq!(
            (&database["use_engine_credentials"], &database["username"]),
            (&json!(false), &json!("root"))
        );
    }
    assert!(!answer.to_string().contains("s3cret-pw"));
    let rows = format!("{:?}", world.table("databaseconfigs").rows().await);
    assert_eq!(rows.matches("s3cret-pw").count(), 2, "{rows}");
}

#[tokio::test]
async fn no_database_gets_as_its_own_what_only_the_engine_may_have() {
    let world = World::new();
    let cloud = world.create_engine("cloud", json!({"auth_method": "managed_identity"})).await;
    let body = json!({"databases": [{"name": "a"}], "use_engine_credentials": false});
    let (status, answer) = import(&world, &cloud, body).await;
    assert_eq!(status, 400, "{answer}");
    insta::assert_snapshot!(answer["error"].as_str().unwrap(), @"use_engine_credentials: must be true for this server: it has no password that a database could have as its own");
    assert!(world.table("databaseconfigs").rows().await.is_empty());
}

#[tokio::test]
async fn storage_that_goes_away_in_between_leaves_what_is_done() {
    let world = World::new();
    let id = world.create_engine("db1", json!({})).await;
    let body = json!({"databases": [{"name": "a"}, {"name": "b"}, {"name": "c"}]});
    let table = world.table("databaseconfigs");
    table.fail(Fault::Insert);
    assert_eq!(import(&world, &id, body.clone()).await.0, 503);
    assert!(table.rows().await.is_empty());
    // The policy of the second one cannot be looked up.
    let wishes = json!([{"name": "a"}, {"name": "b", "policy_id": "development"}, {"name": "c"}]);
    world.table("backuppolicies").fail(Fault::Read(StorageErrorKind::Unavailable));
    let (status, answer) = import(&world, &id, json!({"databases": wishes})).await;
    assert_eq!((status, &answer["total_created"]), (201, &json!(1)));
    insta::assert_snapshot!(pretty(&answer["errors"]), @r#"
    [
      {
        "database": "b",
        "error": "could not be stored; import it again in a moment"
      },
      {
        "database": "c",
        "error": "could not be stored; import it again in a moment"
      }
    ]
    "#);
    let (status, answer) = import(&world, &id, body).await;
    assert_eq!((status, &answer["total_created"]), (201, &json!(2)));
}
