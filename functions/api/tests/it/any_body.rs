//! Bodies of any shape: no request ends in an error of ours, what is refused changes nothing, and what is
//! accepted is stored as it was answered. The same for the parameters of addresses.

use std::sync::Arc;

use dump::Tools;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use shared::models::{AccessRequest, Resolution};
use url::form_urlencoded;

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
        "1e9999999",
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
    let members_within = |value: &Value| -> Vec<String> {
        let values = value.as_array().into_iter().flatten();
        values.filter_map(Value::as_object).flat_map(|object| object.keys().cloned()).collect()
    };
    let names: Vec<String> = members
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(name, values)| [vec![name.clone()], members_within(values)].concat())
        .collect();
    // Whoever signs in is noted, and so are the policies of every installation.
    runtime.block_on(async {
        world.get("/users/me").await;
        world.get("/backup-policies").await;
    });
    let outcome = runner.run(&prop_oneof![9 => body(members), 1 => anything()], |body| {
        runtime.block_on(async {
            let before = world.snapshot().await;
            let (status, answer) = world.send(method, path, Some(&body)).await;
            prop_assert!(status < 500, "{status} {answer}");
            if status < 300 {
                let (kept, answered) = stored(world, &answer).await;
                prop_assert_eq!(kept, answered);
            } else {
                prop_assert!(before == world.snapshot().await, "{status} {answer} changed something");
                let error = answer["error"].as_str().unwrap_or_default();
                let is_named = names.iter().any(|name| error.contains(name.as_str()));
                prop_assert!(status != 400 || !body.is_object() || is_named, "no member is named: {error}");
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

#[test]
fn users() {
    let world = world();
    let members =
        json!({"email": ["zoe@example.org"], "name": ["Zo\u{eb}", " "], "role": ["viewer", "Operator"]});
    check(&world, "POST", "/users", &members, &async |world, answer| {
        let id = answer["user"]["id"].as_str().unwrap();
        let path = format!("/users/{id}");
        let kept = world.get(&path).await["user"].clone();
        // Each address once: the next body may name the same.
        world.expect(200, "DELETE", &path, None).await;
        (kept, answer["user"].clone())
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let body = json!({"email": "abe@example.org"});
    let abe = runtime.block_on(world.expect(201, "POST", "/users", Some(&body)));
    let path = format!("/users/{}", abe["user"]["id"].as_str().unwrap());
    let members =
        json!({"name": ["Abe", "\u{6771}"], "role": ["operator", "viewer"], "enabled": [true, false]});
    check(&world, "PUT", &path, &members, &async |world, answer| {
        (world.get(&path).await["user"].clone(), answer["user"].clone())
    });
}

#[test]
fn preferences_and_sign_ins() {
    let nothing = async |_: &World, _: &Value| (Value::Null, Value::Null);
    let members = json!({"dark_mode": [true, false], "page_size": [25, 10, 100]});
    check(&world(), "PUT", "/users/me/preferences", &members, &nothing);
    check(&world(), "POST", "/auth/events", &json!({"event": ["login", "logout"]}), &nothing);
}

#[test]
fn access_requests() {
    let world = world();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let pending = AccessRequest {
        id: "r-1".parse().unwrap(),
        email: "zoe@example.org".to_owned(),
        name: "Zoe".to_owned(),
        azure_ad_id: "oid-zoe".to_owned(),
        requested_at: world.state.clock.now(),
        resolution: Resolution::Pending,
    };
    runtime.block_on(world.state.storage.access_requests.insert(&pending)).unwrap();
    // Each answer is taken back, so that the next body finds the request as this one did.
    let ask_again = async |world: &World| {
        let requests = &world.state.storage.access_requests;
        let answered = requests.get(&pending.id).await.unwrap().unwrap();
        assert_ne!(answered.value.resolution, Resolution::Pending);
        requests.update(&pending, &answered.etag).await.unwrap();
    };
    let roles = json!({"role": ["viewer", "Operator", null]});
    check(&world, "POST", "/access-requests/r-1/approve", &roles, &async |world, answer| {
        ask_again(world).await;
        let kept = world.get("/users/oid-zoe").await["user"].clone();
        world.expect(200, "DELETE", "/users/oid-zoe", None).await;
        (kept, answer["user"].clone())
    });
    runtime.block_on(async {
        ask_again(&world).await;
        world.expect(200, "DELETE", "/users/oid-zoe", None).await;
    });
    let reasons = json!({"reason": ["no", "two\nlines", "", null]});
    check(&world, "POST", "/access-requests/r-1/reject", &reasons, &async |world, _| {
        ask_again(world).await;
        (Value::Null, Value::Null)
    });
}

#[test]
fn restores() {
    let (world, _) = set_up();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let backup = runtime.block_on(world.completed("d-1", "2026-02-01T02:00:00Z", "backups", 10));
    let server =
        |port: Value| json!({"host": "db2.example", "port": port, "username": "root", "password": "pw"});
    let members = json!({
        "target": [server(json!(3307)), server(Value::Null), {"host": "-x"}, {"host": "db2", "tls_mode": 1}],
        "database_name": ["orders_copy", "a b"], "mode": ["new", "replace"], "keep_failed": [false, true],
        "confirm": ["orders_copy", null],
    });
    let path = format!("/backups/{}/restore", backup.id);
    check(&world, "POST", &path, &members, &async |world, answer| {
        let id = answer["restore_id"].clone();
        let kept = world.get(&format!("/restores/{}", id.as_str().unwrap())).await;
        (kept["restore"]["id"].clone(), id)
    });
}

#[test]
fn deletions_of_many() {
    let (world, _) = set_up();
    let members = json!({"blob_names": [["mysql/d-1/x.sql.gz"], ["a.sql.gz", "a.sql.gz"]]});
    check(&world, "POST", "/backups/delete-bulk", &members, &async |_, answer| {
        (answer["deleted_count"].clone(), json!(0))
    });
}

/// Values that no number, day or name of a closed set can be.
const NO_VALUES: [&str; 14] = [
    "-1",
    "1e9999999",
    "0x10",
    "NaN",
    " 1",
    "\u{ff11}",
    "\0",
    "\n",
    "--help",
    "1;--",
    "' or 1 eq 1",
    "\u{202e}1",
    "2025-02-30",
    "\u{430}dmin",
];

#[tokio::test]
async fn parameters_that_mean_nothing_are_refused_by_name() {
    let (world, _) = prepared().await;
    world.completed("d-1", "2026-02-01T02:00:00Z", "backups", 10).await;
    let before = world.snapshot().await;
    let strict = [
        ("/backups", "page page_size limit status triggered_by database_type start_date end_date"),
        ("/backups/files", "limit"),
        ("/backups/download?blob_name=mysql/d-1/20260201_020000.sql.gz", "expiry_hours"),
        ("/restores", "limit offset"),
        ("/users", "page page_size"),
        ("/engines", "limit offset engine_type"),
        ("/databases", "limit offset type"),
        ("/audit", "limit offset start_date end_date action resource_type status"),
        ("/audit/stats", "start_date end_date"),
        ("/backup-alerts", "consecutive_failures"),
    ];
    let long = "9".repeat(3000) + "x";
    for (path, names) in strict {
        let sign = if path.contains('?') { '&' } else { '?' };
        for name in names.split(' ') {
            for value in NO_VALUES.into_iter().chain([long.as_str()]) {
                let query: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
                let (status, answer) = world.send("GET", &format!("{path}{sign}{name}={query}"), None).await;
                assert_eq!(status, 400, "{path} {name}={value:?}: {answer}");
                let error = answer["error"].as_str().unwrap();
                assert!(error.starts_with(&format!("{name}: ")), "{path} {name}={value:?}: {error}");
            }
        }
    }
    assert!(before == world.snapshot().await, "something was changed");
}

#[tokio::test]
async fn parameters_that_are_texts_are_only_looked_for() {
    let (world, _) = prepared().await;
    world.completed("d-1", "2026-02-01T02:00:00Z", "backups", 10).await;
    let before = world.snapshot().await;
    let texts = [
        ("/backups", "database_id engine_id"),
        ("/backups/files", "prefix"),
        ("/backups/download", "blob_name"),
        ("/users", "search status"),
        ("/access-requests", "status"),
        ("/engines", "search"),
        ("/databases", "search host policy_id engine_id enabled_only"),
        ("/audit", "user_id search database_type engine_id resource_name"),
        ("/system-status", "period"),
        ("/retention/preview", "database_id"),
    ];
    let long = "x".repeat(3000);
    let hostile = NO_VALUES.into_iter().chain(["../..", "%00", "x' or PartitionKey ge '0", long.as_str()]);
    for value in hostile {
        let query: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
        for (path, names) in texts {
            for name in names.split(' ') {
                let (status, answer) = world.send("GET", &format!("{path}?{name}={query}"), None).await;
                assert!(matches!(status, 200 | 400 | 404), "{path} {name}={value:?}: {status} {answer}");
                let found = ["backups", "databases", "engines", "users", "logs"];
                let is_found = |list: &&str| answer[list].as_array().is_some_and(|found| !found.is_empty());
                let is_search = name != "status" && name != "enabled_only";
                let digits = value == "-1";
                assert!(
                    !is_search || digits || !found.iter().any(is_found),
                    "{path} {name}={value:?} finds something: {answer}"
                );
            }
        }
        // The same as the id of something, for every method that has one.
        for route in api::roles::ROUTES.iter().filter(|route| route.path.contains("id}")) {
            let path: String = url_of(route.path, &query.replace('+', "%20"));
            let body = json!({});
            let (status, answer) = world.send(route.method, &path, Some(&body)).await;
            assert!((400..500).contains(&status), "{} {path}: {status} {answer}", route.method);
        }
    }
    assert!(before == world.snapshot().await, "something was changed");
}

/// Puts a text in the place of the id in the path of a route.
fn url_of(path: &str, id: &str) -> String {
    path.replace("{backup_id}", id).replace("{id}", id)
}
