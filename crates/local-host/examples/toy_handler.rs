//! A handler for tests: does what it is told, and writes down what it is sent.
//!
//! Settings: `TOY_START` is `exit:CODE` or `silent`, and is obeyed instead of serving; `TOY_RECORD`
//! names a file to which each invocation is appended as one line of JSON; `TOY_TERM` names a file
//! that is written when SIGTERM comes.
//!
//! Below `/api` a request is told back as JSON, except `/api/do/ORDER`. Invocations obey the order in
//! the queue message (`{"do": ORDER}`) or in the setting `TOY_ORDER`. Orders: `ok`, `fail`,
//! `exit:CODE`, `sleep:SECONDS`, `empty`, `plain`, `status:CODE`, `redirect`, `touch-after:SECONDS` (writes the file that
//! `TOY_TOUCH` names), `env:NAME`.

use std::io::Write as _;
use std::process::exit;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("toy handler {}", std::process::id());
    eprintln!("a warning from the toy handler");
    if let Some(path) = setting("TOY_TERM") {
        let mut term = signal(SignalKind::terminate())?;
        tokio::spawn(async move {
            term.recv().await;
            exit(i32::from(std::fs::write(path, "term").is_err()));
        });
    }
    match setting("TOY_START").as_deref().map(|start| start.split_once(':').unwrap_or((start, ""))) {
        Some(("exit", code)) => exit(code.parse()?),
        Some(_) => std::future::pending().await,
        None => {}
    }
    let port: u16 = setting("FUNCTIONS_CUSTOMHANDLER_PORT").unwrap_or_default().parse()?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    axum::serve(listener, Router::new().fallback(answer)).await?;
    Ok(())
}

async fn answer(request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&body).into_owned();
    let path = parts.uri.path().to_owned();
    if path == "/" {
        return Response::new(Body::from("ready"));
    }
    let headers: Value = parts
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), json!(String::from_utf8_lossy(value.as_bytes()))))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let seen = json!({
        "method": parts.method.as_str(),
        "target": parts.uri.to_string(),
        "headers": headers,
        "body": serde_json::from_str(&text).unwrap_or(Value::String(text)),
    });
    if let Some(order) = path.strip_prefix("/api/do/") {
        return obey(order, seen).await;
    }
    if path.starts_with("/api") || path.starts_with("/other") {
        return answered(200, &seen);
    }
    record(&seen);
    let order = order_in(&seen["body"]).or_else(|| setting("TOY_ORDER"));
    obey(order.as_deref().unwrap_or("ok"), seen).await
}

async fn obey(order: &str, seen: Value) -> Response<Body> {
    let (verb, rest) = order.split_once(':').unwrap_or((order, ""));
    match verb {
        "exit" => exit(rest.parse().unwrap_or(1)),
        "fail" => return answered(500, &json!({"error": "told to fail"})),
        "empty" => return Response::new(Body::empty()),
        "plain" => return Response::new(Body::from("plain text")),
        "status" => return answered(rest.parse().unwrap_or(500), &json!({})),
        "env" => return answered(200, &json!(setting(rest))),
        "sleep" => tokio::time::sleep(Duration::from_secs(rest.parse().unwrap_or(1))).await,
        "touch-after" => {
            tokio::time::sleep(Duration::from_secs(rest.parse().unwrap_or(1))).await;
            let _ = std::fs::write(setting("TOY_TOUCH").unwrap_or_default(), "done");
        }
        "redirect" => {
            let mut response = answered(302, &json!({}));
            response.headers_mut().insert("location", axum::http::HeaderValue::from_static("/api/elsewhere"));
            return response;
        }
        _ => {}
    }
    let res = json!({"statusCode": 201, "headers": {"x-toy": "yes"}, "body": seen});
    answered(200, &json!({"Outputs": {"res": res}, "Logs": ["a line for the log"], "ReturnValue": null}))
}

/// Finds the order in a queue message, which is encoded twice.
fn order_in(body: &Value) -> Option<String> {
    let text: String = serde_json::from_str(body["Data"]["msg"].as_str()?).ok()?;
    let message: Value = serde_json::from_str(&text).ok()?;
    // An order for a later delivery: {"do": ORDER, "then": ORDER}.
    let first = body["Metadata"]["DequeueCount"] == "1";
    let name = if first || message["then"].is_null() { "do" } else { "then" };
    message[name].as_str().map(str::to_owned)
}

fn record(seen: &Value) {
    let Some(path) = setting("TOY_RECORD") else { return };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    if let Ok(mut file) = file {
        // One write, since another invocation may write down its own line at the same moment.
        let _ = file.write_all(format!("{seen}\n").as_bytes());
    }
}

fn answered(status: u16, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    let kind = axum::http::HeaderValue::from_static("application/json");
    response.headers_mut().insert("content-type", kind);
    response
}

#[expect(clippy::disallowed_methods, reason = "a handler is told by its environment what to do")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
