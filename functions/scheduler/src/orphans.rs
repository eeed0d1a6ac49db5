//! Files without a record, and records without their file. They are reported and never deleted: nobody
//! knows what they are good for.

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use shared::models::{Artifact, Database, Globals};
use shared::storage::{BlobAddress, Storage, StorageError};

/// How many files are listed with one request.
const PAGE: u32 = 5000;

/// A file that is younger may belong to a job that is about to record it.
const YOUNG: TimeDelta = TimeDelta::days(1);

/// What does not fit together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Orphans {
    /// Files that no record names.
    pub(crate) files: usize,
    /// Completed records whose file is not there.
    pub(crate) records: usize,
    /// Containers that could not be looked at; nothing is said of what is in them.
    pub(crate) unseen: Vec<String>,
    /// The first of each, as an example.
    pub(crate) examples: Vec<String>,
}

/// Compares the files of all containers in use with the history.
pub(crate) async fn find(
    storage: &Storage,
    databases: &[Database],
    now: DateTime<Utc>,
) -> Result<Orphans, StorageError> {
    // The records come first: a file that is made meanwhile is young, and one whose record is deleted
    // meanwhile is looked for once more.
    let known = storage.backups.known_files().await?;
    let mut missing: HashSet<String> =
        known.stored.iter().flat_map(|(_, artifact)| addresses(storage, artifact)).collect();
    let planned: HashSet<String> = known
        .planned
        .iter()
        .map(BlobAddress::from)
        .flat_map(|dump| {
            let globals = BlobAddress::new(&dump.container, Globals::beside(&dump.name));
            [dump.to_string(), globals.to_string()]
        })
        .collect();
    let mut containers = BTreeSet::from([storage.default_container().to_owned()]);
    containers.extend(
        databases.iter().filter_map(|database| Some(database.backup_destination.as_ref()?.to_string())),
    );
    containers.extend(known.stored.iter().map(|(_, artifact)| storage.locate(artifact).container));
    let (mut orphans, mut seen) = (Orphans::default(), HashSet::new());
    for container in containers {
        let mut marker: Option<String> = None;
        loop {
            let page = match storage.blobs.list(&container, "", marker.as_deref(), PAGE).await {
                Ok(page) => page,
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        container,
                        "a container cannot be looked at"
                    );
                    missing.retain(|address| !address.starts_with(&format!("{container}/")));
                    orphans.unseen.push(container);
                    break;
                }
            };
            for blob in page.blobs {
                let is_young = blob.properties.last_modified.is_some_and(|at| at + YOUNG > now);
                let address = BlobAddress::new(container.as_str(), blob.name).to_string();
                if missing.remove(&address) {
                    seen.insert(address);
                } else if !is_young && !planned.contains(&address) && !seen.contains(&address) {
                    if orphans.files == 0 {
                        orphans.examples.push(format!("{address} has no record"));
                    }
                    orphans.files += 1;
                }
            }
            marker = page.marker;
            if marker.is_none() {
                break;
            }
        }
    }
    for (id, artifact) in &known.stored {
        let gone = addresses(storage, artifact).into_iter().find(|address| missing.contains(address));
        // Retention may have deleted the file, and its record after it, since the records were read.
        if let Some(address) = gone
            && storage.backups.find(id).await?.is_some()
        {
            if orphans.records == 0 {
                orphans.examples.push(format!("{address} of backup {id} is not there"));
            }
            orphans.records += 1;
        }
    }
    Ok(orphans)
}

fn addresses(storage: &Storage, artifact: &Artifact) -> Vec<String> {
    storage.locate_all(artifact).iter().map(ToString::to_string).collect()
}
