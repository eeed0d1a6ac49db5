//! What can go wrong, in words that a person can act on.
//!
//! No text here holds a password: `detail` is what a tool said, after the secrets were taken out of it.

use std::error::Error;
use std::io;
use std::time::Duration;

use shared::models::DatabaseType;
use shared::targets::Refusal;

/// Why a database could not be dumped, probed or listed.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// There is no adapter for this kind of database.
    #[error("databases of type {kind} cannot be reached by this version; use mysql or postgresql")]
    Unsupported {
        /// The kind that was asked for.
        kind: DatabaseType,
    },
    /// The target cannot be a real one.
    #[error("the {field} {problem}; correct the configuration")]
    InvalidTarget {
        /// The part that is wrong.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The host is one that this installation does not connect to.
    #[error("the host \"{host}\" {refusal}; it is not connected to")]
    TargetRefused {
        /// The host.
        host: String,
        /// Why.
        refusal: Refusal,
    },
    /// The client program is not installed.
    #[error("{tool} was not found in {searched}; install {package} or put the program into tools/bin")]
    ToolNotFound {
        /// The program.
        tool: &'static str,
        /// What provides it.
        package: &'static str,
        /// The folders that were searched.
        searched: String,
    },
    /// The client program is older than the server.
    #[error(
        "{tool} is older than the server, which is PostgreSQL {server}: it would refuse to dump it; install \
         the client programs of that version or a newer one"
    )]
    VersionMismatch {
        /// The newest program that was found, with its version.
        tool: String,
        /// The version of the server.
        server: String,
    },
    /// The program has a flaw that this database brings out.
    #[error("{tool} cannot dump this database: {reason}")]
    ToolDefect {
        /// The program.
        tool: &'static str,
        /// What brings it out, and what to change.
        reason: &'static str,
    },
    /// Something in the database cannot be written down, or must not be left out and would be.
    #[error("\"{database}\" cannot be dumped: {reason}")]
    NotExportable {
        /// The database.
        database: String,
        /// What, and why.
        reason: String,
    },
    /// The structure of the database changed while it was dumped.
    #[error("the tables or the code of \"{database}\" were changed while it was dumped; try again")]
    Changed {
        /// The database.
        database: String,
    },
    /// Not all rows of a table have come.
    #[error(
        "the table {table} has {counted} rows, but {received} have come: the dump is not complete and must \
         not be used"
    )]
    RowsMissing {
        /// The table.
        table: String,
        /// How many the server counts.
        counted: u64,
        /// How many have come.
        received: u64,
    },
    /// The client program cannot sign in the way the server wants.
    #[error(
        "the installed client cannot sign in to {server}, which asks for the authentication plugin {plugin}; \
         install MySQL's own client programs (mysql, mysqldump): {detail}"
    )]
    PluginMissing {
        /// The server.
        server: String,
        /// The plugin that the server wants.
        plugin: String,
        /// What the tool said.
        detail: String,
    },
    /// The server refused the user or the password.
    #[error("{server} refused the user name or the password; check the credentials: {detail}")]
    AuthenticationFailed {
        /// The server.
        server: String,
        /// What the tool said.
        detail: String,
    },
    /// The server does not encrypt, which the configuration asks for.
    #[error(
        "{server} does not offer encryption, which tls_mode asks for; switch it on there, or set tls_mode to \
         prefer"
    )]
    Unencrypted {
        /// The server.
        server: String,
    },
    /// The server's certificate was not accepted.
    #[error(
        "the certificate of {server} was not accepted; check that tls_ca holds the authority that signed it, \
         and that it names the host: {detail}"
    )]
    CertificateRefused {
        /// The server.
        server: String,
        /// What the tool said.
        detail: String,
    },
    /// The server has no such database.
    #[error("the database \"{database}\" does not exist on {server}; check its name: {detail}")]
    UnknownDatabase {
        /// The database.
        database: String,
        /// The server.
        server: String,
        /// What the tool said.
        detail: String,
    },
    /// The user may sign in but not read everything.
    #[error("the user of {server} lacks a right that is needed for \"{database}\"; grant it: {detail}")]
    PermissionDenied {
        /// The server.
        server: String,
        /// The database.
        database: String,
        /// What the tool said.
        detail: String,
    },
    /// The host name has no address.
    #[error("the host name \"{host}\" could not be resolved; check it and the name service: {detail}")]
    UnknownHost {
        /// The host.
        host: String,
        /// What the tool said.
        detail: String,
    },
    /// The server could not be reached, or the connection broke.
    #[error("the connection to {server} failed; check that the server runs and can be reached: {detail}")]
    ConnectionFailed {
        /// The server.
        server: String,
        /// What the tool said.
        detail: String,
    },
    /// The time limit for the whole run has passed.
    #[error("{tool} was stopped because it had not finished after {}", seconds(*after))]
    Timeout {
        /// The program.
        tool: &'static str,
        /// The limit.
        after: Duration,
    },
    /// Nothing moved for too long.
    #[error("{tool} was stopped because nothing had moved for {}; the server may be hanging or locked", seconds(*after))]
    Stalled {
        /// The program.
        tool: &'static str,
        /// The limit.
        after: Duration,
    },
    /// The program failed for a reason of its own.
    #[error("{tool} failed with exit status {status}: {detail}")]
    ToolFailed {
        /// The program.
        tool: &'static str,
        /// The exit status.
        status: i32,
        /// What the tool said.
        detail: String,
    },
    /// The program claims success, but its output is not whole.
    #[error("{tool} ended without an error, but {problem}: the dump is not complete and must not be used")]
    Truncated {
        /// The program.
        tool: &'static str,
        /// What is missing.
        problem: &'static str,
    },
    /// Somebody else killed the program.
    #[error(
        "{tool} was killed by signal {signal}; memory may have run out, or somebody stopped it: {detail}"
    )]
    Killed {
        /// The program.
        tool: &'static str,
        /// The number of the signal.
        signal: i32,
        /// What the tool said.
        detail: String,
    },
    /// This machine could not do its part.
    #[error("{doing} failed on this machine; check its memory, processes and temporary folder")]
    Local {
        /// What was tried.
        doing: &'static str,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

impl DumpError {
    /// Tells whether trying again, with nothing changed, is bound to fail the same way.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Unsupported { .. }
            | Self::InvalidTarget { .. }
            | Self::TargetRefused { .. }
            | Self::ToolNotFound { .. }
            | Self::VersionMismatch { .. }
            | Self::ToolDefect { .. }
            | Self::NotExportable { .. }
            | Self::PluginMissing { .. }
            | Self::Unencrypted { .. }
            | Self::CertificateRefused { .. }
            | Self::AuthenticationFailed { .. }
            | Self::UnknownDatabase { .. }
            | Self::PermissionDenied { .. } => true,
            Self::Changed { .. }
            | Self::RowsMissing { .. }
            | Self::UnknownHost { .. }
            | Self::ConnectionFailed { .. }
            | Self::Timeout { .. }
            | Self::Stalled { .. }
            | Self::ToolFailed { .. }
            | Self::Truncated { .. }
            | Self::Killed { .. }
            | Self::Local { .. } => false,
        }
    }

    /// Returns the name of the variant, for logs and records.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Unsupported { .. } => "Unsupported",
            Self::InvalidTarget { .. } => "InvalidTarget",
            Self::TargetRefused { .. } => "TargetRefused",
            Self::ToolNotFound { .. } => "ToolNotFound",
            Self::VersionMismatch { .. } => "VersionMismatch",
            Self::ToolDefect { .. } => "ToolDefect",
            Self::NotExportable { .. } => "NotExportable",
            Self::Changed { .. } => "Changed",
            Self::RowsMissing { .. } => "RowsMissing",
            Self::PluginMissing { .. } => "PluginMissing",
            Self::Unencrypted { .. } => "Unencrypted",
            Self::CertificateRefused { .. } => "CertificateRefused",
            Self::AuthenticationFailed { .. } => "AuthenticationFailed",
            Self::UnknownDatabase { .. } => "UnknownDatabase",
            Self::PermissionDenied { .. } => "PermissionDenied",
            Self::UnknownHost { .. } => "UnknownHost",
            Self::ConnectionFailed { .. } => "ConnectionFailed",
            Self::Timeout { .. } => "Timeout",
            Self::Stalled { .. } => "Stalled",
            Self::ToolFailed { .. } => "ToolFailed",
            Self::Truncated { .. } => "Truncated",
            Self::Killed { .. } => "Killed",
            Self::Local { .. } => "Local",
        }
    }

    /// Returns the name for a failed connection test, one of the four that the HTTP contract knows:
    /// `ConnectionFailed`, `Timeout`, `ToolNotFound`, `UnsupportedType`.
    pub fn connection_class(&self) -> &'static str {
        match self {
            Self::Unsupported { .. } => "UnsupportedType",
            Self::ToolNotFound { .. } => "ToolNotFound",
            Self::Timeout { .. } | Self::Stalled { .. } => "Timeout",
            Self::InvalidTarget { .. }
            | Self::TargetRefused { .. }
            | Self::VersionMismatch { .. }
            | Self::ToolDefect { .. }
            | Self::NotExportable { .. }
            | Self::Changed { .. }
            | Self::RowsMissing { .. }
            | Self::PluginMissing { .. }
            | Self::Unencrypted { .. }
            | Self::CertificateRefused { .. }
            | Self::AuthenticationFailed { .. }
            | Self::UnknownDatabase { .. }
            | Self::PermissionDenied { .. }
            | Self::UnknownHost { .. }
            | Self::ConnectionFailed { .. }
            | Self::ToolFailed { .. }
            | Self::Truncated { .. }
            | Self::Killed { .. }
            | Self::Local { .. } => "ConnectionFailed",
        }
    }
}

/// Why a dump could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The server or the client program failed, not the dump.
    #[error(transparent)]
    Server(#[from] DumpError),
    /// The stream that was to be loaded broke off with an error.
    #[error("the backup could not be read to its end; {state}")]
    Input {
        /// What became of the target.
        state: TargetState,
        /// What the stream said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The stream ended without the closing line of a dump.
    #[error("the backup is not complete, its closing line is missing; {state}")]
    Truncated {
        /// What became of the target.
        state: TargetState,
    },
    /// The server refused a statement.
    #[error("{client} stopped{}: {detail}; {state}", at_line(*line))]
    Refused {
        /// The program.
        client: &'static str,
        /// The line of the dump, when the program named it.
        line: Option<u64>,
        /// What the program said.
        detail: String,
        /// What became of the target.
        state: TargetState,
    },
}

impl RestoreError {
    /// Tells whether trying again, with nothing changed, is bound to fail the same way.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Server(error) => error.is_permanent(),
            Self::Input { .. } => false,
            Self::Truncated { .. } | Self::Refused { .. } => true,
        }
    }

    /// Returns the name of the variant, for logs and records.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Server(error) => error.class(),
            Self::Input { .. } => "Input",
            Self::Truncated { .. } => "Truncated",
            Self::Refused { .. } => "Refused",
        }
    }
}

/// What a restore that stopped has left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetState {
    /// All of it was one transaction, which was rolled back.
    Unchanged,
    /// The server commits as it goes; what came before is there.
    PartlyFilled,
}

impl std::fmt::Display for TargetState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unchanged => "the target database was left as it was",
            Self::PartlyFilled => "the target database is partly filled, empty it before the next attempt",
        })
    }
}

/// Writes a time limit for people.
fn seconds(limit: Duration) -> String {
    if limit.subsec_millis() == 0 && limit.as_secs() >= 120 && limit.as_secs().is_multiple_of(60) {
        format!("{} minutes", limit.as_secs() / 60)
    } else {
        format!("{} s", limit.as_secs_f64())
    }
}

/// Writes where in the dump something happened.
fn at_line(line: Option<u64>) -> String {
    line.map_or_else(String::new, |line| format!(" at line {line} of the backup"))
}
