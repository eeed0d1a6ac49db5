//! Cross-origin calls of browsers: the headers that let the web application read the answers.
//!
//! Every answer gets them, errors included, since a browser hides an answer without them. Where
//! somebody in front does this (the platform, Core Tools), nothing is added here unless origins are named:
//! two layers could contradict each other.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use shared::config::{Config, Environment};

/// How long a browser may remember what it was allowed, in seconds. Browsers cut it to two hours.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, DELETE, OPTIONS");
const HEADERS: HeaderValue = HeaderValue::from_static("authorization, content-type");
/// What scripts of other origins may read of an answer besides its body.
const EXPOSED: HeaderValue = HeaderValue::from_static("etag, x-request-id");
/// Who may call a service in production that nobody has named origins for.
const USUAL: [&str; 3] = ["https://portal.azure.com", "http://localhost:3000", "http://localhost:5173"];

/// Which origins may read the answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origins {
    /// All. No cookies are used, so this gives away nothing that a direct call would not.
    Any,
    /// These.
    Listed(Arc<[String]>),
    /// Nothing is added here.
    Off,
}

impl Origins {
    /// Reads the configuration: what it lists; else nothing behind a host, all in development, and the
    /// usual ones in production.
    pub(crate) fn of(config: &Config) -> Self {
        match &config.allowed_origins {
            Some(origins) if origins.iter().any(|origin| origin == "*") => Self::Any,
            Some(origins) => {
                Self::Listed(origins.iter().map(|origin| origin.trim_end_matches('/').to_owned()).collect())
            }
            None if config.cors_in_front => Self::Off,
            None if config.environment == Environment::Development => Self::Any,
            None => Self::Listed(USUAL.map(str::to_owned).into()),
        }
    }

    /// Returns the header that lets an origin read the answer, if it may.
    fn allowed(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        match self {
            Self::Any => Some(HeaderValue::from_static("*")),
            Self::Listed(origins) => {
                let given = origin.to_str().ok()?;
                origins.iter().any(|known| known.eq_ignore_ascii_case(given)).then(|| origin.clone())
            }
            Self::Off => None,
        }
    }
}

/// Answers every `OPTIONS` itself, and adds the headers to every other answer.
pub(crate) async fn apply(State(origins): State<Origins>, request: Request, next: Next) -> Response {
    let allowed = request.headers().get(ORIGIN).and_then(|origin| origins.allowed(origin));
    let mut response = if *request.method() == Method::OPTIONS {
        preflight(allowed.is_some(), request.headers())
    } else {
        next.run(request).await
    };
    if let Some(allowed) = allowed {
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        response.headers_mut().insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    if matches!(origins, Origins::Listed(_)) {
        response.headers_mut().append(VARY, HeaderValue::from_static("Origin"));
    }
    response
}

fn preflight(allowed: bool, request: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if allowed {
        let asked = request.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.unwrap_or(HEADERS));
        headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    }
    response
}
