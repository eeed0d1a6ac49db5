//! `dilux backup` as a person runs it: the real program against a small stand-in of the api.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::VecDeque;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

/// What the stand-in answers, and what it was asked.
#[derive(Default)]
struct Script {
    /// Answers to the question for records, one after the other; the last one stays.
    records: VecDeque<Result<Value, StatusCode>>,
    /// Databases of which a backup was wanted.
    wanted: Vec<String>,
    /// The token that every request must have.
    token: Option<&'static str>,
}

type Shared = Arc<Mutex<Script>>;
type Answer = Result<Json<Value>, (StatusCode, Json<Value>)>;

async fn serve(script: Script) -> (String, Shared) {
    let shared = Arc::new(Mutex::new(script));
    let routes = Router::new()
        .route("/api/databases", get(databases))
        .route("/api/databases/{id}/backup", post(back_up))
        .route("/api/backups", get(records))
        .with_state(shared.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/api", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (address, shared)
}

fn error(status: StatusCode, text: &str) -> (StatusCode, Json<Value>) {
    (status, Json(json!({ "error": text })))
}

async fn databases(State(shared): State<Shared>, headers: HeaderMap) -> Answer {
    let expected = shared.lock().unwrap().token.map(|token| format!("Bearer {token}"));
    let given = headers.get("authorization").map(|value| value.to_str().unwrap());
    if expected.is_some() && given != expected.as_deref() {
        return Err(error(StatusCode::UNAUTHORIZED, "the token is not valid"));
    }
    Ok(Json(json!({
        "databases": [
            { "id": "db-1", "name": "Tea shop", "database_type": "mysql" },
            { "id": "db-2", "name": "Books", "database_type": "mysql" },
            { "id": "db-3", "name": "books", "database_type": "postgresql" },
        ],
        "count": 3, "total": 3, "has_more": false,
    })))
}

async fn back_up(State(shared): State<Shared>, Path(id): Path<String>) -> (StatusCode, Json<Value>) {
    shared.lock().unwrap().wanted.push(id);
    (
        StatusCode::ACCEPTED,
        Json(json!({ "message": "Backup queued", "job_id": "job-7", "queue_message_id": "m" })),
    )
}

async fn records(State(shared): State<Shared>, Query(query): Query<Vec<(String, String)>>) -> Answer {
    assert!(query.contains(&("database_id".to_owned(), "db-1".to_owned())), "{query:?}");
    let mut script = shared.lock().unwrap();
    let answer =
        if script.records.len() > 1 { script.records.pop_front() } else { script.records.front().cloned() };
    let earlier =
        json!({ "id": "b-0", "job_id": "job-0", "status": "failed", "error_message": "of another job" });
    match answer {
        Some(Ok(record)) => Ok(Json(json!({ "backups": [earlier, record], "count": 2 }))),
        Some(Err(status)) => Err(error(status, "storage is busy")),
        None => Ok(Json(json!({ "backups": [earlier], "count": 1 }))),
    }
}

fn record(status: &str, more: &Value) -> Value {
    let mut record = json!({
        "id": "b-7", "job_id": "job-7", "database_id": "db-1", "status": status,
        "blob_name": null, "file_size_bytes": null, "duration_seconds": null, "error_message": null,
        "started_at": null, "created_at": "2025-12-05T10:00:00Z",
    });
    record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    record
}

fn completed() -> Value {
    let artifact = json!({
        "blob_name": "mysql/db-1/20251205_100000.sql.gz", "file_size_bytes": 1_572_864, "duration_seconds": 2.345,
    });
    record("completed", &artifact)
}

#[expect(clippy::disallowed_methods, reason = "the program under test is started as a person would")]
fn program(api: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dilux"));
    command.arg("backup").args(arguments).env("DILUX_API", api).env_remove("DILUX_TOKEN");
    command.env_remove("HTTP_PROXY").env_remove("http_proxy").stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn run(api: &str, arguments: &[&str]) -> Output {
    program(api, arguments).output().await.unwrap()
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn a_backup_is_followed_to_its_end() {
    let running = json!({
        "started_at": "2025-12-05T10:00:00Z", "heartbeat_at": "2025-12-05T10:00:01Z",
        "bytes_dumped": 2_097_152, "bytes_uploaded": 524_288,
    });
    let records =
        [record("pending", &json!({})), record("in_progress", &running), completed()].map(Ok).into();
    let (api, shared) = serve(Script { records, ..Script::default() }).await;
    let (code, out, err) = said(&run(&api, &["tea SHOP"]).await);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(out, "completed  mysql/db-1/20251205_100000.sql.gz  1.50 MB  2.3 s\n");
    assert!(
        err.starts_with("dilux: Backup queued (job job-7)\ndilux: waiting for a processor, 0:00\n"),
        "{err}"
    );
    assert_eq!(shared.lock().unwrap().wanted, ["db-1"]);
}

#[tokio::test]
async fn json_is_the_record_of_the_api() {
    let (api, _) = serve(Script { records: [Ok(completed())].into(), ..Script::default() }).await;
    let (code, out, _) = said(&run(&api, &["db-1", "--json"]).await);
    assert_eq!(code, Some(0));
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), completed());
}

#[tokio::test]
async fn nobody_has_to_wait() {
    let (api, shared) = serve(Script::default()).await;
    assert_eq!(
        said(&run(&api, &["db-1", "--no-wait"]).await),
        (Some(0), "queued  job-7\n".to_owned(), String::new())
    );
    assert_eq!(shared.lock().unwrap().wanted, ["db-1"]);
}

#[tokio::test]
async fn a_failed_backup_tells_why() {
    let reason = json!({ "error_message": "app@db:3306 refused the password;\ncheck it" });
    let (api, _) =
        serve(Script { records: [Ok(record("failed", &reason))].into(), ..Script::default() }).await;
    let (code, out, err) = said(&run(&api, &["Tea shop"]).await);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    let last = err.lines().last().unwrap();
    insta::assert_snapshot!(last, @r#"dilux: the backup of "Tea shop" failed: app@db:3306 refused the password; check it"#);
}

#[tokio::test]
async fn a_backup_that_was_stopped_is_no_success() {
    let (api, _) =
        serve(Script { records: [Ok(record("cancelled", &json!({})))].into(), ..Script::default() }).await;
    let (code, _, err) = said(&run(&api, &["Tea shop"]).await);
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(err.lines().last().unwrap(), @r#"dilux: the backup of "Tea shop" was cancelled; nothing was stored"#);
}

#[tokio::test]
async fn an_api_that_stumbles_is_asked_again() {
    let records = [Err(StatusCode::SERVICE_UNAVAILABLE), Ok(completed())].into();
    let (api, _) = serve(Script { records, ..Script::default() }).await;
    let (code, out, err) = said(&run(&api, &["Tea shop"]).await);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.starts_with("completed"), "{out}");
}

#[tokio::test]
async fn an_api_that_refuses_to_tell_ends_the_following_but_not_the_backup() {
    let (api, _) =
        serve(Script { records: [Err(StatusCode::BAD_REQUEST)].into(), ..Script::default() }).await;
    let (code, _, err) = said(&run(&api, &["Tea shop"]).await);
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(err.lines().last().unwrap(), @"dilux: the backup goes on as job job-7, but it could not be followed to its end; `dilux list --database db-1` shows how it ended: the api answered with 400 Bad Request: storage is busy");
}

#[tokio::test]
async fn an_api_that_is_not_there_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (code, out, err) = said(&run(&format!("http://{free}/api"), &["shop"]).await);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    let start = format!("dilux: the api at http://{free}/api does not answer; start it with `dilux up`, or");
    assert!(err.starts_with(&start), "{err}");
}

#[tokio::test]
async fn names_that_mean_nothing_or_too_much_are_refused() {
    let (api, shared) = serve(Script::default()).await;
    let (code, _, err) = said(&run(&api, &["coffee"]).await);
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(err.trim_end(), @r#"dilux: no database has the id or the name "coffee"; there are: Books, Tea shop, books"#);
    let (code, _, err) = said(&run(&api, &["BOOKS"]).await);
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(err.trim_end(), @r#"dilux: more than one database is called "BOOKS"; use one of the ids: db-2, db-3"#);
    assert!(shared.lock().unwrap().wanted.is_empty());
}

#[tokio::test]
async fn the_token_comes_from_the_environment_and_is_never_shown() {
    let (api, _) = serve(Script { token: Some("right"), ..Script::default() }).await;
    let with = async |token: &str| {
        said(&program(&api, &["db-1", "--no-wait"]).env("DILUX_TOKEN", token).output().await.unwrap())
    };
    assert_eq!(with("right").await.0, Some(0));
    let (code, _, err) = with("wr0ng-s3cret").await;
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(err.trim_end(), @"dilux: the api refused the request: the token is not valid; set DILUX_TOKEN to a valid token of a user who may do this");
    let (code, _, err) = with("s3cret\nHost: x").await;
    assert_eq!(code, Some(2));
    assert!(!err.contains("s3cret"), "{err}");
}

#[tokio::test]
async fn wrong_command_lines_are_told_apart_from_failures() {
    let (code, _, err) = said(&run("http://me:s3cret@127.0.0.1:1/api", &["shop"]).await);
    assert_eq!(code, Some(2));
    assert!(!err.contains("s3cret"), "{err}");
    assert_eq!(said(&run("http://127.0.0.1:1/api", &[]).await).0, Some(2));
}

#[tokio::test]
async fn control_c_ends_the_following_but_not_the_backup() {
    let (api, _) =
        serve(Script { records: [Ok(record("pending", &json!({})))].into(), ..Script::default() }).await;
    let mut child =
        program(&api, &["Tea shop"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    while !lines.next_line().await.unwrap().unwrap().contains("waiting for a processor") {}
    interrupt(&child);
    insta::assert_snapshot!(lines.next_line().await.unwrap().unwrap(), @"dilux: not followed any more; the backup goes on as job job-7, `dilux list --database db-1` shows how it ends");
    assert_eq!(child.wait().await.unwrap().code(), Some(130));
}

fn interrupt(child: &Child) {
    let id = rustix::process::Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
}
