//! Moving every stored secret to the present place and under the present key.

use std::error::Error;

use super::{SecretError, SecretOwner, Secrets};
use crate::models::{Credentials, Database, DatabaseId, Engine, EngineId, StoredSecret};
use crate::storage::{Storage, StorageError, StorageErrorKind, Versioned};

/// How often a row is read again when somebody else changes it at the same time.
const TRIES: u32 = 3;

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotated {
    /// How many databases and engines have secrets that were moved.
    pub moved: usize,
    /// How many had theirs in the right place already.
    pub settled: usize,
    /// What could not be moved, and why. The old key is still needed for these.
    pub failed: Vec<String>,
}

/// Why a row was not written.
#[derive(Debug, thiserror::Error)]
enum RowError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("somebody else keeps changing it")]
    Busy,
}

impl Secrets {
    /// Tells whether there is a better place for secrets than plain text.
    pub fn is_set_up(&self) -> bool {
        self.vault.is_some() || self.keys.is_some()
    }

    /// Moves the secrets of all databases and engines, one row after the other. It can be stopped and
    /// started again at any moment: each row is whole before and after.
    pub async fn rotate(&self, storage: &Storage) -> Result<Rotated, StorageError> {
        let mut rotated = Rotated::default();
        for database in storage.databases.list().await? {
            let outcome = self.rotate_database(storage, &database.id).await;
            rotated.note(&format!("the database {} ({})", database.name, database.id), outcome);
        }
        for engine in storage.engines.list().await? {
            let outcome = self.rotate_engine(storage, &engine.id).await;
            rotated.note(&format!("the engine {} ({})", engine.name, engine.id), outcome);
        }
        Ok(rotated)
    }

    async fn rotate_database(&self, storage: &Storage, id: &DatabaseId) -> Result<bool, RowError> {
        for _ in 0..TRIES {
            let Some(Versioned { value: mut database, etag }) = storage.databases.get(id).await? else {
                return Ok(false);
            };
            if !self.settle_database(&mut database).await? {
                return Ok(false);
            }
            match storage.databases.update(&database, &etag).await {
                Err(error) if error.kind() == StorageErrorKind::Changed => {}
                other => return Ok(other.map(|_| true)?),
            }
        }
        Err(RowError::Busy)
    }

    async fn rotate_engine(&self, storage: &Storage, id: &EngineId) -> Result<bool, RowError> {
        for _ in 0..TRIES {
            let Some(Versioned { value: mut engine, etag }) = storage.engines.get(id).await? else {
                return Ok(false);
            };
            if !self.settle_engine(&mut engine).await? {
                return Ok(false);
            }
            match storage.engines.update(&engine, &etag).await {
                Err(error) if error.kind() == StorageErrorKind::Changed => {}
                other => return Ok(other.map(|_| true)?),
            }
        }
        Err(RowError::Busy)
    }

    /// Moves the password of a database that is about to be written, and tells whether it had to; see
    /// [`Self::settle`]. After an error the database must not be written.
    pub async fn settle_database(&self, database: &mut Database) -> Result<bool, SecretError> {
        let Credentials::Own(login) = &mut database.credentials else { return Ok(false) };
        self.settle_in_place(SecretOwner::Database(&database.id), &mut login.password).await
    }

    /// Moves the secrets of an engine that is about to be written, and tells whether it had to; see
    /// [`Self::settle`]. After an error the engine must not be written.
    pub async fn settle_engine(&self, engine: &mut Engine) -> Result<bool, SecretError> {
        let password =
            self.settle_in_place(SecretOwner::Engine(&engine.id), &mut engine.login.password).await?;
        let owner = SecretOwner::EngineConnectionString(&engine.id);
        Ok(self.settle_in_place(owner, &mut engine.connection_string).await? || password)
    }

    async fn settle_in_place(
        &self,
        owner: SecretOwner<'_>,
        stored: &mut StoredSecret,
    ) -> Result<bool, SecretError> {
        if self.is_settled(stored) {
            return Ok(false);
        }
        *stored = self.settle(owner, std::mem::take(stored)).await?;
        Ok(true)
    }
}

impl Rotated {
    fn note(&mut self, what: &str, outcome: Result<bool, RowError>) {
        match outcome {
            Ok(true) => self.moved += 1,
            Ok(false) => self.settled += 1,
            Err(error) => {
                tracing::warn!(error = &error as &dyn Error, what, "a secret could not be moved");
                self.failed.push(format!("{what}: {error}"));
            }
        }
    }
}
