//! The REST API, for the web application, for the command line and for scripts.
//!
//! Paths, bodies and status codes are a contract that a web application of another origin relies on.
//! What must stay true:
//!
//! - Every route has its role in one table ([`roles`]); a route that is not in it is refused.
//! - Every answer other than a success has the body `{"error": "…"}`, whoever makes it: handlers,
//!   extractors, the router, and a panic.
//! - No answer, audit record, log line or message holds a secret. Views have no member for one.
//! - A stored password of an engine is sent to the engine's host and to no other.
//! - Whatever changes something leaves an audit record, also when the caller goes away meanwhile.
//!
//! A handler is a use case: it reads from top to bottom and there is no layer below it but the
//! repositories.

mod access_requests;
mod actor;
mod admission;
mod audit;
mod auth_events;
mod backups;
mod client_address;
mod connection_probe;
mod cors;
mod databases;
mod edge;
mod engines;
mod error;
mod figures;
mod identity;
mod if_match;
mod json;
mod observe;
mod openapi;
mod path;
mod policies;
mod query;
mod references;
mod request_id;
mod requests;
mod restores;
mod retention;
pub mod roles;
mod routes;
mod settings;
mod state;
mod system;
mod texts;
mod trust;
mod users;
mod views;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;

pub use figures::Figures;
pub use identity::{HttpSetUpError, Identities};
pub use openapi::describe;
pub use routes::built_routes;
pub use state::{AppState, StartError};

/// Builds the router. The Functions host forwards paths whole, so the prefix is part of them.
pub fn app(state: AppState) -> Router {
    let routes = routes::router().route_layer(from_fn_with_state(state.clone(), actor::authorize));
    let routes = match state.prefix() {
        "" => routes,
        prefix => Router::new().nest(&format!("/{prefix}"), routes),
    };
    routes
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(from_fn(edge::limit))
        .layer(from_fn(observe::observe))
        .layer(from_fn(finish_what_was_begun))
        .layer(from_fn_with_state(state.config.environment, edge::guard))
        // Outside of everything, since a browser shows no answer without these headers.
        .layer(from_fn_with_state(cors::Origins::of(&state.config), cors::apply))
        .with_state(state)
}

/// Runs requests that may change something in a task of their own, so that a caller who goes away
/// does not stop them between a change and its audit record.
async fn finish_what_was_begun(request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let task = tokio::spawn(next.run(request).in_current_span());
    task.await.unwrap_or_else(|_| error::ApiError::Internal("a request was interrupted").into_response())
}
