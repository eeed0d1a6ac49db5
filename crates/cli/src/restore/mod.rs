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

use shared::models::ContainerName;

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
    /// A file that holds the password for the target, and that nobody else can read
    #[arg(long, value_name = "FILE", conflicts_with = "output")]
    password_file: Option<PathBuf>,
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
    let (config, storage) = stored::open()?;
    let found = source::find(&storage, &options.backup, options.container.as_ref()).await?;
    let backup = load::look_at(&storage, found).await?;
    match (&destination, &options.output) {
        (Some(destination), _) => {
            let target =
                load::target(&config, &storage, &backup, destination, options.password_file.as_deref())
                    .await?;
            load::into_database(&storage, &backup, &target, options.yes).await
        }
        (None, Some(path)) => plain::into_file(&storage, &backup, path, options.yes).await,
        // The command line is not accepted without one of the two.
        (None, None) => Ok(()),
    }
}
