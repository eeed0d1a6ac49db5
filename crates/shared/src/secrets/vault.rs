//! Secrets in Azure Key Vault.
//!
//! A secret is read and remembered by name *and* version, as its owner's row says: whoever writes another
//! version whose row is then refused, or belongs to another program's memory, changes nothing for anybody.
//! Rows of an earlier system name no version and mean the newest.
//!
//! What is read is kept in memory for minutes, so that a tick with many databases asks once for each; a
//! refusal by the database makes the vault be asked again. A deleted secret of the same name, which the
//! vault keeps for a while with all its versions, is recovered when the name is needed again.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use azure_core::credentials::TokenCredential;
use azure_core::error::ErrorKind;
use azure_core::http::{ClientOptions, ExponentialRetryOptions, RetryOptions, Transport};
use azure_security_keyvault_secrets::models::{Secret, SecretClientGetSecretOptions, SetSecretParameters};
use azure_security_keyvault_secrets::{ResourceExt as _, SecretClient, SecretClientOptions};
use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
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

/// How often a deleted secret is asked for that the vault cannot recover yet, or any more.
const PATIENCE: u32 = 8;

/// A secret by name and version.
type Place = (String, Option<String>);

/// A key vault.
pub struct KeyVault {
    client: SecretClient,
    cache: Mutex<HashMap<Place, (SecretString, Instant)>>,
}

/// What a vault has under a name.
pub(super) struct Found {
    /// The secret.
    pub secret: SecretString,
    /// Which version it is.
    pub version: String,
}

/// A name that a vault has.
#[derive(Debug)]
pub(super) struct KnownName {
    pub name: String,
    /// When its newest version was written.
    pub written_at: Option<DateTime<Utc>>,
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

    /// Reads a secret, from memory if it was read a short while ago; without a version the newest.
    pub(super) async fn get(&self, name: &str, version: Option<&str>) -> Result<SecretString, SecretError> {
        let place = (name.to_owned(), version.map(str::to_owned));
        if let Some(known) = self.known(&place) {
            return Ok(known);
        }
        let found = limited(LIMIT, self.fetch(name, version)).await?;
        self.believe(place, &found.secret);
        Ok(found.secret)
    }

    /// Returns the newest version of a secret.
    pub(super) async fn newest(&self, name: &str) -> Result<String, SecretError> {
        Ok(limited(LIMIT, self.fetch(name, None)).await?.version)
    }

    /// Writes a secret, unless it is the newest version already: each writing would add one. Returns the
    /// version.
    pub(super) async fn set(&self, name: &str, secret: &SecretString) -> Result<String, SecretError> {
        self.distrust(name);
        let write = async {
            // An identity that may write but not read, or a vault without the secret, is no obstacle.
            if let Ok(present) = self.fetch(name, None).await
                && same(&present.secret, secret)
            {
                return Ok(present.version);
            }
            self.store(name, secret).await
        };
        let version = limited(WRITE_LIMIT, write).await?;
        self.believe((name.to_owned(), Some(version.clone())), secret);
        Ok(version)
    }

    /// Makes sure that a secret is there, and gets it back if it was deleted; `Missing` when the vault has it
    /// no more.
    pub(super) async fn ensure(&self, name: &str, version: Option<&str>) -> Result<(), SecretError> {
        let ensure = async {
            let mut asked = false;
            for _ in 0..PATIENCE {
                match self.fetch(name, version).await {
                    Err(SecretError::Missing) if !asked => asked = self.recover(name).await?,
                    Err(SecretError::Missing) => {}
                    other => return other.map(drop),
                }
                sleep(PAUSE).await;
            }
            if asked { self.fetch(name, version).await.map(drop) } else { Err(SecretError::Missing) }
        };
        limited(WRITE_LIMIT, ensure).await
    }

    /// Lists the names of all secrets, those that are deleted left out.
    pub(super) async fn names(&self) -> Result<Vec<KnownName>, SecretError> {
        let mut pages = self.client.list_secret_properties(None).map_err(failure)?;
        let mut names = Vec::new();
        loop {
            let next = async { pages.try_next().await.map_err(failure) };
            let Some(found) = limited(LIMIT, next).await? else { return Ok(names) };
            let written_at = found.attributes.as_ref().and_then(|known| known.updated.or(known.created));
            let written_at = written_at.and_then(|at| DateTime::from_timestamp(at.unix_timestamp(), 0));
            names.push(KnownName { name: found.resource_id().map_err(failure)?.name, written_at });
        }
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

    /// Forgets what was read, of all versions.
    pub(super) fn distrust(&self, name: &str) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.retain(|(known, _), _| known != name);
    }

    async fn fetch(&self, name: &str, version: Option<&str>) -> Result<Found, SecretError> {
        let secret_version = version.map(str::to_owned);
        let options =
            SecretClientGetSecretOptions { secret_version, ..SecretClientGetSecretOptions::default() };
        let answer = self.client.get_secret(name, Some(options)).await.map_err(failure)?;
        let secret: Secret = answer.into_model().map_err(failure)?;
        let version = version_of(&secret)?;
        let secret = secret.value.map(Into::into).ok_or(SecretError::Missing)?;
        Ok(Found { secret, version })
    }

    /// Writes, and gets a deleted secret of the same name out of the way.
    async fn store(&self, name: &str, secret: &SecretString) -> Result<String, SecretError> {
        let value = SetSecretParameters {
            value: Some(secret.expose_secret().to_owned()),
            content_type: Some("text/plain".to_owned()),
            ..SetSecretParameters::default()
        };
        let mut asked = false;
        loop {
            let body = value.clone().try_into().map_err(failure)?;
            match self.client.set_secret(name, body, None).await {
                Ok(answer) => return version_of(&answer.into_model().map_err(failure)?),
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

    fn known(&self, place: &Place) -> Option<SecretString> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.retain(|_, (_, until)| *until > Instant::now());
        cache.get(place).map(|(secret, _)| secret.clone())
    }

    fn believe(&self, place: Place, secret: &SecretString) {
        let until = Instant::now() + BELIEVED;
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.insert(place, (secret.clone(), until));
    }
}

/// Reads the version in an answer; it is the last part of the secret's address.
fn version_of(secret: &Secret) -> Result<String, SecretError> {
    let version = secret.resource_id().map_err(failure)?.version;
    version.ok_or_else(|| SecretError::Refused(VaultFailure("the answer names no version".to_owned())))
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
