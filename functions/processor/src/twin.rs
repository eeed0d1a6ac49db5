//! One dump for several tiers: what was dumped for another record of the same tick is copied.
//!
//! The jobs of a tick run one after the other, since two dumps of a database never overlap. Whichever comes
//! first dumps; the others find its artifact and have storage copy it, each to a blob of its own with
//! a record of its own.

use std::sync::OnceLock;

use archive::Compression;
use chrono::{DateTime, Utc};
use shared::models::{Artifact, Backup, Database, Engine, Globals, PlannedBlob};
use shared::storage::{BlobAddress, Claim, StorageError, StorageErrorKind, committed};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::artifact;
use crate::attempt::in_time;
use crate::error::AttemptError;
use crate::globals;
use crate::state::AppState;

/// Copies the artifact of another backup of the same tick, or returns `None` where there is none or the
/// store cannot copy: then the database has to be dumped.
pub(crate) async fn copy(
    state: &AppState,
    claim: &Mutex<&mut Claim>,
    backup: &Backup,
    (database, engine): (&Database, Option<&Engine>),
    compression: Compression,
    beside: &OnceLock<PlannedBlob>,
) -> Result<Option<Artifact>, AttemptError> {
    if backup.tier.is_none() {
        return Ok(None);
    }
    let made = state.storage.backups.of_instant(&backup.database_id, backup.created_at).await?;
    let configured_at =
        engine.map_or(database.updated_at, |engine| engine.updated_at.max(database.updated_at));
    let Some(twin) = made.iter().find_map(|other| serves(other, backup, configured_at, compression)) else {
        return Ok(None);
    };
    let blobs = &*state.storage.blobs;
    let source = state.storage.locate(twin);
    let Some(found) = blobs.properties(&source).await?.filter(|found| {
        Some(found.bytes) == twin.bytes && found.metadata.get(committed::SHA256) == twin.sha256.as_ref()
    }) else {
        return Ok(None);
    };

    let container = database.backup_destination.as_ref().unwrap_or(&state.config.names.container);
    blobs.create_container(container.as_str()).await?;
    let planned = artifact::free_name(blobs, database, container, compression, state.clock.now()).await?;
    state.storage.claims.plan(&mut **claim.lock().await, &planned).await?;
    let mut metadata = found.metadata;
    metadata.extend(artifact::metadata_of(backup, database));
    let mut copied_globals = None;
    if let Some(globals) = &twin.globals {
        let _ = beside.set(planned.clone());
        match globals::copy(blobs, (globals, &source), &planned, (backup, database)).await {
            Ok(Some(copied)) => {
                metadata.extend(committed::globals(&copied));
                copied_globals = Some(copied);
            }
            Ok(None) => return Ok(None),
            Err(error) if error.is_transient() => return Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "storage does not copy; the database is dumped once more");
                return Ok(None);
            }
        }
    }
    {
        let mut claim = claim.lock().await;
        let (now, claims) = (state.clock.now(), &state.storage.claims);
        let left = claim.holds_for(now);
        in_time(left, claims.begin_commit(&mut claim, now)).await?;
    }
    let address = BlobAddress::from(&planned);
    let copying = timeout(state.limits(&database.options).deadline, blobs.copy(&source, &address, &metadata));
    let copied = copying.await.unwrap_or_else(|_| {
        let error = StorageError::new(StorageErrorKind::Unavailable, "copy to blob", address.to_string());
        Err(error.because("it took longer than a dump may"))
    });
    match copied {
        Ok(()) => {
            tracing::info!(from = %source, blob = planned.name, "the dump of another tier was copied");
            Ok(Some(described(state, &planned, twin, copied_globals)))
        }
        // The answer to the copy was lost on its way, and the request was repeated.
        Err(error) if error.kind() == StorageErrorKind::AlreadyExists => {
            Ok(committed::committed(blobs, backup, &planned).await?)
        }
        Err(error) if error.is_transient() => Err(error.into()),
        Err(error) => {
            tracing::warn!(%error, "storage does not copy; the database is dumped once more");
            state.storage.claims.call_off_commit(&mut **claim.lock().await).await?;
            Ok(None)
        }
    }
}

/// Returns the artifact of `other` if it is also what `backup` asks for: dumped after both were asked
/// for, from the configuration as it is now, and in the form that is wanted.
fn serves<'a>(
    other: &'a Backup,
    backup: &Backup,
    configured_at: DateTime<Utc>,
    compression: Compression,
) -> Option<&'a Artifact> {
    let began = other.run().started_at?;
    let artifact = other.artifact()?;
    let fits = other.tier.is_some()
        && began >= backup.created_at
        && began >= configured_at
        && artifact.sha256.is_some()
        && artifact.format.as_deref() == Some(compression.extension());
    fits.then_some(artifact)
}

fn described(state: &AppState, planned: &PlannedBlob, twin: &Artifact, globals: Option<Globals>) -> Artifact {
    let bytes = twin.bytes.unwrap_or_default();
    Artifact {
        consistency: twin.consistency,
        warnings: twin.warnings.clone(),
        globals,
        ..committed::artifact(&*state.storage.blobs, planned, bytes, twin.sha256.clone())
    }
}
