//! `kill -9` in the middle of a backup: of the dump tool, the processor, the host, and storage.
//!
//! "In the middle" is made certain: the table that comes last is locked, so that the dump tool has
//! written more than one block and then stands still for as long as the test wants.

use std::time::Duration;

use end_to_end::api::Server;
use end_to_end::servers::{Lock, mariadb, postgresql};
use end_to_end::stack::Stack;
use serde_json::{Value, json};
use shared::storage::Storage;
use tokio::time::sleep;

use crate::plain_tools::gunzip;

/// More than the first block after compression: random digits halve at best.
pub(crate) const ROWS: &str = "
    CREATE TABLE a_first (id INT PRIMARY KEY AUTO_INCREMENT, v TEXT);
    INSERT INTO a_first (v) SELECT CONCAT(SHA2(RAND(), 512), SHA2(RAND(), 512), SHA2(RAND(), 512), SHA2(RAND(), 512)) FROM seq_1_to_40000;
    CREATE TABLE z_last (id INT PRIMARY KEY);
    INSERT INTO z_last VALUES (1), (2), (3);";

pub(crate) const ROWS_OF_POSTGRESQL: &str = "
    CREATE TABLE a_first (id INT PRIMARY KEY, v TEXT);
    INSERT INTO a_first SELECT n, concat(sha512(random()::text::bytea), sha512(random()::text::bytea), sha512(random()::text::bytea), sha512(random()::text::bytea)) FROM generate_series(1, 40000) n;
    SELECT lo_from_bytea(0, 'the last one');";

/// A backup that stands still in the middle of its dump.
pub(crate) struct Standing {
    pub(crate) stack: Stack,
    pub(crate) database: String,
    pub(crate) job: String,
    pub(crate) lock: Lock,
}

impl Standing {
    pub(crate) async fn start(name: &str) -> Self {
        Self::begin(Stack::start().await, name, json!({})).await
    }

    /// The same on a server that bears one dump at a time, so that the job has its only place.
    async fn start_in_the_only_place(name: &str) -> Self {
        let stack = Stack::start().await;
        let engine = stack.api.create_engine(name, &mariadb::Server::get().as_client()).await;
        let one = json!({"max_concurrent_backups": 1});
        stack.api.expect(200, "PUT", &format!("/engines/{engine}"), Some(one)).await;
        Self::begin(stack, name, json!({"engine_id": engine})).await
    }

    async fn begin(stack: Stack, name: &str, more: Value) -> Self {
        let server = mariadb::Server::get();
        server.create(name);
        server.sql(name, ROWS);
        let lock = server.lock(name, "z_last");
        Self::in_the_middle(stack, name, &server.as_client(), more, lock).await
    }

    /// The same on PostgreSQL.
    async fn start_on_postgresql(name: &str) -> Self {
        let server = postgresql::Server::get();
        server.create(name);
        server.sql(name, ROWS_OF_POSTGRESQL);
        let lock = server.lock_large_objects(name);
        Self::in_the_middle(Stack::start().await, name, &server.as_client(), json!({}), lock).await
    }

    async fn in_the_middle(stack: Stack, name: &str, server: &Server, more: Value, lock: Lock) -> Self {
        let database = stack.api.create_database_with(name, server, name, more).await;
        let job = stack.api.trigger(&database).await;
        stack
            .api
            .wait_for(&database, &job, |record| {
                record["status"] == "in_progress" && record["bytes_uploaded"].as_u64() > Some(4 << 20)
            })
            .await;
        assert!(stack.blobs().await.is_empty(), "a blob is visible in the middle of its upload");
        Self { stack, database, job, lock }
    }

    /// Lets the dump go on and checks that the job then ends with one complete blob.
    async fn end_well(self) {
        drop(self.lock);
        let record = self.stack.api.wait_for_end(&self.database, &self.job).await;
        assert_eq!(record["status"], "completed", "{record}");
        let blobs = self.stack.blobs().await;
        assert_eq!(blobs, [record["blob_name"].as_str().unwrap()]);
        let sql = gunzip(&self.stack.api.download(&blobs[0]).await);
        let end = String::from_utf8_lossy(&sql[sql.len() - 200..]);
        assert!(end.contains("-- Dump completed") || end.contains("-- PostgreSQL database dump complete"));
        assert!(record["retry_count"].as_u64() > Some(0), "{record}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_dump_tool_leaves_no_blob_and_the_job_is_retried() {
    let standing = Standing::start("e2e_kill_tool").await;
    let tool = standing.stack.dump_tool().await;
    tool.kill();
    let retried = |record: &Value| record["retry_count"].as_u64() > Some(0);
    let record = standing.stack.api.wait_for(&standing.database, &standing.job, retried).await;
    assert_ne!(record["status"], "completed");
    assert!(standing.stack.blobs().await.is_empty());
    standing.end_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_tool_that_is_always_killed_ends_as_failed_with_the_reason() {
    let standing = Standing::start("e2e_kill_always").await;
    let killer = async {
        loop {
            standing.stack.dump_tool().await.kill();
            sleep(Duration::from_millis(50)).await;
        }
    };
    let record = tokio::select! {
        record = standing.stack.api.wait_for_end(&standing.database, &standing.job) => record,
        () = killer => Value::Null,
    };
    assert_eq!(record["status"], "failed", "{record}");
    assert_eq!(record["retry_count"], 2);
    assert_eq!(record["error_details"], "Killed");
    let message = record["error_message"].as_str().unwrap();
    assert!(message.contains("killed by signal 9"), "{message}");
    assert!(standing.stack.blobs().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_processor_takes_its_dump_tool_along_and_the_job_is_redelivered() {
    // The dead one held the only place on the server, which the job needs again.
    let standing = Standing::start_in_the_only_place("e2e_kill_processor").await;
    let tool = standing.stack.dump_tool().await;
    standing.stack.app("processor").await.kill();
    let end = tokio::time::Instant::now() + Duration::from_secs(10);
    while tool.is_alive() {
        assert!(tokio::time::Instant::now() < end, "the dump tool outlives its processor");
        sleep(Duration::from_millis(50)).await;
    }
    assert!(standing.stack.blobs().await.is_empty());
    standing.end_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_dump_of_postgresql_is_retried_and_dies_with_its_processor() {
    let standing = Standing::start_on_postgresql("e2e_kill_pg_dump").await;
    standing.stack.dump_tool().await.kill();
    let again = |record: &Value| {
        record["retry_count"].as_u64() == Some(1) && record["bytes_uploaded"].as_u64() > Some(4 << 20)
    };
    standing.stack.api.wait_for(&standing.database, &standing.job, again).await;
    assert!(standing.stack.blobs().await.is_empty());
    let tool = standing.stack.dump_tool().await;
    assert_eq!(tool.name, "pg_dump");
    standing.stack.app("processor").await.kill();
    let end = tokio::time::Instant::now() + Duration::from_secs(10);
    while tool.is_alive() {
        assert!(tokio::time::Instant::now() < end, "the dump tool outlives its processor");
        sleep(Duration::from_millis(50)).await;
    }
    assert!(standing.stack.blobs().await.is_empty());
    standing.end_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_host_loses_nothing() {
    let mut standing = Standing::start("e2e_kill_host").await;
    let tool = standing.stack.dump_tool().await;
    standing.stack.kill_host();
    let end = tokio::time::Instant::now() + Duration::from_secs(10);
    while tool.is_alive() {
        assert!(tokio::time::Instant::now() < end, "the dump tool outlives the host");
        sleep(Duration::from_millis(50)).await;
    }
    standing.stack.start_host();
    standing.stack.api.wait_until_healthy().await;
    standing.end_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_storage_loses_nothing() {
    let mut standing = Standing::start("e2e_kill_storage").await;
    // The emulator writes what it knows to disk every five seconds only; the real service is not so.
    sleep(Duration::from_secs(11)).await;
    standing.stack.azurite.kill();
    // Longer than a claim holds, so that nobody can go on as if nothing had happened.
    sleep(Duration::from_secs(6)).await;
    standing.stack.azurite.restart().await;
    standing.stack.api.wait_until_healthy().await;
    drop(standing.lock);
    let record = standing.stack.api.wait_for_end(&standing.database, &standing.job).await;
    assert_eq!(record["status"], "completed", "{record}");
    let blobs = standing.stack.blobs().await;
    assert_eq!(blobs, [record["blob_name"].as_str().unwrap()]);
    gunzip(&standing.stack.api.download(&blobs[0]).await);
}

/// What a test sees of the blobs.
pub(crate) trait Blobs {
    async fn blobs(&self) -> Vec<String>;
}

impl Blobs for Stack {
    async fn blobs(&self) -> Vec<String> {
        let storage = Storage::open(&self.config()).unwrap();
        let listing = storage.blobs.list("backups", "", None, 100).await.unwrap();
        listing.blobs.into_iter().map(|blob| blob.name).collect()
    }
}
