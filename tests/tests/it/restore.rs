//! Restores by the service, from the request to the loaded database; and by the command line alone.

use std::collections::BTreeMap;

use archive::{Compression, Destination, Progress};
use bytes::Bytes;
use end_to_end::api::{PATIENCE, Server, text};
use end_to_end::azurite::Azurite;
use end_to_end::servers::{assert_same, mariadb, postgresql};
use end_to_end::stack::{Stack, program};
use futures::{TryStreamExt as _, stream};
use serde_json::{Value, json};
use shared::config::{Config, Source};
use shared::storage::{BlobAddress, CommitOptions, Storage};
use tokio::time::{Instant, sleep};

use crate::plain_tools::gunzip;

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
pub(crate) async fn goes_and_comes(client: &Server, name: &str, old: &str) -> Stack {
    let stack = Stack::start().await;
    let more = json!({ "compression_format": "zstd" });
    let database = stack.api.create_database_with("Source", client, name, more).await;
    let backup = stack.api.back_up(&database).await;
    assert_eq!((&backup["file_format"], &backup["verified_at"]), (&json!("sql.zst"), &Value::Null));
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
    assert_ne!(stack.api.records(&database).await[0]["verified_at"], Value::Null);
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

/// Runs `dilux restore` with the storage account alone; returns its exit code and what it said.
fn dilux_restore(azurite: &Azurite, blob: &str, to: &str, more: &[&str]) -> (Option<i32>, String) {
    #[expect(clippy::disallowed_methods, reason = "the program is started as a person would")]
    let output = std::process::Command::new(program("dilux"))
        .args(["restore", blob, "--to", to])
        .args(more)
        .env("STORAGE_CONNECTION_STRING", azurite.connection_string())
        .env("DILUX_TARGET_PASSWORD", mariadb::PASSWORD)
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_backups_are_refused_by_the_command_line_before_anything_is_written() {
    let server = mariadb::Server::get();
    server.create("e2e_damaged");
    let to = format!("mysql://backup@127.0.0.1:{}/e2e_damaged", server.port);
    let azurite = Azurite::start().await;
    let settings = azurite.connection_string();
    let config = Config::read(&Source::of(&[("STORAGE_CONNECTION_STRING", &settings)])).unwrap();
    let storage = Storage::open(&config).unwrap();
    storage.blobs.create_container("backups").await.unwrap();
    let text = "CREATE TABLE t (v INT);\nINSERT INTO t VALUES (1);\n".to_owned() + &"-- more\n".repeat(1000);
    let store = async |name: &str, text: String, compression| {
        let address = BlobAddress::new("backups", name);
        let metadata = BTreeMap::new();
        let destination =
            Destination { store: &*storage.blobs, address: &address, attempt: [1; 16], metadata };
        let content = stream::iter([Ok::<_, dump::DumpError>(Bytes::from(text))]);
        let agree = || async { Ok(BTreeMap::new()) };
        archive::store(content, compression, destination, &Progress::default(), agree).await.unwrap();
        let content = storage.blobs.download(&address).await.unwrap();
        content.map_ok(|piece| piece.to_vec()).try_concat().await.unwrap()
    };
    for (end, compression) in
        [("gz", Compression::Gzip { level: 6 }), ("zst", Compression::Zstd { level: 3 })]
    {
        let open = format!("mysql/d-1/20260101_000000.sql.{end}");
        store(&open, text.clone(), compression).await;
        let (code, said) = dilux_restore(&azurite, &open, &to, &[]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("closing line is missing"), "{said}");

        let whole = format!("mysql/d-1/20260102_000000.sql.{end}");
        let bytes: Vec<u8> = store(&whole, format!("{text}-- Dump completed\n"), compression).await;
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 4;
        let cut = bytes[..bytes.len() - 9].to_vec();
        for (damaged, day) in [(flipped, 3), (cut, 4)] {
            let name = format!("mysql/d-1/2026010{day}_000000.sql.{end}");
            let address = BlobAddress::new("backups", &name);
            storage.blobs.stage(&address, b"0001", damaged.into()).await.unwrap();
            let options = CommitOptions { content_type: String::new(), metadata: BTreeMap::new() };
            storage.blobs.commit(&address, &[b"0001".to_vec()], &options).await.unwrap();
            let (code, said) = dilux_restore(&azurite, &name, &to, &[]);
            assert_eq!(code, Some(1), "{said}");
        }
        assert_eq!(server.sql("e2e_damaged", "SHOW TABLES;"), "", "{end}: something was written");

        // A server without certificates cannot give what is asked for here.
        let (code, said) = dilux_restore(&azurite, &whole, &to, &["--tls-mode", "require"]);
        assert_eq!(code, Some(1), "{said}");
        assert_eq!(server.sql("e2e_damaged", "SHOW TABLES;"), "", "{end}: something was written");

        let (code, said) = dilux_restore(&azurite, &whole, &to, &["--tls-mode", "prefer"]);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(server.sql("e2e_damaged", "SELECT v FROM t; DROP TABLE t;"), "1\n");
    }
}

/// Runs `dilux` with the storage account alone; returns what it said, and fails if it does.
fn dilux(azurite: &Azurite, arguments: &[&str]) -> String {
    #[expect(clippy::disallowed_methods, reason = "the program is started as a person would")]
    let output = std::process::Command::new(program("dilux"))
        .args(arguments)
        .env("STORAGE_CONNECTION_STRING", azurite.connection_string())
        .env("DILUX_TARGET_PASSWORD", postgresql::PASSWORD)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn the_roles_of_a_server_go_to_another_one_by_the_command_line() {
    let (source, target) = (postgresql::Server::get(), postgresql::Server::start(None));
    source
        .sql("postgres", "CREATE ROLE e2e_keeper NOLOGIN; CREATE ROLE e2e_reader LOGIN CONNECTION LIMIT 3;");
    source.create("e2e_roles");
    source.sql(
        "e2e_roles",
        "CREATE TABLE t (v int); INSERT INTO t VALUES (1); ALTER TABLE t OWNER TO e2e_keeper; GRANT SELECT ON t TO e2e_reader;",
    );
    let stack = Stack::start().await;
    let more = json!({ "include_globals": true, "include_privileges": true });
    let database = stack.api.create_database_with("Roles", &source.as_client(), "e2e_roles", more).await;
    let backup = stack.api.back_up(&database).await;
    let blob = text(&backup["blob_name"]);
    let blob = blob.as_str();

    let verified = dilux(&stack.azurite, &["verify", blob]);
    let proved = verified.lines().filter(|line| line.contains("SHA-256 matches")).count();
    assert_eq!(proved, 2, "{verified}");
    assert_ne!(stack.api.records(&database).await[0]["verified_at"], Value::Null);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("globals.sql.gz").display().to_string();
    dilux(&stack.azurite, &["download", blob, "--globals", "--output", &file]);
    let sql = String::from_utf8(gunzip(&std::fs::read(&file).unwrap())).unwrap();
    assert!(sql.contains("CREATE ROLE e2e_keeper;") && !sql.contains("SCRAM-SHA-256"), "{sql}");

    target.create("e2e_roles_new");
    let to = format!("postgresql://backup@127.0.0.1:{}/e2e_roles_new", target.port);
    dilux(&stack.azurite, &["restore", blob, "--globals", "--to", &to]);
    let seen = target.sql(
        "e2e_roles_new",
        "SELECT tableowner, has_table_privilege('e2e_reader', 't', 'SELECT') FROM pg_tables WHERE tablename = 't';
         SELECT rolconnlimit FROM pg_roles WHERE rolname = 'e2e_reader';",
    );
    assert_eq!(seen, "e2e_keeper|t\n3\n");
    assert_same(&source.describe("e2e_roles"), &target.describe("e2e_roles_new"));
}
