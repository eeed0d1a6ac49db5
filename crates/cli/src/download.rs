//! `dilux download`: a stored backup into a file, as it is stored. Needs nothing but the storage account.
//!
//! What must stay true: a file of the wanted name is the whole blob. Until that is known, the bytes go to a
//! file beside it, which is removed when anything fails.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use archive::OpenError;
use futures::TryStreamExt as _;
use shared::models::ContainerName;
use shared::storage::Storage;
use tokio::fs::{self, OpenOptions};
use tokio::io::AsyncWriteExt as _;

use crate::ending::print;
use crate::restore::{RestoreError, load, source};
use crate::stored::{self, StoredError};
use crate::text::size;

/// The command line of `dilux download`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The backup: its id, the name of its blob, or latest:DATABASE
    backup: source::Wanted,
    /// The file; the last part of the blob's name otherwise
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Download the roles of the server that were stored beside the backup (PostgreSQL) instead of it
    #[arg(long)]
    globals: bool,
    /// Write over a file that exists
    #[arg(long)]
    yes: bool,
    /// The container of a blob that no record tells of; the default one otherwise
    #[arg(long, value_name = "NAME")]
    container: Option<ContainerName>,
}

/// Downloads a backup, as it is stored.
pub(crate) async fn run(options: Options) -> Result<ExitCode, RestoreError> {
    let (_, storage) = stored::open()?;
    let found = source::find(&storage, &options.backup, options.container.as_ref()).await?;
    let mut backup = load::look_at(&storage, found).await?;
    if options.globals {
        backup = backup.wanted_globals(&storage).await?;
    }
    let name = backup.address().name.rsplit('/').next().unwrap_or("backup").to_owned();
    let path = options.output.unwrap_or_else(|| PathBuf::from(name));
    if !options.yes && fs::try_exists(&path).await.map_err(failed(&path))? {
        return Err(RestoreError::Exists(path));
    }
    let mut part = OsString::from(&path);
    part.push(".part");
    let part = PathBuf::from(part);
    let written = write(&storage, &backup, &part).await;
    if let Err(error) = written {
        // What is left of it would only be taken for a backup.
        let _ = fs::remove_file(&part).await;
        return Err(error);
    }
    fs::rename(&part, &path).await.map_err(failed(&path))?;
    let text = format!("downloaded  {} to {}  {}\n", backup.address(), path.display(), size(backup.bytes()));
    print(&text).map_err(RestoreError::Print)?;
    Ok(ExitCode::SUCCESS)
}

async fn write(storage: &Storage, backup: &load::Backup, part: &Path) -> Result<(), RestoreError> {
    // Rows may be secret: for nobody else, until the owner says so.
    let mut options = OpenOptions::new();
    let mut file =
        options.write(true).create(true).truncate(true).mode(0o600).open(part).await.map_err(failed(part))?;
    let mut content = storage.blobs.download(backup.address()).await.map_err(StoredError::from)?;
    let mut digest = archive::Digest::default();
    let mut bytes = 0;
    while let Some(chunk) = content.try_next().await.map_err(StoredError::from)? {
        digest.update(&chunk);
        bytes += chunk.len() as u64;
        file.write_all(&chunk).await.map_err(failed(part))?;
    }
    if bytes != backup.bytes() {
        return Err(OpenError::Length { expected: backup.bytes(), found: bytes }.into());
    }
    let found = digest.finish();
    if let Some(expected) = backup.properties().metadata.get(archive::metadata::SHA256)
        && !expected.eq_ignore_ascii_case(&found)
    {
        return Err(OpenError::Digest { expected: expected.clone(), found }.into());
    }
    file.sync_all().await.map_err(failed(part))
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> RestoreError {
    let path = path.to_owned();
    move |source| RestoreError::Write { path, source }
}
