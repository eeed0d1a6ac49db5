//! Artifacts that were committed by an attempt that did not live to record them.
//!
//! A blob names its job in its metadata, and the record names the blob that its attempt has chosen.
//! Whoever is about to dump again, to give up, or to end a record looks here first.

use super::{BlobAddress, BlobStore, StorageError};
use crate::models::{Artifact, Backup, PlannedBlob};

/// The metadata name of the job that a blob belongs to.
pub const JOB_ID: &str = "job_id";

/// The metadata name of the SHA-256 of a blob's bytes.
pub const SHA256: &str = "sha256";

impl From<&PlannedBlob> for BlobAddress {
    fn from(planned: &PlannedBlob) -> Self {
        Self::new(planned.container.as_str(), &planned.name)
    }
}

/// Describes what is stored at a place.
pub fn artifact(
    blobs: &dyn BlobStore,
    planned: &PlannedBlob,
    bytes: u64,
    sha256: Option<String>,
) -> Artifact {
    let format = planned.name.rsplit('/').next().and_then(|file| file.split_once('.'));
    Artifact {
        blob_name: planned.name.clone(),
        blob_url: Some(blobs.url(&planned.into())),
        container: Some(planned.container.clone()),
        bytes: Some(bytes),
        format: format.map(|(_, format)| format.to_owned()),
        sha256,
    }
}

/// Finds the artifact that an attempt at this very job has committed at the planned place.
pub async fn committed(
    blobs: &dyn BlobStore,
    backup: &Backup,
    planned: &PlannedBlob,
) -> Result<Option<Artifact>, StorageError> {
    let Some(properties) = blobs.properties(&planned.into()).await? else { return Ok(None) };
    if properties.metadata.get(JOB_ID).map(String::as_str) != Some(backup.job_id.as_str()) {
        return Ok(None);
    }
    let sha256 = properties.metadata.get(SHA256).cloned();
    Ok(Some(artifact(blobs, planned, properties.bytes, sha256)))
}
