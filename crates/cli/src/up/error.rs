//! What can go wrong while the product is started or stopped on a developer machine.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// A failure of `dilux up` or `dilux down`.
#[derive(Debug, Error)]
pub(crate) enum UpError {
    /// A port belongs to somebody else.
    #[error(
        "port {port}, meant for {name}, is taken by a program that dilux did not start; stop that program \
         (`ss -ltnp 'sport = :{port}'` shows it) or choose another port with {option} or {variable}"
    )]
    PortTaken { port: u16, name: &'static str, option: &'static str, variable: &'static str },
    /// Two services were given one port.
    #[error("port {port} is given to {first} and to {second}; choose two different ones")]
    PortTwice { port: u16, first: &'static str, second: &'static str },
    /// The product runs already.
    #[error("it is up already{from}; stop it with scripts/down, then start it again")]
    AlreadyUp { from: String },
    /// A file or folder of ours cannot be used.
    #[error("{} cannot be {action}", path.display())]
    File {
        path: PathBuf,
        action: &'static str,
        #[source]
        source: io::Error,
    },
    /// The notes about running processes are not what this program writes.
    #[error(
        "{} cannot be understood; stop what is left of an earlier run by hand, then delete the file",
        path.display()
    )]
    BadNotes {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    /// A database folder is there, but the passwords for it are gone.
    #[error("{} has no line {key}; delete {} to start with a new sample server", passwords.display(), data.display())]
    PasswordLost { passwords: PathBuf, key: &'static str, data: PathBuf },
    /// A program is missing.
    #[error("{name} is not there; {remedy}")]
    Missing { name: String, remedy: &'static str },
    /// A program could not be started.
    #[error("{program} cannot be started")]
    Start {
        program: String,
        #[source]
        source: io::Error,
    },
    /// A process could not be looked at or signalled.
    #[error("process {pid} cannot be {action}")]
    Process {
        pid: u32,
        action: &'static str,
        #[source]
        source: io::Error,
    },
    /// A program that was to do one thing and end failed at it.
    #[error("{program} failed while {doing}: {said}")]
    Failed { program: String, doing: &'static str, said: String },
    /// A service ended instead of becoming ready, or later.
    #[error("{service} ended unexpectedly; the end of {}:\n{tail}", log.display())]
    Ended { service: &'static str, log: PathBuf, tail: String },
    /// A service is running, but does not answer.
    #[error("{service} is not ready after {seconds} s{reason}; the end of {}:\n{tail}", log.display())]
    NotReady { service: &'static str, seconds: u64, reason: String, log: PathBuf, tail: String },
    /// A service did not go away, not even when killed.
    #[error("process {pid} does not end")]
    Immortal { pid: u32 },
    /// The api could not be reached.
    #[error("the api does not answer {method} {path}")]
    Unreachable {
        method: &'static str,
        path: String,
        #[source]
        source: reqwest::Error,
    },
    /// The api refused a request.
    #[error("the api answered {method} {path} with {status}: {text}")]
    Refused { method: &'static str, path: String, status: u16, text: String },
    /// The api's answer lacks something that its contract promises.
    #[error("the api's answer to {method} {path} is not as expected: {what}")]
    Unexpected { method: &'static str, path: String, what: String },
    /// Somebody pressed Ctrl-C, or the process was asked to end, before all was up.
    #[error("stopped before everything was up")]
    Interrupted,
}

impl UpError {
    /// Makes the mapping for an I/O error on a path.
    pub(super) fn file(path: impl Into<PathBuf>, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, action, source }
    }
}
