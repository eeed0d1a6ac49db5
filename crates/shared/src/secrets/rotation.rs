//! Moving every stored secret to the present place and under the present key.

use std::error::Error;

use super::{SecretError, SecretOwner, Secrets};
use crate::models::{Credentials, Database, DatabaseId, Engine, EngineId, StoredSecret};
use crate::storage::{LeftAlone, Storage, StorageError, StorageErrorKind, Versioned};

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

/// Where the secrets of an account are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// Whose secrets are in another place than the present one, or under an older key; with nothing better
    /// set up, whose are in plain text.
    pub to_move: Vec<String>,
    /// Rows that name a secret which is not their own, and is refused for that.
    pub foreign: Vec<LeftAlone>,
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

    /// Looks where the secrets of all databases and engines are. Changes nothing, and reads no vault.
    pub async fn survey(&self, storage: &Storage) -> Result<Survey, StorageError> {
        let mut survey = Survey::default();
        for database in storage.databases.list().await? {
            let Credentials::Own(login) = &database.credentials else { continue };
            let what = format!("the database {} ({})", database.name, database.id);
            self.look(&mut survey, &what, &[(SecretOwner::Database(&database.id), &login.password)]);
        }
        for engine in storage.engines.list().await? {
            let what = format!("the engine {} ({})", engine.name, engine.id);
            let password = (SecretOwner::Engine(&engine.id), &engine.login.password);
            let string = (SecretOwner::EngineConnectionString(&engine.id), &engine.connection_string);
            self.look(&mut survey, &what, &[password, string]);
        }
        Ok(survey)
    }

    fn look(&self, survey: &mut Survey, what: &str, secrets: &[(SecretOwner<'_>, &StoredSecret)]) {
        if secrets
            .iter()
            .any(|(_, stored)| matches!(stored, StoredSecret::Plain(_)) || !self.is_settled(stored))
        {
            survey.to_move.push(what.to_owned());
        }
        for (owner, stored) in secrets {
            if let StoredSecret::Named(name) = stored
                && *name != owner.name()
            {
                let why = format!(
                    "its password is kept under the name {name}, which is not its own ({}), and is not read; \
                     enter the password again",
                    owner.name()
                );
                survey.foreign.push(LeftAlone { row: what.to_owned(), why });
            }
        }
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
