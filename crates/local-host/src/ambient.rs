//! What the host takes from the machine it runs on: the wall clock, random ids, the environment
//! and new processes. Everything else gets these as values, so that it can be tested without them.

use std::path::Path;

use chrono::{DateTime, Utc};
use tokio::process::Command;
use uuid::Uuid;

use crate::Variables;

/// Returns the present instant.
#[expect(
    clippy::disallowed_methods,
    reason = "the host is driven by the wall clock; this is its one home here"
)]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}

/// Returns a new random id.
#[expect(
    clippy::disallowed_methods,
    reason = "invocations and handlers get random ids; this is their one home here"
)]
pub(crate) fn new_id() -> Uuid {
    Uuid::new_v4()
}

/// Returns a random number from 0 up to, but not including, 1.
pub(crate) fn fraction() -> f64 {
    let [a, b, c, d, ..] = *new_id().as_bytes();
    f64::from(u32::from_be_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0)
}

/// Returns the environment of this process. Variables that are not text cannot be settings and are
/// left out; the handler inherits them all the same.
#[expect(
    clippy::disallowed_methods,
    reason = "settings come from the environment; this is their one home here"
)]
pub(crate) fn environment() -> Variables {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Starts the description of a child process.
#[expect(clippy::disallowed_methods, reason = "handlers are child processes; this is their one home here")]
pub(crate) fn command(program: &Path) -> Command {
    Command::new(program)
}
