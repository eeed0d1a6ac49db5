//! What the commands read from storage directly, without the api.

use std::collections::BTreeMap;

use shared::config::{Config, ConfigError};
use shared::models::DatabaseId;
use shared::storage::{BackupFilter, OpenError, Storage, StorageError};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::choose::{ChooseError, choose};

/// Why storage cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoredError {
    /// The environment does not say where it is.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The account cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It does not answer, or not as it should.
    #[error(
        "storage could not be read; check that it runs and that STORAGE_CONNECTION_STRING, or the four \
         variables STORAGE_ACCOUNT_NAME and STORAGE_…_ENDPOINT, name the one that you mean"
    )]
    Read(#[from] StorageError),
    /// A name does not say which database is meant.
    #[error(transparent)]
    Choose(#[from] ChooseError),
}

/// Opens the storage account that the environment names; nothing is sent yet.
pub(crate) fn open() -> Result<(Config, Storage), StoredError> {
    show_warnings();
    // Only the first call in a process counts; that it was done before is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = Config::from_env()?;
    let storage = Storage::open(&config)?;
    Ok((config, storage))
}

/// Finds a database by id or name: among the configured ones or, where it has been removed, among those
/// that the history tells of.
pub(crate) async fn database_id(storage: &Storage, wanted: &str) -> Result<DatabaseId, StoredError> {
    let configured = storage.databases.list().await?;
    let mut known: BTreeMap<DatabaseId, String> =
        configured.into_iter().map(|database| (database.id, database.name)).collect();
    match chosen(wanted, &known) {
        Err(ChooseError::Unknown { .. }) => {}
        decided => return Ok(decided?),
    }
    for backup in storage.backups.list(&BackupFilter::default()).await? {
        // Newest first: the name that a removed one had last.
        known.entry(backup.database_id).or_insert(backup.database_name);
    }
    Ok(chosen(wanted, &known)?)
}

fn chosen(wanted: &str, known: &BTreeMap<DatabaseId, String>) -> Result<DatabaseId, ChooseError> {
    let known: Vec<_> = known.iter().collect();
    choose("database", wanted, &known, |(id, name)| (id.as_str(), name.as_str())).map(|(id, _)| (*id).clone())
}

/// Lets warnings, such as one about an unreadable row, come out on standard error.
fn show_warnings() {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::WARN.into()).from_env_lossy();
    // Where a subscriber is set already, that one stays.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .without_time()
        .with_target(false)
        .try_init();
}
