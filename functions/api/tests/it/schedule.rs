//! When databases are backed up next.

use serde_json::{Value, json};

use crate::support::{World, at, pretty};

async fn world() -> World {
    let world = World::new();
    world.state.storage.policies.seed(world.state.clock.now()).await.unwrap();
    world
}

#[tokio::test]
async fn lists_and_gets_carry_the_next_slot() {
    let world = world().await;
    world.create_database("a", json!({"policy_id": "development"})).await;
    world.create_database("b", json!({"schedule": "CRON_TZ=Europe/Berlin 30 2 * * *"})).await;
    world.create_database("c", json!({"enabled": false})).await;
    let list = world.get("/databases").await;
    let next: Vec<&Value> =
        list["databases"].as_array().unwrap().iter().map(|database| &database["next_backup_at"]).collect();
    assert_eq!(next, [&json!("2026-03-02T02:00:00Z"), &json!("2026-03-02T01:30:00Z"), &Value::Null]);
    assert_eq!(world.get("/databases/a").await["database"]["next_backup_at"], "2026-03-02T02:00:00Z");
}

#[tokio::test]
async fn shows_ten_slots_of_each_tier_and_why() {
    let world = world().await;
    let policies = &world.state.storage.policies;
    let mut policy = policies.get(&"development".parse().unwrap()).await.unwrap().unwrap().value;
    policy.id = "berlin".parse().unwrap();
    policy.name = "Berlin nights".to_owned();
    policy.time_zone = "Europe/Berlin".parse().unwrap();
    policies.insert(&policy).await.unwrap();
    world.create_database("shop", json!({"policy_id": "berlin"})).await;
    world.state.clock.set(at("2026-03-27T12:00:00Z"));
    let mut answer = world.get("/databases/shop/schedule").await;
    let tiers = answer["tiers"].as_array_mut().unwrap();
    for tier in tiers {
        let next = tier["next"].as_array_mut().unwrap();
        assert_eq!(next.len(), 10);
        next.truncate(3);
    }
    insta::assert_snapshot!(pretty(&answer), @r#"
    {
      "database_id": "shop",
      "enabled": true,
      "next_backup_at": "2026-03-28T01:00:00Z",
      "policy_id": "berlin",
      "schedule": null,
      "tiers": [
        {
          "due_slot": "2026-03-22T02:00:00Z",
          "last_slot": null,
          "next": [
            {
              "at": "2026-03-29T01:00:00Z",
              "local": "2026-03-29T03:00:00+02:00"
            },
            {
              "at": "2026-04-05T01:00:00Z",
              "local": "2026-04-05T03:00:00+02:00"
            },
            {
              "at": "2026-04-12T01:00:00Z",
              "local": "2026-04-12T03:00:00+02:00"
            }
          ],
          "tier": "weekly",
          "why": "every Sunday at 03:00, in Europe/Berlin"
        },
        {
          "due_slot": "2026-03-27T01:00:00Z",
          "last_slot": null,
          "next": [
            {
              "at": "2026-03-28T01:00:00Z",
              "local": "2026-03-28T02:00:00+01:00"
            },
            {
              "at": "2026-03-29T01:00:00Z",
              "local": "2026-03-29T03:00:00+02:00"
            },
            {
              "at": "2026-03-30T00:00:00Z",
              "local": "2026-03-30T02:00:00+02:00"
            }
          ],
          "tier": "daily",
          "why": "every day at 02:00, in Europe/Berlin"
        }
      ],
      "time_zone": "Europe/Berlin",
      "why": "The tiers of the policy Berlin nights decide."
    }
    "#);
}

#[tokio::test]
async fn says_why_nothing_runs() {
    let world = world().await;
    world.create_database("off", json!({"enabled": false, "schedule": "0 2 * * *"})).await;
    let answer = world.get("/databases/off/schedule").await;
    assert_eq!(
        answer["why"],
        "The database is disabled, so nothing runs. The database has a schedule of its own, which decides alone."
    );
    assert_eq!(answer["next_backup_at"], Value::Null);
    assert_eq!(answer["tiers"][0]["tier"], Value::Null);
    assert_eq!(answer["tiers"][0]["due_slot"], Value::Null);
    world.expect(404, "GET", "/databases/nobody/schedule", None).await;
}
