//! The backup that a restore is of.

use shared::models::{Artifact, Backup, BackupId};

use crate::error::ApiError;
use crate::path::not_found;
use crate::state::AppState;

/// Finds a backup that can be restored, and what is stored of it.
pub(super) async fn source(state: &AppState, id: &BackupId) -> Result<(Backup, Artifact), ApiError> {
    let backup = state.storage.backups.find(id).await?.ok_or_else(|| not_found(id))?;
    match backup.artifact() {
        Some(artifact) => {
            let artifact = artifact.clone();
            Ok((backup, artifact))
        }
        None => Err(ApiError::Invalid(format!(
            "The backup {id} is {}, so there is nothing to restore; choose a completed one.",
            backup.status()
        ))),
    }
}
