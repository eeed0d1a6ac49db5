//! Every rule for the members of a database, on create and on update: what is refused, and with which words.

use serde_json::{Value, json};

use crate::support::{World, database, merge, pretty};

fn rules() -> Vec<Value> {
    vec![
        json!({"name": ""}),
        json!({"name": "   "}),
        json!({"name": "x".repeat(201)}),
        json!({"name": 7}),
        json!({"name": null}),
        json!({"name": "a\u{0}b"}),
        json!({"database_type": "oracle"}),
        json!({"database_type": "MySQL"}),
        json!({"database_type": null}),
        json!({"host": ""}),
        json!({"host": "-h"}),
        json!({"host": "a b"}),
        json!({"host": "a\nb"}),
        json!({"host": "x".repeat(256)}),
        json!({"host": null}),
        json!({"port": 0}),
        json!({"port": 65536}),
        json!({"port": -1}),
        json!({"port": "3306"}),
        json!({"port": 3306.5}),
        json!({"port": null}),
        json!({"database_name": ""}),
        json!({"database_name": "--result-file=/etc/x"}),
        json!({"database_name": "a\tb"}),
        json!({"database_name": "x".repeat(129)}),
        json!({"database_name": ["orders"]}),
        json!({"engine_id": 5}),
        json!({"engine_id": "no-such"}),
        json!({"engine_id": "x' or PartitionKey ge '0"}),
        json!({"use_engine_credentials": "true"}),
        json!({"use_engine_credentials": true}),
        json!({"auth_method": "kerberos"}),
        json!({"username": ""}),
        json!({"username": "-u"}),
        json!({"username": null}),
        json!({"username": true}),
        json!({"password": 5}),
        json!({"password": "x".repeat(2001)}),
        json!({"password": "a\u{0}b"}),
        json!({"policy_id": "no-such"}),
        json!({"policy_id": "a/b"}),
        json!({"policy_id": false}),
        json!({"use_engine_policy": "yes"}),
        json!({"use_engine_policy": true}),
        json!({"enabled": 1}),
        json!({"enabled": null}),
        json!({"schedule": "every day"}),
        json!({"schedule": "0 0 2 * * *"}),
        json!({"schedule": "60 * * * *"}),
        json!({"schedule": "CRON_TZ=Mars/Base 0 2 * * *"}),
        json!({"schedule": 5}),
        json!({"retention_days": 0}),
        json!({"retention_days": 3651}),
        json!({"retention_days": "30"}),
        json!({"backup_destination": "My Backups"}),
        json!({"backup_destination": "../other"}),
        json!({"compression": "gzip"}),
        json!({"compression": null}),
        json!({"tags": ["a"]}),
        json!({"tags": {"a": 1}}),
        json!({"tags": null}),
    ]
}

/// Renders a request, with long texts cut.
fn shown(change: &Value) -> String {
    let text = change.to_string();
    if text.len() > 70 { format!("{}…", &text[..40]) } else { text }
}

#[tokio::test]
async fn on_create() {
    let world = World::new();
    let mut lines = Vec::new();
    for change in rules().into_iter().chain([
        json!({"id": "a_b"}),
        json!({"id": "x".repeat(65)}),
        json!({"id": ""}),
        json!({"id": 7}),
        json!({"password": ""}),
        json!({"password": null}),
        json!({"name": "(absent)", "host": "(absent)", "port": "(absent)", "username": "(absent)"}),
        json!({"database_type": "(absent)", "database_name": "(absent)", "password": "(absent)"}),
    ]) {
        let mut body = database("d-1");
        let line = shown(&change);
        merge(&mut body, change);
        let (status, answer) = world.post("/databases", &body).await;
        lines.push(format!("{line} -> {status} {}", answer["error"].as_str().unwrap_or("ACCEPTED")));
    }
    insta::assert_snapshot!(lines.join("\n"), @r#"
    {"name":""} -> 400 name: must be 1 to 200 characters, without control characters
    {"name":"   "} -> 400 name: must be 1 to 200 characters, without control characters
    {"name":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… -> 400 name: must be 1 to 200 characters, without control characters
    {"name":7} -> 400 name: must be a text, not 7
    {"name":null} -> 400 name: must not be empty or null
    {"name":"a\u0000b"} -> 400 name: must be 1 to 200 characters, without control characters
    {"database_type":"oracle"} -> 400 database_type: "oracle" is not a known database type; use one of: mysql, postgresql, sqlserver, azure_sql
    {"database_type":"MySQL"} -> 400 database_type: "MySQL" is not a known database type; use one of: mysql, postgresql, sqlserver, azure_sql
    {"database_type":null} -> 400 database_type: must not be empty or null
    {"host":""} -> 400 host: must not be empty or null
    {"host":"-h"} -> 400 host: must be 1 to 255 characters without spaces or control characters, and must not begin with a hyphen
    {"host":"a b"} -> 400 host: must be 1 to 255 characters without spaces or control characters, and must not begin with a hyphen
    {"host":"a\nb"} -> 400 host: must be 1 to 255 characters without spaces or control characters, and must not begin with a hyphen
    {"host":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… -> 400 host: must be 1 to 255 characters without spaces or control characters, and must not begin with a hyphen
    {"host":null} -> 400 host: must not be empty or null
    {"port":0} -> 400 port: must be a whole number from 1 to 65535, not 0
    {"port":65536} -> 400 port: must be a whole number from 1 to 65535, not 65536
    {"port":-1} -> 400 port: must be a whole number from 1 to 65535, not -1
    {"port":"3306"} -> 400 port: must be a whole number from 1 to 65535, not a text
    {"port":3306.5} -> 400 port: must be a whole number from 1 to 65535, not 3306.5
    {"port":null} -> 400 port: must not be empty or null
    {"database_name":""} -> 400 database_name: must not be empty or null
    {"database_name":"--result-file=/etc/x"} -> 400 database_name: must be 1 to 128 characters without control characters, and must not begin with a hyphen
    {"database_name":"a\tb"} -> 400 database_name: must be 1 to 128 characters without control characters, and must not begin with a hyphen
    {"database_name":"xxxxxxxxxxxxxxxxxxxxxx… -> 400 database_name: must be 1 to 128 characters without control characters, and must not begin with a hyphen
    {"database_name":["orders"]} -> 400 database_name: must be a text, not a list
    {"engine_id":5} -> 400 engine_id: must be a text, not 5
    {"engine_id":"no-such"} -> 404 The engine no-such does not exist; it may have been deleted.
    {"engine_id":"x' or PartitionKey ge '0"} -> 404 The engine of this engine_id does not exist; it may have been deleted.
    {"use_engine_credentials":"true"} -> 400 use_engine_credentials: must be true or false, not a text
    {"use_engine_credentials":true} -> 400 Missing: engine_id.
    {"auth_method":"kerberos"} -> 400 auth_method: "kerberos" is not a known authentication method; use one of: user_password, managed_identity, azure_ad, connection_string
    {"username":""} -> 400 Missing: username.
    {"username":"-u"} -> 400 username: must be 1 to 256 characters without control characters, and must not begin with a hyphen
    {"username":null} -> 400 Missing: username.
    {"username":true} -> 400 username: must be a text, not true
    {"password":5} -> 400 password: must be a text
    {"password":"xxxxxxxxxxxxxxxxxxxxxxxxxxx… -> 400 password: must be at most 2000 bytes, without NUL characters
    {"password":"a\u0000b"} -> 400 password: must be at most 2000 bytes, without NUL characters
    {"policy_id":"no-such"} -> 400 policy_id: there is no backup policy no-such; choose one of the list
    {"policy_id":"a/b"} -> 400 policy_id: not an identifier: use 1 to 128 letters, digits, dots, underscores and hyphens
    {"policy_id":false} -> 400 policy_id: must be a text, not false
    {"use_engine_policy":"yes"} -> 400 use_engine_policy: must be true or false, not a text
    {"use_engine_policy":true} -> 400 use_engine_policy: needs an engine_id; choose an engine or set it to false
    {"enabled":1} -> 400 enabled: must be true or false, not 1
    {"enabled":null} -> 400 enabled: must not be empty or null
    {"schedule":"every day"} -> 400 schedule: a schedule has five fields (minute, hour, day of month, month, day of week), not 2; "0 2 * * *" is every day at 02:00
    {"schedule":"0 0 2 * * *"} -> 400 schedule: a schedule has five fields (minute, hour, day of month, month, day of week), not 6; "0 2 * * *" is every day at 02:00
    {"schedule":"60 * * * *"} -> 400 schedule: "60" cannot be used in the field "minute" of a schedule: numbers go from 0 to 59
    {"schedule":"CRON_TZ=Mars/Base 0 2 * * *"} -> 400 schedule: "Mars/Base" is not a time zone; write a name such as Europe/Berlin or UTC after CRON_TZ=
    {"schedule":5} -> 400 schedule: must be a text, not 5
    {"retention_days":0} -> 400 retention_days: must be a whole number from 1 to 3650, not 0
    {"retention_days":3651} -> 400 retention_days: must be a whole number from 1 to 3650, not 3651
    {"retention_days":"30"} -> 400 retention_days: must be a whole number from 1 to 3650, not a text
    {"backup_destination":"My Backups"} -> 400 backup_destination: must be 3 to 63 lower-case letters, digits and single hyphens, with a letter or digit at both ends
    {"backup_destination":"../other"} -> 400 backup_destination: must be 3 to 63 lower-case letters, digits and single hyphens, with a letter or digit at both ends
    {"compression":"gzip"} -> 400 compression: must be true or false, not a text
    {"compression":null} -> 400 compression: must not be empty or null
    {"tags":["a"]} -> 400 tags: must be an object of texts, not a list
    {"tags":{"a":1}} -> 400 tags: every value must be a text
    {"tags":null} -> 400 tags: must not be empty or null
    {"id":"a_b"} -> 400 id: must be 1 to 64 lower-case letters, digits and hyphens
    {"id":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… -> 400 id: must be 1 to 64 lower-case letters, digits and hyphens
    {"id":""} -> 400 id: must be 1 to 64 lower-case letters, digits and hyphens
    {"id":7} -> 400 id: must be a text, not 7
    {"password":""} -> 400 Missing: password.
    {"password":null} -> 400 Missing: password.
    {"host":"(absent)","name":"(absent)","po… -> 400 Missing: name, host, port, username.
    {"database_name":"(absent)","database_ty… -> 400 Missing: database_type, database_name, password.
    "#);
    assert_eq!(world.table("databaseconfigs").rows().await.len(), 0, "something was stored");
    assert_eq!(world.audit().await, "", "something was recorded");
}

#[tokio::test]
async fn on_update() {
    let world = World::new();
    world.create_database("d-1", json!({})).await;
    let rows = world.table("databaseconfigs").rows().await;
    let audit = world.audit().await;
    let mut lines = Vec::new();
    for change in rules().into_iter().chain([json!({"policy_id": null}), json!({"policy_id": ""})]) {
        let line = shown(&change);
        let (status, answer) = world.send("PUT", "/databases/d-1", Some(&change)).await;
        lines.push(format!("{line} -> {status} {}", answer["error"].as_str().unwrap_or("ACCEPTED")));
    }
    insta::assert_snapshot!(lines.join("\n"), @r#"
    {"name":""} -> 400 name: must be 1 to 200 characters, without control characters
    {"name":"   "} -> 400 name: must be 1 to 200 characters, without control characters
    {"name":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… -> 400 name: must be 1 to 200 characters, without control characters
    {"name":7} -> 400 name: must be a text, not 7
    {"name":null} -> 400 name: must not be empty or null
    {"name":"a\u0000b"} -> 400 name: must be 1 to 200 characters, without control characters
    {"database_type":"oracle"} -> 400 database_type: "oracle" is not a known database type; use one of: mysql, postgresql, sqlserver, azure_sql
    {"database_type":"MySQL"} -> 400 database_type: "MySQL" is not a known database type; use one of: mysql, postgresql, sqlserver, azure_sql
    {"database_type":null} -> 400 database_type: must not be empty or null
    {"host":""} -> 400 host: must not be empty or null
    {"host":"-h"} -> 400 host: must be 1 to 255 characters without spaces or control characters, and must not begin with a hyphen
    {"host":"a b"} -> 400 host: must be 1 to 255 characters without spaces or control characters, and must not begin with a hyphen
    {"host":"a\nb"} -> 400 host: must be 1 to 255 characters without spaces or control characters, and must not begin with a hyphen
    {"host":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… -> 400 host: must be 1 to 255 characters without spaces or control characters, and must not begin with a hyphen
    {"host":null} -> 400 host: must not be empty or null
    {"port":0} -> 400 port: must be a whole number from 1 to 65535, not 0
    {"port":65536} -> 400 port: must be a whole number from 1 to 65535, not 65536
    {"port":-1} -> 400 port: must be a whole number from 1 to 65535, not -1
    {"port":"3306"} -> 400 port: must be a whole number from 1 to 65535, not a text
    {"port":3306.5} -> 400 port: must be a whole number from 1 to 65535, not 3306.5
    {"port":null} -> 400 port: must not be empty or null
    {"database_name":""} -> 400 database_name: must not be empty or null
    {"database_name":"--result-file=/etc/x"} -> 400 database_name: must be 1 to 128 characters without control characters, and must not begin with a hyphen
    {"database_name":"a\tb"} -> 400 database_name: must be 1 to 128 characters without control characters, and must not begin with a hyphen
    {"database_name":"xxxxxxxxxxxxxxxxxxxxxx… -> 400 database_name: must be 1 to 128 characters without control characters, and must not begin with a hyphen
    {"database_name":["orders"]} -> 400 database_name: must be a text, not a list
    {"engine_id":5} -> 400 engine_id: must be a text, not 5
    {"engine_id":"no-such"} -> 404 The engine no-such does not exist; it may have been deleted.
    {"engine_id":"x' or PartitionKey ge '0"} -> 404 The engine of this engine_id does not exist; it may have been deleted.
    {"use_engine_credentials":"true"} -> 400 use_engine_credentials: must be true or false, not a text
    {"use_engine_credentials":true} -> 400 use_engine_credentials: needs an engine_id; choose an engine or set it to false
    {"auth_method":"kerberos"} -> 400 auth_method: "kerberos" is not a known authentication method; use one of: user_password, managed_identity, azure_ad, connection_string
    {"username":""} -> 400 username: is required with the database's own credentials
    {"username":"-u"} -> 400 username: must be 1 to 256 characters without control characters, and must not begin with a hyphen
    {"username":null} -> 400 username: is required with the database's own credentials
    {"username":true} -> 400 username: must be a text, not true
    {"password":5} -> 400 password: must be a text
    {"password":"xxxxxxxxxxxxxxxxxxxxxxxxxxx… -> 400 password: must be at most 2000 bytes, without NUL characters
    {"password":"a\u0000b"} -> 400 password: must be at most 2000 bytes, without NUL characters
    {"policy_id":"no-such"} -> 400 policy_id: there is no backup policy no-such; choose one of the list
    {"policy_id":"a/b"} -> 400 policy_id: not an identifier: use 1 to 128 letters, digits, dots, underscores and hyphens
    {"policy_id":false} -> 400 policy_id: must be a text, not false
    {"use_engine_policy":"yes"} -> 400 use_engine_policy: must be true or false, not a text
    {"use_engine_policy":true} -> 400 use_engine_policy: needs an engine_id; choose an engine or set it to false
    {"enabled":1} -> 400 enabled: must be true or false, not 1
    {"enabled":null} -> 400 enabled: must not be empty or null
    {"schedule":"every day"} -> 400 schedule: a schedule has five fields (minute, hour, day of month, month, day of week), not 2; "0 2 * * *" is every day at 02:00
    {"schedule":"0 0 2 * * *"} -> 400 schedule: a schedule has five fields (minute, hour, day of month, month, day of week), not 6; "0 2 * * *" is every day at 02:00
    {"schedule":"60 * * * *"} -> 400 schedule: "60" cannot be used in the field "minute" of a schedule: numbers go from 0 to 59
    {"schedule":"CRON_TZ=Mars/Base 0 2 * * *"} -> 400 schedule: "Mars/Base" is not a time zone; write a name such as Europe/Berlin or UTC after CRON_TZ=
    {"schedule":5} -> 400 schedule: must be a text, not 5
    {"retention_days":0} -> 400 retention_days: must be a whole number from 1 to 3650, not 0
    {"retention_days":3651} -> 400 retention_days: must be a whole number from 1 to 3650, not 3651
    {"retention_days":"30"} -> 400 retention_days: must be a whole number from 1 to 3650, not a text
    {"backup_destination":"My Backups"} -> 400 backup_destination: must be 3 to 63 lower-case letters, digits and single hyphens, with a letter or digit at both ends
    {"backup_destination":"../other"} -> 400 backup_destination: must be 3 to 63 lower-case letters, digits and single hyphens, with a letter or digit at both ends
    {"compression":"gzip"} -> 400 compression: must be true or false, not a text
    {"compression":null} -> 400 compression: must not be empty or null
    {"tags":["a"]} -> 400 tags: must be an object of texts, not a list
    {"tags":{"a":1}} -> 400 tags: every value must be a text
    {"tags":null} -> 400 tags: must not be empty or null
    {"policy_id":null} -> 400 policy_id: can be null only while use_engine_policy is true
    {"policy_id":""} -> 400 policy_id: can be null only while use_engine_policy is true
    "#);
    assert_eq!(world.table("databaseconfigs").rows().await, rows, "something was stored");
    assert_eq!(world.audit().await, audit, "something was recorded");
}

#[tokio::test]
async fn null_and_empty_stand_for_nothing_where_nothing_is_allowed() {
    let world = World::new();
    let nothing = json!({
        "engine_id": "", "auth_method": null, "policy_id": null, "schedule": "", "retention_days": null,
        "backup_destination": null,
    });
    let created = world.create_database("d-1", nothing).await;
    insta::assert_snapshot!(pretty(&created), @r#"
    {
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
    }
    "#);
}
