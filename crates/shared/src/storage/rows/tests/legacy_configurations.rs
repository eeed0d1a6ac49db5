//! Databases, engines, policies, users and settings as the earlier system left them.

use std::collections::BTreeMap;

use secrecy::ExposeSecret as _;
use serde_json::{Value as Json, json};

use super::{read, with};
use crate::models::{
    AppSettings, BackupPolicy, Credentials, Database, Engine, PolicyId, StoredSecret, User, UserRole,
};

/// A database of the earlier system.
fn database() -> Json {
    json!({
        "PartitionKey": "database", "RowKey": "db-001", "name": "Orders", "database_type": "postgresql",
        "engine_id": "", "use_engine_credentials": true, "host": "db1", "port": 5432, "database_name": "orders",
        "auth_method": "", "username": "backup", "password_secret_name": "", "password": "p'w",
        "policy_id": "", "use_engine_policy": false, "enabled": true, "schedule": "", "retention_days": 0,
        "backup_destination": "", "compression": true, "tags": "{'team': 'sales', 'note': \"it's\"}",
        "created_at": "2025-12-05T02:00:03.024751", "updated_at": "2025-12-05T02:00:03", "created_by": "",
        "a_newer_property": "stays",
    })
}

fn of_database(changes: Json) -> Database {
    read(&with(database(), changes)).unwrap()
}

#[test]
fn a_database_is_read_with_what_was_meant() {
    let database = of_database(json!({}));
    assert!(!database.uses_engine_credentials(), "there is no engine whose credentials it could use");
    let login = database.own_login().unwrap();
    assert_eq!(login.auth_method, None);
    assert!(matches!(&login.password, StoredSecret::Plain(secret) if secret.expose_secret() == "p'w"));
    assert!(!format!("{database:?}").contains("p'w"));
    assert_eq!(database.policy.own.as_ref().map(PolicyId::as_str), Some("production-standard"));
    assert_eq!((database.schedule.as_ref(), database.retention_days), (None, None));
    assert_eq!((database.backup_destination.as_ref(), database.created_by.as_ref()), (None, None));
    let tags = [("team", "sales"), ("note", "it's")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(database.tags, BTreeMap::from(tags));
}

#[test]
fn a_database_with_little_in_its_row_has_the_defaults() {
    let mut row = database();
    let kept = ["PartitionKey", "RowKey", "name", "database_type", "host", "port", "database_name"];
    row.as_object_mut().unwrap().retain(|name, _| kept.contains(&name.as_str()));
    let database: Database = read(&row).unwrap();
    assert!(database.enabled && database.compression && !database.policy.from_engine);
    assert!(
        matches!(&database.credentials, Credentials::Own(login) if !login.password.is_kept() && login.username.is_none())
    );
    assert!(database.tags.is_empty());
    assert_eq!(database.created_at, database.updated_at);
}

#[test]
fn the_policy_may_be_the_engines() {
    let inherits = json!({"engine_id": "e1", "use_engine_policy": true, "policy_id": ""});
    let database = of_database(inherits);
    assert!(
        database.policy.from_engine && database.policy.own.is_none() && database.uses_engine_credentials()
    );
}

#[test]
fn numbers_and_flags_are_read_in_every_type() {
    let wide = json!({"port": "5433", "port@odata.type": "Edm.Int64", "retention_days": 14.0, "retention_days@odata.type": "Edm.Double"});
    let database = of_database(wide);
    assert_eq!((database.endpoint.port, database.retention_days), (5433, Some(14)));
    assert!(!of_database(json!({"enabled": "False"})).enabled);
}

#[test]
fn a_schedule_that_is_none_leaves_the_policy() {
    assert!(of_database(json!({"schedule": "every now and then"})).schedule.is_none());
    let schedule = of_database(json!({"schedule": "0 3 * * 1-5"})).schedule;
    assert_eq!(schedule.map(|schedule| schedule.to_string()).as_deref(), Some("0 3 * * 1-5"));
}

#[test]
fn a_database_that_cannot_be_read_says_why() {
    let broken = [
        json!({"port": "abc"}),
        json!({"port": 70_000}),
        json!({"port": 0}),
        json!({"host": "-oProxyCommand=x"}),
        json!({"database_name": "--result-file=x"}),
        json!({"database_type": "oracle"}),
        json!({"name": ""}),
        json!({"backup_destination": "Not A Container"}),
        json!({"engine_id": "a'b"}),
    ];
    let texts: Vec<String> = broken
        .into_iter()
        .filter_map(|changes| read::<Database>(&with(database(), changes)).err())
        .map(|error| error.to_string())
        .collect();
    insta::assert_snapshot!(texts.join("\n"), @r#"
    row (database, db-001) cannot be read: port: no port number
    row (database, db-001) cannot be read: port: no port number
    row (database, db-001) cannot be read: port: no port number
    row (database, db-001) cannot be read: host: must be 1 to 255 characters without spaces or control characters, and must not begin with a hyphen
    row (database, db-001) cannot be read: database_name: must be 1 to 128 characters without control characters, and must not begin with a hyphen
    row (database, db-001) cannot be read: database_type: "oracle" is not a known database type; use one of: mysql, postgresql, sqlserver, azure_sql
    row (database, db-001) cannot be read: name: missing
    row (database, db-001) cannot be read: backup_destination: must be 3 to 63 lower-case letters, digits and single hyphens, with a letter or digit at both ends
    row (database, db-001) cannot be read: engine_id: not an identifier: use 1 to 128 letters, digits, dots, underscores and hyphens
    "#);
}

#[test]
fn an_engine_in_the_older_place_is_read() {
    let row = json!({
        "PartitionKey": "engine", "RowKey": "e1", "name": "Main", "engine_type": "mysql", "host": "db1",
        "port": 3306, "auth_method": "user_password", "username": "root", "password_secret_name": "engine-e1",
        "connection_string": "", "policy_id": "", "discovery_enabled": true, "last_discovery": "",
        "created_at": "2025-12-05T02:00:03", "updated_at": "2025-12-05T02:00:03", "created_by": "",
    });
    let engine: Engine = read(&row).unwrap();
    assert!(engine.has_usable_credentials());
    assert!(
        matches!(&engine.login.password, StoredSecret::Named { name, version: None } if name == "engine-e1")
    );
    assert_eq!((engine.policy_id.as_ref(), engine.last_discovery), (None, None));
    let plain = json!({"auth_method": "connection_string", "connection_string": "Server=x;Pwd=secret", "username": ""});
    let engine: Engine = read(&with(row, plain)).unwrap();
    assert!(
        matches!(&engine.connection_string, StoredSecret::Plain(text) if text.expose_secret().contains("Pwd"))
    );
    assert!(!format!("{engine:?}").contains("Pwd=secret"));
    assert!(engine.has_usable_credentials());
}

/// A policy of the earlier system: times may be missing or impossible, and numbers out of range.
#[test]
fn a_policy_has_the_usual_times_where_its_own_cannot_be_used() {
    let row = json!({
        "PartitionKey": "backup_policy", "RowKey": "gold", "name": "Gold", "description": "", "is_system": false,
        "hourly_enabled": true, "hourly_keep_count": 12, "daily_enabled": true, "daily_keep_count": 7,
        "daily_time": "99:99", "weekly_enabled": true, "weekly_keep_count": 4, "weekly_day_of_week": 9,
        "monthly_enabled": false, "monthly_keep_count": -1, "monthly_day_of_month": 31, "monthly_time": "",
        "yearly_enabled": true, "yearly_keep_count": 1, "yearly_month": 13, "yearly_time": "23:59",
        "created_at": "2025-12-05T02:00:03", "updated_at": "2025-12-05T02:00:03",
    });
    let policy: BackupPolicy = read(&row).unwrap();
    let times: Vec<String> = policy.tiers().map(|(tier, config)| format!("{tier} {}", config.time)).collect();
    assert_eq!(times, ["yearly 23:59", "monthly 04:00", "weekly 03:00", "daily 02:00", "hourly 02:00"]);
    assert_eq!((policy.hourly.interval_hours, policy.weekly.day_of_week), (1, 0));
    assert_eq!((policy.monthly.day_of_month, policy.monthly.keep_count, policy.yearly.month), (1, 0, 1));
    assert_eq!(policy.description, None);
    assert!(policy.tiers().all(|(_, tier)| tier.checked().is_ok()));
}

#[test]
fn a_user_without_preferences_has_the_defaults() {
    let row = json!({
        "PartitionKey": "users", "RowKey": "oid", "email": "A@Example.com", "name": "A", "role": "admin",
        "enabled": true, "page_size": 5000, "created_at": "2025-12-05T02:00:03",
    });
    let user: User = read(&row).unwrap();
    assert_eq!((user.role, user.page_size, user.dark_mode), (UserRole::Admin, 25, false));
    assert_eq!((user.last_login, user.created_by), (None, None));
    assert!(read::<User>(&with(row, json!({"role": "owner"}))).is_err(), "a role is never guessed");
}

#[test]
fn settings_that_nobody_could_have_meant_delete_nothing_early() {
    let row = json!({"PartitionKey": "settings", "RowKey": "app", "dark_mode": true});
    assert_eq!(read::<AppSettings>(&row).unwrap().default_retention_days, 30);
    for bad in [json!(9999), json!(0), json!("forever"), json!(true)] {
        let settings: AppSettings = read(&with(row.clone(), json!({"default_retention_days": bad}))).unwrap();
        assert_eq!(settings.default_retention_days, 365, "{bad}");
    }
    let row = with(row, json!({"default_compression": "perhaps", "access_requests_enabled": 7}));
    let settings: AppSettings = read(&row).unwrap();
    assert!(settings.dark_mode && settings.default_compression && settings.access_requests_enabled);
}
