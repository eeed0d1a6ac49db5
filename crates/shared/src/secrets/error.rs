//! Why a secret cannot be kept or read, in words for the person who can change it.

use std::fmt;

/// The error of a store that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The HTTP client cannot be set up.
    #[error(transparent)]
    Transport(#[from] storage_account::TransportError),
    /// The identity or the address cannot be used.
    #[error("the key vault cannot be used; check KEY_VAULT_NAME or KEYVAULT_URL and the AZURE_… variables")]
    Vault(#[source] azure_core::Error),
}

/// The error of a secret that cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// No store is set up, and this is not a development installation.
    #[error(
        "no secret store is set up, so passwords cannot be kept; set KEY_VAULT_NAME or SECRETS_KEY, or \
         ENVIRONMENT=development on a developer's machine"
    )]
    NoStore,
    /// The secret is in a vault, and none is set up.
    #[error(
        "the secret is kept in a key vault, and none is set up; set KEY_VAULT_NAME and \
         ENVIRONMENT=production, or enter the password again"
    )]
    NoVault,
    /// The stored name is not one that this owner may have.
    #[error("the stored secret name does not belong to this entry; enter the password again")]
    ForeignName,
    /// The secret is sealed with a key that the programs do not have.
    #[error(
        "the stored secret is sealed with a key that is not set; set SECRETS_KEY_PREVIOUS to that key, or \
         enter the password again"
    )]
    UnknownKey,
    /// The sealed text was changed, or belongs to another owner.
    #[error(
        "the stored secret does not belong to this entry or was changed outside of this service; enter the \
         password again"
    )]
    Damaged,
    /// The vault does not have it.
    #[error("the key vault does not have the secret any more; recover it there or enter the password again")]
    Missing,
    /// The vault refuses the identity of this service.
    #[error(
        "the key vault refuses this service; give its identity the role Key Vault Secrets Officer and let \
         its network in"
    )]
    Denied(#[source] VaultFailure),
    /// The vault cannot be reached or is busy.
    #[error("the key vault cannot be reached or is busy; try again in a moment")]
    Unavailable(#[source] VaultFailure),
    /// The vault does not accept the request.
    #[error("the key vault does not accept the request; the log has its reason")]
    Refused(#[source] VaultFailure),
}

impl SecretError {
    /// Tells whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// What a vault answered, or why it did not. Never the answer's body, in which a server could repeat what
/// it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultFailure(pub(super) String);

impl fmt::Display for VaultFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for VaultFailure {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::ConnectionError;

    #[test]
    fn a_vault_that_is_away_is_another_failure_than_a_secret_that_is_gone() {
        let away = SecretError::Unavailable(VaultFailure("503".to_owned()));
        assert_eq!(ConnectionError::from(away).class(), "CredentialsUnavailable");
        for error in [SecretError::Missing, SecretError::Denied(VaultFailure("403".to_owned()))] {
            assert_eq!(ConnectionError::from(error).class(), "Credentials");
        }
    }
}
