//! The host's own routes below `/admin`: what is there, how it is, and "run this function now".
//!
//! <https://learn.microsoft.com/azure/azure-functions/functions-manually-run-non-http>

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use serde_json::{Value, json};

use super::{Front, MAX_BODY, empty};
use crate::index::{Function, Trigger};
use crate::manual::RunError;

/// Answers a request below `/admin`.
pub(crate) async fn answer(front: &Front, request: Request) -> Response<Body> {
    let path = request.uri().path().trim_end_matches('/').to_owned();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').skip(1).collect();
    match (request.method(), parts.as_slice()) {
        (&Method::GET | &Method::POST, ["host", "ping"]) => empty(StatusCode::OK),
        (&Method::GET, ["host", "status"]) => json_answer(StatusCode::OK, &status(front)),
        (&Method::GET, ["functions"]) => {
            let list: Vec<Value> = front.functions.iter().map(describe).collect();
            json_answer(StatusCode::OK, &Value::Array(list))
        }
        (&Method::GET, ["functions", name]) => match front.manual.find(name) {
            Some(function) => json_answer(StatusCode::OK, &describe(function)),
            None => empty(StatusCode::NOT_FOUND),
        },
        (&Method::POST, ["functions", name]) => {
            run(front, name, request.headers().clone(), request.into_body()).await
        }
        _ => empty(StatusCode::NOT_FOUND),
    }
}

async fn run(front: &Front, name: &str, headers: HeaderMap, body: Body) -> Response<Body> {
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY).await else {
        return empty(StatusCode::PAYLOAD_TOO_LARGE);
    };
    // Demanding JSON keeps web pages of other origins out: they cannot send it without a preflight.
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.trim_start().to_ascii_lowercase().starts_with("application/json") {
        let problem =
            json!({"error": "send Content-Type: application/json and a body like {\"input\": \"text\"}"});
        return json_answer(StatusCode::UNSUPPORTED_MEDIA_TYPE, &problem);
    }
    let input = match serde_json::from_slice::<Value>(&body) {
        Ok(value) => value.get("input").cloned().unwrap_or_default(),
        Err(_) if body.is_empty() => Value::Null,
        Err(error) => {
            return json_answer(
                StatusCode::BAD_REQUEST,
                &json!({"error": format!("the body is not JSON: {error}")}),
            );
        }
    };
    let input = match input {
        Value::Null => String::new(),
        Value::String(text) => text,
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => other.to_string(),
    };
    match Arc::clone(&front.manual).run(name, input) {
        Ok(()) => empty(StatusCode::ACCEPTED),
        Err(error @ RunError::Unknown(_)) => {
            json_answer(StatusCode::NOT_FOUND, &json!({"error": error.to_string()}))
        }
        Err(error @ RunError::Http(_)) => {
            json_answer(StatusCode::BAD_REQUEST, &json!({"error": error.to_string()}))
        }
    }
}

fn status(front: &Front) -> Value {
    json!({
        "id": front.host_id,
        "state": "Running",
        "version": crate::invoke::HOST_VERSION.to_str().unwrap_or_default(),
        "handlerReady": front.invoker.handler.is_ready(),
        "errors": front.problems,
    })
}

fn describe(function: &Function) -> Value {
    let kind = match function.trigger {
        Trigger::Http(_) => "httpTrigger",
        Trigger::Timer(_) => "timerTrigger",
        Trigger::Queue(_) => "queueTrigger",
    };
    json!({
        "name": function.name,
        "trigger": kind,
        "isDisabled": function.disabled,
        "config": function.config,
    })
}

fn json_answer(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    response
}
