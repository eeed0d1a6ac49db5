//! `dilux verify`: reads a stored backup from its first to its last byte and proves it. Needs nothing but
//! the storage account: the records may be lost.

use std::process::ExitCode;

use archive::Progress;
use shared::clock::Clock;
use shared::models::ContainerName;
use shared::storage::{BlobAddress, MarkError, Storage, StorageErrorKind};

use crate::ending::{interrupted, print};
use crate::restore::{RestoreError, load, source, watch};
use crate::stored;
use crate::text::size;

const EXAMPLES: &str = "\
Examples:
  dilux verify latest:shop
  dilux verify mysql/5646d03a-…/20251205_100000.sql.gz postgresql/…/20251205_100000.sql.zst

Checked are the size and the SHA-256 that were stored, all checksums of the compressed data, and that the \
closing line of the dump is the last thing in it; so are the roles that are stored beside it. That a backup \
is whole is noted on its record: retention keeps the newest such one of each database. The exit code is 0 \
when every backup is whole, and 1 otherwise.";

/// The command line of `dilux verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// The backups: ids, names of blobs, or latest:DATABASE
    #[arg(required = true)]
    backups: Vec<source::Wanted>,
    /// The container of blobs that no record tells of; the default one otherwise
    #[arg(long, value_name = "NAME")]
    container: Option<ContainerName>,
}

/// Verifies backups, all of them, and says what came of each.
pub(crate) async fn run(options: Options) -> Result<ExitCode, RestoreError> {
    let (_, storage) = stored::open()?;
    let mut code = ExitCode::SUCCESS;
    for wanted in &options.backups {
        match verify(&storage, wanted, options.container.as_ref()).await {
            Ok(line) => print(&line).map_err(RestoreError::Print)?,
            Err(RestoreError::Interrupted(message)) => return Ok(interrupted(message)),
            Err(error) => {
                eprintln!("dilux: {}", crate::with_causes(&error));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

async fn verify(
    storage: &Storage,
    wanted: &source::Wanted,
    container: Option<&ContainerName>,
) -> Result<String, RestoreError> {
    let found = source::find(storage, wanted, container).await?;
    let backup = load::look_at(storage, found).await?;
    let mut lines = prove(storage, &backup).await?;
    if let Some(globals) = backup.globals(storage).await? {
        lines += &prove(storage, &globals).await?;
    }
    note(storage, backup.address()).await;
    Ok(lines)
}

/// Notes on the record of a backup that it is whole, so that retention keeps the newest such one. A backup
/// without a record is as whole as any other.
async fn note(storage: &Storage, blob: &BlobAddress) {
    let noted = async {
        for record in storage.backups.of_blob(&blob.name).await? {
            if record.artifact().is_some_and(|artifact| storage.locate(artifact) == *blob) {
                storage.backups.note_verified(&record, Clock::system().now()).await?;
            }
        }
        Ok::<_, MarkError>(())
    };
    match noted.await {
        // The tables may be lost.
        Ok(()) | Err(MarkError::Gone) => {}
        Err(MarkError::Storage(error)) if error.kind() == StorageErrorKind::NotFound => {}
        Err(error) => {
            eprintln!("dilux: that {blob} is whole could not be noted: {}", crate::with_causes(&error));
        }
    }
}

/// Proves one blob, and says so.
async fn prove(storage: &Storage, backup: &load::Backup) -> Result<String, RestoreError> {
    let kind = backup.kind()?;
    let progress = Progress::default();
    let reading = load::prove(storage, backup, kind, &progress);
    let Some(read) = watch::watched(&progress, backup.bytes(), reading).await else {
        return Err(RestoreError::Interrupted("stopped; nothing is known about the backup"));
    };
    let digest = if read? { "SHA-256 matches" } else { "no SHA-256 is stored with it" };
    Ok(format!(
        "verified  {}  {}, {} of SQL, {digest}, closing line seen\n",
        backup.address(),
        size(backup.bytes()),
        size(progress.dumped_bytes()),
    ))
}
