//! What holds for every request and every answer, whatever the route: limits, and headers for browsers.
//!
//! In Azure the platform has limits of its own in front of these; without it there would be none.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use shared::config::Environment;
use tokio::time::timeout;

use crate::error::{self, ApiError};
use crate::request_id::RequestId;

/// The longest body that any route reads, in bytes.
const LONGEST_BODY: u64 = 2 * 1024 * 1024;

/// The longest address, in bytes: room for a blob name of 1,024 characters that are all encoded.
const LONGEST_ADDRESS: usize = 16 * 1024;

/// The most that all headers may be, in bytes: tokens of the directory with many groups are long, and the
/// platform adds some of its own.
const MOST_HEADERS: usize = 64 * 1024;

/// The longest that a caller waits. The platform cuts the connection after 230 seconds; what changes
/// something goes on without its caller.
const LONGEST_WAIT: Duration = Duration::from_secs(220);

/// What an answer tells a browser: that it is JSON whatever it looks like, that nothing of it is to be
/// executed, framed, kept, or told to others.
const HEADERS: [(HeaderName, &str); 5] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
];

/// Refuses what is too large, before anything is done for it.
pub(crate) async fn limit(request: Request, next: Next) -> Response {
    match check(&request) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// Gives the request its id, ends what takes too long, and adds the headers.
pub(crate) async fn guard(
    State(environment): State<Environment>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
    let answer = timeout(LONGEST_WAIT, next.run(request)).await;
    let mut response = answer.unwrap_or_else(|_| {
        tracing::warn!(request_id = %id, "a request took too long; its caller waits no longer");
        id.on(error::with_request_id(ApiError::TooSlow.into_response(), &id))
    });
    add_headers(response.headers_mut(), environment);
    response
}

fn check(request: &Request) -> Result<(), ApiError> {
    let headers = request.headers();
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if request.uri().path_and_query().is_some_and(|text| text.as_str().len() > LONGEST_ADDRESS) {
        return Err(ApiError::AddressTooLong);
    }
    if size > MOST_HEADERS {
        return Err(ApiError::HeadersTooLarge);
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > LONGEST_BODY) { Err(ApiError::TooLarge) } else { Ok(()) }
}

/// Adds the headers that the handler has not set itself.
fn add_headers(headers: &mut HeaderMap, environment: Environment) {
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if environment == Environment::Production {
        let value = HeaderValue::from_static("max-age=31536000; includeSubDomains");
        headers.entry(STRICT_TRANSPORT_SECURITY).or_insert(value);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_the_platform_does() {
        let slow = get(async || tokio::time::sleep(Duration::from_mins(5)).await);
        let app =
            Router::new().route("/slow", slow).layer(from_fn_with_state(Environment::Development, guard));
        let began = tokio::time::Instant::now();
        let request = Request::get("/slow").header("x-request-id", "r-1").body(Body::empty()).unwrap();
        let answer = app.oneshot(request).await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 220);
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["x-request-id"]),
            (504, &HeaderValue::from_static("r-1"))
        );
        let body = to_bytes(answer.into_body(), 10_000).await.unwrap();
        assert!(String::from_utf8_lossy(&body).contains(r#""request_id":"r-1""#), "{body:?}");
    }
}
