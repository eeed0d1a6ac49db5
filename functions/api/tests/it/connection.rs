//! Connection tests and discovery, through the client programs.
//!
//! Failures are those of the real programs of this machine at a port where nobody listens; what a
//! server would answer comes from stand-in programs.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use dump::Tools;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{World, merge, pretty};

const TEST: &str = "/databases/test-connection";

fn dead_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Installs a stand-in program by another process: one that this process has open could not be started.
#[expect(clippy::disallowed_methods, reason = "stand-in programs are written by a child process")]
fn install(folder: &Path, name: &str, script: &str) {
    let write = r#"printf '#!/bin/sh\n%s\n' "$2" >"$1" && chmod 755 "$1""#;
    let arguments = ["-c", write, "install"];
    let status = std::process::Command::new("sh").args(arguments).arg(folder.join(name)).arg(script).status();
    assert!(status.unwrap().success());
}

/// Makes a world whose only client programs are stand-ins: `psql` answers with this script.
fn with_psql(script: &str) -> (World, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let version = r#"case "$*" in *--version*) echo 'psql (PostgreSQL) 15.4'; exit 0;; esac"#;
    install(folder.path(), "psql", &format!("{version}\n{script}"));
    let mut world = World::new();
    world.state.tools = Arc::new(Tools::new(vec![folder.path().to_owned()]));
    (world, folder)
}

fn test(more: Value) -> Value {
    let mut body = json!({
        "database_type": "mysql", "host": "127.0.0.1", "port": 1, "database_name": "orders", "username": "backup",
        "password": "s3cret-pw",
    });
    merge(&mut body, more);
    body
}

/// Takes the time out of an answer, after a look at it.
fn timeless(mut answer: Value) -> Value {
    let duration = answer["duration_ms"].as_f64().unwrap();
    assert!(duration >= 0.0 && (duration * 100.0 - (duration * 100.0).round()).abs() < 1e-6, "{duration}");
    answer["duration_ms"] = json!("-");
    answer
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_a_failed_connection() {
    let world = World::new();
    for kind in ["mysql", "postgresql"] {
        let port = dead_port();
        let body = test(json!({"database_type": kind, "port": port}));
        let answer = world.expect(200, "POST", TEST, Some(&body)).await;
        assert_eq!(
            (&answer["success"], &answer["error_type"]),
            (&json!(false), &json!("ConnectionFailed")),
            "{answer}"
        );
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains(&format!("127.0.0.1:{port}")) && message.len() <= 500, "{message}");
        assert!(!message.contains("s3cret-pw"));
        let audit = world.audit().await;
        let last: Vec<&str> = audit.lines().rev().take(2).collect();
        assert!(
            last[1].starts_with(&format!("database_test_connection database 127.0.0.1:{port} \"orders\"")),
            "{audit}"
        );
        assert!(last[1].contains(": failed ") && last[0].contains("\"success\":false"), "{audit}");
    }
}

#[tokio::test]
async fn a_server_that_answers_is_a_success() {
    let (world, _folder) = with_psql("echo 15.18");
    let body = test(json!({"database_type": "postgresql"}));
    let answer = timeless(world.expect(200, "POST", TEST, Some(&body)).await);
    insta::assert_snapshot!(pretty(&answer), @r#"
    {
      "duration_ms": "-",
      "error_type": null,
      "message": "Connected to orders; the server's version is 15.18.",
      "success": true
    }
    "#);
    insta::assert_snapshot!(world.audit().await, @r#"
    database_test_connection database 127.0.0.1:1 "orders" by admin@dilux.tech from 203.0.113.7: success -
      {"database_type":"postgresql","engine_id":null,"host":"127.0.0.1","port":1,"success":true}
    "#);
}

#[tokio::test]
async fn what_cannot_be_tried_says_why() {
    let (world, _folder) = with_psql(
        "echo 'psql: error: FATAL:  password authentication failed for user \"backup\"' >&2; exit 2",
    );
    let mut lines = Vec::new();
    for kind in ["mysql", "sqlserver", "azure_sql", "postgresql"] {
        let answer = world.expect(200, "POST", TEST, Some(&test(json!({"database_type": kind})))).await;
        lines.push(format!("{kind}: {} {}", answer["success"], answer["error_type"]));
    }
    insta::assert_snapshot!(lines.join("\n"), @r#"
    mysql: false "ToolNotFound"
    sqlserver: false "ToolNotFound"
    azure_sql: false "ToolNotFound"
    postgresql: false "ConnectionFailed"
    "#);
}

#[tokio::test]
async fn a_long_message_is_cut_and_free_of_the_password() {
    let (world, _folder) = with_psql(
        "i=0; while [ $i -lt 200 ]; do echo \"could not connect with $PGPASSWORD s3cret-pw\" >&2; i=$((i+1)); done; exit 2",
    );
    let answer = world.expect(200, "POST", TEST, Some(&test(json!({"database_type": "postgresql"})))).await;
    let message = answer["message"].as_str().unwrap();
    assert!(message.chars().count() <= 500 && !message.contains("s3cret"), "{message}");
}

#[tokio::test]
async fn everything_that_is_missing_is_named() {
    let world = World::new();
    let mut lines = Vec::new();
    for body in [
        json!({}),
        json!({"use_engine_credentials": true}),
        test(json!({"password": ""})),
        test(json!({"port": 0})),
        test(json!({"database_type": "oracle"})),
        test(json!({"database_name": "--execute=x"})),
        test(json!({"host": "a b"})),
        test(json!({"use_engine_credentials": "yes"})),
    ] {
        let answer = world.expect(400, "POST", TEST, Some(&body)).await;
        lines.push(answer["error"].as_str().unwrap().to_owned());
    }
    insta::assert_snapshot!(lines.join("\n"), @r#"
    Missing: database_type, host, port, database_name, username, password.
    Missing: database_type, database_name, engine_id.
    Missing: password.
    port: must be a whole number from 1 to 65535, not 0
    database_type: "oracle" is not a known database type; use one of: mysql, postgresql, sqlserver, azure_sql
    database_name: must be 1 to 128 characters without control characters, and must not begin with a hyphen
    host: must be 1 to 255 characters without spaces or control characters, and must not begin with a hyphen
    use_engine_credentials: must be true or false, not a text
    "#);
    world.expect(404, "POST", TEST, Some(&test(json!({"engine_id": "no-such"})))).await;
    assert_eq!(world.audit().await, "");
}

#[tokio::test]
async fn an_engines_password_goes_to_the_engine_only() {
    // The stand-in notes where it would have connected to.
    let (world, folder) = with_psql(r#"echo "$PGHOST $PGHOSTADDR $*" >>"$(dirname "$0")/calls"; echo 15.18"#);
    let engine = world
        .create_engine("db9", json!({"engine_type": "postgresql", "host": "127.0.0.1", "port": 5999}))
        .await;
    let with_engine = |more: Value| {
        let mut body = json!({
            "database_type": "postgresql", "database_name": "shop", "engine_id": engine,
            "use_engine_credentials": true,
        });
        merge(&mut body, more);
        body
    };
    let mut lines = Vec::new();
    for more in [
        json!({"host": "evil.example", "port": 5999}),
        json!({"host": "127.0.0.1", "port": 1}),
        json!({"host": "evil.example"}),
    ] {
        let answer = world.expect(400, "POST", TEST, Some(&with_engine(more))).await;
        lines.push(answer["error"].as_str().unwrap().to_owned());
    }
    insta::assert_snapshot!(lines.join("\n"), @"
    host: must be the engine's own when its credentials are used
    port: must be the engine's own when its credentials are used
    host: must be the engine's own when its credentials are used
    ");
    assert!(!folder.path().join("calls").exists(), "a client program was started");
    for more in [json!({}), json!({"host": "127.0.0.1", "port": 5999, "username": "x", "password": "y"})] {
        let answer = world.expect(200, "POST", TEST, Some(&with_engine(more))).await;
        assert_eq!(answer["success"], true, "{answer}");
    }
    let calls = std::fs::read_to_string(folder.path().join("calls")).unwrap();
    assert_eq!(calls.lines().count(), 2);
    assert!(!calls.contains("evil"), "{calls}");
    let mut unknown = with_engine(json!({}));
    unknown["engine_id"] = json!("gone");
    world.expect(404, "POST", TEST, Some(&unknown)).await;
}

/// A stand-in that lists these databases, in the hexadecimal form of the question.
fn listing(names: &[&str]) -> String {
    let mut script = String::new();
    for name in names {
        script.push_str("echo ");
        for byte in name.bytes() {
            write!(script, "{byte:02x}").unwrap();
        }
        script.push('\n');
    }
    script
}

#[tokio::test]
async fn discovery_joins_the_server_with_what_is_configured() {
    let (world, _folder) = with_psql(&listing(&["shop", "postgres", "Größe", "a b"]));
    let engine = world.create_engine("pg", json!({"engine_type": "postgresql"})).await;
    world.create_database("known", json!({"engine_id": engine, "database_name": "shop"})).await;
    world.create_database("dropped", json!({"engine_id": engine, "database_name": "was here"})).await;
    world.create_database("elsewhere", json!({"database_name": "a b"})).await;
    let answer = world.expect(200, "POST", &format!("/engines/{engine}/discover"), None).await;
    insta::assert_snapshot!(pretty(&answer), @r#"
    {
      "databases": [
        {
          "existing_id": null,
          "exists": false,
          "is_system": false,
          "name": "Größe"
        },
        {
          "existing_id": null,
          "exists": false,
          "is_system": false,
          "name": "a b"
        },
        {
          "existing_id": null,
          "exists": false,
          "is_system": true,
          "name": "postgres"
        },
        {
          "existing_id": "known",
          "exists": true,
          "is_system": false,
          "name": "shop"
        },
        {
          "existing_id": "dropped",
          "exists": true,
          "is_system": false,
          "name": "was here"
        }
      ],
      "engine_id": "<id 1>",
      "engine_name": "pg",
      "last_discovery": "2026-03-01T12:00:00.123456Z"
    }
    "#);
    assert_eq!(world.get(&format!("/engines/{engine}")).await["last_discovery"], answer["last_discovery"]);
}

#[tokio::test]
async fn discovery_that_fails_is_an_error_even_when_databases_are_configured() {
    let world = World::new();
    let port = dead_port();
    let more = json!({"host": "127.0.0.1", "port": port});
    let engine = world.create_engine("dead", more).await;
    world.create_database("known", json!({"engine_id": engine})).await;
    let path = format!("/engines/{engine}/discover");
    let answer = world.expect(400, "POST", &path, None).await;
    let error = answer["error"].as_str().unwrap();
    assert!(
        error.starts_with("The databases could not be listed: ") && error.contains(&port.to_string()),
        "{error}"
    );
    assert!(!error.contains("s3cret-pw"));
    assert_eq!(world.get(&format!("/engines/{engine}")).await["last_discovery"], Value::Null);
    let nobody = world.create_engine("nobody", json!({"username": null, "password": null})).await;
    let answer = world.expect(400, "POST", &format!("/engines/{nobody}/discover"), None).await;
    insta::assert_snapshot!(answer["error"].as_str().unwrap(), @"No user name is configured for nobody; edit it and enter one.");
}

#[tokio::test]
async fn an_engine_can_be_created_with_discovery() {
    let (world, _folder) = with_psql(&listing(&["shop"]));
    let body = |name: &str, more: Value| {
        let mut body = crate::support::engine(name);
        merge(&mut body, json!({"engine_type": "postgresql", "discover_databases": true}));
        merge(&mut body, more);
        body
    };
    let answer = world.expect(201, "POST", "/engines", Some(&body("good", json!({})))).await;
    assert_eq!(
        answer["discovered_databases"],
        json!([{"name": "shop", "exists": false, "existing_id": null, "is_system": false}])
    );
    assert_eq!(answer["engine"]["last_discovery"], crate::support::NOW);
    assert_eq!(answer.get("discovery_error"), None);
    // No client program for MySQL is there.
    let answer =
        world.expect(201, "POST", "/engines", Some(&body("bad", json!({"engine_type": "mysql"})))).await;
    assert!(answer["discovery_error"].as_str().unwrap().contains("was not found"), "{answer}");
    assert_eq!(answer.get("discovered_databases"), None);
    let answer = world.expect(201, "POST", "/engines", Some(&body("none", json!({"password": ""})))).await;
    assert_eq!((answer.get("discovery_error"), answer.get("discovered_databases")), (None, None));
    assert_eq!(world.get("/engines").await["total"], 3);
}
