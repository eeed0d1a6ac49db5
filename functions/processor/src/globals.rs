//! The roles of a PostgreSQL server, stored beside the dump of a database where that is wanted.
//!
//! They are stored before the dump is: a dump that is there has its roles beside it, and a backup whose
//! roles cannot be had fails, because they were asked for. What an attempt has stored that did not bring
//! its dump is deleted by it, or by the one that comes after it.

use std::collections::BTreeMap;

use archive::{Compression, Destination, Progress};
use dump::Target;
use futures::TryStreamExt as _;
use shared::models::{Backup, Database, Globals, PlannedBlob};
use shared::storage::{BlobAddress, BlobStore, committed};

use crate::artifact;
use crate::error::AttemptError;
use crate::state::AppState;

/// The metadata name that tells such a blob from a dump.
const CONTENT: &str = "content";

/// Dumps the roles and stores them beside the blob that is planned.
pub(crate) async fn store(
    state: &AppState,
    (backup, database): (&Backup, &Database),
    target: &Target,
    planned: &PlannedBlob,
    compression: Compression,
    attempt: [u8; 16],
) -> Result<Globals, AttemptError> {
    let with_passwords = database.options.roles.have_passwords();
    let limits = state.limits(&database.options);
    let dump = dump::dump_globals(&state.tools, target, with_passwords, &limits);
    let dump = dump.await.map_err(AttemptError::Globals)?;
    let address = BlobAddress::new(planned.container.as_str(), Globals::beside(&planned.name));
    let mut metadata = artifact::metadata_of(backup, database);
    metadata.insert(CONTENT.to_owned(), "globals".to_owned());
    metadata.extend(dump.origin().metadata());
    let destination = Destination { store: &*state.storage.blobs, address: &address, attempt, metadata };
    let dump = dump.map_err(AttemptError::Globals);
    let nothing_more = || async { Ok(BTreeMap::new()) };
    let stored = archive::store(dump, compression, destination, &Progress::default(), nothing_more).await?;
    Ok(Globals { blob_name: address.name, bytes: stored.bytes, sha256: stored.sha256 })
}

/// Copies the roles that lie beside another dump to where they lie beside the one that is planned.
pub(crate) async fn copy(
    blobs: &dyn BlobStore,
    (globals, from): (&Globals, &BlobAddress),
    planned: &PlannedBlob,
    (backup, database): (&Backup, &Database),
) -> Result<Option<Globals>, shared::storage::StorageError> {
    let source = BlobAddress::new(&from.container, &globals.blob_name);
    let Some(found) = blobs.properties(&source).await? else { return Ok(None) };
    let address = BlobAddress::new(planned.container.as_str(), Globals::beside(&planned.name));
    let mut metadata = found.metadata;
    metadata.extend(artifact::metadata_of(backup, database));
    blobs.copy(&source, &address, &metadata).await?;
    Ok(Some(Globals { blob_name: address.name, ..globals.clone() }))
}

/// Deletes what lies beside a planned blob that was not committed. What cannot be deleted now stays, and
/// the health monitor reports it.
pub(crate) async fn sweep(state: &AppState, planned: &PlannedBlob) {
    let blobs = &*state.storage.blobs;
    let address = BlobAddress::new(planned.container.as_str(), Globals::beside(&planned.name));
    let swept = async {
        if blobs.properties(&planned.into()).await?.is_some() {
            return Ok(false);
        }
        blobs.delete(&address).await
    };
    match swept.await {
        Ok(true) => tracing::info!(blob = %address, "the roles beside a dump that did not come were deleted"),
        Ok(false) => {}
        Err(error) => {
            tracing::warn!(%error, blob = %address, "the roles beside a dump that did not come stay");
        }
    }
}

/// Adds to the metadata of a dump what lies beside it.
pub(crate) fn name_in(metadata: &mut BTreeMap<String, String>, globals: Option<&Globals>) {
    if let Some(globals) = globals {
        metadata.extend(committed::globals(globals));
    }
}
