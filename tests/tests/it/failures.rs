//! What people do wrong, and what is down: a record or an answer that a person can act on, no
//! secret anywhere, and the next job runs.

use end_to_end::api::Server;
use end_to_end::servers::{mariadb, postgresql};
use end_to_end::stack::Stack;
use serde_json::{Value, json};

/// A password that is easy to find.
const MARKED: &str = "M4rk3d-S3cret-Pässword";

#[tokio::test(flavor = "multi_thread")]
async fn failures_say_what_happened_and_hold_up_nobody() {
    let (maria, postgres) = (mariadb::Server::get(), postgresql::Server::get());
    let stack = Stack::start().await;
    maria.create("e2e_next");
    let wrong = |server: Server| Server { password: MARKED.to_owned(), ..server };
    let nowhere = |server: Server| Server { port: end_to_end::stack::free_port(), ..wrong(server) };
    let cases = [
        ("wrong password", wrong(maria.as_client()), "e2e_next", "AuthenticationFailed", "Access denied"),
        (
            "wrong password pg",
            wrong(postgres.as_client()),
            "postgres",
            "AuthenticationFailed",
            "password authentication failed",
        ),
        ("unknown database", maria.as_client(), "e2e_nothing", "UnknownDatabase", "e2e_nothing"),
        ("unknown database pg", postgres.as_client(), "e2e_nothing", "UnknownDatabase", "e2e_nothing"),
        ("nobody listens", nowhere(maria.as_client()), "e2e_next", "ConnectionFailed", "127.0.0.1"),
        ("nobody listens pg", nowhere(postgres.as_client()), "postgres", "ConnectionFailed", "127.0.0.1"),
    ];
    let mut jobs = Vec::new();
    for (name, server, database, ..) in &cases {
        let id = stack.api.create_database(name, server, database).await;
        jobs.push((stack.api.trigger(&id).await, id));
    }
    for ((name, _, _, class, text), (job, database)) in cases.iter().zip(&jobs) {
        let record = stack.api.wait_for_end(database, job).await;
        assert_eq!(record["status"], "failed", "{name}: {record}");
        assert_eq!(record["error_details"], *class, "{name}: {record}");
        let message = record["error_message"].as_str().unwrap();
        assert!(message.contains(text), "{name}: {message}");
        assert!(record["blob_name"].is_null() && record["completed_at"].is_string(), "{name}: {record}");
    }
    let next = stack.api.create_database("next", &maria.as_client(), "e2e_next").await;
    stack.api.back_up(&next).await;
    assert!(!stack.log().contains(MARKED), "a password is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_no_jobs_are_dropped_and_jobs_without_configuration_are_cancelled() {
    let server = mariadb::Server::get();
    let stack = Stack::start().await;
    for text in ["this is no job", "{\"id\":\"x\"}", "[1,2,3]"] {
        stack.send_message(text).await;
    }
    let orphan = json!({
        "id": "job-of-nobody", "database_id": "nobody", "database_name": "Nobody", "database_type": "mysql",
        "created_at": "2026-01-02T03:04:05.000006", "triggered_by": "scheduler", "tier": "daily",
    });
    // Twice, as queues do.
    stack.send_message(&orphan.to_string()).await;
    stack.send_message(&orphan.to_string()).await;
    let record = stack.api.wait_for_end("nobody", "job-of-nobody").await;
    assert_eq!(record["status"], "cancelled");
    let reason = "the database is not configured any more, so there is nothing to back up";
    assert_eq!(record["error_message"], reason);
    server.create("e2e_after_poison");
    let next = stack.api.create_database("after", &server.as_client(), "e2e_after_poison").await;
    stack.api.back_up(&next).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_refused_by_name_and_change_nothing() {
    let stack = Stack::start().await;
    let good = json!({
        "name": "x", "database_type": "mysql", "host": "h", "port": 3306, "database_name": "d",
        "username": "u", "password": MARKED,
    });
    let with = |member: &str, value: Value| {
        let mut body = good.clone();
        body[member] = value;
        body
    };
    let cases = [
        ("name", json!("")),
        ("database_type", json!("oracle")),
        ("host", json!("--protocol=socket")),
        ("host", json!("a b")),
        ("port", json!(0)),
        ("port", json!("3306")),
        ("port", json!(70000)),
        ("database_name", json!("--result-file=/tmp/x")),
        ("database_name", json!("a\nb")),
        ("username", json!("-u")),
        ("schedule", json!("61 * * * *")),
        ("retention_days", json!(0)),
        ("backup_destination", json!("../up")),
    ];
    for (member, value) in cases {
        let (status, answer) = stack.api.send("POST", "/databases", Some(with(member, value.clone()))).await;
        assert_eq!(status, 400, "{member} = {value}: {answer}");
        let error = answer["error"].as_str().unwrap();
        assert!(error.contains(member), "{member} = {value}: {error}");
        assert!(!error.contains(MARKED));
    }
    let answer = stack.api.expect(200, "GET", "/databases", None).await;
    assert_eq!(answer["total"], 0);
    stack.api.expect(404, "GET", "/nothing", None).await;
    stack.api.expect(405, "PATCH", "/databases", None).await;
    stack.api.expect(404, "POST", "/databases/unknown/backup", None).await;
}
