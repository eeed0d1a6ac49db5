//! Which backup is meant, and what it is a backup of.

use std::convert::Infallible;

use archive::metadata;
use shared::models::{
    Artifact, Backup, BackupId, BackupStatus, ContainerName, DatabaseType, InvalidId, Warnings,
};
use shared::storage::{BackupFilter, BlobAddress, BlobProperties, Storage, committed};

use crate::stored::{self, StoredError};

/// What a person writes to name the newest backup of a database.
const LATEST: &str = "latest:";

/// A backup as a person names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The newest completed one of a database.
    Latest(String),
    /// The one in this blob.
    Blob(String),
    /// The one with this id, if the text can be one.
    Id(String),
}

impl std::str::FromStr for Wanted {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.strip_prefix(LATEST) {
            Some(database) => Self::Latest(database.to_owned()),
            // Names of blobs begin with a folder; ids have no slash.
            None if text.contains('/') => Self::Blob(text.to_owned()),
            None => Self::Id(text.to_owned()),
        })
    }
}

/// A backup that was found.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// Where its bytes are.
    pub(crate) address: BlobAddress,
    /// What it is a backup of; `None` when neither record nor blob tells.
    kind: Option<DatabaseType>,
    /// What the history says about the blob.
    recorded: Option<Artifact>,
}

/// Why no backup was found, or why it cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// Storage cannot be read.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// The text is not an id.
    #[error(
        "\"{wanted}\" names no backup: give the id of one, the name of its blob, or latest:DATABASE; \
         `dilux list` shows what there is"
    )]
    NoId {
        /// What was given.
        wanted: String,
        /// Why it is no id.
        #[source]
        source: InvalidId,
    },
    /// There is no such record.
    #[error("there is no backup with the id {0}; `dilux list` shows what there is")]
    Unknown(BackupId),
    /// There is a record but no artifact.
    #[error(
        "the backup {id} is {status} and has nothing to restore; choose a completed one from `dilux list`"
    )]
    Nothing {
        /// The backup.
        id: BackupId,
        /// Where it stands.
        status: BackupStatus,
    },
    /// The database has no completed backup.
    #[error("\"{0}\" has no completed backup; `dilux list --database {0}` shows its history")]
    NoneYet(String),
    /// The blob is not the one that the history tells of.
    #[error(
        "the blob {blob} is not the one that was recorded: its {what} is {found}, not {recorded}; restore \
         another backup"
    )]
    Replaced {
        /// The blob.
        blob: String,
        /// What differs.
        what: &'static str,
        /// What the blob has.
        found: String,
        /// What the history says.
        recorded: String,
    },
    /// Nothing tells what kind of server the backup is of.
    #[error(
        "nothing tells what kind of server {0} is from: there is no record of it, and neither its metadata \
         nor the beginning of its name says mysql or postgresql; write it to a file with --output and load \
         that with the client of the server"
    )]
    NoKind(String),
}

/// Finds the backup that is meant.
pub(crate) async fn find(
    storage: &Storage,
    wanted: &Wanted,
    container: Option<&ContainerName>,
) -> Result<Found, SourceError> {
    match wanted {
        Wanted::Latest(database) => latest(storage, database).await,
        Wanted::Blob(name) => blob(storage, name, container).await,
        Wanted::Id(text) => {
            let id: BackupId =
                text.parse().map_err(|source| SourceError::NoId { wanted: text.clone(), source })?;
            let backup = storage.backups.find(&id).await.map_err(StoredError::from)?;
            let backup = backup.ok_or(SourceError::Unknown(id))?;
            recorded(storage, &backup)
                .ok_or_else(|| SourceError::Nothing { id: backup.id.clone(), status: backup.status() })
        }
    }
}

impl Found {
    /// Checks that the blob is the one that was recorded.
    pub(crate) fn check(&self, properties: &BlobProperties) -> Result<(), SourceError> {
        let Some(recorded) = &self.recorded else { return Ok(()) };
        let replaced = |what, found: &dyn ToString, recorded: &dyn ToString| {
            let (found, recorded) = (found.to_string(), recorded.to_string());
            Err(SourceError::Replaced { blob: self.address.to_string(), what, found, recorded })
        };
        if let Some(bytes) = recorded.bytes.filter(|&bytes| bytes != properties.bytes) {
            return replaced("size in bytes", &properties.bytes, &bytes);
        }
        match (&recorded.sha256, properties.metadata.get(metadata::SHA256)) {
            (Some(recorded), Some(found)) if !recorded.eq_ignore_ascii_case(found) => {
                replaced("SHA-256", found, recorded)
            }
            (Some(_) | None, Some(_) | None) => Ok(()),
        }
    }

    /// Returns the roles of the server that are stored beside it, by the record or by the blob itself.
    pub(crate) fn globals(&self, properties: &BlobProperties) -> Option<Self> {
        let recorded = self.recorded.as_ref().and_then(|recorded| recorded.globals.clone());
        let globals = recorded.or_else(|| committed::globals_in(&properties.metadata))?;
        let address = BlobAddress::new(&self.address.container, &globals.blob_name);
        let recorded = Artifact {
            blob_name: globals.blob_name,
            blob_url: None,
            container: None,
            bytes: Some(globals.bytes),
            format: None,
            sha256: Some(globals.sha256),
            consistency: None,
            warnings: Warnings::default(),
            globals: None,
        };
        Some(Self { address, kind: Some(DatabaseType::Postgresql), recorded: Some(recorded) })
    }

    /// Returns what kind of database it is a backup of.
    ///
    /// The record tells; else the metadata of the blob; else the folder that the name begins with.
    pub(crate) fn kind(&self, properties: &BlobProperties) -> Result<DatabaseType, SourceError> {
        let told = || properties.metadata.get("database_type")?.parse().ok();
        let named = || self.address.name.split_once('/')?.0.parse().ok();
        self.kind.or_else(told).or_else(named).ok_or_else(|| SourceError::NoKind(self.address.to_string()))
    }
}

async fn latest(storage: &Storage, database: &str) -> Result<Found, SourceError> {
    let id = stored::database_id(storage, database).await?;
    let completed = BackupFilter { statuses: vec![BackupStatus::Completed], ..BackupFilter::of(&id) };
    let backups = storage.backups.list(&completed).await.map_err(StoredError::from)?;
    let newest = backups.iter().find_map(|backup| recorded(storage, backup));
    newest.ok_or_else(|| SourceError::NoneYet(database.to_owned()))
}

/// Takes a blob by its name, with its record where there is one.
async fn blob(
    storage: &Storage,
    name: &str,
    container: Option<&ContainerName>,
) -> Result<Found, SourceError> {
    // The blob tells enough by itself, so that it can be used when all records are lost.
    let backups = storage.backups.list(&BackupFilter::default()).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the records cannot be read; only what the blob says of itself is known");
        Vec::new()
    });
    let known = backups.iter().filter_map(|backup| recorded(storage, backup)).find(|found| {
        found.address.name == name
            && container.is_none_or(|container| container.as_str() == found.address.container)
    });
    Ok(known.unwrap_or_else(|| {
        let container = container.map_or(storage.default_container(), ContainerName::as_str);
        Found { address: BlobAddress::new(container, name), kind: None, recorded: None }
    }))
}

fn recorded(storage: &Storage, backup: &Backup) -> Option<Found> {
    let artifact = backup.artifact()?;
    Some(Found {
        address: storage.locate(artifact),
        kind: Some(backup.database_type),
        recorded: Some(artifact.clone()),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::collections::BTreeMap;

    use chrono::{DateTime, Utc};
    use shared::config::{Config, Source};
    use shared::models::{BackupState, Globals, Marks, Run, TriggeredBy};

    use super::*;

    fn backup(id: &str, hour: u32, state: BackupState) -> Backup {
        let created_at: DateTime<Utc> = format!("2025-12-05T{hour:02}:00:00Z").parse().unwrap();
        Backup {
            id: id.parse().unwrap(),
            job_id: "job".parse().unwrap(),
            database_id: "db-1".parse().unwrap(),
            database_name: "Tea shop".to_owned(),
            database_type: DatabaseType::Postgresql,
            triggered_by: TriggeredBy::Manual,
            tier: None,
            created_at,
            retry_count: 0,
            marks: Marks::default(),
            state,
        }
    }

    fn completed(blob: &str, container: Option<&str>) -> BackupState {
        let artifact = Artifact {
            blob_name: blob.to_owned(),
            blob_url: None,
            container: container.map(|name| name.parse().unwrap()),
            bytes: Some(10),
            format: None,
            sha256: Some("AB".to_owned()),
            consistency: None,
            warnings: Warnings::default(),
            globals: None,
        };
        BackupState::Completed { run: Run::default(), artifact: Some(artifact) }
    }

    async fn storage() -> Storage {
        let (storage, _) = Storage::memory(&Config::read(&Source::of(&[])).unwrap());
        for backup in [
            backup("old", 1, completed("postgresql/db-1/old.sql.gz", None)),
            backup("new", 2, completed("postgresql/db-1/new.sql.gz", Some("own"))),
            backup("waiting", 3, BackupState::Pending { last_failure: None }),
        ] {
            storage.backups.insert(&backup).await.unwrap();
        }
        storage
    }

    async fn found(wanted: &str, container: Option<&str>) -> Result<String, String> {
        let container = container.map(|name| name.parse().unwrap());
        let found = find(&storage().await, &wanted.parse().unwrap(), container.as_ref()).await;
        found.map(|found| found.address.to_string()).map_err(|error| error.to_string())
    }

    fn properties(bytes: u64, metadata: &[(&str, &str)]) -> BlobProperties {
        let metadata: BTreeMap<String, String> =
            metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        BlobProperties { bytes, content_type: None, created_at: None, last_modified: None, metadata }
    }

    #[tokio::test]
    async fn a_backup_is_found_by_id_by_blob_and_as_the_latest_one() {
        let new = Ok("own/postgresql/db-1/new.sql.gz".to_owned());
        assert_eq!(found("new", None).await, new);
        assert_eq!(found("latest:tea shop", None).await, new);
        assert_eq!(found("latest:db-1", None).await, new);
        assert_eq!(found("postgresql/db-1/new.sql.gz", None).await, new);
        assert_eq!(
            found("postgresql/db-1/old.sql.gz", None).await,
            Ok("backups/postgresql/db-1/old.sql.gz".to_owned())
        );
    }

    #[tokio::test]
    async fn a_blob_needs_no_record() {
        assert_eq!(found("mysql/x/y.sql", None).await, Ok("backups/mysql/x/y.sql".to_owned()));
        assert_eq!(found("mysql/x/y.sql", Some("attic")).await, Ok("attic/mysql/x/y.sql".to_owned()));
    }

    #[tokio::test]
    async fn errors_say_what_to_look_at() {
        insta::assert_snapshot!(found("nothing", None).await.unwrap_err(), @"there is no backup with the id nothing; `dilux list` shows what there is");
        insta::assert_snapshot!(found("not an id", None).await.unwrap_err(), @r#""not an id" names no backup: give the id of one, the name of its blob, or latest:DATABASE; `dilux list` shows what there is"#);
        insta::assert_snapshot!(found("waiting", None).await.unwrap_err(), @"the backup waiting is pending and has nothing to restore; choose a completed one from `dilux list`");
        insta::assert_snapshot!(found("latest:coffee", None).await.unwrap_err(), @r#"no database has the id or the name "coffee"; there are: Tea shop"#);
    }

    #[tokio::test]
    async fn a_blob_that_was_replaced_is_refused() {
        let found = find(&storage().await, &Wanted::Id("new".to_owned()), None).await.unwrap();
        assert!(found.check(&properties(10, &[])).is_ok());
        assert!(found.check(&properties(10, &[("sha256", "ab")])).is_ok());
        insta::assert_snapshot!(found.check(&properties(11, &[])).unwrap_err(), @"the blob own/postgresql/db-1/new.sql.gz is not the one that was recorded: its size in bytes is 11, not 10; restore another backup");
        insta::assert_snapshot!(found.check(&properties(10, &[("sha256", "cd")])).unwrap_err(), @"the blob own/postgresql/db-1/new.sql.gz is not the one that was recorded: its SHA-256 is cd, not AB; restore another backup");
    }

    #[tokio::test]
    async fn what_lies_beside_is_told_by_record_or_metadata() {
        let beside =
            Globals { blob_name: "postgresql/db-1/g.sql.gz".to_owned(), bytes: 7, sha256: "cd".to_owned() };
        let metadata = committed::globals(&beside);
        let told = BlobProperties { metadata, ..properties(10, &[]) };
        let found = find(&storage().await, &Wanted::Id("new".to_owned()), None).await.unwrap();
        assert!(found.globals(&properties(10, &[])).is_none());
        let globals = found.globals(&told).unwrap();
        assert_eq!(globals.address.to_string(), "own/postgresql/db-1/g.sql.gz");
        assert!(globals.check(&properties(7, &[("sha256", "cd")])).is_ok());
        assert!(globals.check(&properties(8, &[("sha256", "cd")])).is_err());
    }

    #[test]
    fn the_kind_is_told_by_record_metadata_or_name() {
        let found =
            |name: &str, kind| Found { address: BlobAddress::new("backups", name), kind, recorded: None };
        let kind = |found: Found, metadata: &[(&str, &str)]| found.kind(&properties(1, metadata)).ok();
        let told = [("database_type", "mysql")];
        assert_eq!(kind(found("x/y", Some(DatabaseType::Postgresql)), &told), Some(DatabaseType::Postgresql));
        assert_eq!(kind(found("postgresql/y", None), &told), Some(DatabaseType::Mysql));
        assert_eq!(kind(found("postgresql/y", None), &[]), Some(DatabaseType::Postgresql));
        assert_eq!(kind(found("x/y", None), &[]), None);
    }
}
