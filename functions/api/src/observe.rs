//! What of every request is in the log, and its id in the answer.
//!
//! Queries and bodies are never logged: they may hold what is nobody's business. The path is logged
//! as the router writes it, with its variable's name instead of its value.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use tracing::field::Empty;
use tracing::{Instrument as _, Span, info, info_span};

use crate::error;
use crate::request_id::RequestId;

/// Runs a request in a span with its id, and logs how it was answered.
pub(crate) async fn observe(mut request: Request, next: Next) -> Response {
    let given = request.extensions().get::<RequestId>().cloned();
    let id = given.unwrap_or_else(|| RequestId::of(request.headers()));
    let route = request.extensions().get::<MatchedPath>().map_or("unknown", MatchedPath::as_str);
    let span = info_span!("request", request_id = %id, method = %request.method(), route, user_id = Empty);
    request.extensions_mut().insert(id.clone());
    let began = Instant::now();
    let response = id.on(error::with_request_id(next.run(request).instrument(span.clone()).await, &id));
    let duration_ms = (began.elapsed().as_secs_f64() * 100_000.0).round() / 100.0;
    span.in_scope(|| info!(status = response.status().as_u16(), duration_ms, "a request was answered"));
    response
}

/// Notes in the log who sends the request that runs.
pub(crate) fn note_user(user_id: &str) {
    Span::current().record("user_id", user_id);
}
