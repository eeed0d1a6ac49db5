//! What can go wrong during a restore, in words that a person can act on.

use std::io;
use std::path::PathBuf;

use archive::OpenError;
use dump::DumpError;
use shared::connection::ConnectionError;
use shared::models::DatabaseType;

use super::password::PasswordError;
use super::source::SourceError;
use super::target::DestinationError;
use crate::choose::ChooseError;
use crate::stored::StoredError;

/// Why a backup was not restored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    /// The target on the command line is wrong.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// There is no password.
    #[error(transparent)]
    Password(PasswordError),
    /// Storage cannot be used.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// There is no such backup.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The name does not say which engine is meant.
    #[error(transparent)]
    Choose(#[from] ChooseError),
    /// The engine's configuration does not suffice.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The secret store cannot be opened.
    #[error(transparent)]
    Secrets(#[from] shared::secrets::OpenError),
    /// The backup is of another kind of server.
    #[error(
        "the backup is of a {backup} database and cannot be loaded into a {target} server; choose another target"
    )]
    Mismatch {
        /// What the backup is of.
        backup: DatabaseType,
        /// What the target is.
        target: DatabaseType,
    },
    /// The target database does not exist.
    #[error("the target database does not exist; create it (CREATE DATABASE …) and try again")]
    NoDatabase(#[source] DumpError),
    /// The target's server cannot be used.
    #[error("nothing was restored")]
    Server(#[source] DumpError),
    /// The target holds something.
    #[error(
        "the target database \"{0}\" is not empty; choose an empty one, or say --yes to replace its tables \
         by those of the backup"
    )]
    NotEmpty(String),
    /// Whether the target holds something could not be found out.
    #[error("it could not be found out whether the target database is empty; if it is, say --yes")]
    Unclear(#[source] DumpError),
    /// The backup cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The backup has no closing line.
    #[error("the backup {0} is not complete, its closing line is missing; restore another one")]
    NotClosed(String),
    /// There are no roles beside the backup.
    #[error(
        "no roles of the server are stored beside {0}; they are where the database has include_globals. \
         Leave --globals out"
    )]
    NoGlobals(String),
    /// The roles were not loaded.
    #[error("the roles of the server could not be made, and nothing was restored")]
    Globals(#[source] dump::RestoreError),
    /// The backup was not loaded to its end.
    #[error("the restore failed")]
    Load(#[source] dump::RestoreError),
    /// This program does not know where it is.
    #[error("the path of this program could not be found out")]
    OwnPath(#[source] io::Error),
    /// The file of authorities cannot be used.
    #[error("the certificates in {} cannot be used: {problem}", .path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// There is such a file already.
    #[error("{} exists already; choose another name, or say --yes to write over it", .0.display())]
    Exists(PathBuf),
    /// The file could not be written.
    #[error("{} could not be written; check that its folder exists, is writable and has room", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Nobody takes what is written to standard output.
    #[error("standard output was closed before the whole backup was written to it")]
    Closed,
    /// The result could not be printed.
    #[error("the result could not be printed")]
    Print(#[source] io::Error),
    /// Ctrl-C was pressed.
    #[error("{0}")]
    Interrupted(&'static str),
}

impl RestoreError {
    /// Tells whether the command line or the environment is to blame.
    pub(super) fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Destination(_) | Self::Password(PasswordError::Missing(_) | PasswordError::Variable)
        )
    }
}

impl From<PasswordError> for RestoreError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Interrupted => Self::Interrupted("stopped; nothing was restored"),
            PasswordError::File { .. }
            | PasswordError::Open(_)
            | PasswordError::Unusable(_)
            | PasswordError::Variable
            | PasswordError::Missing(_)
            | PasswordError::Terminal(_) => Self::Password(error),
        }
    }
}
