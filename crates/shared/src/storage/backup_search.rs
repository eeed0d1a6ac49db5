//! Finding one record: by its id, its job or its blob, first in the index, then in the history itself.

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::try_join_all;

use super::StorageError;
use super::backup_index::Entry;
use super::backups::Backups;
use super::filter::{Filter, PARTITION, ROW};
use super::repository::{self, Versioned, readable};
use super::rows::{Row as _, history_key, history_key_bound, id_in};
use super::table::{ETag, Entity, Key, Query, query_all};
use crate::models::{Backup, BackupId, DatabaseId, JobId};

/// How far back rows without an entry are looked for when the index is complete. Our own writers make
/// every entry before its row, so this is for rows that somebody else wrote a moment ago.
const UNSEEN: TimeDelta = TimeDelta::days(2);

impl Backups {
    /// Reads the record with this id, whenever it was made.
    pub async fn find(&self, id: &BackupId) -> Result<Option<Backup>, StorageError> {
        Ok(self.locate(id).await?.map(|(_, found)| found.value))
    }

    /// Reads the record with this id, with the key and the version of its row.
    pub(super) async fn locate(
        &self,
        id: &BackupId,
    ) -> Result<Option<(Key, Versioned<Backup>)>, StorageError> {
        let own = |entity: &Entity| id_in(&entity.key.row) == id.as_str();
        if let Some(entity) = self.indexed(Entry::from(id)).await?.into_iter().find(own) {
            return versioned(entity).map(Some);
        }
        // The id ends the row key, which no filter of the service can ask for; rows of the oldest
        // systems have it as the whole key.
        let whole = Query::matching(Filter::eq(ROW, id.as_str()));
        let mut found = query_all(&*self.table, &whole).await?.into_iter().next();
        if found.is_none() {
            let keys = Query { select: vec!["job_id"], ..self.unindexed(Vec::new()).await? };
            if let Some(row) = query_all(&*self.table, &keys).await?.into_iter().find(own) {
                found = self.table.get(&row.key).await?;
            }
        }
        match found {
            Some(entity) => {
                self.heal(&entity).await;
                versioned(entity).map(Some)
            }
            None => Ok(None),
        }
    }

    /// Reads the records of a database that were made at this very instant, which are those of one tick.
    pub async fn of_instant(
        &self,
        database: &DatabaseId,
        created_at: DateTime<Utc>,
    ) -> Result<Vec<Backup>, StorageError> {
        let first = history_key(created_at, "");
        let query = Query::matching(Filter::And(vec![
            Filter::eq(PARTITION, first.partition),
            Filter::ge(ROW, first.row),
            Filter::lt(ROW, history_key_bound(created_at)),
            Filter::eq("database_id", database.as_str()),
        ]));
        repository::list(&*self.table, &query).await
    }

    /// Reads the records of a job; there is one, but for jobs of earlier systems that came twice.
    pub async fn of_job(&self, job: &JobId) -> Result<Vec<Backup>, StorageError> {
        let same = |backup: &Backup| backup.job_id == *job;
        self.search(Entry::from(job), Filter::eq("job_id", job.as_str()), same).await
    }

    /// Reads the record of a job that one of our own programs may have made, at whatever time. Costs one
    /// question where there is none.
    pub async fn made_for(&self, job: &JobId) -> Result<Option<Backup>, StorageError> {
        let mut found: Vec<Backup> = readable(&self.indexed(Entry::from(job)).await?).0;
        found.retain(|backup| backup.job_id == *job);
        Ok(found.into_iter().max_by_key(|backup| (backup.is_finished(), backup.created_at)))
    }

    /// Reads the records whose artifact has this name, in whatever container.
    pub async fn of_blob(&self, name: &str) -> Result<Vec<Backup>, StorageError> {
        let same = |backup: &Backup| backup.artifact().is_some_and(|artifact| artifact.blob_name == name);
        self.search(Entry::Blob(name), Filter::eq("blob_name", name), same).await
    }

    async fn search(
        &self,
        entry: Entry<'_>,
        filter: Filter,
        same: impl Fn(&Backup) -> bool,
    ) -> Result<Vec<Backup>, StorageError> {
        let mut found: Vec<Backup> = readable(&self.indexed(entry).await?).0;
        found.retain(&same);
        if found.is_empty() {
            let rows = query_all(&*self.table, &self.unindexed(vec![filter]).await?).await?;
            found = readable(&rows).0;
            found.retain(&same);
            for row in &rows {
                self.heal(row).await;
            }
        }
        found.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| b.id.cmp(&a.id)));
        Ok(found)
    }

    /// Reads the rows that an entry of the index names.
    async fn indexed(&self, entry: Entry<'_>) -> Result<Vec<Entity>, StorageError> {
        let keys = self.index.look_up(entry).await?;
        let rows = try_join_all(keys.iter().map(|key| self.table.get(key))).await?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// Returns the query for the rows that may have no entry.
    async fn unindexed(&self, mut conditions: Vec<Filter>) -> Result<Query, StorageError> {
        if self.index.is_complete().await? {
            let day = (self.days.now() - UNSEEN).format("%Y-%m-%d").to_string();
            conditions.push(Filter::ge(PARTITION, day));
        }
        Ok(Query { filter: (!conditions.is_empty()).then_some(Filter::And(conditions)), ..Query::default() })
    }

    /// Makes the entries of a row that had to be searched for.
    async fn heal(&self, row: &Entity) {
        if let Err(error) = self.index.note(&row.key, &row.properties).await {
            tracing::warn!(%error, key = %row.key, "a backup without an entry in the index stays without one");
        }
    }

    /// Deletes a record, wherever its row is; `false` when there was none.
    pub async fn delete(&self, backup: &Backup) -> Result<bool, StorageError> {
        // Earlier systems computed the ticks with rounding errors and in local time, or had the id
        // alone as the row key. While such a row moves there are two, and the older one goes first: whoever
        // moves it then knows that its copy is to go as well.
        let today = history_key(backup.created_at, backup.id.as_str());
        let mut keys = self.index.look_up(Entry::from(&backup.id)).await?;
        keys.retain(|key| id_in(&key.row) == backup.id.as_str() && *key != today);
        keys.extend([Key::new(&today.partition, backup.id.as_str()), today]);
        let mut existed = false;
        for key in keys {
            existed |= repository::delete(&*self.table, &key).await?;
        }
        if existed {
            return Ok(true);
        }
        let day = Filter::eq(PARTITION, history_key(backup.created_at, "").partition);
        let legacy = Filter::eq(ROW, backup.id.as_str());
        for filter in [day, legacy] {
            let query = Query { select: vec!["job_id"], ..Query::matching(filter) };
            let found = query_all(&*self.table, &query).await?;
            let own = |entity: &&Entity| id_in(&entity.key.row) == backup.id.as_str();
            if let Some(entity) = found.iter().find(own) {
                return repository::delete(&*self.table, &entity.key).await;
            }
        }
        Ok(false)
    }

    /// Marks the index of a history without rows as complete: all that come will have their entries.
    pub(super) async fn begin_index(&self, now: DateTime<Utc>) -> Result<(), StorageError> {
        if self.index.is_complete().await? {
            return Ok(());
        }
        let any = Query { top: Some(1), select: vec!["job_id"], ..Query::default() };
        let page = self.table.query(&any, None).await?;
        if page.entities.is_empty() && page.next.is_none() {
            self.index.mark_complete(now).await?;
        }
        Ok(())
    }
}

fn versioned(entity: Entity) -> Result<(Key, Versioned<Backup>), StorageError> {
    let value = Backup::from_entity(&entity).map_err(repository::unreadable)?;
    let etag = entity.etag.unwrap_or_else(|| ETag("*".to_owned()));
    Ok((entity.key, Versioned { value, etag }))
}
