//! Secrets in Azure Key Vault.
//!
//! What is read is kept in memory for minutes, so that a tick with many databases asks once for each; a
//! refusal by the database makes the vault be asked again. A deleted secret of the same name, which the
//! vault keeps for a while, is recovered when the name is needed again.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use azure_core::credentials::TokenCredential;
use azure_core::error::ErrorKind;
use azure_core::http::{ClientOptions, ExponentialRetryOptions, RetryOptions, Transport};
use azure_security_keyvault_secrets::models::{Secret, SetSecretParameters};
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use super::{OpenError, SecretError, VaultFailure, same};
use crate::config::Identity;
use crate::identity;

/// How long a secret that was read is believed.
const BELIEVED: Duration = Duration::from_mins(5);

/// How long one reading or deletion may take with all its retries. A person may be waiting.
const LIMIT: Duration = Duration::from_secs(10);

/// How long writing may take: a deleted secret of the same name takes the vault some seconds to recover.
const WRITE_LIMIT: Duration = Duration::from_secs(25);

/// The pause between two looks at a secret that is being recovered or deleted.
const PAUSE: Duration = Duration::from_millis(500);

/// A key vault.
pub struct KeyVault {
    client: SecretClient,
    cache: Mutex<HashMap<String, (SecretString, Instant)>>,
}

impl fmt::Debug for KeyVault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyVault").field("endpoint", &self.client.endpoint().as_str()).finish_non_exhaustive()
    }
}

impl KeyVault {
    /// Opens a vault; nothing is sent yet.
    pub fn open(url: &Url, identity: &Identity) -> Result<Self, OpenError> {
        let transport = storage_account::transport()?;
        let credential = identity::credential(identity, transport.clone()).map_err(OpenError::Vault)?;
        Self::with(url, credential, transport).map_err(OpenError::Vault)
    }

    /// Opens a vault with a credential and a transport of one's own.
    pub fn with(
        url: &Url,
        credential: Arc<dyn TokenCredential>,
        transport: Transport,
    ) -> azure_core::Result<Self> {
        let retry = RetryOptions::exponential(ExponentialRetryOptions {
            initial_delay: azure_core::time::Duration::milliseconds(300),
            max_retries: 3,
            max_total_elapsed: azure_core::time::Duration::seconds(8),
            max_delay: azure_core::time::Duration::seconds(3),
        });
        let client_options = ClientOptions { retry, transport: Some(transport), ..ClientOptions::default() };
        let options = SecretClientOptions { client_options, ..SecretClientOptions::default() };
        let client = SecretClient::new(url.as_str(), credential, Some(options))?;
        Ok(Self { client, cache: Mutex::default() })
    }

    /// Reads a secret, from memory if it was read a short while ago.
    pub(super) async fn get(&self, name: &str) -> Result<SecretString, SecretError> {
        if let Some(known) = self.known(name) {
            return Ok(known);
        }
        let secret = limited(LIMIT, self.fetch(name)).await?;
        self.believe(name, &secret);
        Ok(secret)
    }

    /// Writes a secret, unless the vault has it already: each writing would add a version.
    pub(super) async fn set(&self, name: &str, secret: &SecretString) -> Result<(), SecretError> {
        self.distrust(name);
        let write = async {
            // An identity that may write but not read, or a vault without the secret, is no obstacle.
            if let Ok(present) = self.fetch(name).await
                && same(&present, secret)
            {
                return Ok(());
            }
            self.store(name, secret).await
        };
        limited(WRITE_LIMIT, write).await?;
        self.believe(name, secret);
        Ok(())
    }

    /// Deletes a secret; one that is not there is deleted already.
    pub(super) async fn delete(&self, name: &str) -> Result<(), SecretError> {
        self.distrust(name);
        let delete = async {
            match self.client.delete_secret(name, None).await.map_err(failure) {
                Ok(_) | Err(SecretError::Missing) => Ok(()),
                Err(error) => Err(error),
            }
        };
        limited(LIMIT, delete).await
    }

    /// Forgets what was read.
    pub(super) fn distrust(&self, name: &str) {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    async fn fetch(&self, name: &str) -> Result<SecretString, SecretError> {
        let answer = self.client.get_secret(name, None).await.map_err(failure)?;
        let secret: Secret = answer.into_model().map_err(failure)?;
        secret.value.map(Into::into).ok_or(SecretError::Missing)
    }

    /// Writes, and gets a deleted secret of the same name out of the way.
    async fn store(&self, name: &str, secret: &SecretString) -> Result<(), SecretError> {
        let value = SetSecretParameters {
            value: Some(secret.expose_secret().to_owned()),
            content_type: Some("text/plain".to_owned()),
            ..SetSecretParameters::default()
        };
        let mut asked = false;
        loop {
            let body = value.clone().try_into().map_err(failure)?;
            match self.client.set_secret(name, body, None).await {
                Ok(_) => return Ok(()),
                Err(error) if !is_conflict(&error) => return Err(failure(error)),
                // Deleted a while ago, or somebody is deleting or recovering it at this moment.
                Err(_) if !asked => asked = self.recover(name).await?,
                Err(_) => {}
            }
            sleep(PAUSE).await;
        }
    }

    /// Asks the vault to recover a deleted secret; `false` when it cannot do so at this moment.
    async fn recover(&self, name: &str) -> Result<bool, SecretError> {
        match self.client.recover_deleted_secret(name, None).await {
            Ok(_) => Ok(true),
            Err(error) if is_conflict(&error) => Ok(false),
            Err(error) => {
                let failure = failure(error);
                // It has been recovered or purged in this very moment.
                if matches!(failure, SecretError::Missing) { Ok(false) } else { Err(failure) }
            }
        }
    }

    fn known(&self, name: &str) -> Option<SecretString> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.retain(|_, (_, until)| *until > Instant::now());
        cache.get(name).map(|(secret, _)| secret.clone())
    }

    fn believe(&self, name: &str, secret: &SecretString) {
        let until = Instant::now() + BELIEVED;
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.insert(name.to_owned(), (secret.clone(), until));
    }
}

async fn limited<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, SecretError>>,
) -> Result<T, SecretError> {
    timeout(limit, call).await.unwrap_or_else(|_| {
        let text = format!("no answer within {} seconds", limit.as_secs());
        Err(SecretError::Unavailable(VaultFailure(text)))
    })
}

fn is_conflict(error: &azure_core::Error) -> bool {
    matches!(error.kind(), ErrorKind::HttpResponse { status, .. } if u16::from(*status) == 409)
}

/// Translates an error of the vendor's crate.
#[expect(clippy::needless_pass_by_value, reason = "in the form that map_err takes")]
fn failure(error: azure_core::Error) -> SecretError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the vendor may add kinds, and those may pass")]
    match error.kind() {
        ErrorKind::HttpResponse { status, error_code, .. } => {
            let status = u16::from(*status);
            // Without a code of the service, the crate repeats the status.
            let code = error_code.as_deref().filter(|code| code.bytes().all(|b| b.is_ascii_alphabetic()));
            let failure = VaultFailure(match code {
                Some(code) => format!("status {status}, {code}"),
                None => format!("status {status}"),
            });
            match status {
                404 => SecretError::Missing,
                401 | 403 => SecretError::Denied(failure),
                408 | 409 | 429 | 500.. => SecretError::Unavailable(failure),
                _ => SecretError::Refused(failure),
            }
        }
        // The text could quote the answer.
        ErrorKind::DataConversion => {
            SecretError::Refused(VaultFailure("the answer is not that of a key vault".to_owned()))
        }
        // Among these is a token that could not be had: the identity service may be busy.
        _ => SecretError::Unavailable(VaultFailure(identity::chain(&error))),
    }
}
