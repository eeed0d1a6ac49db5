//! A marked secret goes in wherever one can, on good ways and on bad ones, and comes out nowhere: not in an
//! answer, a log, a row, a message, a file of the storage account, or a backup.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use end_to_end::api::{PATIENCE, text};
use end_to_end::servers::{mariadb, postgresql};
use end_to_end::stack::{Stack, program};
use serde_json::{Value, json};
use shared::storage::AzureTable;
use shared::storage::table::{Query, Table as _, query_all};
use storage_account::{Service, StorageAccount};
use tokio::time::{Instant, sleep};

/// Long enough that no piece of it is anywhere by accident.
const MARKED: &str = "marked-9f2c-s3cret";
const TABLES: [&str; 9] = [
    "restores",
    "databaseconfigs",
    "engines",
    "backuphistory",
    "auditlogs",
    "backuppolicies",
    "users",
    "settings",
    "backupleases",
];

/// Everything that was seen from outside.
struct Seen(Vec<(String, Vec<u8>)>);

impl Seen {
    fn note(&mut self, what: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.push((what.into(), bytes.into()));
    }

    /// Fails when the mark is in anything, in any of the ways in which bytes are written as text.
    fn check(&self) {
        let digits: Vec<String> = MARKED.bytes().map(|byte| format!("{byte:02x}")).collect();
        let hex = digits.concat();
        // In base64 the same bytes look different at each of the three positions.
        let base64 = ["bWFya2VkLTlmMmMt", "1hcmtlZC05ZjJjLX", "tYXJrZWQtOWYyYy"];
        for (what, bytes) in &self.0 {
            for form in [MARKED, &hex, &hex.to_uppercase()].into_iter().chain(base64) {
                let found = bytes.windows(form.len()).any(|window| window == form.as_bytes());
                assert!(!found, "{form} is in {what}");
            }
        }
    }
}

/// Asks for a restore and waits for its end.
async fn restored(stack: &Stack, seen: &mut Seen, backup: &str, wish: &Value) -> Value {
    let path = format!("/backups/{backup}/restore");
    send(stack, seen, "POST", &format!("{path}/check"), Some(wish.clone())).await;
    let asked = send(stack, seen, "POST", &path, Some(wish.clone())).await;
    let path = format!("/restores/{}", text(&asked["restore_id"]));
    let end = Instant::now() + PATIENCE;
    loop {
        let found = send(stack, seen, "GET", &path, None).await["restore"].clone();
        if found["phase"] == "ended" {
            return found;
        }
        assert!(Instant::now() < end, "{found}");
        sleep(Duration::from_millis(200)).await;
    }
}

/// Runs the command line's restore with a password in the environment; returns whether it went well.
///
/// The rule for targets is one for what others ask the service for. Here a person chooses.
#[expect(clippy::disallowed_methods, reason = "the program is started as a person would")]
fn restored_by_hand(stack: &Stack, seen: &mut Seen, backup: &str, to: &str, password: &str) -> bool {
    let mut program = Command::new(program("dilux"));
    program.args(["restore", backup, "--to", to]).envs(stack.environment());
    program.env("DILUX_TARGET_PASSWORD", password).env("ALLOWED_TARGETS", "db.example.com");
    let output = program.stdin(Stdio::null()).output().unwrap();
    seen.note("what the command line wrote", output.stdout);
    seen.note("what the command line said", output.stderr);
    output.status.success()
}

async fn send(stack: &Stack, seen: &mut Seen, method: &str, path: &str, body: Option<Value>) -> Value {
    let (status, answer) = stack.api.send(method, path, body).await;
    seen.note(format!("the answer to {method} {path} ({status})"), answer.to_string());
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_comes_out_nowhere() {
    // The search itself works.
    let found = std::panic::catch_unwind(|| Seen(vec![("x".into(), format!("a{MARKED}").into())]).check());
    assert!(found.is_err());

    let (maria, postgres) = (mariadb::Server::get(), postgresql::Server::get());
    maria.create("hygiene");
    maria.sql("hygiene", &format!("CREATE TABLE t (id INT PRIMARY KEY); CREATE USER hygiene@'%' IDENTIFIED BY '{MARKED}'; GRANT ALL ON *.* TO hygiene@'%';"));
    postgres.create("hygiene");
    maria.create("hygiene_by_hand");
    postgres.create("hygiene_by_hand");
    postgres.sql("hygiene", &format!("CREATE ROLE hygiene SUPERUSER LOGIN PASSWORD '{MARKED}';"));
    let key = [("SECRETS_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")];
    let mut stack = Stack::start_with(&key).await;
    let mut seen = Seen(Vec::new());
    for (kind, port, string) in [
        ("mysql", maria.port, format!("Server=127.0.0.1;Uid=hygiene;Pwd={MARKED}")),
        ("postgresql", postgres.port, format!("postgresql://hygiene:{MARKED}@127.0.0.1/x")),
    ] {
        let engine = json!({
            "name": kind, "engine_type": kind, "host": "127.0.0.1", "port": port, "username": "hygiene",
            "password": MARKED, "connection_string": string, "auth_method": "connection_string",
            "discover_databases": true,
        });
        let engine = send(&stack, &mut seen, "POST", "/engines", Some(engine)).await;
        assert!(engine["discovered_databases"].is_array(), "{engine}");
        let id = text(&engine["engine"]["id"]);
        send(&stack, &mut seen, "POST", &format!("/engines/{id}/discover"), None).await;
        let database = json!({
            "name": kind, "database_type": kind, "host": "127.0.0.1", "port": port, "enabled": false,
            "database_name": "hygiene", "username": "hygiene", "password": MARKED, "compression": false,
        });
        let created = send(&stack, &mut seen, "POST", "/databases", Some(database.clone())).await;
        let id = text(&created["database"]["id"]);
        let record = stack.api.back_up(&id).await;
        seen.note("the record of a backup", record.to_string());
        seen.note("a backup", stack.api.download(&text(&record["blob_name"])).await);
        let tested =
            send(&stack, &mut seen, "POST", "/databases/test-connection", Some(database.clone())).await;
        assert_eq!(tested["success"], true, "{tested}");

        // Into another database: by the service and by hand, with the password and with a wrong one.
        let backup = text(&record["id"]);
        for (password, status) in [(MARKED.to_owned(), "completed"), (format!("{MARKED}-wrong"), "failed")] {
            let wish = json!({
                "target": {"host": "127.0.0.1", "port": port, "username": "hygiene", "password": password},
                "database_name": "hygiene_copy",
            });
            let ended = restored(&stack, &mut seen, &backup, &wish).await;
            assert_eq!(ended["status"], status, "{ended}");
            let to = format!("{kind}://hygiene@127.0.0.1:{port}/hygiene_by_hand");
            let is_well = restored_by_hand(&stack, &mut seen, &backup, &to, &password);
            assert_eq!(is_well, status == "completed", "{to}");
        }

        // Refused by the server, which tells who was refused.
        let wrong = json!({"password": format!("{MARKED}-wrong")});
        send(&stack, &mut seen, "PUT", &format!("/databases/{id}"), Some(wrong)).await;
        let job = stack.api.trigger(&id).await;
        let record = stack.api.wait_for_end(&id, &job).await;
        assert_eq!(record["status"], "failed", "{record}");
        seen.note("the record of a failure", record.to_string());
        // In places where a secret does not belong, and a server that is none.
        for odd in [
            json!({"password": MARKED, "port": 1}),
            json!({"password": [MARKED]}),
            json!({"password": MARKED, "port": MARKED.len()}),
            json!({"password": MARKED, "host": "169.254.169.254"}),
            json!({"password": MARKED, "database_name": "not there"}),
        ] {
            let mut body = database.clone();
            body.as_object_mut().unwrap().extend(odd.as_object().unwrap().clone());
            send(&stack, &mut seen, "POST", "/databases/test-connection", Some(body.clone())).await;
            send(&stack, &mut seen, "PUT", &format!("/databases/{id}"), Some(odd)).await;
        }
    }
    for path in ["/databases", "/engines", "/backups", "/users/me", "/settings", "/backup-policies"] {
        send(&stack, &mut seen, "GET", path, None).await;
    }
    let account = StorageAccount::from_connection_string(&stack.azurite.connection_string()).unwrap();
    for name in TABLES {
        let mut options = account.client_options(Service::Table);
        options.transport = Some(storage_account::transport().unwrap());
        let table = AzureTable::new(account.endpoint(Service::Table).clone(), name, None, options);
        table.create().await.unwrap();
        seen.note(
            format!("the table {name}"),
            format!("{:?}", query_all(&table, &Query::default()).await.unwrap()),
        );
    }
    // Messages and blobs lie there as they were sent, also those that are done.
    note_files(&mut seen, stack.azurite.folder());
    stack.kill_host();
    let log = stack.log();
    assert!(log.contains("a backup is queued"), "the log is the right one");
    seen.note("the log", log);
    assert!(seen.0.iter().any(|(what, bytes)| what.contains("the table engines") && bytes.len() > 1000));
    seen.check();
}

fn note_files(seen: &mut Seen, folder: &Path) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            note_files(seen, &path);
        } else {
            seen.note(path.display().to_string(), fs::read(&path).unwrap_or_default());
        }
    }
}
