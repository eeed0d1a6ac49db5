//! Why a restore ends early.

use archive::OpenError;
use dump::{DumpError, RestoreError};
use shared::connection::ConnectionError;
use shared::models::{BackupStatus, Failure};
use shared::storage::StorageError;

/// Why a restore ends early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreEnd {
    /// Another processor works on it.
    #[error("another processor has taken the restore over")]
    Lost,
    /// Somebody has stopped it.
    #[error("The restore was stopped by a person.")]
    Cancelled,
    /// Storage failed.
    #[error("{0}")]
    Storage(#[from] StorageError),
    /// The target cannot be connected to with what is configured.
    #[error("{0}")]
    Connection(#[from] ConnectionError),
    /// The questions beforehand found that it cannot work.
    #[error("The restore cannot work, so nothing was written: {0}.")]
    Refused(String),
    /// The blob is not the one that was recorded.
    #[error(
        "The stored backup is not the one that was recorded: {0}; nothing was written. Restore another one."
    )]
    NotTheOne(String),
    /// The backup did not prove to be whole.
    #[error("{0}; nothing was written")]
    Unproved(#[source] OpenError),
    /// The backup has no closing line.
    #[error("the backup is not complete, its closing line is missing; nothing was written")]
    NotClosed,
    /// The server could not do what was asked besides loading.
    #[error("{doing} failed: {source}")]
    Server {
        /// What was tried.
        doing: &'static str,
        /// What the server said.
        source: DumpError,
    },
    /// The load failed.
    #[error("{0}")]
    Load(#[source] RestoreError),
}

impl RestoreEnd {
    /// Renders the end for the record: what became of the restore, why, and at which line of the dump.
    pub(crate) fn outcome(&self, left: &str) -> (BackupStatus, Failure, Option<u64>) {
        let (class, line) = match self {
            Self::Lost => ("ClaimLost", None),
            Self::Cancelled => ("Cancelled", None),
            Self::Storage(_) => ("Storage", None),
            Self::Connection(error) => (error.class(), None),
            Self::Refused(_) => ("Preflight", None),
            Self::NotTheOne(_) => ("NotTheOne", None),
            Self::Unproved(_) => ("Damaged", None),
            Self::NotClosed => ("Truncated", None),
            Self::Server { source, .. } => (source.class(), None),
            Self::Load(error @ RestoreError::Refused { line, .. }) => (error.class(), *line),
            Self::Load(error) => (error.class(), None),
        };
        let is_wished = matches!(self, Self::Cancelled);
        let status = if is_wished { BackupStatus::Cancelled } else { BackupStatus::Failed };
        let message = if left.is_empty() { self.to_string() } else { format!("{self} {left}") };
        (status, Failure::new(class, message), line)
    }
}
