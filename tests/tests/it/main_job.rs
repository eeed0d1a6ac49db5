//! On demand and by schedule, into storage and back.

use end_to_end::servers::{assert_same, mariadb, postgresql};
use end_to_end::stack::{Stack, program, root};
use serde_json::json;

use crate::plain_tools::{gunzip, load};

const MARIADB_NASTY: &str = include_str!("../../fixtures/mariadb/nasty.sql");
const POSTGRESQL_NASTY: &str = include_str!("../../fixtures/postgresql/nasty.sql");

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_comes_back_by_plain_tools() {
    let server = mariadb::Server::get();
    let stack = Stack::start().await;
    server.create("e2e_nasty");
    server.sql("e2e_nasty", MARIADB_NASTY);
    let database = stack.api.create_database("Nasty", &server.as_client(), "e2e_nasty").await;
    let record = stack.api.back_up(&database).await;
    assert_eq!(record["file_format"], "sql.gz");
    assert_eq!(record["triggered_by"], "manual");
    assert_eq!(record["retry_count"], 0);

    let blob = stack.api.download(record["blob_name"].as_str().unwrap()).await;
    assert_eq!(record["file_size_bytes"], blob.len());
    server.create("e2e_nasty_back");
    load(&server.as_client(), "e2e_nasty_back", &gunzip(&blob));
    assert_same(&server.describe("e2e_nasty"), &server.describe("e2e_nasty_back"));
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_comes_back_by_plain_tools() {
    let server = postgresql::Server::get();
    let stack = Stack::start().await;
    server.create("e2e_nasty");
    server.sql("e2e_nasty", POSTGRESQL_NASTY);
    // What plain psql cannot load, as the restores of the product can.
    server.sql("e2e_nasty", "DROP SCHEMA apart CASCADE;");
    let database = stack.api.create_database("Nasty", &server.as_client(), "e2e_nasty").await;
    let record = stack.api.back_up(&database).await;
    let blob = stack.api.download(record["blob_name"].as_str().unwrap()).await;
    server.create("e2e_nasty_back");
    load(&server.as_client(), "e2e_nasty_back", &gunzip(&blob));
    assert_same(&server.describe("e2e_nasty"), &server.describe("e2e_nasty_back"));
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_without_tables_and_with_awkward_names_come_back() {
    let stack = Stack::start().await;
    let (maria, postgres) = (mariadb::Server::get(), postgresql::Server::get());
    // Names in MariaDB end with the basic plane of Unicode.
    for name in ["e2e empty", "e2e-`tick` 'quote' \"double\"", "e2e ünï 象"] {
        maria.create(name);
        postgres.create(name);
        for server in [maria.as_client(), postgres.as_client()] {
            let label = format!("{} {name}", server.engine_type);
            let database = stack.api.create_database(&label, &server, name).await;
            let record = stack.api.back_up(&database).await;
            let sql = gunzip(&stack.api.download(record["blob_name"].as_str().unwrap()).await);
            let text = String::from_utf8_lossy(&sql);
            assert!(text.contains("dump complete") || text.contains("Dump completed"), "{label}: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engines_credentials_serve_its_databases_and_uncompressed_works() {
    let server = mariadb::Server::get();
    let stack = Stack::start().await;
    server.create("e2e_engine");
    server.sql("e2e_engine", "CREATE TABLE t (id INT PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'one');");
    let engine = stack.api.create_engine("Maria", &server.as_client()).await;
    let body = json!({
        "name": "By engine", "database_type": "mysql", "host": "ignored", "port": 1, "enabled": false,
        "database_name": "e2e_engine", "engine_id": engine, "use_engine_credentials": true, "compression": false,
        "backup_destination": "own-container",
    });
    let answer = stack.api.expect(201, "POST", "/databases", Some(body)).await;
    let database = answer["database"]["id"].as_str().unwrap();
    let record = stack.api.back_up(database).await;
    assert_eq!(record["file_format"], "sql");
    let blob = stack.api.download(record["blob_name"].as_str().unwrap()).await;
    assert!(String::from_utf8_lossy(&blob).contains("INSERT INTO `t` VALUES"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scheduler_queues_each_slot_once() {
    let server = mariadb::Server::get();
    let stack = Stack::start().await;
    server.create("e2e_scheduled");
    let by_policy = json!({ "enabled": true, "policy_id": "development" });
    let by_cron = json!({ "enabled": true, "schedule": "0 0 1 1 *" });
    let policy =
        stack.api.create_database_with("Policy", &server.as_client(), "e2e_scheduled", by_policy).await;
    let cron = stack.api.create_database_with("Cron", &server.as_client(), "e2e_scheduled", by_cron).await;
    // Two ticks, the second right behind the first: the timers of the host may add a third.
    for _ in 0..2 {
        stack.run_function(1, "dynamic_scheduler", "").await;
    }
    let wanted = [(&policy, vec![json!("daily"), json!("weekly")]), (&cron, vec![json!(null)])];
    for (database, tiers) in wanted {
        let end = tokio::time::Instant::now() + end_to_end::api::PATIENCE;
        let records = loop {
            let records = stack.api.records(database).await;
            let done = records.iter().filter(|record| record["status"] == "completed").count();
            if done == tiers.len() {
                break records;
            }
            assert!(tokio::time::Instant::now() < end, "{records:?}");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        };
        let mut found: Vec<_> = records.iter().map(|record| record["tier"].clone()).collect();
        found.sort_by_key(ToString::to_string);
        assert_eq!(found, tiers);
        assert!(records.iter().all(|record| record["triggered_by"] == "scheduler"));
    }
    stack.run_function(1, "dynamic_scheduler", "").await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(stack.api.records(&policy).await.len(), 2);
    assert_eq!(stack.api.records(&cron).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_backs_up_lists_and_restores() {
    let (maria, postgres) = (mariadb::Server::get(), postgresql::Server::get());
    let stack = Stack::start().await;
    maria.create("e2e_cli");
    maria.sql("e2e_cli", MARIADB_NASTY);
    maria.create("e2e_cli_back");
    postgres.create("e2e_cli");
    postgres.sql("e2e_cli", POSTGRESQL_NASTY);
    postgres.create("e2e_cli_back");
    for (name, server) in [("Cli Maria", maria.as_client()), ("Cli Postgres", postgres.as_client())] {
        let database = stack.api.create_database(name, &server, "e2e_cli").await;
        let told = dilux(&stack, &["backup", name], "");
        assert!(told.contains("completed"), "{told}");
        let listed = dilux(&stack, &["list", "--database", name], "");
        assert!(listed.contains("completed"), "{listed}");
        let target =
            format!("{}://{}@127.0.0.1:{}/e2e_cli_back", server.engine_type, server.username, server.port);
        dilux(&stack, &["restore", &format!("latest:{database}"), "--to", &target], &server.password);
    }
    assert_same(&maria.describe("e2e_cli"), &maria.describe("e2e_cli_back"));
    assert_same(&postgres.describe("e2e_cli"), &postgres.describe("e2e_cli_back"));
}

/// Runs the command line and returns what it wrote; fails the test when it fails.
#[expect(clippy::disallowed_methods, reason = "the real program is run")]
fn dilux(stack: &Stack, arguments: &[&str], password: &str) -> String {
    let output = std::process::Command::new(program("dilux"))
        .args(arguments)
        .envs(stack.environment())
        .env("DILUX_TARGET_PASSWORD", password)
        .current_dir(root())
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "dilux {arguments:?}: {text}");
    text
}
