//! A marked secret goes in wherever one can, and comes out nowhere.

use serde_json::{Value, json};

use crate::support::{World, database, engine, merge};

const MARKED: &str = "marked-5ecret";

#[tokio::test]
async fn a_secret_is_in_no_answer_record_or_message() {
    let world = World::new();
    let mut seen = Vec::new();
    let mut see = |what: &str, (status, answer): (u16, Value)| seen.push(format!("{what} {status} {answer}"));
    let with = |mut body: Value, more: Value| {
        merge(&mut body, more);
        body
    };
    let dead = json!({"host": "127.0.0.1", "port": 1, "password": MARKED, "connection_string": MARKED});
    let answer = world.post("/engines", &with(engine("one"), dead.clone())).await;
    let id = answer.1["engine"]["id"].as_str().unwrap().to_owned();
    see("engine", answer);
    let discovering = with(with(engine("two"), dead), json!({"port": 2, "discover_databases": true}));
    see("engine with discovery", world.post("/engines", &discovering).await);
    see("engine twice", world.post("/engines", &discovering).await);
    see("discover", world.send("POST", &format!("/engines/{id}/discover"), None).await);
    let body = with(database("d-1"), json!({"password": MARKED, "host": "127.0.0.1", "port": 1}));
    see("database", world.post("/databases", &body).await);
    see("database twice", world.post("/databases", &body).await);
    let borrowed = json!({"engine_id": id, "use_engine_credentials": true, "password": MARKED});
    see("database on engine", world.post("/databases", &with(database("d-2"), borrowed.clone())).await);
    for wrong in [json!({"port": "x"}), json!({"password": [MARKED]}), json!({"password": {"a": MARKED}})] {
        see("wrong database", world.post("/databases", &with(body.clone(), wrong.clone())).await);
        see("wrong engine", world.post("/engines", &with(discovering.clone(), wrong.clone())).await);
        see(
            "wrong update",
            world.send("PUT", "/databases/d-1", Some(&with(json!({"password": MARKED}), wrong))).await,
        );
    }
    see(
        "update",
        world.send("PUT", "/databases/d-1", Some(&json!({"password": format!("{MARKED}-2")}))).await,
    );
    for kind in ["mysql", "postgresql", "sqlserver"] {
        let test = with(body.clone(), json!({"database_type": kind}));
        see("test", world.post("/databases/test-connection", &test).await);
        let test =
            with(with(body.clone(), borrowed.clone()), json!({"database_type": kind, "port": "(absent)"}));
        see("test of engine", world.post("/databases/test-connection", &test).await);
    }
    for path in ["/databases/d-1/backup", "/databases/d-2/backup"] {
        see("trigger", world.send("POST", path, None).await);
    }
    for path in
        ["/databases", "/databases/d-1", "/databases/d-2", "/engines", "/backups", "/users/me", "/settings"]
    {
        see(path, world.send("GET", path, None).await);
    }
    see("engine", world.send("GET", &format!("/engines/{id}"), None).await);
    see("move", world.send("PUT", "/databases/d-1", Some(&borrowed)).await);
    see("delete", world.send("DELETE", "/databases/d-1?delete_backups=true", None).await);
    assert!(seen.iter().filter(|line| line.contains(" 20")).count() > 15, "{seen:#?}");

    let messages = world.queue.take();
    assert_eq!(messages.len(), 2);
    seen.extend(messages.into_iter().map(|(text, _)| text));
    for table in ["auditlogs", "backuphistory", "users"] {
        let rows = world.table(table).rows().await;
        assert!(!rows.is_empty(), "{table}");
        seen.extend(rows.iter().map(|row| format!("{row:?}")));
    }
    let storage = &world.state.storage;
    seen.push(format!("{:?} {:?}", storage.engines.list().await, storage.databases.list().await));
    for text in &seen {
        assert!(!text.contains(MARKED), "{text}");
    }
    // The search itself works: the rows of the engines do hold it, as development does.
    let rows = world.table("engines").rows().await;
    assert!(rows.iter().any(|row| format!("{row:?}").contains(MARKED)));
}
