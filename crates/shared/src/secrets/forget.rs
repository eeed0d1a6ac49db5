//! Secrets of the vault that no row names any more.
//!
//! What must stay true: a secret is deleted only when no row names it. A vault cannot be told to delete on a
//! condition, and a name may be taken again while it is being deleted; so whoever deletes looks before and
//! after, and whoever has just written a row that names a secret looks whether it is there. Of the two that
//! meet, at least one finds out and gets the secret back, which the vault keeps for a while. A program that
//! dies in between leaves a secret that nobody names (see [`Secrets::sweep`]).

use super::vault::KeyVault;
use super::{SecretError, SecretOwner, Secrets};
use crate::models::StoredSecret;
use crate::storage::{Storage, StorageError};

/// The error of a secret that could not be forgotten. It stays in the vault.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// The vault failed.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// It cannot be found out whether a row names it.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Secrets {
    /// Deletes a secret whose owner is gone, or does not use it any more, unless a row names it: the owner
    /// may have been written anew. What lies in the row goes with the row.
    pub async fn forget(
        &self,
        storage: &Storage,
        owner: SecretOwner<'_>,
        stored: &StoredSecret,
    ) -> Result<(), ForgetError> {
        match (stored, &self.vault) {
            (StoredSecret::Named { name, .. }, Some(vault)) if *name == owner.name() => {
                delete_unnamed(vault, storage, name).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Makes sure that a secret is there which a row names since a moment ago: somebody who was deleting an
    /// earlier owner of the name may have deleted it meanwhile.
    pub async fn confirm(&self, owner: SecretOwner<'_>, stored: &StoredSecret) -> Result<(), SecretError> {
        match (stored, &self.vault) {
            (StoredSecret::Named { name, version }, Some(vault)) if *name == owner.name() => {
                vault.ensure(name, version.as_deref()).await
            }
            _ => Ok(()),
        }
    }
}

/// Deletes a secret that no row names; `false` when one does.
pub(super) async fn delete_unnamed(
    vault: &KeyVault,
    storage: &Storage,
    name: &str,
) -> Result<bool, ForgetError> {
    if storage.names_secret(name).await? {
        return Ok(false);
    }
    vault.delete(name).await?;
    if storage.names_secret(name).await? {
        vault.ensure(name, None).await?;
        return Ok(false);
    }
    Ok(true)
}
