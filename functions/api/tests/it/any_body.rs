//! Bodies of any shape: no request ends in an error of ours, what is refused changes nothing, and what is
//! accepted is stored as it was answered.

use std::sync::Arc;

use dump::Tools;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::support::{World, merge};

/// Any JSON, with the values that break programs among them.
fn anything() -> impl Strategy<Value = Value> {
    let hostile = select(vec![
        "",
        " ",
        "-",
        "--help",
        "'",
        "\"",
        "';--",
        "\0",
        "\n",
        "\u{202e}",
        "\u{200b}x",
        "\u{feff}",
        "аdmin",
        "１",
        "../..",
        "%00",
        "${x}",
        "null",
        "true",
        "0",
        "1e9",
        "\u{1f468}\u{200d}\u{1f4bb}",
        "x' or PartitionKey ge '0",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        hostile.prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        (1_usize..70_000).prop_map(|length| "x".repeat(length).into()),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(".{0,6}", inner, 0..4).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// A body: of each member one of its good values, anything, or nothing.
fn body(members: &Value) -> BoxedStrategy<Value> {
    let members = members.as_object().unwrap().clone();
    let mut strategy: BoxedStrategy<Value> = Just(json!({})).boxed();
    for (name, good) in members {
        let good = select(good.as_array().unwrap().clone());
        let member = prop_oneof![6 => good.prop_map(Some), 1 => anything().prop_map(Some), 1 => Just(None)];
        strategy = (strategy, member)
            .prop_map(move |(mut body, value)| {
                if let Some(value) = value {
                    body[&name] = value;
                }
                body
            })
            .boxed();
    }
    strategy
}

/// Sends bodies to a route. `stored` looks up what an accepted one has stored, and returns it together
/// with what was answered.
fn check(
    world: &World,
    method: &str,
    path: &str,
    members: &Value,
    stored: &impl AsyncFn(&World, &Value) -> (Value, Value),
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 96, failure_persistence: None, ..Config::default() });
    let mut accepted = 0;
    let outcome = runner.run(&prop_oneof![9 => body(members), 1 => anything()], |body| {
        runtime.block_on(async {
            let before = rows(world).await;
            let (status, answer) = world.send(method, path, Some(&body)).await;
            prop_assert!(status < 500, "{status} {answer}");
            if status < 300 {
                let (kept, answered) = stored(world, &answer).await;
                prop_assert_eq!(kept, answered);
            } else {
                prop_assert!(before == rows(world).await, "{status} {answer} changed something");
            }
            Ok(())
        })
    });
    outcome.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
    // The good values together must pass, or the test looks at refusals only.
    let good: serde_json::Map<String, Value> =
        members.as_object().unwrap().iter().map(|(name, values)| (name.clone(), values[0].clone())).collect();
    runtime.block_on(async {
        let (status, answer) = world.send(method, path, Some(&good.into())).await;
        accepted += u32::from(status < 300);
        assert_eq!(accepted, 1, "{method} {path}: {status} {answer}");
    });
}

async fn rows(world: &World) -> String {
    let mut all = Vec::new();
    for table in ["databaseconfigs", "engines", "backuppolicies", "settings", "auditlogs"] {
        all.push(format!("{:?}", world.table(table).rows().await));
    }
    all.concat()
}

fn world() -> World {
    let mut world = World::new();
    // No program is started.
    world.state.tools = Arc::new(Tools::new(Vec::new()));
    world
}

async fn prepared() -> (World, String) {
    let world = world();
    world.state.storage.policies.seed(world.state.clock.now()).await.unwrap();
    let engine = world.create_engine("db1", json!({"policy_id": "development"})).await;
    world.create_database("d-1", json!({"engine_id": engine})).await;
    world.expect(201, "POST", "/backup-policies", Some(&json!({"name": "Gold"}))).await;
    (world, engine)
}

fn set_up() -> (World, String) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(prepared())
}

fn of_database(engine: &str) -> Value {
    json!({
        "name": ["Shop", " O'Brien's ", "\u{3e3}"], "database_type": ["mysql", "postgresql", "azure_sql"],
        "host": ["db.example", "::1"], "port": [3306, 1, 65535], "database_name": ["shop", "a b", "drop;--"],
        "username": ["backup", "a'b"], "password": ["pw", ""], "engine_id": [engine, null],
        "use_engine_credentials": [false, true], "policy_id": ["production-standard", "development"],
        "use_engine_policy": [false, true], "enabled": [true, false], "compression": [true, false],
        "schedule": ["0 2 * * *", null, "CRON_TZ=Europe/Berlin */5 * * * 1-5"], "retention_days": [30, null],
        "backup_destination": ["own-place", null], "tags": [{"a": "1", "\u{fc}": "'"}, {}],
    })
}

async fn database(world: &World, answer: &Value) -> (Value, Value) {
    let answered = answer["database"].clone();
    let id = answered["id"].as_str().unwrap();
    let mut kept = world.get(&format!("/databases/{id}")).await["database"].clone();
    merge(&mut kept, json!({"next_backup_at": "(absent)"}));
    (kept, answered)
}

async fn engine(world: &World, answer: &Value) -> (Value, Value) {
    let mut answered = answer["engine"].clone();
    let id = answered["id"].as_str().unwrap().to_owned();
    let mut kept = world.get(&format!("/engines/{id}")).await;
    merge(&mut kept, json!({"database_count": "(absent)"}));
    merge(&mut answered, json!({"database_count": "(absent)"}));
    (kept, answered)
}

async fn policy(world: &World, answer: &Value) -> (Value, Value) {
    let answered = answer["policy"].clone();
    let id = answered["id"].as_str().unwrap();
    (world.get(&format!("/backup-policies/{id}")).await["policy"].clone(), answered)
}

#[test]
fn databases() {
    let (world, engine) = set_up();
    check(&world, "POST", "/databases", &of_database(&engine), &database);
    check(&world, "PUT", "/databases/d-1", &of_database(&engine), &database);
}

#[test]
fn engines() {
    let (world, id) = set_up();
    let mut members = json!({
        "name": ["Server", "\u{fc}"], "auth_method": ["user_password", null, "managed_identity"],
        "username": ["root", null], "password": ["pw", ""], "connection_string": ["", "Server=x"],
        "policy_id": ["development", null], "tls_mode": ["require", "prefer"],
    });
    merge(
        &mut members,
        json!({"apply_to_all_databases": [false, true], "apply_policy_to_all_databases": [true, false]}),
    );
    check(&world, "PUT", &format!("/engines/{id}"), &members, &engine);
    merge(
        &mut members,
        json!({
            "host": ["new.example", "db9.example", "10.0.0.1"], "port": [4000, 4001, 4002, 4003, null],
            "engine_type": ["postgresql", "mysql"], "discover_databases": [false],
        }),
    );
    check(&world, "POST", "/engines", &members, &async |world, answer| {
        let both = engine(world, answer).await;
        // Each server once: the next body may name the same.
        let id = answer["engine"]["id"].as_str().unwrap();
        world.expect(200, "DELETE", &format!("/engines/{id}"), None).await;
        both
    });
}

#[test]
fn imports() {
    let (world, id) = set_up();
    let members = json!({
        "databases": [[{"name": "a", "alias": "A"}], [{"name": "b"}, {"name": "b"}], [{"name": "c", "policy_id": "gold"}]],
        "use_engine_credentials": [true, false],
    });
    check(&world, "POST", &format!("/engines/{id}/databases"), &members, &async |world, answer| {
        let first = json!({"database": answer["created"][0]});
        let both = database(world, &first).await;
        for created in answer["created"].as_array().unwrap() {
            let id = created["id"].as_str().unwrap();
            world.expect(200, "DELETE", &format!("/databases/{id}"), None).await;
        }
        both
    });
}

#[test]
fn policies() {
    let (world, _) = set_up();
    let tier = json!([
        {"enabled": true, "keep_count": 7, "interval_hours": 6, "time": "23:59", "day_of_week": 6, "day_of_month": 28, "month": 12},
        {}, {"enabled": true}, {"interval_hours": null}, {"time": "24:00"},
    ]);
    let members = json!({
        "name": ["Silver", "\u{6771}\u{4eac}", "a-b"], "description": ["text", null], "time_zone": ["Europe/Berlin", "UTC"],
        "hourly": tier, "daily": tier, "weekly": tier, "monthly": tier, "yearly": tier,
    });
    check(&world, "PUT", "/backup-policies/gold", &members, &policy);
    check(&world, "POST", "/backup-policies", &members, &async |world, answer| {
        let both = policy(world, answer).await;
        let id = answer["policy"]["id"].as_str().unwrap();
        world.expect(200, "DELETE", &format!("/backup-policies/{id}"), None).await;
        both
    });
}

#[test]
fn settings() {
    let members = json!({
        "dark_mode": [true, false], "default_retention_days": [1, 365, 366], "default_compression": [false, true],
        "access_requests_enabled": [false, true],
    });
    check(&world(), "PUT", "/settings", &members, &async |world, answer| {
        (world.get("/settings").await["settings"].clone(), answer["settings"].clone())
    });
}

#[test]
fn connection_tests() {
    let (world, engine) = set_up();
    let mut members = of_database(&engine);
    merge(&mut members, json!({"host": ["db1.example", "-x"], "port": [3307, 1]}));
    check(&world, "POST", "/databases/test-connection", &members, &async |_, answer| {
        (answer["success"].clone(), json!(false))
    });
}
