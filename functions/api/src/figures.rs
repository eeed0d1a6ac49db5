//! Figures over everything that is stored, which take reading and are therefore kept for a minute.
//!
//! Requests that come together wait for one of them to read. What fails is not kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use shared::models::{Database, DatabaseId, DatabaseType};
use shared::overdue::overdue;
use shared::schedule::Wanted;
use shared::storage::{Storage, StorageError, Tally};
use tokio::sync::Mutex;

use crate::system::status::{self, Ended, Period};

/// How long figures are kept.
const KEPT: TimeDelta = TimeDelta::minutes(1);

/// How many blobs are listed with one request.
const PAGE: u32 = 5000;

/// The figures that are kept. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    files: Arc<Mutex<Option<Kept<Files>>>>,
    ended: Arc<Mutex<BTreeMap<Period, Kept<Ended>>>>,
    overdue: Arc<Mutex<Option<Kept<Overdue>>>>,
}

/// Databases that are overdue, with the backup that each is without.
pub(crate) type Overdue = BTreeMap<DatabaseId, Wanted>;

#[derive(Debug, Clone)]
struct Kept<T> {
    at: DateTime<Utc>,
    value: T,
}

impl<T> Kept<T> {
    fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        (self.at..self.at + KEPT).contains(&now)
    }
}

/// What the files of all containers take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Files {
    /// All of them.
    pub total: Tally,
    /// Those of each database, by the id in their names.
    pub by_database: BTreeMap<String, Tally>,
    /// Those whose names begin with a kind of database.
    pub by_type: BTreeMap<DatabaseType, Tally>,
    /// Those of earlier systems, whose names begin with the database's id and tell no kind.
    pub older: BTreeMap<String, Tally>,
}

impl Figures {
    /// Adds up the files, or returns what was added up less than a minute ago.
    pub(crate) async fn files(&self, storage: &Storage, now: DateTime<Utc>) -> Result<Files, StorageError> {
        let mut kept = self.files.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| kept.is_fresh(now)) {
            return Ok(kept.value.clone());
        }
        let value = add_up(storage).await?;
        *kept = Some(Kept { at: now, value: value.clone() });
        Ok(value)
    }

    /// Counts how backups of a period ended, or returns what was counted less than a minute ago.
    pub(crate) async fn ended(
        &self,
        storage: &Storage,
        period: Period,
        now: DateTime<Utc>,
    ) -> Result<Ended, StorageError> {
        let mut kept = self.ended.lock().await;
        if let Some(kept) = kept.get(&period).filter(|kept| kept.is_fresh(now)) {
            return Ok(kept.value);
        }
        let value = status::count(storage, period, now).await?;
        kept.insert(period, Kept { at: now, value });
        Ok(value)
    }

    /// Finds out which databases are overdue, or returns what was found less than a minute ago.
    pub(crate) async fn overdue(
        &self,
        storage: &Storage,
        databases: &[Database],
        now: DateTime<Utc>,
    ) -> Result<Overdue, StorageError> {
        let mut kept = self.overdue.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| kept.is_fresh(now)) {
            return Ok(kept.value.clone());
        }
        let value = overdue(storage, databases, now).await?;
        *kept = Some(Kept { at: now, value: value.clone() });
        Ok(value)
    }
}

/// Adds up the files of every container in use. One that does not exist yet is empty.
pub(crate) async fn add_up(storage: &Storage) -> Result<Files, StorageError> {
    let mut containers = BTreeSet::from([storage.default_container().to_owned()]);
    let own = storage.databases.list().await?.into_iter().filter_map(|database| database.backup_destination);
    containers.extend(own.map(|container| container.to_string()));
    let mut files = Files::default();
    for container in &containers {
        let mut marker: Option<String> = None;
        loop {
            let page = storage.blobs.list(container, "", marker.as_deref(), PAGE).await?;
            for blob in page.blobs {
                files.add(&blob.name, blob.properties.bytes);
            }
            marker = page.marker;
            if marker.is_none() {
                break;
            }
        }
    }
    Ok(files)
}

impl Files {
    fn add(&mut self, name: &str, bytes: u64) {
        let one = Tally { count: 1, bytes };
        self.total.add(one);
        let mut parts = name.split('/');
        let (first, second) = (parts.next().unwrap_or_default(), parts.next());
        // In the layout of earlier systems the id comes first. A file beside the folders is nobody's.
        let id = match (first.parse::<DatabaseType>(), second) {
            (Ok(kind), Some(id)) => {
                self.by_type.entry(kind).or_default().add(one);
                id
            }
            (Err(_), Some(_)) => {
                self.older.entry(first.to_owned()).or_default().add(one);
                first
            }
            (_, None) => return,
        };
        self.by_database.entry(id.to_owned()).or_default().add(one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_the_second_part_or_the_first_of_older_names() {
        let mut files = Files::default();
        for name in ["mysql/db/a.sql", "mysql/db/b.sql", "db/2025/01/02/c.sql", "azure_sql/x/d.bak", "loose"]
        {
            files.add(name, 10);
        }
        let of = |count, bytes| Tally { count, bytes };
        assert_eq!(files.total, of(5, 50));
        let expected = [("db".to_owned(), of(3, 30)), ("x".to_owned(), of(1, 10))];
        assert_eq!(files.by_database, BTreeMap::from(expected));
        let expected = [(DatabaseType::Mysql, of(2, 20)), (DatabaseType::AzureSql, of(1, 10))];
        assert_eq!(files.by_type, BTreeMap::from(expected));
        assert_eq!(files.older, BTreeMap::from([("db".to_owned(), of(1, 10))]));
    }
}
