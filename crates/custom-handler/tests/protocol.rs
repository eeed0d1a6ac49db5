//! The protocol on a real socket: exact answers, framings, panics, and what is answered first.

#![expect(clippy::unwrap_used, reason = "tests")]

mod wire;

use std::net::SocketAddr;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use custom_handler::{Answer, QueueInvocation, TimerInvocation, shield};
use insta::assert_snapshot;
use wire::{Framing, queue_invocation};

/// Serves an app with every kind of handler on a free port, for as long as the test runs.
fn served() -> SocketAddr {
    let app = Router::new()
        .route(
            "/done",
            post(|message: QueueInvocation| async move { Answer::success().with_log(message.body) }),
        )
        .route(
            "/count",
            post(|message: QueueInvocation| async move {
                Answer::success().with_log(format!("{} {}", message.dequeue_count, message.invocation_id))
            }),
        )
        .route("/failed", post(|_: QueueInvocation| async { Answer::failure("no such database") }))
        .route("/panics", post(|message: QueueInvocation| async move { panics(&message.body) }))
        .route(
            "/tick",
            post(|timer: TimerInvocation| async move {
                Answer::success().with_log(format!("late: {}, {}", timer.is_past_due, timer.invocation_id))
            }),
        )
        .route("/api/users/me", get(|| async { "me" }))
        .route("/api/users/{id}", get(|| async { "somebody" }));
    served_app(app)
}

fn panics(secret: &str) -> Answer {
    panic!("a secret: {secret}")
}

fn served_app(app: Router) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, shield(app)).await.unwrap();
        });
    });
    address
}

#[test]
fn success_on_the_wire() {
    assert_snapshot!(wire::post(served(), "/done", &queue_invocation("hello"), Framing::Length), @r#"
    HTTP/1.1 200 OK
    content-type: application/json
    content-length: 50
    connection: close

    {"Outputs":{},"Logs":["hello"],"ReturnValue":null}
    "#);
}

#[test]
fn failure_on_the_wire() {
    assert_snapshot!(wire::post(served(), "/failed", &queue_invocation("hello"), Framing::Length), @r#"
    HTTP/1.1 500 Internal Server Error
    content-type: application/json
    content-length: 88
    connection: close

    {"Outputs":{},"Logs":["no such database"],"ReturnValue":null,"error":"no such database"}
    "#);
}

#[test]
fn an_invocation_that_cannot_be_decoded_is_a_failure_with_a_text() {
    let address = served();
    assert_snapshot!(wire::post(address, "/done", b"hello", Framing::Chunked), @r#"
    HTTP/1.1 500 Internal Server Error
    content-type: application/json
    content-length: 220
    connection: close

    {"Outputs":{},"Logs":["the invocation is not a JSON object (line 1, column 1); was it posted by the host?"],"ReturnValue":null,"error":"the invocation is not a JSON object (line 1, column 1); was it posted by the host?"}
    "#);
    assert_snapshot!(wire::post(address, "/tick", b"", Framing::Length), @r#"
    HTTP/1.1 500 Internal Server Error
    content-type: application/json
    content-length: 220
    connection: close

    {"Outputs":{},"Logs":["the invocation is not a JSON object (line 1, column 0); was it posted by the host?"],"ReturnValue":null,"error":"the invocation is not a JSON object (line 1, column 0); was it posted by the host?"}
    "#);
}

#[test]
fn a_message_beyond_every_limit_is_a_failure_with_a_text() {
    let address = served();
    let message = queue_invocation(&"x".repeat(9 << 20));
    let answer = wire::post(address, "/done", &message, Framing::Length);
    assert_eq!(wire::post(address, "/done", &message, Framing::Chunked), answer);
    assert_snapshot!(answer, @r#"
    HTTP/1.1 500 Internal Server Error
    content-type: application/json
    content-length: 214
    connection: close

    {"Outputs":{},"Logs":["the invocation is larger than 2097152 bytes, which no message in a queue can be"],"ReturnValue":null,"error":"the invocation is larger than 2097152 bytes, which no message in a queue can be"}
    "#);
}

#[test]
fn a_message_as_large_as_the_queue_allows_is_understood() {
    // The character that grows most when it is encoded twice, and once more among the metadata.
    let message = "\u{1}".repeat(64 << 10);
    let once = serde_json::to_string(&message).unwrap();
    let twice = serde_json::to_string(&once).unwrap();
    let body = format!(r#"{{"Data":{{"msg":{twice}}},"Metadata":{{"member":{twice}}}}}"#);
    let answer = wire::post(served(), "/count", body.as_bytes(), Framing::Chunked);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn a_panic_is_a_failure_of_one_request_and_says_nothing_of_its_reason() {
    let address = served();
    let answer = wire::post(address, "/panics", &queue_invocation("hunter2"), Framing::Length);
    assert_snapshot!(answer, @r#"
    HTTP/1.1 500 Internal Server Error
    content-type: application/json
    content-length: 212
    connection: close

    {"Outputs":{},"Logs":["The program failed unexpectedly; its log has the reason under invocation i-42."],"ReturnValue":null,"error":"The program failed unexpectedly; its log has the reason under invocation i-42."}
    "#);
    assert!(wire::post(address, "/done", &queue_invocation("next"), Framing::Length).contains("200 OK"));
}

#[test]
fn chunks_and_lengths_give_the_same_answer() {
    let address = served();
    let timer = br#"{"Data":{"timer":{"ScheduleStatus":{"Last":"0001-01-01T00:00:00"},"IsPastDue":true}}}"#;
    let table: [(&str, &[u8]); 5] = [
        ("/done", &queue_invocation("{\"name\":\"ünïcödé 🦀\"}")),
        ("/count", &queue_invocation("x")),
        ("/tick", timer),
        ("/tick", b"[]"),
        ("/done", br#"{"Data":{"msg":{"encoded":"not at all"}}}"#),
    ];
    for (path, body) in table {
        let by_length = wire::post(address, path, body, Framing::Length);
        assert_eq!(wire::post(address, path, body, Framing::Chunked), by_length, "{path}");
    }
    assert_snapshot!(wire::post(address, "/tick", timer, Framing::Chunked), @r#"
    HTTP/1.1 200 OK
    content-type: application/json
    content-length: 61
    connection: close

    {"Outputs":{},"Logs":["late: true, i-42"],"ReturnValue":null}
    "#);
    assert_snapshot!(wire::post(address, "/count", &queue_invocation("x"), Framing::Chunked), @r#"
    HTTP/1.1 200 OK
    content-type: application/json
    content-length: 51
    connection: close

    {"Outputs":{},"Logs":["2 i-42"],"ReturnValue":null}
    "#);
}

#[test]
fn the_ready_answer_comes_before_everything_of_the_app() {
    let refuse = from_fn(|_: axum::extract::Request, _: axum::middleware::Next| async {
        StatusCode::UNAUTHORIZED.into_response()
    });
    let app =
        Router::new().route("/x", get(|| async { "x" })).fallback(|| async { "fallback" }).layer(refuse);
    let address = served_app(app);
    assert_snapshot!(wire::get(address, "/"), @"
    HTTP/1.1 200 OK
    content-type: text/plain; charset=utf-8
    content-length: 5
    connection: close

    ready
    ");
    assert_snapshot!(wire::get(address, "/x"), @"
    HTTP/1.1 401 Unauthorized
    connection: close
    content-length: 0
    ");
    assert_snapshot!(wire::get(address, "/y"), @"
    HTTP/1.1 401 Unauthorized
    connection: close
    content-length: 0
    ");
}

#[test]
fn literal_paths_win_over_parameters() {
    let address = served();
    assert!(wire::get(address, "/api/users/me").ends_with("me"));
    assert!(wire::get(address, "/api/users/7").ends_with("somebody"));
    assert!(wire::get(address, "/nowhere").starts_with("HTTP/1.1 404 "));
}
