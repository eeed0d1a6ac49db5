//! Signed addresses, from which a browser can fetch one file.
//!
//! With an account key they are signed by it. An identity has no key; the service lends it one for a day,
//! which is kept here until it does not last long enough any more.

use std::fmt;
use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use azure_core::http::{ClientOptions, RequestContent, XmlFormat};
use azure_core::time::OffsetDateTime;
use azure_storage_blob::models::KeyInfo;
use azure_storage_blob::{BlobServiceClient, BlobServiceClientOptions};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use storage_account::{AccountKey, BlobReadSas, DelegationKey, StorageAccount};
use tokio::sync::Mutex;
use url::Url;

use super::{StorageError, StorageErrorKind};

/// How long a lent key lasts: longer than any address that it signs, within the service's seven days.
const LENT_FOR: TimeDelta = TimeDelta::hours(36);

/// The clocks of this machine and of the service need not agree.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(15);

/// What addresses are signed with.
#[derive(Debug, Clone)]
pub enum Signer {
    /// The account key.
    Key(Box<StorageAccount>),
    /// A key that the service lends.
    Lent(Arc<LentKey>),
    /// Nothing: the account is in memory.
    None,
}

/// The error of an address that cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// There is nothing to sign with.
    #[error(
        "download addresses can be signed only with an account key or an identity; set \
         STORAGE_CONNECTION_STRING to a connection string with AccountKey, or fetch the file from the \
         storage account"
    )]
    NoKey,
    /// The key cannot be used.
    #[error("the key for download addresses cannot be used")]
    Unusable,
    /// The service did not lend a key.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Signer {
    /// Builds the address.
    pub async fn sign(&self, sas: &BlobReadSas<'_>, now: DateTime<Utc>) -> Result<Url, SignError> {
        let signed = match self {
            Self::Key(account) => sas.sign(account).ok_or(SignError::NoKey)?,
            Self::Lent(lent) => {
                let key = lent.key_until(sas.expires_at, now).await?;
                sas.sign_delegated(&lent.account, &lent.endpoint, &key)
            }
            Self::None => return Err(SignError::NoKey),
        };
        signed.map_err(|_| SignError::Unusable)
    }
}

/// The key that the service lends to the identity of this installation.
pub struct LentKey {
    account: String,
    endpoint: Url,
    client: BlobServiceClient,
    key: Mutex<Option<DelegationKey>>,
}

impl fmt::Debug for LentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LentKey").field("account", &self.account).finish_non_exhaustive()
    }
}

impl LentKey {
    /// Prepares to ask for one; nothing is sent yet.
    pub(super) fn new(
        account: String,
        endpoint: Url,
        credential: Arc<dyn TokenCredential>,
        client_options: ClientOptions,
    ) -> Result<Self, StorageError> {
        let options = BlobServiceClientOptions { client_options, ..BlobServiceClientOptions::default() };
        let client =
            BlobServiceClient::new(endpoint.clone(), Some(credential), Some(options)).map_err(|error| {
                StorageError::from_azure(error, "set up", "the client for download addresses")
            })?;
        Ok(Self { account, endpoint, client, key: Mutex::default() })
    }

    async fn key_until(
        &self,
        until: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<DelegationKey, StorageError> {
        let mut kept = self.key.lock().await;
        if let Some(key) = kept.as_ref().filter(|key| key.expires_at >= until) {
            return Ok(key.clone());
        }
        let key = self.lend(now - CLOCK_SKEW, until.max(now + LENT_FOR)).await?;
        Ok(kept.insert(key).clone())
    }

    async fn lend(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<DelegationKey, StorageError> {
        let failed =
            |error| StorageError::from_azure(error, "get a key for download addresses of", &self.account);
        let info = KeyInfo { start: Some(moment(from)), expiry: Some(moment(to)), ..KeyInfo::default() };
        let body: RequestContent<KeyInfo, XmlFormat> = info.try_into().map_err(failed)?;
        let answer = self.client.get_user_delegation_key(body, None).await.map_err(failed)?;
        let lent = answer.into_model().map_err(failed)?;
        let unreadable =
            || StorageError::new(StorageErrorKind::Invalid, "read the key lent by", &self.account);
        let instant = |at: Option<OffsetDateTime>| {
            at.and_then(|at| DateTime::from_timestamp(at.unix_timestamp(), 0)).ok_or_else(unreadable)
        };
        let value = lent.value.ok_or_else(unreadable)?;
        Ok(DelegationKey {
            object_id: lent.signed_oid.ok_or_else(unreadable)?,
            tenant_id: lent.signed_tid.ok_or_else(unreadable)?,
            starts_at: instant(lent.signed_start)?,
            expires_at: instant(lent.signed_expiry)?,
            service: lent.signed_service.ok_or_else(unreadable)?,
            version: lent.signed_version.ok_or_else(unreadable)?,
            key: AccountKey::from_base64(&STANDARD.encode(value)).map_err(|_| unreadable())?,
        })
    }
}

/// Translates an instant, to the second.
fn moment(at: DateTime<Utc>) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at.timestamp()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
