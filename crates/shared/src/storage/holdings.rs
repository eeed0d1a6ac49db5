//! What retention has to know of the whole history, and no more: a few columns of each row, so that
//! one pass serves all databases and memory holds hundreds of thousands of records.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::filter::Filter;
use super::rows::{Reader, artifact, id_in, marks, planned_blob};
use super::table::{Entity, Query};
use super::{Backups, StorageError};
use crate::models::{Artifact, BackupId, BackupStatus, DatabaseId, PlannedBlob};
use crate::retention::Record;

const COLUMNS: [&str; 8] = [
    "database_id",
    "status",
    "tier",
    "created_at",
    "blob_name",
    "pinned_at",
    "verified_at",
    "deletion_begun_at",
];

impl Backups {
    /// Reads what retention has to know, of all databases or of one. A row that cannot be read is
    /// skipped and logged: it is neither counted nor deleted.
    pub async fn holdings(
        &self,
        of: Option<&DatabaseId>,
    ) -> Result<BTreeMap<DatabaseId, Vec<Record>>, StorageError> {
        let filter = of.map(|id| Filter::eq("database_id", id.as_str()));
        let query = Query { filter, select: COLUMNS.to_vec(), ..Query::default() };
        let mut holdings: BTreeMap<DatabaseId, Vec<Record>> = BTreeMap::new();
        let mut from = None;
        loop {
            let page = self.table.query(&query, from.as_ref()).await?;
            for entity in &page.entities {
                if let Some((database, record)) = read(entity) {
                    holdings.entry(database).or_default().push(record);
                } else {
                    tracing::warn!(key = %entity.key, "a record cannot be read; retention leaves it alone");
                }
            }
            match page.next {
                Some(next) => from = Some(next),
                None => {
                    return Ok(holdings.into_iter().map(|(id, found)| (id, counted_once(found))).collect());
                }
            }
        }
    }
}

/// Makes one of two rows of the same backup, which there are while one of an earlier system moves: counted
/// twice, it would take the place of another one.
fn counted_once(records: Vec<Record>) -> Vec<Record> {
    let mut places = BTreeMap::new();
    let mut once: Vec<Record> = Vec::with_capacity(records.len());
    for record in records {
        match places.entry(record.id.clone()) {
            Entry::Vacant(place) => {
                place.insert(once.len());
                once.push(record);
            }
            Entry::Occupied(place) => {
                if let Some(first) = once.get_mut(*place.get()) {
                    first.is_pinned |= record.is_pinned;
                    first.is_verified |= record.is_verified;
                    first.is_being_deleted |= record.is_being_deleted;
                }
            }
        }
    }
    once
}

/// Which files the history knows.
#[derive(Debug, Default)]
pub struct KnownFiles {
    /// Those of completed backups.
    pub stored: Vec<(BackupId, Artifact)>,
    /// Those that unfinished backups, or ones that have failed, were to have. They may be there. A
    /// cancelled one has none: what is still there of it is left over.
    pub planned: Vec<PlannedBlob>,
}

/// The columns that name files.
const FILES: [&str; 7] = [
    "status",
    "blob_name",
    "blob_url",
    "container_name",
    "globals_blob_name",
    "planned_container_name",
    "planned_blob_name",
];

impl Backups {
    /// Reads which files the history knows. A row that cannot be read is skipped.
    pub async fn known_files(&self) -> Result<KnownFiles, StorageError> {
        let query = Query { select: FILES.to_vec(), ..Query::default() };
        let (mut known, mut from) = (KnownFiles::default(), None);
        loop {
            let page = self.table.query(&query, from.as_ref()).await?;
            for entity in &page.entities {
                let row = Reader(entity);
                if row.text("status") != Some(BackupStatus::Cancelled.as_str()) {
                    known.planned.extend(planned_blob(entity));
                }
                if row.text("status") == Some(BackupStatus::Completed.as_str())
                    && let (Ok(id), Ok(Some(artifact))) = (id_in(&entity.key.row).parse(), artifact(&row))
                {
                    known.stored.push((id, artifact));
                }
            }
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(known),
            }
        }
    }
}

fn read(entity: &Entity) -> Option<(DatabaseId, Record)> {
    let row = Reader(entity);
    let status: BackupStatus = row.parse("status").ok()?;
    let marks = marks(&row);
    let record = Record {
        id: id_in(&entity.key.row).parse().ok()?,
        tier: row.parse_optional("tier").ok()?,
        status,
        created_at: row.instant("created_at")?,
        has_blob: status == BackupStatus::Completed && row.text("blob_name").is_some(),
        is_pinned: marks.pinned.is_some(),
        is_verified: marks.verified_at.is_some(),
        is_being_deleted: marks.deletion_begun_at.is_some(),
    };
    Some((row.parse("database_id").ok()?, record))
}
