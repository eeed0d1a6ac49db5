//! Changing the settings of the installation.

use serde_json::json;

use crate::support::{Fault, World, at, pretty};

#[tokio::test]
async fn only_what_is_given_changes_and_is_recorded() {
    let world = World::with(&[("BACKUP_RETENTION_DAYS", "45")]);
    let change = json!({"default_retention_days": 60, "dark_mode": false, "more": 1});
    let answer = world.expect(200, "PUT", "/settings", Some(&change)).await;
    insta::assert_snapshot!(pretty(&answer), @r#"
    {
      "message": "The settings are changed.",
      "settings": {
        "access_requests_enabled": true,
        "dark_mode": false,
        "default_compression": true,
        "default_retention_days": 60,
        "updated_at": "2026-03-01T12:00:00.123456Z"
      }
    }
    "#);
    world.state.clock.set(at("2026-03-02T00:00:00Z"));
    let change = json!({"access_requests_enabled": false, "default_compression": false, "dark_mode": true});
    let answer = world.expect(200, "PUT", "/settings", Some(&change)).await;
    assert_eq!(world.get("/settings").await["settings"], answer["settings"]);
    assert_eq!(answer["settings"]["default_retention_days"], 60);
    insta::assert_snapshot!(world.audit().await, @r#"
    settings_updated settings app-settings "Application Settings" by admin@dilux.tech from 203.0.113.7: success -
      {"changes":{"default_retention_days":{"from":45,"to":60}}}
    settings_updated settings app-settings "Application Settings" by admin@dilux.tech from 203.0.113.7: success -
      {"changes":{"access_requests_enabled":{"from":true,"to":false},"dark_mode":{"from":false,"to":true},"default_compression":{"from":true,"to":false}}}
    "#);
}

#[tokio::test]
async fn what_changes_nothing_stores_and_records_nothing() {
    let world = World::new();
    for body in [json!({}), json!({"default_retention_days": 30, "dark_mode": false})] {
        let answer = world.expect(200, "PUT", "/settings", Some(&body)).await;
        assert_eq!(answer["message"], "The settings are as they were.");
    }
    assert!(world.table("settings").rows().await.is_empty());
    assert_eq!(world.audit().await, "");
}

#[tokio::test]
async fn what_is_wrong_is_refused_and_stores_nothing() {
    let world = World::new();
    let mut lines = Vec::new();
    for (name, value) in [
        ("default_retention_days", json!(0)),
        ("default_retention_days", json!(366)),
        ("default_retention_days", json!(30.5)),
        ("default_retention_days", json!("30")),
        ("default_retention_days", json!(null)),
        ("default_retention_days", json!(1e300)),
        ("dark_mode", json!("true")),
        ("dark_mode", json!(null)),
        ("default_compression", json!(1)),
        ("access_requests_enabled", json!([])),
    ] {
        let body = json!({"dark_mode": true, name: value});
        let (status, answer) = world.send("PUT", "/settings", Some(&body)).await;
        lines.push(format!("{status} {}", answer["error"].as_str().unwrap_or("ACCEPTED")));
    }
    insta::assert_snapshot!(lines.join("\n"), @"
    400 default_retention_days: must be a whole number from 1 to 365, not 0
    400 default_retention_days: must be a whole number from 1 to 365, not 366
    400 default_retention_days: must be a whole number from 1 to 365, not 30.5
    400 default_retention_days: must be a whole number from 1 to 365, not a text
    400 default_retention_days: must not be empty or null
    400 default_retention_days: must be a whole number from 1 to 365, not 1e+300
    400 dark_mode: must be true or false, not a text
    400 dark_mode: must not be empty or null
    400 default_compression: must be true or false, not 1
    400 access_requests_enabled: must be true or false, not a list
    ");
    assert!(world.table("settings").rows().await.is_empty());
    assert_eq!(world.audit().await, "");
}

#[tokio::test]
async fn changes_that_meet_are_all_made() {
    let world = World::new();
    world.expect(200, "PUT", "/settings", Some(&json!({"default_retention_days": 1}))).await;
    for _ in 0..4 {
        world.table("settings").fail(Fault::Change);
    }
    world.expect(200, "PUT", "/settings", Some(&json!({"dark_mode": true}))).await;
    for _ in 0..5 {
        world.table("settings").fail(Fault::Change);
    }
    world.expect(409, "PUT", "/settings", Some(&json!({"dark_mode": false}))).await;
    let settings = &world.get("/settings").await["settings"];
    assert_eq!((&settings["default_retention_days"], &settings["dark_mode"]), (&json!(1), &json!(true)));
}

#[tokio::test]
async fn new_databases_are_compressed_as_the_settings_say() {
    let world = World::new();
    world.expect(200, "PUT", "/settings", Some(&json!({"default_compression": false}))).await;
    let database = world.create_database("a", json!({"compression": "(absent)"})).await;
    assert_eq!(database["compression"], false);
}
