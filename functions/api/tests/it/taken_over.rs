//! An account that an earlier system has filled: every route that reads shows what is in it, as it is.

use api::roles::ROUTES;
use serde_json::{Value, json};
use shared::storage::BlobAddress;
use shared::storage::table::{Entity, Key, Value as Cell};

use crate::support::World;

/// Stores a row in the form of an earlier system. Whole numbers have 32 bits there; `{"int64": 1}` has 64.
async fn put(world: &World, table: &str, partition: &str, row: &str, properties: Value) {
    let Value::Object(properties) = properties else { panic!("an object is needed") };
    let cell = |value: Value| match value {
        Value::String(text) => Cell::from(text),
        Value::Bool(flag) => flag.into(),
        Value::Number(number) if number.is_f64() => Cell::Double(number.as_f64().unwrap()),
        Value::Number(number) => i32::try_from(number.as_i64().unwrap()).unwrap().into(),
        Value::Object(wide) => Cell::Int64(wide["int64"].as_i64().unwrap()),
        other @ (Value::Null | Value::Array(_)) => panic!("{other} is in no row"),
    };
    let properties = properties.into_iter().map(|(name, value)| (name, cell(value))).collect();
    world.table(table).put(&Entity::new(Key::new(partition, row), properties)).await;
}

fn engine(name: &str) -> Value {
    json!({
        "name": name, "engine_type": "postgresql", "host": "db1", "port": 5432, "auth_method": "user_password",
        "username": "root", "password_secret_name": "", "connection_string": "", "policy_id": "",
        "discovery_enabled": true, "last_discovery": "", "created_at": "2025-11-01T02:00:03.024751",
        "updated_at": "2025-11-01T02:00:03", "created_by": "", "password": "p'w",
    })
}

fn database(name: &str, engine: &str) -> Value {
    json!({
        "name": name, "database_type": "postgresql", "engine_id": engine, "use_engine_credentials": true,
        "host": "db1", "port": 5432, "database_name": "orders", "auth_method": "", "username": "backup",
        "password_secret_name": "", "policy_id": "", "use_engine_policy": false, "enabled": true, "schedule": "",
        "retention_days": 0, "backup_destination": "", "compression": true, "password": "p'w",
        "tags": "{'team': 'sales', 'note': \"it's\"}", "created_at": "2025-11-05T02:00:03.024751",
        "updated_at": "2025-11-05T02:00:03", "created_by": "",
    })
}

fn backup(status: &str, day: &str, more: Value) -> Value {
    let mut row = json!({
        "job_id": format!("job-{day}"), "database_id": "db-001", "database_name": "Orders",
        "database_type": "postgresql", "status": status, "started_at": format!("{day}T02:00:05.5"),
        "completed_at": format!("{day}T02:00:15.5"), "duration_seconds": 10.0, "blob_name": "", "blob_url": "",
        "file_size_bytes": 0, "file_format": "", "error_message": "", "error_details": "", "retry_count": 0,
        "triggered_by": "scheduler", "tier": "daily", "created_at": format!("{day}T02:00:03.024751"),
    });
    crate::support::merge(&mut row, more);
    row
}

fn audit(id: &str, at: &str, action: &str, more: Value) -> Value {
    let mut row = json!({
        "id": id, "timestamp": at, "user_id": "oid-zoe", "user_email": "zoe@example.org", "action": action,
        "resource_type": "database", "resource_id": "db-001", "resource_name": "Orders", "status": "success",
        "ip_address": "unknown",
    });
    crate::support::merge(&mut row, more);
    row
}

/// One row of every form that earlier systems have written.
async fn account() -> World {
    let world = World::new();
    put(&world, "databaseconfigs", "database", "db-001", database("Orders", "")).await;
    put(&world, "databaseconfigs", "database", "db-002", database("Sales", "old")).await;
    // Engines in the older place, in the newer one, and in both.
    put(&world, "databaseconfigs", "engine", "old", engine("Old place")).await;
    put(&world, "databaseconfigs", "engine", "both", engine("Stale")).await;
    put(&world, "engines", "engine", "both", engine("Both places")).await;
    let blob = "postgresql/db-001/20251205_020003.sql.gz";
    let stored = json!({"blob_name": blob, "blob_url": format!("http://127.0.0.1:10000/devstoreaccount1/backups/{blob}"),
        "file_size_bytes": {"int64": 3_000_000_000_i64}, "file_format": "sql.gz"});
    let row = backup("completed", "2025-12-05", stored);
    put(&world, "backuphistory", "2025-12-05", "3137729975969752489_b-new", row).await;
    let older = "db-001/2025/12/04/x.sql.gz";
    let stored =
        json!({"blob_name": older, "file_size_bytes": 7, "file_format": "sql.gz", "duration_seconds": 0});
    put(&world, "backuphistory", "2025-12-04", "b-legacy", backup("completed", "2025-12-04", stored)).await;
    let failed = json!({"error_message": "refused", "error_details": "Traceback", "tier": "", "triggered_by": "manual"});
    put(
        &world,
        "backuphistory",
        "2025-12-03",
        "3137731703969752489_b-bad",
        backup("failed", "2025-12-03", failed),
    )
    .await;
    for name in [blob, older] {
        world.put(&BlobAddress::new("backups", name), 7).await;
    }
    let policy = json!({
        "name": "Gold", "description": "", "is_system": false, "hourly_enabled": false, "hourly_keep_count": 24,
        "hourly_interval_hours": 1, "daily_enabled": true, "daily_keep_count": 7, "daily_time": "99:99",
        "weekly_enabled": false, "weekly_keep_count": 4, "weekly_day_of_week": 0, "monthly_enabled": false,
        "monthly_keep_count": 3, "monthly_day_of_month": 1, "yearly_enabled": false, "yearly_keep_count": 1,
        "yearly_month": 1, "yearly_day_of_month": 1, "created_at": "2025-11-01T02:00:03",
        "updated_at": "2025-11-01T02:00:03",
    });
    put(&world, "backuppolicies", "backup_policy", "gold", policy).await;
    let user = json!({"email": "zoe@example.org", "name": "Zoe", "role": "admin", "enabled": true, "dark_mode": true,
        "page_size": 50, "created_at": "2025-11-01T02:00:03", "updated_at": "2025-11-01T02:00:03"});
    put(&world, "users", "users", "oid-zoe", user).await;
    let request = json!({"email": "abe@example.org", "name": "Abe", "azure_ad_id": "oid-abe", "status": "rejected",
        "requested_at": "2025-11-01T02:00:03", "resolved_at": "2025-11-02T02:00:03", "resolved_by": "oid-zoe",
        "rejection_reason": "no"});
    put(&world, "accessrequests", "access_requests", "r-1", request).await;
    let settings = json!({"dark_mode": true, "default_retention_days": 45, "default_compression": true,
        "access_requests_enabled": false, "updated_at": "2025-11-01T02:00:03"});
    put(&world, "settings", "settings", "app", settings).await;
    // The audit log by months, and by days.
    let month = audit("a-month", "2025-12-05T10:00:00.123456", "database_updated", json!({}));
    put(&world, "auditlogs", "202512", "8235071199876543_a-month", month).await;
    let day =
        audit("a-day", "2025-12-06T10:00:00", "database_created", json!({"details": "{\"port\": 5432}"}));
    put(&world, "auditlogs", "2025-12-06", "3137728823999999999_a-day", day).await;
    world
}

/// Returns the addresses of a route: with the ids of all things that are there.
fn addresses(path: &str) -> Vec<String> {
    let ids: &[&str] = match path {
        "/databases/{id}" | "/databases/{id}/backup-stats" | "/databases/{id}/schedule" => {
            &["db-001", "db-002"]
        }
        "/engines/{id}" => &["old", "both"],
        "/backup-policies/{id}" => &["gold"],
        "/users/{id}" => &["oid-zoe"],
        "/restores/{id}" => &[],
        "/backups/download" => {
            return ["postgresql/db-001/20251205_020003.sql.gz", "db-001/2025/12/04/x.sql.gz"]
                .map(|name| format!("{path}?blob_name={name}"))
                .into();
        }
        "/retention/preview" => return vec![format!("{path}?database_id=db-001")],
        _ => return vec![path.to_owned()],
    };
    assert!(path.contains("{id}"), "{path}");
    ids.iter().map(|id| path.replace("{id}", id)).collect()
}

#[tokio::test]
async fn every_route_that_reads_answers_over_it_and_changes_none_of_it() {
    let world = account().await;
    // Whoever signs in and the policies of every installation may come; nothing else.
    world.get("/users/me").await;
    world.get("/backup-policies").await;
    let reading = ROUTES.iter().filter(|route| route.method == "GET");
    for path in reading.flat_map(|route| addresses(route.path)) {
        let before = world.snapshot().await;
        let (status, answer) = world.call("GET", &path, &[], None).await;
        assert_eq!(status, 200, "{path}: {answer}");
        assert!(!answer.to_string().contains("p'w"), "{path} shows a password");
        // That somebody gets a file is audited.
        let is_quiet = !path.starts_with("/backups/download");
        assert!(!is_quiet || before == world.snapshot().await, "{path} changed something");
    }
}

/// Renders members of the items of a list.
fn shown(answer: &Value, list: &str, members: &[&str]) -> Vec<String> {
    let item = |item: &Value| members.iter().map(|name| item[name].to_string()).collect::<Vec<_>>().join(" ");
    answer[list].as_array().unwrap().iter().map(item).collect()
}

#[tokio::test]
async fn the_lists_show_what_was_meant() {
    let world = account().await;
    let databases = world.get("/databases").await;
    assert_eq!(
        shown(&databases, "databases", &["id", "policy_id", "use_engine_credentials", "engine_id", "tags"]),
        [
            r#""db-001" "production-standard" false null {"note":"it's","team":"sales"}"#,
            r#""db-002" "production-standard" true "old" {"note":"it's","team":"sales"}"#,
        ]
    );
    let engines = world.get("/engines").await;
    let mut engines = shown(&engines, "items", &["id", "name", "database_count"]);
    engines.sort();
    assert_eq!(engines, [r#""both" "Both places" 0"#, r#""old" "Old place" 1"#]);
    let backups = world.get("/backups").await;
    assert_eq!(backups["total_count"], 3);
    assert_eq!(
        shown(
            &backups,
            "backups",
            &["id", "status", "file_size_bytes", "tier", "created_at", "error_message"]
        ),
        [
            r#""b-new" "completed" 3000000000 "daily" "2025-12-05T02:00:03.024751Z" null"#,
            r#""b-legacy" "completed" 7 "daily" "2025-12-04T02:00:03.024751Z" null"#,
            r#""b-bad" "failed" null null "2025-12-03T02:00:03.024751Z" "refused""#,
        ]
    );
    let logs = world.get("/audit").await;
    assert_eq!(logs["total"], 2);
    assert_eq!(
        shown(&logs, "logs", &["id", "action"]),
        [r#""a-day" "database_created""#, r#""a-month" "database_updated""#]
    );
    let policy = world.get("/backup-policies/gold").await;
    assert_eq!(policy["policy"]["daily"]["time"], "02:00");
    let requests = world.get("/access-requests?status=rejected").await;
    assert_eq!(shown(&requests, "requests", &["id", "status"]), [r#""r-1" "rejected""#]);
    assert_eq!(world.get("/settings").await["settings"]["default_retention_days"], 45);
    assert_eq!(world.get("/users/oid-zoe").await["user"]["page_size"], 50);
    // What the legacy form names can be deleted by its id.
    world.expect(200, "DELETE", "/backups/b-legacy", None).await;
    assert_eq!(world.get("/backups").await["total_count"], 2);
}

#[tokio::test]
async fn a_database_that_breaks_a_newer_rule_can_be_switched_off_and_mended() {
    let world = World::new();
    let mut broken = database("Orders", "");
    // Without an engine, without a user, at the place where clouds keep the credentials of their machines.
    crate::support::merge(
        &mut broken,
        json!({"use_engine_credentials": false, "username": "", "host": "169.254.169.254"}),
    );
    put(&world, "databaseconfigs", "database", "db-001", broken).await;
    let change = async |expected: u16, body: Value| {
        world.expect(expected, "PUT", "/databases/db-001", Some(&body)).await["error"].clone()
    };
    let error = change(400, json!({"name": "Old orders"})).await;
    assert!(error.as_str().unwrap().starts_with("username: is required"), "{error}");
    change(200, json!({"enabled": false})).await;
    change(200, json!({"name": "Old orders"})).await;
    // It is switched on again when it keeps the rules, and moved to no other place that they forbid.
    change(400, json!({"enabled": true})).await;
    change(400, json!({"host": "168.63.129.16", "password": "p"})).await;
    change(200, json!({"enabled": true, "username": "backup", "host": "db1.example", "password": "p"})).await;
    let stored = world.get("/databases/db-001").await["database"].clone();
    assert_eq!((&stored["name"], &stored["enabled"]), (&json!("Old orders"), &json!(true)));
}
