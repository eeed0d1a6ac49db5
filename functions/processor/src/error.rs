//! Why an attempt failed, and whether trying again can help.

use archive::ArchiveError;
use dump::DumpError;
use shared::connection::ConnectionError;
use shared::models::Failure;
use shared::storage::{ClaimError, StorageError};

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttemptError {
    /// The database is not configured any more.
    #[error("the database is not configured any more, so there is nothing to back up")]
    ConfigurationGone,
    /// The configuration of the database, or of its server, is damaged.
    #[error(
        "the configuration of the database, or of its server, cannot be read; delete it, and configure it again \
         under the same id to keep its backups"
    )]
    ConfigurationUnreadable,
    /// The configuration does not suffice to connect.
    #[error("{0}")]
    Connection(#[source] ConnectionError),
    /// The dump failed.
    #[error("{0}")]
    Dump(#[source] DumpError),
    /// The roles of the server, which were asked for, could not be dumped.
    #[error("the roles of the server (include_globals) could not be dumped, so nothing was stored: {0}")]
    Globals(#[source] DumpError),
    /// The dump came to an end but could not be stored.
    #[error("{0}")]
    Archive(String),
    /// Storage failed.
    #[error("{0}; nothing was stored")]
    Storage(#[from] StorageError),
    /// The claim was lost: the work belongs to somebody else, or to nobody any more.
    #[error("{0}")]
    Lost(#[source] ClaimError),
}

impl AttemptError {
    /// Tells whether trying again, with nothing changed, is bound to fail the same way.
    pub(crate) fn is_permanent(&self) -> bool {
        match self {
            Self::ConfigurationGone | Self::ConfigurationUnreadable => true,
            Self::Connection(error) => !error.is_transient(),
            Self::Dump(error) | Self::Globals(error) => error.is_permanent(),
            Self::Archive(_) | Self::Lost(_) => false,
            Self::Storage(error) => !error.is_transient(),
        }
    }

    /// Tells whether nobody wants the backup any more; that is no failure.
    pub(crate) fn is_withdrawal(&self) -> bool {
        matches!(self, Self::ConfigurationGone)
    }

    /// Renders the failure for the record, with the class that machines read.
    pub(crate) fn failure(&self) -> Failure {
        let class = match self {
            Self::ConfigurationGone => "ConfigurationGone",
            Self::ConfigurationUnreadable => "ConfigurationUnreadable",
            Self::Connection(error) => error.class(),
            Self::Dump(error) | Self::Globals(error) => error.class(),
            Self::Archive(_) => "Archive",
            Self::Storage(_) => "Storage",
            Self::Lost(_) => "ClaimLost",
        };
        Failure::new(class, self.to_string())
    }
}

impl From<ClaimError> for AttemptError {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Lost => Self::Lost(error),
            ClaimError::Storage(error) => Self::Storage(error),
        }
    }
}

impl From<ArchiveError<AttemptError>> for AttemptError {
    fn from(error: ArchiveError<AttemptError>) -> Self {
        match error {
            ArchiveError::Dump(error) | ArchiveError::Refused(error) => error,
            ArchiveError::Storage(error) => Self::Storage(error),
            error @ (ArchiveError::Empty | ArchiveError::TooLarge | ArchiveError::Compress(_)) => {
                Self::Archive(error.to_string())
            }
        }
    }
}
