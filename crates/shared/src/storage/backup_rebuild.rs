//! Rebuilding the index of a history that it does not cover, as after a take-over.
//!
//! Safe while everything runs, and to be repeated: entries are only added, and the counts are made from
//! the history. A rebuild that was killed goes on where it was, since the rows behind it have their
//! entries and those that are written meanwhile get theirs from their writers.

use chrono::{DateTime, Utc};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::StorageError;
use super::backups::Backups;
use super::table::{Entity, Query};

/// How many rows are worked on at a time.
const AT_ONCE: usize = 16;

/// What a rebuild has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Rows of the history; without those that an interrupted rebuild had seen.
    pub rows: u64,
    /// Those among them that had no entries, or not all.
    pub missing: u64,
}

impl Backups {
    /// Looks at every row of the history and, when it is to `apply`, makes the entries that are missing,
    /// counts all days anew and marks the index as complete.
    pub async fn rebuild_index(
        &self,
        apply: bool,
        now: DateTime<Utc>,
        mut progress: impl FnMut(Rebuilt),
    ) -> Result<Rebuilt, StorageError> {
        let query = Query { select: vec!["job_id", "blob_name"], ..Query::default() };
        let mut from = if apply { self.index.cursor().await? } else { None };
        let mut so_far = Rebuilt::default();
        loop {
            let page = self.table.query(&query, from.as_ref()).await?;
            let rows: Vec<_> = page.entities.iter().map(|row| self.rebuild_row(row, apply)).collect();
            let missing: Vec<bool> = stream::iter(rows).buffer_unordered(AT_ONCE).try_collect().await?;
            so_far.rows += page.entities.len() as u64;
            so_far.missing += missing.into_iter().filter(|missing| *missing).count() as u64;
            progress(so_far);
            if apply {
                self.index.set_cursor(page.next.as_ref()).await?;
            }
            match page.next {
                Some(next) => from = Some(next),
                None => break,
            }
        }
        if apply {
            self.days.forget().await?;
            self.days.count().await?;
            self.index.mark_complete(now).await?;
        }
        Ok(so_far)
    }

    /// Tells whether the index covers the whole history.
    pub async fn is_indexed(&self) -> Result<bool, StorageError> {
        self.index.is_complete().await
    }

    async fn rebuild_row(&self, row: &Entity, apply: bool) -> Result<bool, StorageError> {
        if self.index.has(&row.key, &row.properties).await? {
            return Ok(false);
        }
        if apply {
            self.index.note(&row.key, &row.properties).await?;
        }
        Ok(true)
    }
}
