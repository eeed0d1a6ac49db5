//! Where an artifact goes, and what is said of it there.

use std::collections::BTreeMap;

use archive::{Compression, Stored};
use chrono::{DateTime, TimeDelta, Utc};
use dump::Remarks;
use shared::models::{Artifact, Backup, ContainerName, Database, Globals, PlannedBlob};
use shared::storage::{BlobAddress, BlobStore, StorageError, committed};

/// Names a blob that does not exist yet: the database, and the time to the second. Where the name is
/// taken, a second is added until it is free.
pub(crate) async fn free_name(
    blobs: &dyn BlobStore,
    database: &Database,
    container: &ContainerName,
    compression: Compression,
    now: DateTime<Utc>,
) -> Result<PlannedBlob, StorageError> {
    let mut at = now;
    loop {
        let name = format!(
            "{}/{}/{}.{}",
            database.database_type,
            database.id,
            at.format(committed::NAMED_AT),
            compression.extension()
        );
        let is_free = async |name: &str| {
            let found = blobs.properties(&BlobAddress::new(container.as_str(), name)).await?;
            Ok::<_, StorageError>(found.is_none())
        };
        if is_free(&name).await?
            && (!database.options.roles.are_included() || is_free(&Globals::beside(&name)).await?)
        {
            return Ok(PlannedBlob { container: container.clone(), name });
        }
        at += TimeDelta::seconds(1);
    }
}

/// Returns the metadata that tells, without any table, what a blob is a backup of.
pub(crate) fn metadata_of(backup: &Backup, database: &Database) -> BTreeMap<String, String> {
    let tier = backup.tier.map_or("none", shared::models::Tier::as_str);
    BTreeMap::from([
        (committed::JOB_ID.to_owned(), backup.job_id.to_string()),
        ("backup_id".to_owned(), backup.id.to_string()),
        (committed::DATABASE_ID.to_owned(), backup.database_id.to_string()),
        ("database_type".to_owned(), backup.database_type.to_string()),
        ("database_name".to_owned(), committed::ascii(database.database_name.as_str())),
        ("tier".to_owned(), tier.to_owned()),
        ("triggered_by".to_owned(), backup.triggered_by.to_string()),
        ("created_at".to_owned(), backup.created_at.to_rfc3339()),
    ])
}

/// Describes what an attempt has just stored.
pub(crate) fn stored(
    blobs: &dyn BlobStore,
    planned: &PlannedBlob,
    stored: Stored,
    remarks: &Remarks,
    globals: Option<Globals>,
) -> Artifact {
    Artifact {
        globals,
        consistency: remarks.consistency(),
        warnings: remarks.warnings(),
        ..committed::artifact(blobs, planned, stored.bytes, Some(stored.sha256))
    }
}
