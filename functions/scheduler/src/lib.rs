//! The scheduler: queues what is due every 15 minutes, and looks at the system's health every 6
//! hours.
//!
//! What must stay true: a slot is reserved before its record is made, and the record is made before
//! its message is sent. A tick that dies anywhere, comes twice, or runs beside another queues each
//! slot once in effect.

mod health;
mod history;
mod orphans;
mod queueing;
mod reconcile;
mod restores;
mod state;
mod tick;

use axum::Router;
use axum::routing::post;

pub use state::{AppState, StartError};
pub use tick::{TickReport, tick};

/// Looks, in a task of its own, for what was left behind while nobody ran the scheduler.
pub fn reconcile_in_background(state: &AppState) {
    let state = state.clone();
    tokio::spawn(async move { tick::reconcile(&state).await });
}

/// Builds the router: one path per function, named like its folder.
pub fn app(state: AppState) -> Router {
    Router::new()
        .route("/dynamic_scheduler", post(tick::dynamic_scheduler))
        .route("/health_monitor", post(health::health_monitor))
        .with_state(state)
}
