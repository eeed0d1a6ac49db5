//! Databases, engines, policies, users and settings: what people configure.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::filter::{Filter, PARTITION};
use super::repository::{self, Versioned};
use super::rows::{Row as _, database, deletion_begun, engine, policy, settings};
use super::table::{ETag, Entity, Expect, Key, Query, Table, Value, query_all};
use super::{StorageError, StorageErrorKind};
use crate::models::{
    AppSettings, BackupPolicy, Database, DatabaseId, Engine, EngineId, PolicyId, system_policies,
};

/// The configured databases.
#[derive(Debug, Clone)]
pub struct Databases {
    pub(super) table: Arc<dyn Table>,
}

impl Databases {
    /// Stores a new database; `AlreadyExists` when the id is taken.
    pub async fn insert(&self, database: &Database) -> Result<ETag, StorageError> {
        self.table.insert(&database.entity()).await
    }

    /// Reads one.
    pub async fn get(&self, id: &DatabaseId) -> Result<Option<Versioned<Database>>, StorageError> {
        repository::get(&*self.table, &Key::new(database::PARTITION, id.as_str())).await
    }

    /// Reads all; unreadable rows are skipped and logged.
    pub async fn list(&self) -> Result<Vec<Database>, StorageError> {
        let all = Query::matching(Filter::eq(PARTITION, database::PARTITION));
        repository::list(&*self.table, &all).await
    }

    /// Changes one, if it is still as it was read.
    pub async fn update(&self, database: &Database, etag: &ETag) -> Result<ETag, StorageError> {
        repository::update(&*self.table, database, etag).await
    }

    /// Deletes one; `false` when there was none.
    pub async fn delete(&self, id: &DatabaseId) -> Result<bool, StorageError> {
        repository::delete(&*self.table, &Key::new(database::PARTITION, id.as_str())).await
    }

    /// Deletes one if it is still as it was read; `false` when there was none.
    pub async fn delete_version(&self, id: &DatabaseId, etag: &ETag) -> Result<bool, StorageError> {
        let key = Key::new(database::PARTITION, id.as_str());
        repository::delete_if(&*self.table, &key, &Expect::Version(etag.clone())).await
    }

    /// Notes that the deletion of one and of all that belongs to it begins, if it is still as it was read.
    pub async fn begin_deletion(
        &self,
        id: &DatabaseId,
        etag: &ETag,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        let key = Key::new(database::PARTITION, id.as_str());
        self.table.merge(&key, &deletion_begun(now), &Expect::Version(etag.clone())).await.map(drop)
    }

    /// Counts those that have chosen a policy themselves, rows that cannot be read included.
    pub async fn count_with_policy(&self, id: &PolicyId) -> Result<usize, StorageError> {
        self.count("policy_id", id.as_str()).await
    }

    /// Counts those of an engine, rows that cannot be read included.
    pub async fn count_on_engine(&self, id: &EngineId) -> Result<usize, StorageError> {
        self.count("engine_id", id.as_str()).await
    }

    async fn count(&self, property: &'static str, value: &str) -> Result<usize, StorageError> {
        let of_databases = Filter::eq(PARTITION, database::PARTITION);
        let filter = Filter::And(vec![of_databases, Filter::eq(property, value)]);
        let query = Query { select: vec![property], ..Query::matching(filter) };
        Ok(query_all(&*self.table, &query).await?.len())
    }
}

/// The configured database servers. Earlier systems kept them in the table of databases; both
/// places are read, and the own table wins.
#[derive(Debug, Clone)]
pub struct Engines {
    pub(super) table: Arc<dyn Table>,
    pub(super) older: Arc<dyn Table>,
}

impl Engines {
    /// Stores a new engine.
    pub async fn insert(&self, engine: &Engine) -> Result<ETag, StorageError> {
        self.table.insert(&engine.entity()).await
    }

    /// Reads one, wherever it is.
    pub async fn get(&self, id: &EngineId) -> Result<Option<Versioned<Engine>>, StorageError> {
        let key = Key::new(engine::PARTITION, id.as_str());
        match repository::get(&*self.table, &key).await? {
            Some(found) => Ok(Some(found)),
            None => repository::get(&*self.older, &key).await,
        }
    }

    /// Reads all, of both places.
    pub async fn list(&self) -> Result<Vec<Engine>, StorageError> {
        let all = Query::matching(Filter::eq(PARTITION, engine::PARTITION));
        let older: Vec<Engine> = repository::list(&*self.older, &all).await?;
        let newer: Vec<Engine> = repository::list(&*self.table, &all).await?;
        let joined: BTreeMap<EngineId, Engine> =
            older.into_iter().chain(newer).map(|engine| (engine.id.clone(), engine)).collect();
        Ok(joined.into_values().collect())
    }

    /// Returns the ids of those whose rows cannot be read, of either place.
    pub async fn unreadable(&self) -> Result<Vec<String>, StorageError> {
        let all = Query::matching(Filter::eq(PARTITION, engine::PARTITION));
        let mut ids = repository::unreadable_keys::<Engine>(&*self.table, &all).await?;
        ids.extend(repository::unreadable_keys::<Engine>(&*self.older, &all).await?);
        Ok(ids)
    }

    /// Changes one. An engine that is still in the older place is moved to the new one: its old row may
    /// hold a password as plain text, and does not count any more.
    pub async fn update(&self, engine: &Engine, etag: &ETag) -> Result<ETag, StorageError> {
        match repository::update(&*self.table, engine, etag).await {
            Err(error) if error.kind() == StorageErrorKind::NotFound => {
                let key = Key::new(engine::PARTITION, engine.id.as_str());
                // Only what was read may move: an engine that was deleted meanwhile must not come back.
                let Some(older) = self.older.get(&key).await? else { return Err(error) };
                if older.etag.as_ref() != Some(etag) {
                    return Err(StorageError::new(StorageErrorKind::Changed, "update", key.to_string()));
                }
                let moved = match self.insert(engine).await {
                    Err(error) if error.kind() == StorageErrorKind::AlreadyExists => {
                        return Err(StorageError::new(StorageErrorKind::Changed, "update", key.to_string()));
                    }
                    other => other?,
                };
                if let Err(error) = repository::delete(&*self.older, &key).await {
                    // The change is made. A take-over or the deletion of the engine removes what stays.
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        engine = %engine.id,
                        "the old row of an engine that has moved could not be removed"
                    );
                }
                Ok(moved)
            }
            other => other,
        }
    }

    /// Deletes one from both places; `false` when it was in neither.
    pub async fn delete(&self, id: &EngineId) -> Result<bool, StorageError> {
        let key = Key::new(engine::PARTITION, id.as_str());
        let older = repository::delete(&*self.older, &key).await?;
        Ok(repository::delete(&*self.table, &key).await? || older)
    }

    /// Deletes one from both places if it is still as it was read; `false` when it was in neither.
    ///
    /// Where it is in both, the row of the older place does not count and goes first, so that it does not
    /// count again if this program dies in between.
    pub async fn delete_version(&self, id: &EngineId, etag: &ETag) -> Result<bool, StorageError> {
        let key = Key::new(engine::PARTITION, id.as_str());
        let expect = Expect::Version(etag.clone());
        if self.table.get(&key).await?.is_none() {
            return repository::delete_if(&*self.older, &key, &expect).await;
        }
        repository::delete(&*self.older, &key).await?;
        repository::delete_if(&*self.table, &key, &expect).await
    }

    /// Notes that the deletion of one and of its databases begins, if it is still as it was read.
    pub async fn begin_deletion(
        &self,
        id: &EngineId,
        etag: &ETag,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        let key = Key::new(engine::PARTITION, id.as_str());
        let (note, expect) = (deletion_begun(now), Expect::Version(etag.clone()));
        match self.table.merge(&key, &note, &expect).await {
            Err(error) if error.kind() == StorageErrorKind::NotFound => {
                self.older.merge(&key, &note, &expect).await.map(drop)
            }
            other => other.map(drop),
        }
    }

    /// Counts those whose default is a policy, rows that cannot be read included.
    pub async fn count_with_policy(&self, id: &PolicyId) -> Result<usize, StorageError> {
        let all = Query::matching(Filter::eq(PARTITION, engine::PARTITION));
        let query = Query { select: vec!["policy_id"], ..all };
        // An engine that was changed has left a row in the older place, which does not count any more.
        let older = query_all(&*self.older, &query).await?;
        let newer = query_all(&*self.table, &query).await?;
        let joined: BTreeMap<String, Entity> =
            older.into_iter().chain(newer).map(|row| (row.key.row.clone(), row)).collect();
        let wanted = Value::from(id.as_str());
        Ok(joined.values().filter(|row| row.properties.get("policy_id") == Some(&wanted)).count())
    }
}

/// The backup policies.
#[derive(Debug, Clone)]
pub struct Policies {
    pub(super) table: Arc<dyn Table>,
}

impl Policies {
    /// Makes the system policies that are missing; existing rows are left as they are.
    pub async fn seed(&self, now: DateTime<Utc>) -> Result<(), StorageError> {
        for policy in system_policies(now) {
            match self.table.insert(&policy.entity()).await {
                Err(error) if error.kind() != StorageErrorKind::AlreadyExists => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Stores a new policy; `AlreadyExists` when the id is taken.
    pub async fn insert(&self, policy: &BackupPolicy) -> Result<ETag, StorageError> {
        self.table.insert(&policy.entity()).await
    }

    /// Changes one, if it is still as it was read.
    pub async fn update(&self, policy: &BackupPolicy, etag: &ETag) -> Result<ETag, StorageError> {
        repository::update(&*self.table, policy, etag).await
    }

    /// Deletes one; `false` when there was none.
    pub async fn delete(&self, id: &PolicyId) -> Result<bool, StorageError> {
        repository::delete(&*self.table, &Key::new(policy::PARTITION, id.as_str())).await
    }

    /// Deletes one if it is still as it was read; `false` when there was none.
    pub async fn delete_version(&self, id: &PolicyId, etag: &ETag) -> Result<bool, StorageError> {
        let key = Key::new(policy::PARTITION, id.as_str());
        repository::delete_if(&*self.table, &key, &Expect::Version(etag.clone())).await
    }

    /// Reads one.
    pub async fn get(&self, id: &PolicyId) -> Result<Option<Versioned<BackupPolicy>>, StorageError> {
        repository::get(&*self.table, &Key::new(policy::PARTITION, id.as_str())).await
    }

    /// Reads all.
    pub async fn list(&self) -> Result<Vec<BackupPolicy>, StorageError> {
        let all = Query::matching(Filter::eq(PARTITION, policy::PARTITION));
        repository::list(&*self.table, &all).await
    }

    /// Returns the ids of those whose rows cannot be read.
    pub async fn unreadable(&self) -> Result<Vec<String>, StorageError> {
        let all = Query::matching(Filter::eq(PARTITION, policy::PARTITION));
        repository::unreadable_keys::<BackupPolicy>(&*self.table, &all).await
    }
}

/// The settings of the installation.
#[derive(Debug, Clone)]
pub struct Settings {
    pub(super) table: Arc<dyn Table>,
    pub(super) default_retention_days: u16,
}

impl Settings {
    /// Reads the settings, or the defaults where nothing is stored.
    pub async fn get(&self, now: DateTime<Utc>) -> Result<AppSettings, StorageError> {
        Ok(self.read(now).await?.0)
    }

    /// Reads the settings together with the version of their row; `None` where nothing is stored.
    pub async fn read(&self, now: DateTime<Utc>) -> Result<(AppSettings, Option<ETag>), StorageError> {
        let stored: Option<Versioned<AppSettings>> = repository::get(&*self.table, &settings::key()).await?;
        Ok(match stored {
            Some(stored) => (stored.value, Some(stored.etag)),
            None => (AppSettings::defaults(self.default_retention_days, now), None),
        })
    }

    /// Stores the settings if they are still as they were read; else `Changed` or `AlreadyExists`.
    pub async fn store(&self, settings: &AppSettings, read: Option<&ETag>) -> Result<(), StorageError> {
        match read {
            Some(etag) => repository::update(&*self.table, settings, etag).await.map(drop),
            None => self.table.insert(&settings.entity()).await.map(drop),
        }
    }
}
