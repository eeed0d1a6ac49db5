//! What stands between the host and every app: the ready answer, one span per invocation, and the
//! net under panics.

use std::panic::AssertUnwindSafe;

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::FutureExt as _;
use tracing::{Instrument as _, info_span};

use crate::Answer;

/// The header in which the host names the invocation, also on forwarded HTTP requests.
const INVOCATION_ID: &str = "x-azure-functions-invocationid";

/// Puts an app behind what every custom handler needs.
///
/// `GET /` answers 200 without touching the app. Every other request runs in a span with its
/// invocation id, and a panic in it becomes a 500 with a JSON body, while the program goes on.
pub fn shield(app: Router) -> Router {
    Router::new().route("/", get(ready)).fallback_service(app.layer(from_fn(guard)))
}

/// Returns the id of the invocation, shortened, or `"unknown"` when nobody gave one.
pub(crate) fn invocation_id(headers: &HeaderMap) -> String {
    let given = headers.get(INVOCATION_ID).and_then(|id| id.to_str().ok()).map(str::trim).unwrap_or_default();
    if given.is_empty() { "unknown".to_owned() } else { given.chars().take(64).collect() }
}

async fn ready() -> &'static str {
    "ready"
}

async fn guard(request: Request, next: Next) -> Response {
    let invocation_id = invocation_id(request.headers());
    // The path only: the query of a forwarded request may hold keys.
    let (method, path) = (request.method(), request.uri().path());
    let span = info_span!("invocation", invocation_id, %method, path);
    // Nothing of the request is looked at after a panic, so no broken state can be seen.
    match AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span).await {
        Ok(response) => response,
        // The panic hook has logged it; what it says is not for callers.
        Err(_) => Answer::failure(format!(
            "The program failed unexpectedly; its log has the reason under invocation {invocation_id}."
        ))
        .into_response(),
    }
}
