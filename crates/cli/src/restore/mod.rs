//! `dilux restore`: a backup from storage into a database, or into a file of plain SQL.
//!
//! The bytes go from the blob through the decompressor into the client program; nothing is kept on disk and
//! memory does not grow with the backup. What must stay true: everything that can be known to be wrong is
//! found before the first byte is loaded, and a database that holds something is only touched when that was
//! asked for.

mod emptiness;
mod error;
pub(crate) mod load;
mod password;
mod plain;
pub(crate) mod source;
mod target;
pub(crate) mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use shared::models::{ContainerName, InvalidText, Tls, TlsMode};

use crate::ending::{interrupted, wrong_usage};
use crate::stored;
pub(crate) use error::RestoreError;
use source::Wanted;
use target::Destination;

const EXAMPLES: &str = "\
Examples:
  dilux restore latest:shop --to mysql://root@127.0.0.1:3306/shop_copy
  dilux restore 0f9c3c4e-… --to postgresql://admin@db.example.com/shop
  dilux restore latest:shop --to \"Sample MariaDB/shop_copy\"
  dilux restore mysql/5646d03a-…/20251205_100000.sql.gz --output - | less

The password for an address is taken from --password-file, else from the variable \
DILUX_TARGET_PASSWORD, else from the person at the terminal. A configured engine brings its own. \
Within an address, the characters / ? # % in a name are written %2F %3F %23 %25.

The target database has to exist and to be empty. With --yes it need not be empty: what the backup \
holds replaces what has the same name, and everything else stays. PostgreSQL keeps nothing of a restore \
that fails; MySQL and MariaDB keep what came before the error.

The whole backup is read and proved before anything is loaded.

Storage is found as by the apps: by STORAGE_CONNECTION_STRING, or by STORAGE_ACCOUNT_NAME with \
STORAGE_BLOB_ENDPOINT, STORAGE_QUEUE_ENDPOINT and STORAGE_TABLE_ENDPOINT; without any of them it is \
the emulator on this machine.";

/// The command line of `dilux restore`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[command(group(clap::ArgGroup::new("destination").required(true).args(["to", "output"])))]
pub(crate) struct Options {
    /// The backup: its id, the name of its blob, or latest:DATABASE with a database's id or name
    backup: Wanted,
    /// The database to load it into: mysql://user@host:port/database,
    /// postgresql://user@host:port/database, or ENGINE/DATABASE with a configured engine's id or name
    #[arg(long, value_name = "TARGET")]
    to: Option<String>,
    /// Write it to this file as plain SQL instead; - is standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Load into a database that holds something already, or write over a file that exists
    #[arg(long, visible_alias = "overwrite")]
    yes: bool,
    /// Make the roles first that were stored beside the backup (PostgreSQL); those that exist are left alone
    #[arg(long, conflicts_with = "output")]
    globals: bool,
    /// A file that holds the password for the target, and that nobody else can read
    #[arg(long, value_name = "FILE", conflicts_with = "output")]
    password_file: Option<PathBuf>,
    #[arg(
        long,
        value_name = "MODE",
        conflicts_with = "output",
        help = "How the connection to the target is protected: disable, prefer, require, verify_ca or \
                verify_full; prefer otherwise, or what is configured for the engine"
    )]
    tls_mode: Option<TlsMode>,
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_mode",
        help = "A file with the certificates (PEM) of the authorities that verify_ca and verify_full accept; \
                those that this machine knows otherwise"
    )]
    tls_ca: Option<PathBuf>,
    /// The container of a blob that no record tells of; the default one otherwise
    #[arg(long, value_name = "NAME")]
    container: Option<ContainerName>,
}

/// Restores a backup.
pub(crate) async fn run(options: Options) -> Result<ExitCode, RestoreError> {
    match restore(&options).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if error.is_usage() => Ok(wrong_usage(&error)),
        Err(RestoreError::Interrupted(message)) => Ok(interrupted(message)),
        Err(error) => Err(error),
    }
}

async fn restore(options: &Options) -> Result<(), RestoreError> {
    // Before anything is read: a wrong command line is told at once.
    let destination = options.to.as_deref().map(str::parse::<Destination>).transpose()?;
    let tls = tls(options)?;
    let (config, storage) = stored::open()?;
    let found = source::find(&storage, &options.backup, options.container.as_ref()).await?;
    let backup = load::look_at(&storage, found).await?;
    match (&destination, &options.output) {
        (Some(destination), _) => {
            let password_file = options.password_file.as_deref();
            let target =
                load::target(&config, &storage, &backup, destination, password_file, tls.clone()).await?;
            let again = Box::pin(load::target_again(&config, &storage, &backup, destination, tls));
            let globals = if options.globals { Some(backup.wanted_globals(&storage).await?) } else { None };
            load::into_database(&storage, &backup, globals.as_ref(), &target, again, options.yes).await
        }
        (None, Some(path)) => plain::into_file(&storage, &backup, path, options.yes).await,
        // The command line is not accepted without one of the two.
        (None, None) => Ok(()),
    }
}

/// Reads how the connection is to be protected, if that was said.
fn tls(options: &Options) -> Result<Option<Tls>, RestoreError> {
    let Some(mode) = options.tls_mode else { return Ok(None) };
    let Some(path) = &options.tls_ca else { return Ok(Some(Tls { mode, ca: None })) };
    let problem = |problem: String| RestoreError::Authorities { path: path.clone(), problem };
    let text = std::fs::read_to_string(path).map_err(|error| problem(error.to_string()))?;
    let ca = text.parse().map_err(|error: InvalidText| problem(error.to_string()))?;
    Ok(Some(Tls { mode, ca: Some(ca) }))
}
