//! The index of the history: which row a backup id, a job id or a blob name stands for.
//!
//! An entry is written *before* the row that it names, and removed after it. A program that dies in
//! between leaves an entry that names nothing, which costs a reader one question; never a row without
//! an entry, which would have to be searched for. Readers therefore look at the row itself and believe
//! no entry. Rows of earlier systems have no entry until `dilux migrate` has made them; the mark of
//! completeness says that this has been done, or that there were no rows when the table was made.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::future::try_join_all;

use super::rows::{Reader, date_time, id_in};
use super::table::{Continuation, Entity, Expect, Key, Properties, Table, Value};
use super::{StorageError, StorageErrorKind};
use crate::models::{BackupId, JobId, derived_text};

/// How often an entry is tried again that somebody else changes at the same time.
const TRIES: usize = 8;

/// The row of every entry; its partition tells it from the others, so that reading one is a point look-up.
const ROW: &str = "entry";

/// What the history can be asked for directly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Entry<'a> {
    /// The record with this id.
    Backup(&'a str),
    /// The records of this job.
    Job(&'a str),
    /// The records that name this blob, in whatever container.
    Blob(&'a str),
}

impl Entry<'_> {
    fn key(self) -> Key {
        let partition = match self {
            Self::Backup(id) => format!("backup:{id}"),
            Self::Job(id) => format!("job:{id}"),
            // Names of blobs have characters that keys must not have. That two names come to one key
            // is all but impossible, and would only add a row that the reader finds not to match.
            Self::Blob(name) => format!("blob:{}", derived_text(&["blob", name])),
        };
        Key::new(partition, ROW)
    }
}

impl<'a> From<&'a BackupId> for Entry<'a> {
    fn from(id: &'a BackupId) -> Self {
        Self::Backup(id.as_str())
    }
}

impl<'a> From<&'a JobId> for Entry<'a> {
    fn from(id: &'a JobId) -> Self {
        Self::Job(id.as_str())
    }
}

/// The index.
#[derive(Debug, Clone)]
pub(super) struct BackupIndex {
    pub(super) table: Arc<dyn Table>,
}

impl BackupIndex {
    /// Returns the keys of the rows that an entry names; they may be gone, or stand for something else.
    pub(super) async fn look_up(&self, entry: Entry<'_>) -> Result<Vec<Key>, StorageError> {
        Ok(self.table.get(&entry.key()).await?.map(|found| keys(&found)).unwrap_or_default())
    }

    /// Notes the row in every entry that leads to it; `properties` may be a part of the row's.
    pub(super) async fn note(&self, row: &Key, properties: &Properties) -> Result<(), StorageError> {
        for entry in entries(row, properties) {
            self.add(entry, row).await?;
        }
        Ok(())
    }

    /// Notes a row that is about to be made. Its entries are new but for a write that is repeated, so they
    /// are not looked for first.
    pub(super) async fn note_new(&self, row: &Key, properties: &Properties) -> Result<(), StorageError> {
        let notes = entries(row, properties).into_iter().map(async |entry| {
            let new = Entity::new(entry.key(), named(std::slice::from_ref(row)));
            match self.table.insert(&new).await {
                Err(error) if error.kind() == StorageErrorKind::AlreadyExists => self.add(entry, row).await,
                noted => noted.map(drop),
            }
        });
        try_join_all(notes).await.map(drop)
    }

    /// Tells whether all entries of a row are there.
    pub(super) async fn has(&self, row: &Key, properties: &Properties) -> Result<bool, StorageError> {
        for entry in entries(row, properties) {
            if !self.look_up(entry).await?.contains(row) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Forgets a row that is gone. What is left behind when this fails names nothing.
    pub(super) async fn forget(&self, row: &Key, properties: &Properties) -> Result<(), StorageError> {
        for entry in entries(row, properties) {
            self.remove(entry, row).await?;
        }
        Ok(())
    }

    /// Tells whether every row that was there when somebody last looked has its entries.
    pub(super) async fn is_complete(&self) -> Result<bool, StorageError> {
        Ok(self.table.get(&mark()).await?.is_some())
    }

    /// Marks the index as complete.
    pub(super) async fn mark_complete(&self, now: DateTime<Utc>) -> Result<(), StorageError> {
        let at = Properties::from([("completed_at".to_owned(), date_time(now))]);
        self.table.insert_or_merge(&mark(), &at).await.map(drop)
    }

    /// Returns where a rebuild was interrupted.
    pub(super) async fn cursor(&self) -> Result<Option<Continuation>, StorageError> {
        let Some(row) = self.table.get(&cursor()).await? else { return Ok(None) };
        let reader = Reader(&row);
        let next = |partition| Continuation { partition, row: reader.owned("next_row") };
        Ok(reader.owned("next_partition").map(next))
    }

    /// Notes how far a rebuild has come; `None` means to its end.
    pub(super) async fn set_cursor(&self, next: Option<&Continuation>) -> Result<(), StorageError> {
        let Some(Continuation { partition, row }) = next else {
            return super::repository::delete(&*self.table, &cursor()).await.map(drop);
        };
        let row = row.clone().unwrap_or_default();
        let next = [("next_partition", partition.clone()), ("next_row", row)];
        let next = next.map(|(name, text)| (name.to_owned(), Value::from(text))).into();
        self.table.insert_or_merge(&cursor(), &next).await.map(drop)
    }

    async fn add(&self, entry: Entry<'_>, row: &Key) -> Result<(), StorageError> {
        let key = entry.key();
        for _ in 0..TRIES {
            let written = match self.table.get(&key).await? {
                None => self.table.insert(&Entity::new(key.clone(), named(std::slice::from_ref(row)))).await,
                Some(found) => {
                    let mut rows = keys(&found);
                    if rows.contains(row) {
                        return Ok(());
                    }
                    // Few jobs and blobs of earlier systems have more than one record.
                    rows.push(row.clone());
                    let expect = found.etag.map_or(Expect::Any, Expect::Version);
                    self.table.merge(&key, &named(&rows), &expect).await
                }
            };
            match written {
                Ok(_) => return Ok(()),
                Err(error) if is_race(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StorageError::new(
            StorageErrorKind::Unavailable,
            "note",
            format!("{row} in the index of backups"),
        ))
    }

    async fn remove(&self, entry: Entry<'_>, row: &Key) -> Result<(), StorageError> {
        let key = entry.key();
        for _ in 0..TRIES {
            let Some(found) = self.table.get(&key).await? else { return Ok(()) };
            let mut rows = keys(&found);
            if !rows.contains(row) {
                return Ok(());
            }
            rows.retain(|named| named != row);
            let expect = found.etag.map_or(Expect::Any, Expect::Version);
            let written = if rows.is_empty() {
                self.table.delete(&key, &expect).await
            } else {
                self.table.merge(&key, &named(&rows), &expect).await.map(drop)
            };
            match written {
                Ok(()) => return Ok(()),
                Err(error) if is_race(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn is_race(error: &StorageError) -> bool {
    match error.kind() {
        StorageErrorKind::AlreadyExists | StorageErrorKind::Changed | StorageErrorKind::NotFound => true,
        StorageErrorKind::Unavailable | StorageErrorKind::Denied | StorageErrorKind::Invalid => false,
    }
}

fn mark() -> Key {
    Key::new("index", "complete")
}

fn cursor() -> Key {
    Key::new("index", "rebuild")
}

/// Returns the entries that lead to a row, as far as the given properties tell.
fn entries<'a>(row: &'a Key, properties: &'a Properties) -> Vec<Entry<'a>> {
    let text = |name: &str| match properties.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Some(text.as_str()),
        Some(_) | None => None,
    };
    let mut entries = Vec::new();
    if let Some(job) = text("job_id") {
        entries.push(Entry::Backup(id_in(&row.row)));
        entries.push(Entry::Job(job));
    }
    entries.extend(text("blob_name").map(Entry::Blob));
    // An id of an earlier system that cannot be in a key is found by the walk.
    entries.retain(|entry| entry.key().check().is_ok());
    entries
}

fn named(rows: &[Key]) -> Properties {
    // A partition is a day, so the first `|` ends it; no key has a line break.
    let lines: Vec<String> = rows.iter().map(|row| format!("{}|{}", row.partition, row.row)).collect();
    Properties::from([("rows".to_owned(), lines.join("\n").into())])
}

fn keys(entry: &Entity) -> Vec<Key> {
    let entry = Reader(entry);
    let rows = entry.text("rows").unwrap_or_default().lines();
    rows.filter_map(|line| line.split_once('|')).map(|(partition, row)| Key::new(partition, row)).collect()
}
