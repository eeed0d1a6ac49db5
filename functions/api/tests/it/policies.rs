//! Making, changing and deleting backup policies.

use serde_json::{Value, json};
use shared::storage::StorageErrorKind;

use crate::support::{Fault, World, at, pretty};

fn last(audit: &str) -> String {
    audit.lines().rev().take(2).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_new_policy_has_all_its_members() {
    let world = World::new();
    let body = json!({
        "name": " Gold & more ", "description": "two\nlines",
        "daily": {"enabled": true, "keep_count": 7, "time": "23:59", "interval_hours": null, "day_of_week": 3},
        "weekly": {"enabled": true, "keep_count": 4},
        "is_system": true, "id": "mine",
    });
    let answer = world.expect(201, "POST", "/backup-policies", Some(&body)).await;
    insta::assert_snapshot!(pretty(&answer), @r#"
    {
      "message": "The backup policy Gold & more is made.",
      "policy": {
        "created_at": "2026-03-01T12:00:00.123456Z",
        "daily": {
          "day_of_month": 1,
          "day_of_week": 0,
          "enabled": true,
          "interval_hours": 1,
          "keep_count": 7,
          "month": 1,
          "time": "23:59"
        },
        "description": "two\nlines",
        "hourly": {
          "day_of_month": 1,
          "day_of_week": 0,
          "enabled": false,
          "interval_hours": 1,
          "keep_count": 0,
          "month": 1,
          "time": "02:00"
        },
        "id": "gold-more",
        "is_system": false,
        "monthly": {
          "day_of_month": 1,
          "day_of_week": 0,
          "enabled": false,
          "interval_hours": 1,
          "keep_count": 0,
          "month": 1,
          "time": "02:00"
        },
        "name": "Gold & more",
        "time_zone": "UTC",
        "updated_at": "2026-03-01T12:00:00.123456Z",
        "weekly": {
          "day_of_month": 1,
          "day_of_week": 0,
          "enabled": true,
          "interval_hours": 1,
          "keep_count": 4,
          "month": 1,
          "time": "02:00"
        },
        "yearly": {
          "day_of_month": 1,
          "day_of_week": 0,
          "enabled": false,
          "interval_hours": 1,
          "keep_count": 0,
          "month": 1,
          "time": "02:00"
        }
      }
    }
    "#);
    let stored = world.get("/backup-policies/gold-more").await;
    assert_eq!(stored["policy"], answer["policy"], "what was answered is what is stored");
    insta::assert_snapshot!(world.audit().await, @r#"
    policy_created policy gold-more "Gold & more" by admin@dilux.tech from 203.0.113.7: success -
      {"description":"two\nlines","summary":"7d/4w"}
    "#);
}

#[tokio::test]
async fn a_name_gives_an_id_once() {
    let world = World::new();
    let create = async |name: &str| world.post("/backup-policies", &json!({"name": name})).await;
    assert_eq!(create("Gold").await.0, 201);
    let (status, answer) = create("gold!").await;
    assert_eq!(status, 409);
    insta::assert_snapshot!(answer["error"].as_str().unwrap(), @"The backup policy Gold has the id gold already, which this name gives too; choose another name.");
    assert_eq!(create("東京").await.0, 201);
    assert_eq!(create("大阪").await.0, 201);
    // What is the same to the microsecond would be taken for this request's own row.
    world.state.clock.set(at("2026-03-02T00:00:00Z"));
    assert_eq!(create("東京").await.0, 409);
    world.state.storage.policies.seed(world.state.clock.now()).await.unwrap();
    assert_eq!(create("Development").await.0, 409);
    assert_eq!(world.table("backuppolicies").rows().await.len(), 6);
}

#[tokio::test]
async fn a_policy_whose_answer_was_lost_is_there_all_the_same() {
    let world = World::new();
    world.table("backuppolicies").fail(Fault::LoseInsert);
    assert_eq!(world.post("/backup-policies", &json!({"name": "Gold"})).await.0, 201);
    assert_eq!(world.table("backuppolicies").rows().await.len(), 1);
}

#[tokio::test]
async fn what_is_wrong_is_refused_with_its_name_and_stores_nothing() {
    let world = World::new();
    world.expect(201, "POST", "/backup-policies", Some(&json!({"name": "Gold"}))).await;
    let (rows, audit) = (world.table("backuppolicies").rows().await, world.audit().await);
    let mut lines = Vec::new();
    for change in [
        json!({"name": ""}),
        json!({"name": "x".repeat(101)}),
        json!({"name": null}),
        json!({"name": ["a"]}),
        json!({"name": "a\u{202e}b"}),
        json!({"description": "x".repeat(1001)}),
        json!({"description": "a\u{7}"}),
        json!({"description": 1}),
        json!({"time_zone": "Mars/Base"}),
        json!({"time_zone": ""}),
        json!({"time_zone": null}),
        json!({"daily": null}),
        json!({"daily": "on"}),
        json!({"daily": {"enabled": "yes"}}),
        json!({"daily": {"keep_count": 10_001}}),
        json!({"daily": {"keep_count": -1}}),
        json!({"daily": {"keep_count": null}}),
        json!({"daily": {"keep_count": 1e300}}),
        json!({"hourly": {"interval_hours": 0}}),
        json!({"hourly": {"interval_hours": 13}}),
        json!({"daily": {"time": "25:00"}}),
        json!({"daily": {"time": "２3:00"}}),
        json!({"daily": {"time": ""}}),
        json!({"weekly": {"day_of_week": 7}}),
        json!({"monthly": {"day_of_month": 29}}),
        json!({"yearly": {"month": 256}}),
    ] {
        let (on_update, answer) = world.send("PUT", "/backup-policies/gold", Some(&change)).await;
        let mut body = json!({"name": "Silver"});
        crate::support::merge(&mut body, change);
        let (on_create, same) = world.post("/backup-policies", &body).await;
        assert_eq!(answer["error"], same["error"]);
        lines.push(format!("{on_create} {on_update} {}", answer["error"].as_str().unwrap_or("ACCEPTED")));
    }
    let (status, answer) = world.post("/backup-policies", &json!({"description": "no name"})).await;
    lines.push(format!("{status} {}", answer["error"].as_str().unwrap()));
    insta::assert_snapshot!(lines.join("\n"), @"
    400 400 name: must be 1 to 100 characters, without control characters
    400 400 name: must be 1 to 100 characters, without control characters
    400 400 name: must not be empty or null
    400 400 name: must be a text, not a list
    400 400 name: must not have invisible or direction-changing characters
    400 400 description: must be at most 1000 characters, without control characters
    400 400 description: must be at most 1000 characters, without control characters
    400 400 description: must be a text, not 1
    400 400 time_zone: must be the IANA name of a time zone, such as UTC or Europe/Berlin
    400 400 time_zone: must be the IANA name of a time zone, such as UTC or Europe/Berlin
    400 400 time_zone: must not be empty or null
    400 400 daily: must not be empty or null
    400 400 daily: must be an object, not a text
    400 400 daily.enabled: must be true or false, not a text
    400 400 daily.keep_count: must be a whole number from 0 to 10000, not 10001
    400 400 daily.keep_count: must be a whole number from 0 to 10000, not -1
    400 400 daily.keep_count: must not be empty or null
    400 400 daily.keep_count: must be a whole number from 0 to 10000, not 1e+300
    400 400 hourly.interval_hours: must be a whole number from 1 to 12, not 0
    400 400 hourly.interval_hours: must be a whole number from 1 to 12, not 13
    400 400 daily.time: must be a time of day from 00:00 to 23:59, written HH:MM
    400 400 daily.time: must be a time of day from 00:00 to 23:59, written HH:MM
    400 400 daily.time: must not be empty or null
    400 400 weekly.day_of_week: must be a whole number from 0 to 6, not 7
    400 400 monthly.day_of_month: must be a whole number from 1 to 28, not 29
    400 400 yearly.month: must be a whole number from 1 to 12, not 256
    400 Missing: name.
    ");
    assert_eq!(world.table("backuppolicies").rows().await, rows);
    assert_eq!(world.audit().await, audit);
}

#[tokio::test]
async fn a_tier_is_replaced_as_a_whole_and_the_rest_stays() {
    let world = World::new();
    let tier = json!({"enabled": true, "keep_count": 3, "time": "04:30"});
    let body = json!({"name": "Gold", "description": "d", "daily": tier, "monthly": tier});
    let before = world.expect(201, "POST", "/backup-policies", Some(&body)).await["policy"].clone();
    world.state.clock.set(at("2026-03-02T00:00:00Z"));
    let change = json!({"name": "Platinum", "time_zone": "Europe/Berlin", "daily": {"enabled": true}, "id": "other", "is_system": true});
    let answer = world.expect(200, "PUT", "/backup-policies/gold", Some(&change)).await;
    let mut expected = before;
    expected["name"] = json!("Platinum");
    expected["time_zone"] = json!("Europe/Berlin");
    expected["daily"]["keep_count"] = json!(0);
    expected["daily"]["time"] = json!("02:00");
    expected["updated_at"] = json!("2026-03-02T00:00:00Z");
    assert_eq!(answer["policy"], expected);
    assert_eq!(world.get("/backup-policies/gold").await["policy"], expected);
    insta::assert_snapshot!(last(&world.audit().await), @r#"
    policy_updated policy gold "Platinum" by admin@dilux.tech from 203.0.113.7: success -
      {"summary":"3m","updated_fields":["name","time_zone","daily"]}
    "#);
    let cleared =
        world.expect(200, "PUT", "/backup-policies/gold", Some(&json!({"description": null}))).await;
    assert_eq!(cleared["policy"]["description"], Value::Null);
    world.expect(404, "PUT", "/backup-policies/none", Some(&json!({}))).await;
}

#[tokio::test]
async fn system_policies_keep_their_names_and_cannot_be_deleted() {
    let world = World::new();
    world.state.storage.policies.seed(world.state.clock.now()).await.unwrap();
    let change =
        json!({"name": "Development", "description": "ours", "hourly": {"enabled": true, "keep_count": 1}});
    let answer = world.expect(200, "PUT", "/backup-policies/development", Some(&change)).await;
    assert_eq!(answer["policy"]["is_system"], true);
    let rename = json!({"name": "Tests", "description": "not stored"});
    let refused = world.expect(400, "PUT", "/backup-policies/development", Some(&rename)).await;
    insta::assert_snapshot!(refused["error"].as_str().unwrap(), @"name: cannot be changed: every installation has this policy");
    let refused = world.expect(400, "DELETE", "/backup-policies/development", None).await;
    insta::assert_snapshot!(refused["error"].as_str().unwrap(), @"The backup policy Development cannot be deleted: every installation has it.");
    assert_eq!(world.get("/backup-policies/development").await["policy"]["description"], "ours");
    // Nobody makes the changed row anew.
    world.state.storage.policies.seed(world.state.clock.now()).await.unwrap();
    assert_eq!(world.get("/backup-policies/development").await["policy"]["description"], "ours");
}

#[tokio::test]
async fn a_policy_goes_when_nobody_uses_it() {
    let world = World::new();
    let tier = json!({"enabled": true, "keep_count": 3});
    let body = json!({"name": "Gold", "description": "d", "daily": tier});
    world.expect(201, "POST", "/backup-policies", Some(&body)).await;
    let engine = world.create_engine("db1", json!({"policy_id": "gold"})).await;
    world.create_database("a", json!({"policy_id": "gold"})).await;
    world
        .create_database("b", json!({"policy_id": "gold", "engine_id": engine, "use_engine_policy": true}))
        .await;
    let delete = async |status| world.expect(status, "DELETE", "/backup-policies/gold", None).await;
    let mut lines = vec![delete(400).await["error"].to_string()];
    for id in ["a", "b"] {
        world
            .expect(
                200,
                "PUT",
                &format!("/databases/{id}"),
                Some(&json!({"policy_id": "production-standard"})),
            )
            .await;
        lines.push(delete(400).await["error"].to_string());
    }
    world.expect(200, "PUT", &format!("/engines/{engine}"), Some(&json!({"policy_id": null}))).await;
    for table in ["databaseconfigs", "engines"] {
        world.table(table).fail(Fault::Read(StorageErrorKind::Invalid));
        lines.push(delete(503).await["error"].to_string());
    }
    lines.push(delete(200).await["message"].to_string());
    insta::assert_snapshot!(lines.join("\n"), @r#"
    "The backup policy Gold is used by 2 databases and 1 server; choose another policy there first."
    "The backup policy Gold is used by 1 database and 1 server; choose another policy there first."
    "The backup policy Gold is used by 0 databases and 1 server; choose another policy there first."
    "Whether the policy is used cannot be found out at the moment, so it is not deleted; try again later."
    "Whether the policy is used cannot be found out at the moment, so it is not deleted; try again later."
    "The backup policy Gold is deleted."
    "#);
    insta::assert_snapshot!(last(&world.audit().await), @r#"
    policy_deleted policy gold "Gold" by admin@dilux.tech from 203.0.113.7: success -
      {"description":"d","is_system":false,"summary":"3d"}
    "#);
    delete(404).await;
}

#[tokio::test]
async fn a_database_that_cannot_be_read_still_uses_its_policy() {
    let world = World::new();
    world.expect(201, "POST", "/backup-policies", Some(&json!({"name": "Gold"}))).await;
    world.create_database("a", json!({"policy_id": "gold"})).await;
    world.spoil("databaseconfigs", "port").await;
    assert_eq!(world.get("/databases").await["total"], 0);
    world.expect(400, "DELETE", "/backup-policies/gold", None).await;
}

#[tokio::test]
async fn somebody_elses_change_in_between_is_kept_and_a_second_one_is_a_409() {
    let world = World::new();
    world.expect(201, "POST", "/backup-policies", Some(&json!({"name": "Gold"}))).await;
    let table = world.table("backuppolicies");
    table.fail(Fault::Change);
    world.expect(200, "PUT", "/backup-policies/gold", Some(&json!({"name": "Once"}))).await;
    table.fail(Fault::Change);
    table.fail(Fault::Change);
    world.expect(409, "PUT", "/backup-policies/gold", Some(&json!({"name": "Twice"}))).await;
    assert_eq!(world.get("/backup-policies/gold").await["policy"]["name"], "Once");
}
