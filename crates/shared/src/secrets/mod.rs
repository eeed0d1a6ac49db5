//! Where passwords and connection strings are kept.
//!
//! Secrets travel one road: from a request into the store, and from the store into the environment
//! of a child process or a private file. They are never in a message, a log, an audit record or an
//! answer.
//!
//! There are three places, in this order: a key vault; the owner's row, sealed with a key that only the
//! programs have; the owner's row in plain text, on a developer's machine. What is found in another place
//! than the present one is read all the same, and moves when its owner is next written.
//!
//! What must stay true: the owner's row alone says which secret counts. In a vault it names the version; one
//! that was written for a row that was then refused is nobody's, and the row's own stays readable.

mod error;
mod forget;
mod orphans;
mod rotation;
#[cfg(test)]
mod rotation_test;
mod sealed;
mod vault;

use std::error::Error;
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

pub use error::{OpenError, SecretError, VaultFailure};
pub use forget::ForgetError;
pub use orphans::{Orphan, Orphans};
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
            let version = Some(vault.set(&name, &secret).await?);
            return Ok(StoredSecret::Named { name, version });
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
            StoredSecret::Named { name, version } => {
                let is_own = *name == owner.name() && version.as_deref().is_none_or(is_version);
                match &self.vault {
                    _ if !is_own => Err(SecretError::ForeignName),
                    Some(vault) => vault.get(name, version.as_deref()).await.map(Some),
                    None => Err(SecretError::NoVault),
                }
            }
        }
    }

    /// Moves a secret to the present place, if it is kept elsewhere or under an older key, and returns
    /// what the owner's row is to hold. Where nothing better than the present place is set up, it stays.
    ///
    /// That the version of a secret in the vault cannot be noted is no reason to refuse what else is
    /// written: it is noted the next time.
    pub async fn settle(
        &self,
        owner: SecretOwner<'_>,
        stored: StoredSecret,
    ) -> Result<StoredSecret, SecretError> {
        match self.place(owner, &stored) {
            Placed::Here | Placed::OutOfReach(_) => Ok(stored),
            Placed::WithoutVersion => match self.pin(owner, &stored).await {
                Ok(pinned) => Ok(pinned.unwrap_or(stored)),
                Err(error) => {
                    let error: &dyn Error = &error;
                    tracing::warn!(error, name = owner.name(), "the version of a secret could not be noted");
                    Ok(stored)
                }
            },
            Placed::Elsewhere => self.carry(owner, &stored).await,
        }
    }

    /// Moves a secret that is kept elsewhere to the present place.
    async fn carry(
        &self,
        owner: SecretOwner<'_>,
        stored: &StoredSecret,
    ) -> Result<StoredSecret, SecretError> {
        match self.read(owner, stored).await? {
            Some(secret) => self.keep(owner, secret).await,
            None => Ok(StoredSecret::None),
        }
    }

    /// Finds out which version of the secret a row of an earlier system means, before another one is written;
    /// `None` when the row says so itself, or there is none.
    pub async fn pin(
        &self,
        owner: SecretOwner<'_>,
        stored: &StoredSecret,
    ) -> Result<Option<StoredSecret>, SecretError> {
        let (Placed::WithoutVersion, Some(vault)) = (self.place(owner, stored), &self.vault) else {
            return Ok(None);
        };
        let name = owner.name();
        match vault.newest(&name).await {
            Ok(version) => Ok(Some(StoredSecret::Named { name, version: Some(version) })),
            Err(SecretError::Missing) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Tells where a secret is, seen from where it would be kept now. Reads nothing.
    fn place(&self, owner: SecretOwner<'_>, stored: &StoredSecret) -> Placed {
        match stored {
            StoredSecret::Named { name, .. } if *name != owner.name() => {
                Placed::OutOfReach(SecretError::ForeignName)
            }
            StoredSecret::Named { version, .. } => match (&self.vault, version) {
                (None, _) => Placed::OutOfReach(SecretError::NoVault),
                (Some(_), None) => Placed::WithoutVersion,
                (Some(_), Some(_)) => Placed::Here,
            },
            StoredSecret::Sealed(text) => {
                let current = self.keys.as_ref().is_none_or(|keys| keys.is_current(text));
                if self.vault.is_none() && current { Placed::Here } else { Placed::Elsewhere }
            }
            StoredSecret::Plain(_) if self.is_set_up() => Placed::Elsewhere,
            StoredSecret::None | StoredSecret::Plain(_) => Placed::Here,
        }
    }

    /// Makes the next reading ask the vault again, since a database has refused what was read before.
    pub fn distrust(&self, owner: SecretOwner<'_>) {
        if let Some(vault) = &self.vault {
            vault.distrust(&owner.name());
        }
    }
}

/// Where a secret is, seen from where it would be kept now.
enum Placed {
    /// There.
    Here,
    /// In another place, or under an older key.
    Elsewhere,
    /// In the vault, in whichever version is the newest.
    WithoutVersion,
    /// Where it cannot be read.
    OutOfReach(SecretError),
}

/// Tells whether a text can be a version of a vault's; it becomes a part of an address.
fn is_version(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Compares secrets in a time that does not tell where they differ.
pub(crate) fn same(one: &SecretString, two: &SecretString) -> bool {
    one.expose_secret().as_bytes().ct_eq(two.expose_secret().as_bytes()).into()
}
