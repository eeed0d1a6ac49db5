//! Restores by the service, from the request to the loaded database.

use end_to_end::api::{PATIENCE, Server, text};
use end_to_end::servers::{assert_same, mariadb, postgresql};
use end_to_end::stack::Stack;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

async fn restored(stack: &Stack, backup: &Value, wish: Value) -> Value {
    let path = format!("/backups/{}/restore", text(&backup["id"]));
    let checks = stack.api.expect(200, "POST", &format!("{path}/check"), Some(wish.clone())).await;
    assert_ne!(checks["result"], "fail", "{checks}");
    let answer = stack.api.expect(202, "POST", &path, Some(wish)).await;
    let restore = format!("/restores/{}", text(&answer["restore_id"]));
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = stack.api.expect(200, "GET", &restore, None).await;
        let found = &answer["restore"];
        if found["phase"] == "ended" {
            return found.clone();
        }
        assert!(Instant::now() < end, "{found}");
        sleep(std::time::Duration::from_millis(200)).await;
    }
}

/// Backs a database up, loads it into a new one of an engine, and then in the place of another.
async fn goes_and_comes(client: &Server, name: &str, old: &str) -> Stack {
    let stack = Stack::start().await;
    let more = json!({ "compression_format": "zstd" });
    let database = stack.api.create_database_with("Source", client, name, more).await;
    let backup = stack.api.back_up(&database).await;
    assert_eq!(backup["file_format"], "sql.zst");
    let engine = stack.api.create_engine("Target", client).await;
    let wish = json!({ "target_engine_id": engine, "database_name": format!("{name}_new") });
    let ended = restored(&stack, &backup, wish).await;
    assert_eq!(ended["status"], "completed", "{ended}");
    let target = json!({
        "host": "127.0.0.1", "port": client.port, "username": client.username, "password": client.password,
    });
    let wish = json!({ "target": target, "database_name": old, "mode": "replace", "confirm": old });
    let ended = restored(&stack, &backup, wish).await;
    assert_eq!(ended["status"], "completed", "{ended}");
    stack
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_goes_and_comes_by_the_service() {
    let server = mariadb::Server::get();
    server.create("e2e_source");
    server.sql("e2e_source", include_str!("../../fixtures/mariadb/nasty.sql"));
    server.create("e2e_old");
    server.sql("e2e_old", "CREATE TABLE old (v INT); CREATE VIEW seen AS SELECT * FROM old;");
    let _stack = goes_and_comes(&server.as_client(), "e2e_source", "e2e_old").await;
    let before = server.describe("e2e_source");
    assert_same(&before, &server.describe("e2e_source_new"));
    assert_same(&before, &server.describe("e2e_old"));
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_goes_and_comes_by_the_service() {
    let server = postgresql::Server::get();
    server.create("e2e_source");
    server.sql("e2e_source", include_str!("../../fixtures/postgresql/nasty.sql"));
    server.create("e2e_old");
    server.sql("e2e_old", "CREATE TABLE old (v int); CREATE VIEW seen AS SELECT * FROM old;");
    let _stack = goes_and_comes(&server.as_client(), "e2e_source", "e2e_old").await;
    let before = server.describe("e2e_source");
    assert_same(&before, &server.describe("e2e_source_new"));
    assert_same(&before, &server.describe("e2e_old"));
}
