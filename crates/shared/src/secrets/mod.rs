//! Where passwords and connection strings are kept.
//!
//! Secrets travel one road: from a request into the store, and from the store into the environment
//! of a child process or a private file. They are never in a message, a log, an audit record or an
//! answer.
//!
//! There are three places, in this order: a key vault; the owner's row, sealed with a key that only the
//! programs have; the owner's row in plain text, on a developer's machine. What is found in another place
//! than the present one is read all the same, and moves when its owner is next written.

mod error;
mod rotation;
#[cfg(test)]
mod rotation_test;
mod sealed;
mod vault;

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

pub use error::{OpenError, SecretError, VaultFailure};
pub use rotation::{Rotated, Survey};
pub use sealed::{InvalidKey, SealingKey, SealingKeys};
pub use vault::KeyVault;

use crate::config::{Config, Environment};
use crate::identity::Tokens;
use crate::models::{DatabaseId, EngineId, RestoreId, StoredSecret};

/// Whose secret it is. A stored name is believed only if it is the owner's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretOwner<'a> {
    /// The password of a database's own login.
    Database(&'a DatabaseId),
    /// The password of an engine's login.
    Engine(&'a EngineId),
    /// The connection string of an engine.
    EngineConnectionString(&'a EngineId),
    /// The password for the target of a restore, kept until that has ended.
    Restore(&'a RestoreId),
}

impl SecretOwner<'_> {
    /// Returns the name under which the secret is kept.
    pub fn name(self) -> String {
        match self {
            Self::Database(id) => format!("database-{id}"),
            Self::Engine(id) => format!("engine-{id}"),
            Self::EngineConnectionString(id) => format!("engine-{id}-cs"),
            Self::Restore(id) => format!("restore-{id}"),
        }
    }

    /// Returns a text that no other owner has. Names alone would not do: that of an engine's connection
    /// string is the name of the password of an engine whose id ends in `-cs`.
    fn identity(self) -> String {
        match self {
            Self::Database(id) => format!("database/password/{id}"),
            Self::Engine(id) => format!("engine/password/{id}"),
            Self::EngineConnectionString(id) => format!("engine/connection-string/{id}"),
            Self::Restore(id) => format!("restore/password/{id}"),
        }
    }
}

/// The secret store.
#[derive(Debug, Clone)]
pub struct Secrets {
    vault: Option<Arc<KeyVault>>,
    keys: Option<Arc<SealingKeys>>,
    plain_text: bool,
    tokens: Arc<Tokens>,
}

impl Secrets {
    /// Sets up the store that the configuration asks for. Nothing is sent yet.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        let vault = match &config.secrets.vault {
            Some(url) => Some(KeyVault::open(url, &config.identity)?),
            None => None,
        };
        Ok(Self::assemble(config, vault))
    }

    /// Sets up the store on a vault that is open already, or on none.
    pub fn assemble(config: &Config, vault: Option<KeyVault>) -> Self {
        Self {
            vault: vault.map(Arc::new),
            keys: config.secrets.keys.clone().map(Arc::new),
            plain_text: config.environment == Environment::Development,
            tokens: Arc::new(Tokens::new(config)),
        }
    }

    /// Takes the tokens for databases from elsewhere.
    #[must_use]
    pub fn with_tokens(mut self, tokens: Tokens) -> Self {
        self.tokens = Arc::new(tokens);
        self
    }

    /// Returns the tokens by which databases are signed in to without a password.
    pub(crate) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Keeps a secret and returns what the owner's row is to hold.
    pub async fn keep(
        &self,
        owner: SecretOwner<'_>,
        secret: SecretString,
    ) -> Result<StoredSecret, SecretError> {
        if let Some(vault) = &self.vault {
            let name = owner.name();
            vault.set(&name, &secret).await?;
            return Ok(StoredSecret::Named(name));
        }
        match &self.keys {
            Some(keys) => keys.seal(&owner.identity(), &secret).map(StoredSecret::Sealed),
            None if self.plain_text => Ok(StoredSecret::Plain(secret)),
            None => Err(SecretError::NoStore),
        }
    }

    /// Reads a secret; `None` when none is kept.
    pub async fn read(
        &self,
        owner: SecretOwner<'_>,
        stored: &StoredSecret,
    ) -> Result<Option<SecretString>, SecretError> {
        match stored {
            StoredSecret::None => Ok(None),
            StoredSecret::Plain(secret) => Ok(Some(secret.clone())),
            StoredSecret::Sealed(text) => match &self.keys {
                Some(keys) => keys.open(&owner.identity(), text).map(Some),
                None => Err(SecretError::UnknownKey),
            },
            StoredSecret::Named(name) if *name != owner.name() => Err(SecretError::ForeignName),
            StoredSecret::Named(name) => match &self.vault {
                Some(vault) => vault.get(name).await.map(Some),
                None => Err(SecretError::NoVault),
            },
        }
    }

    /// Moves a secret to the present place, if it is kept elsewhere or under an older key, and returns
    /// what the owner's row is to hold. Where nothing better than the present place is set up, it stays.
    pub async fn settle(
        &self,
        owner: SecretOwner<'_>,
        stored: StoredSecret,
    ) -> Result<StoredSecret, SecretError> {
        if self.is_settled(&stored) {
            return Ok(stored);
        }
        match self.read(owner, &stored).await? {
            Some(secret) => self.keep(owner, secret).await,
            None => Ok(StoredSecret::None),
        }
    }

    /// Tells whether a secret is where it would be kept now.
    fn is_settled(&self, stored: &StoredSecret) -> bool {
        match stored {
            StoredSecret::None | StoredSecret::Named(_) => true,
            StoredSecret::Sealed(text) => {
                self.vault.is_none() && self.keys.as_ref().is_none_or(|keys| keys.is_current(text))
            }
            StoredSecret::Plain(_) => !self.is_set_up(),
        }
    }

    /// Deletes a secret whose owner is gone, or does not use it any more. What lies in the row goes with
    /// the row.
    pub async fn forget(&self, owner: SecretOwner<'_>, stored: &StoredSecret) -> Result<(), SecretError> {
        match (stored, &self.vault) {
            (StoredSecret::Named(name), Some(vault)) if *name == owner.name() => vault.delete(name).await,
            _ => Ok(()),
        }
    }

    /// Makes the next reading ask the vault again, since a database has refused what was read before.
    pub fn distrust(&self, owner: SecretOwner<'_>) {
        if let Some(vault) = &self.vault {
            vault.distrust(&owner.name());
        }
    }
}

/// Compares secrets in a time that does not tell where they differ.
pub(crate) fn same(one: &SecretString, two: &SecretString) -> bool {
    one.expose_secret().as_bytes().ct_eq(two.expose_secret().as_bytes()).into()
}
