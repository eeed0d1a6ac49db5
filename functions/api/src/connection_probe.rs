//! Asking a server whether it is there, with the same client program, credentials and encryption as a
//! backup.

use std::time::Duration;

use dump::{DumpError, Limits, Target};

use crate::state::AppState;
use crate::texts::one_line;

/// The time for the whole question; connecting has ten seconds of it.
const LIMIT: Duration = Duration::from_secs(30);
/// The longest message, in characters.
const LONGEST: usize = 500;

/// Why a connection failed, in words for the caller and in one of the contract's four names.
#[derive(Debug)]
pub(crate) struct Failure {
    pub message: String,
    pub class: &'static str,
}

/// Connects and returns the server's version.
pub(crate) async fn probe(state: &AppState, target: &Target) -> Result<String, Failure> {
    let limits = Limits { deadline: LIMIT, ..Limits::default() };
    match tokio::time::timeout(LIMIT, dump::probe(&state.tools, target, &limits)).await {
        Ok(Ok(probe)) => Ok(one_line(&probe.server_version, LONGEST)),
        Ok(Err(error)) => Err(failure(&error)),
        Err(_) => Err(Failure {
            message: format!("The server did not answer within {} seconds.", LIMIT.as_secs()),
            class: "Timeout",
        }),
    }
}

fn failure(error: &DumpError) -> Failure {
    Failure { message: one_line(&error.to_string(), LONGEST), class: error.connection_class() }
}
