//! The processor: runs backup jobs and restores from their queues, gives up those that cannot be run, and
//! applies retention once a day.
//!
//! What must stay true: a blob is committed only after the dump tool has proved success, the record
//! is written after the blob, and the message is acknowledged after the record, so that a crash
//! between any two of them is safe to repeat.

mod artifact;
mod attempt;
mod cleanup;
mod error;
mod globals;
mod job;
mod places;
mod poison;
mod recover;
mod restore;
mod state;
mod twin;

use axum::Router;
use axum::routing::post;

pub use state::{AppState, StartError};

/// Builds the router: one path per function, named like its folder.
pub fn app(state: AppState) -> Router {
    Router::new()
        .route("/backup_processor", post(job::backup_processor))
        .route("/backup_poison", post(poison::backup_poison))
        .route("/cleanup_old_backups", post(cleanup::cleanup_old_backups))
        .route("/restore_processor", post(restore::restore_processor))
        .route("/restore_poison", post(restore::restore_poison))
        .with_state(state)
}
