//! Moving every stored secret to the present place and under the present key.
//!
//! What must stay true: whatever is left where it is, is named with the reason. Somebody takes the old key
//! away when nothing is named.

use std::error::Error;

use super::{Placed, SecretError, SecretOwner, Secrets};
use crate::models::{Credentials, Database, DatabaseId, Engine, EngineId, Place, Restore, StoredSecret};
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
    /// What was not moved, and why: rows whose secrets cannot be moved, rows that cannot be read, restores
    /// that have not ended. The old key is still needed for these.
    pub failed: Vec<String>,
}

/// Where the secrets of an account are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// Whose secrets are in another place than the present one, or under an older key; with nothing better
    /// set up, whose are in plain text.
    pub to_move: Vec<String>,
    /// Rows whose secret cannot be read from where they say that it is, such as those that name a secret which
    /// is not their own.
    pub out_of_reach: Vec<LeftAlone>,
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

/// What came of the secrets of one row.
#[derive(Debug, Default)]
struct Settled {
    /// Whether the row has to be written.
    moved: bool,
    /// Why some stay where they are.
    left: Vec<SecretError>,
}

impl Secrets {
    /// Tells whether there is a better place for secrets than plain text.
    pub fn is_set_up(&self) -> bool {
        self.vault.is_some() || self.keys.is_some()
    }

    /// Moves the secrets of all databases and engines, one row after the other. It can be stopped and
    /// started again at any moment: each row is whole before and after.
    ///
    /// The password of a restore that has not ended is not moved: its processor writes the row every few
    /// seconds.
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
        for restore in storage.restores.list().await? {
            if let Some(line) = self.kept_by(&restore) {
                rotated.failed.push(line);
            }
        }
        for LeftAlone { row, why } in storage.unreadable_with_secrets().await? {
            rotated.failed.push(format!("the row {row}, which holds a secret, cannot be read: {why}"));
        }
        Ok(rotated)
    }

    /// Says why the password of a restore stays where it is, if it is not where it would be kept now.
    fn kept_by(&self, restore: &Restore) -> Option<String> {
        let Place::Server { password, .. } = &restore.place else { return None };
        if restore.is_finished() {
            return None;
        }
        let (id, owner) = (&restore.id, SecretOwner::Restore(&restore.id));
        match self.place(owner, password) {
            Placed::Here => None,
            Placed::OutOfReach(error) => Some(format!("the restore {id}: {error}")),
            Placed::Elsewhere | Placed::WithoutVersion => Some(format!(
                "the restore {id} into {} has not ended; run this again when it has",
                restore.database
            )),
        }
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
        let mut to_move = false;
        for (owner, stored) in secrets {
            to_move |= match self.place(*owner, stored) {
                Placed::Here => matches!(stored, StoredSecret::Plain(_)),
                Placed::Elsewhere | Placed::WithoutVersion => true,
                Placed::OutOfReach(error) => {
                    let name = match stored {
                        StoredSecret::Named { name, .. } => name.as_str(),
                        StoredSecret::None | StoredSecret::Sealed(_) | StoredSecret::Plain(_) => "",
                    };
                    let own = owner.name();
                    let why = if name == own {
                        format!("its password is kept under the name {name}: {error}")
                    } else {
                        format!(
                            "its password is kept under the name {name}, which is not its own ({own}), and is \
                             not read; enter the password again"
                        )
                    };
                    survey.out_of_reach.push(LeftAlone { row: what.to_owned(), why });
                    false
                }
            };
        }
        if to_move {
            survey.to_move.push(what.to_owned());
        }
    }

    async fn rotate_database(&self, storage: &Storage, id: &DatabaseId) -> Result<Settled, RowError> {
        for _ in 0..TRIES {
            let Some(Versioned { value: mut database, etag }) = storage.databases.get(id).await? else {
                return Ok(Settled::default());
            };
            let Credentials::Own(login) = &mut database.credentials else { return Ok(Settled::default()) };
            let mut settled = Settled::default();
            self.rotate_in_place(SecretOwner::Database(id), &mut login.password, &mut settled).await;
            if !settled.moved {
                return Ok(settled);
            }
            match storage.databases.update(&database, &etag).await {
                Err(error) if error.kind() == StorageErrorKind::Changed => {}
                other => return Ok(other.map(|_| settled)?),
            }
        }
        Err(RowError::Busy)
    }

    async fn rotate_engine(&self, storage: &Storage, id: &EngineId) -> Result<Settled, RowError> {
        for _ in 0..TRIES {
            let Some(Versioned { value: mut engine, etag }) = storage.engines.get(id).await? else {
                return Ok(Settled::default());
            };
            let mut settled = Settled::default();
            self.rotate_in_place(SecretOwner::Engine(id), &mut engine.login.password, &mut settled).await;
            let owner = SecretOwner::EngineConnectionString(id);
            self.rotate_in_place(owner, &mut engine.connection_string, &mut settled).await;
            if !settled.moved {
                return Ok(settled);
            }
            match storage.engines.update(&engine, &etag).await {
                Err(error) if error.kind() == StorageErrorKind::Changed => {}
                other => return Ok(other.map(|_| settled)?),
            }
        }
        Err(RowError::Busy)
    }

    /// Moves a secret of a row, and notes why it stays where it does.
    async fn rotate_in_place(
        &self,
        owner: SecretOwner<'_>,
        stored: &mut StoredSecret,
        settled: &mut Settled,
    ) {
        let moved = match self.place(owner, stored) {
            Placed::Here => return,
            Placed::OutOfReach(error) => Err(error),
            Placed::Elsewhere => self.carry(owner, stored).await,
            Placed::WithoutVersion => {
                self.pin(owner, stored).await.and_then(|pinned| pinned.ok_or(SecretError::Missing))
            }
        };
        match moved {
            Ok(moved) => {
                *stored = moved;
                settled.moved = true;
            }
            Err(error) => settled.left.push(error),
        }
    }

    /// Moves the password of a database that is about to be written; see [`Self::settle`]. After an error the
    /// database must not be written.
    pub async fn settle_database(&self, database: &mut Database) -> Result<(), SecretError> {
        if let Credentials::Own(login) = &mut database.credentials {
            let owner = SecretOwner::Database(&database.id);
            login.password = self.settle(owner, std::mem::take(&mut login.password)).await?;
        }
        Ok(())
    }

    /// Moves the secrets of an engine that is about to be written; see [`Self::settle`]. After an error the
    /// engine must not be written.
    pub async fn settle_engine(&self, engine: &mut Engine) -> Result<(), SecretError> {
        let owner = SecretOwner::Engine(&engine.id);
        engine.login.password = self.settle(owner, std::mem::take(&mut engine.login.password)).await?;
        let owner = SecretOwner::EngineConnectionString(&engine.id);
        engine.connection_string = self.settle(owner, std::mem::take(&mut engine.connection_string)).await?;
        Ok(())
    }
}

impl Rotated {
    fn note(&mut self, what: &str, outcome: Result<Settled, RowError>) {
        let left = match outcome {
            Ok(Settled { moved, left }) => {
                self.moved += usize::from(moved);
                self.settled += usize::from(!moved && left.is_empty());
                left.into_iter().map(RowError::Secret).collect()
            }
            Err(error) => vec![error],
        };
        for error in left {
            tracing::warn!(error = &error as &dyn Error, what, "a secret could not be moved");
            let line = format!("{what}: {error}");
            // An engine may have two secrets under one lost key.
            if self.failed.last() != Some(&line) {
                self.failed.push(line);
            }
        }
    }
}
