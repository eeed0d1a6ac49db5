//! Engines: create, list, get.

use serde_json::{Value, json};

use crate::support::{World, engine, merge, pretty};

#[tokio::test]
async fn a_created_engine_is_shown_stored_and_recorded() {
    let world = World::new();
    let (status, answer) = world.post("/engines", &engine("db1")).await;
    assert_eq!(status, 201);
    insta::assert_snapshot!(pretty(&answer), @r#"
    {
      "engine": {
        "auth_method": "user_password",
        "connection_string": null,
        "created_at": "2026-03-01T12:00:00.123456Z",
        "created_by": "admin@dilux.tech",
        "database_count": 0,
        "discovery_enabled": true,
        "engine_type": "mysql",
        "host": "db1.example",
        "id": "<id 1>",
        "last_discovery": null,
        "max_concurrent_backups": 2,
        "name": "db1",
        "password_secret_name": null,
        "policy_id": null,
        "port": 3307,
        "tls_ca": null,
        "tls_mode": "prefer",
        "updated_at": "2026-03-01T12:00:00.123456Z",
        "username": "root"
      }
    }
    "#);
    let id = answer["engine"]["id"].as_str().unwrap();
    assert_eq!(world.get(&format!("/engines/{id}")).await, answer["engine"]);
    insta::assert_snapshot!(world.audit().await, @r#"
    create engine <id 1> "db1" by admin@dilux.tech from 203.0.113.7: success -
      {"engine_id":"<id 1>","engine_type":"mysql","host":"db1.example","port":3307}
    "#);
}

#[tokio::test]
async fn absent_members_have_their_defaults() {
    let world = World::new();
    let mut lines = Vec::new();
    for (name, more) in [
        ("a", json!({"port": "(absent)"})),
        ("b", json!({"port": 0, "engine_type": "postgresql"})),
        ("c", json!({"port": null, "engine_type": "sqlserver"})),
        ("d", json!({"username": null})),
        ("e", json!({"password": ""})),
        ("f", json!({"auth_method": "azure_ad", "password": null})),
        (
            "g",
            json!({"auth_method": "connection_string", "connection_string": "Server=x;Password=s3cret-pw"}),
        ),
        ("h", json!({"auth_method": "connection_string", "connection_string": null})),
        ("i", json!({"auth_method": "", "policy_id": ""})),
    ] {
        let id = world.create_engine(name, more).await;
        let engine = world.get(&format!("/engines/{id}")).await;
        let members =
            ["port", "auth_method", "username", "connection_string", "discovery_enabled", "policy_id"];
        lines.push(format!("{name}: {}", members.map(|member| engine[member].to_string()).join(" ")));
    }
    insta::assert_snapshot!(lines.join("\n"), @r#"
    a: 3306 "user_password" "root" null true null
    b: 5432 "user_password" "root" null true null
    c: 1433 "user_password" "root" null true null
    d: 3307 null null null false null
    e: 3307 null "root" null false null
    f: 3307 "azure_ad" "root" null true null
    g: 3307 "connection_string" "root" null true null
    h: 3307 "connection_string" "root" null false null
    i: 3307 "user_password" "root" null true null
    "#);
}

#[tokio::test]
async fn what_is_wrong_is_refused_with_its_name() {
    let world = World::new();
    let mut lines = Vec::new();
    for change in [
        json!({"name": "(absent)", "engine_type": "(absent)", "host": "(absent)"}),
        json!({"name": "x".repeat(101)}),
        json!({"name": 5}),
        json!({"engine_type": "azure_sql"}),
        json!({"engine_type": null}),
        json!({"host": "-oProxyCommand=x"}),
        json!({"host": "a b"}),
        json!({"port": 65536}),
        json!({"port": "3306"}),
        json!({"auth_method": "kerberos"}),
        json!({"username": "-x"}),
        json!({"password": {"a": 1}}),
        json!({"connection_string": 1}),
        json!({"policy_id": "no-such"}),
        json!({"discover_databases": "yes"}),
    ] {
        let mut body = engine("db1");
        merge(&mut body, change);
        let (status, answer) = world.post("/engines", &body).await;
        lines.push(format!("{status} {}", answer["error"].as_str().unwrap_or("ACCEPTED")));
    }
    insta::assert_snapshot!(lines.join("\n"), @r#"
    400 Missing: name, engine_type, host.
    400 name: must be 1 to 100 characters, without control characters
    400 name: must be a text, not 5
    400 engine_type: "azure_sql" is not a known engine type; use one of: mysql, postgresql, sqlserver
    400 engine_type: must not be empty or null
    400 host: must be 1 to 255 characters without spaces or control characters, and must not begin with a hyphen
    400 host: must be 1 to 255 characters without spaces or control characters, and must not begin with a hyphen
    400 port: must be a whole number from 0 to 65535, not 65536
    400 port: must be a whole number from 0 to 65535, not a text
    400 auth_method: "kerberos" is not a known authentication method; use one of: user_password, managed_identity, azure_ad, connection_string
    400 username: must be 1 to 256 characters without control characters, and must not begin with a hyphen
    400 password: must be a text
    400 connection_string: must be a text
    400 policy_id: there is no backup policy no-such; choose one of the list
    400 discover_databases: must be true or false, not a text
    "#);
    assert_eq!(world.table("engines").rows().await.len(), 0);
    assert_eq!(world.audit().await, "");
}

#[tokio::test]
async fn a_server_can_be_configured_once() {
    let world = World::new();
    world.create_engine("db1", json!({"port": 3306})).await;
    let again = json!({"name": "other", "engine_type": "mysql", "host": "DB1.Example"});
    let (status, answer) = world.post("/engines", &again).await;
    assert_eq!(status, 409);
    insta::assert_snapshot!(answer["error"].as_str().unwrap(), @"The mysql server db1.example:3306 is configured already, as db1.");
    for more in
        [json!({"port": 3307}), json!({"engine_type": "postgresql", "port": 3306}), json!({"host": "db2"})]
    {
        let mut body = again.clone();
        merge(&mut body, more);
        assert_eq!(world.post("/engines", &body).await.0, 201);
    }
}

#[tokio::test]
async fn the_list_is_sorted_filtered_and_paged() {
    let world = World::new();
    let one = world.create_engine("Beta", json!({})).await;
    world.create_engine("alpha", json!({"engine_type": "postgresql", "host": "pg.example"})).await;
    world.create_engine("gamma", json!({})).await;
    for id in ["a", "b"] {
        world.create_database(id, json!({"engine_id": one})).await;
    }
    let mut lines = Vec::new();
    for query in [
        "",
        "limit=1",
        "limit=1&offset=1",
        "offset=9",
        "limit=9999",
        "search=PG.",
        "search=eta",
        "engine_type=mysql",
    ] {
        let answer = world.get(&format!("/engines?{query}")).await;
        let items: Vec<String> = answer["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| format!("{}({})", item["name"].as_str().unwrap(), item["database_count"]))
            .collect();
        let members: Vec<&String> = answer.as_object().unwrap().keys().collect();
        assert_eq!(members, ["items", "limit", "offset", "total"]);
        lines.push(format!(
            "{query}: {} | total {} limit {} offset {}",
            items.join(" "),
            answer["total"],
            answer["limit"],
            answer["offset"]
        ));
    }
    insta::assert_snapshot!(lines.join("\n"), @"
    : alpha(0) Beta(2) gamma(0) | total 3 limit 100 offset 0
    limit=1: alpha(0) | total 3 limit 1 offset 0
    limit=1&offset=1: Beta(2) | total 3 limit 1 offset 1
    offset=9:  | total 3 limit 100 offset 9
    limit=9999: alpha(0) Beta(2) gamma(0) | total 3 limit 1000 offset 0
    search=PG.: alpha(0) | total 1 limit 100 offset 0
    search=eta: Beta(2) | total 1 limit 100 offset 0
    engine_type=mysql: Beta(2) gamma(0) | total 2 limit 100 offset 0
    ");
    for query in ["limit=0", "engine_type=azure_sql", "offset=x"] {
        world.expect(400, "GET", &format!("/engines?{query}"), None).await;
    }
    let answer: Value = world.get(&format!("/engines/{one}")).await;
    assert_eq!(answer["database_count"], 2);
}
