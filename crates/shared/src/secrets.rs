//! Where passwords and connection strings are kept.
//!
//! Secrets travel one road: from a request into the store, and from the store into the environment
//! of a child process or a private file. They are never in a message, a log, an audit record or an
//! answer.

use secrecy::SecretString;

use crate::config::{Config, Environment};
use crate::models::{DatabaseId, EngineId, StoredSecret};

/// Whose secret it is. A stored name is believed only if it is the owner's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretOwner<'a> {
    /// The password of a database's own login.
    Database(&'a DatabaseId),
    /// The password of an engine's login.
    Engine(&'a EngineId),
    /// The connection string of an engine.
    EngineConnectionString(&'a EngineId),
}

impl SecretOwner<'_> {
    /// Returns the name under which the secret is kept.
    pub fn name(self) -> String {
        match self {
            Self::Database(id) => format!("database-{id}"),
            Self::Engine(id) => format!("engine-{id}"),
            Self::EngineConnectionString(id) => format!("engine-{id}-cs"),
        }
    }
}

/// The error of a secret that cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// No store is set up, and this is not a development installation.
    #[error(
        "no secret store is set up, so passwords cannot be kept; set KEY_VAULT_NAME, or \
         ENVIRONMENT=development on a developer's machine"
    )]
    NoStore,
    /// The stored name is not one that this owner may have.
    #[error("the stored secret name does not belong to this entry; enter the password again")]
    ForeignName,
}

/// The secret store.
#[derive(Debug, Clone)]
pub struct Secrets {
    plain_text: bool,
}

impl Secrets {
    /// Sets up the store that the configuration asks for.
    pub fn new(config: &Config) -> Self {
        Self { plain_text: config.environment == Environment::Development }
    }

    /// Keeps a secret and returns what the owner's row is to hold.
    #[expect(clippy::unused_async, reason = "stores other than the row itself are reached over the network")]
    pub async fn keep(
        &self,
        _owner: SecretOwner<'_>,
        secret: SecretString,
    ) -> Result<StoredSecret, SecretError> {
        if self.plain_text { Ok(StoredSecret::Plain(secret)) } else { Err(SecretError::NoStore) }
    }

    /// Reads a secret; `None` when none is kept.
    #[expect(clippy::unused_async, reason = "stores other than the row itself are reached over the network")]
    pub async fn read(
        &self,
        owner: SecretOwner<'_>,
        stored: &StoredSecret,
    ) -> Result<Option<SecretString>, SecretError> {
        match stored {
            StoredSecret::None => Ok(None),
            StoredSecret::Plain(secret) => Ok(Some(secret.clone())),
            StoredSecret::Named(name) if *name != owner.name() => Err(SecretError::ForeignName),
            StoredSecret::Named(_) => Err(SecretError::NoStore),
        }
    }
}
