//! Looking for the work of an attempt that did not live to record it.

use shared::models::Artifact;
use shared::storage::{Claim, StorageError, committed};

use crate::globals;
use crate::state::AppState;

/// Finds the artifact that an earlier attempt at this job has committed. Nothing may be dumped again,
/// and no job given up, before this was asked.
pub(crate) async fn recover(state: &AppState, claim: &Claim) -> Result<Option<Artifact>, StorageError> {
    let Some(planned) = &claim.earlier_plan else { return Ok(None) };
    let found = committed::committed(&*state.storage.blobs, &claim.backup, planned).await?;
    if found.is_some() {
        tracing::info!(blob = planned.name, "an earlier attempt had stored the artifact already");
    } else {
        globals::sweep(state, planned).await;
    }
    Ok(found)
}
