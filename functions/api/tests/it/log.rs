//! What the log has of a request.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::OnceLock;

use axum::body::Body;
use axum::http::Request;
use serde_json::Value;

use crate::support::World;

/// The id of the requests of this test; lines of others are in the log as well.
const ID: &str = "of-the-log-test";

/// Begins to write down what all tests log, and returns what reads it. For the whole process: one for a
/// thread alone would miss lines while other tests run.
pub(crate) fn everything() -> impl Fn() -> String {
    static WRITTEN: OnceLock<File> = OnceLock::new();
    let written = WRITTEN.get_or_init(|| {
        let written = tempfile::tempfile().unwrap();
        let writer = written.try_clone().unwrap();
        tracing_subscriber::fmt().json().with_writer(move || writer.try_clone().unwrap()).init();
        written
    });
    move || {
        // The position is the writer's as well, which goes on at the end.
        let mut bytes = vec![0; usize::try_from(written.metadata().unwrap().len()).unwrap()];
        written.read_exact_at(&mut bytes, 0).unwrap();
        String::from_utf8(bytes).unwrap()
    }
}

#[tokio::test]
async fn each_request_is_a_line_without_its_values() {
    let read = everything();
    let world = World::new();
    for (method, path, body) in [
        ("GET", "/databases/private-id?password=hunter2", ""),
        ("POST", "/databases", r#"{"name": "hunter2", "password": "hunter2"}"#),
        ("GET", "/nothing/hunter2", ""),
    ] {
        let request = Request::builder().method(method).uri(format!("/api{path}")).header("x-request-id", ID);
        world.exchange(request.body(Body::from(body)).unwrap()).await;
    }
    let text = read();
    let own: Vec<Value> = text
        .lines()
        .filter(|line| line.contains(ID))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let answered: Vec<String> = own
        .iter()
        .filter(|line| line["fields"]["message"] == "a request was answered")
        .map(|line| {
            assert!(line["fields"]["duration_ms"].as_f64().unwrap() >= 0.0);
            let members =
                ["method", "route", "user_id"].map(|name| line["span"][name].as_str().unwrap_or("-"));
            format!("{} {}", line["fields"]["status"], members.join(" "))
        })
        .collect();
    insta::assert_snapshot!(answered.join("\n"), @"
    404 GET /api/databases/{id} dev-user-00000000-0000-0000-0000-000000000000
    400 POST /api/databases dev-user-00000000-0000-0000-0000-000000000000
    404 GET unknown -
    ");
    let all = Value::from(own).to_string();
    assert!(!all.contains("hunter2") && !all.contains("private-id"), "{all}");
}
