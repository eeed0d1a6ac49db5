//! Blobs of Azure Storage, on the vendor's client.
//!
//! Names are percent-encoded once and slashes stay separators. Every request is repeated for about
//! a minute when the connection breaks or the service is busy; block contents are [`Bytes`], so a
//! repeated request sends them again without a copy. Reading takes ranges one after the other, so
//! that a connection cut in the middle costs one range and memory does not depend on the size.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::credentials::TokenCredential;
use azure_core::http::policies::auth::BearerTokenAuthorizationPolicy;
use azure_core::http::{ClientOptions, ExponentialRetryOptions, RetryOptions, StatusCode};
use azure_core::time::{Duration, OffsetDateTime};
use azure_storage_blob::models::{
    BlobClientDeleteOptions, BlobClientGetPropertiesResultHeaders as _, BlobClientStartCopyFromUrlOptions,
    BlobClientStartCopyFromUrlResultHeaders as _, BlobContainerClientListBlobsOptions, BlobItem,
    BlockBlobClientCommitBlockListOptions, BlockLookupList, CopyStatus, DeleteSnapshotsOptionType,
    ListBlobsIncludeItem, StorageErrorCode,
};
use azure_storage_blob::{BlobClient, BlobClientOptions, BlobContainerClient, BlobContainerClientOptions};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use url::Url;

use super::blob::{Blob, BlobAddress, BlobListing, BlobProperties, BlobStore, ByteStream, CommitOptions};
use super::{StorageError, StorageErrorKind, azure_blob_read, blob_rules};

/// How often a copy that takes longer is looked at.
const COPY_POLL: std::time::Duration = std::time::Duration::from_secs(1);

/// The blobs of one account.
pub struct AzureBlobs {
    endpoint: Url,
    options: ClientOptions,
}

impl AzureBlobs {
    /// Makes a client of the account's blob endpoint.
    ///
    /// `options` carries the signing policy for accounts reached by key; with a `credential`,
    /// requests carry its token instead, and the endpoint must then be `https`. The retry options
    /// are replaced: blocks of a running backup are worth a minute of patience.
    pub fn new(
        endpoint: Url,
        credential: Option<Arc<dyn TokenCredential>>,
        mut options: ClientOptions,
    ) -> Result<Self, StorageError> {
        if endpoint.cannot_be_a_base() || (credential.is_some() && endpoint.scheme() != "https") {
            return Err(StorageError::new(
                StorageErrorKind::Invalid,
                "set up the client of blob endpoint",
                endpoint.as_str(),
            )
            .because(
                "the address must be an https address when an identity is used, and http or https with a key",
            ));
        }
        if let Some(credential) = credential {
            // One policy for all requests, since it keeps the token until that expires.
            options.per_try_policies.push(Arc::new(BearerTokenAuthorizationPolicy::new(
                credential,
                ["https://storage.azure.com/.default"],
            )));
        }
        options.retry = patient();
        Ok(Self { endpoint, options })
    }

    /// Replaces the patience of a minute, for callers that must answer sooner.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryOptions) -> Self {
        self.options.retry = retry;
        self
    }

    fn address(&self, container: &str, name: Option<&str>) -> Url {
        let mut url = self.endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(container);
            if let Some(name) = name {
                path.extend(name.split('/'));
            }
        }
        url
    }

    fn container(&self, name: &str, operation: &'static str) -> Result<BlobContainerClient, StorageError> {
        blob_rules::check_container(name, operation)?;
        let options = BlobContainerClientOptions {
            client_options: self.options.clone(),
            ..BlobContainerClientOptions::default()
        };
        BlobContainerClient::new(self.address(name, None), None, Some(options))
            .map_err(|error| StorageError::from_azure(error, operation, name))
    }

    fn blob(&self, blob: &BlobAddress, operation: &'static str) -> Result<BlobClient, StorageError> {
        blob_rules::check_address(blob, operation)?;
        let options =
            BlobClientOptions { client_options: self.options.clone(), ..BlobClientOptions::default() };
        BlobClient::new(self.address(&blob.container, Some(&blob.name)), None, Some(options))
            .map_err(|error| StorageError::from_azure(error, operation, &blob.to_string()))
    }
}

impl fmt::Debug for AzureBlobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The options hold the signing policy and with it the key.
        write!(f, "AzureBlobs({})", self.endpoint)
    }
}

#[async_trait]
impl BlobStore for AzureBlobs {
    async fn create_container(&self, container: &str) -> Result<(), StorageError> {
        let operation = "create container";
        match self.container(container, operation)?.create(None).await {
            Ok(_) => Ok(()),
            Err(error) if has_code(&error, &StorageErrorCode::ContainerAlreadyExists) => Ok(()),
            Err(error) => Err(refusal(error, operation, container)),
        }
    }

    async fn stage(&self, blob: &BlobAddress, block_id: &[u8], content: Bytes) -> Result<(), StorageError> {
        let operation = "upload a block of blob";
        let client = self.blob(blob, operation)?.block_blob_client();
        let length = u64::try_from(content.len()).unwrap_or(u64::MAX);
        client
            .stage_block(block_id, length, content.into(), None)
            .await
            .map_err(|error| refusal(error, operation, &blob.to_string()))?;
        Ok(())
    }

    async fn commit(
        &self,
        blob: &BlobAddress,
        block_ids: &[Vec<u8>],
        options: &CommitOptions,
    ) -> Result<(), StorageError> {
        let operation = "commit blob";
        blob_rules::check_metadata(blob, &options.metadata)?;
        let client = self.blob(blob, operation)?.block_blob_client();
        let target = blob.to_string();
        let list = BlockLookupList { latest: Some(block_ids.to_vec()), ..BlockLookupList::default() };
        let content = list.try_into().map_err(|error| StorageError::from_azure(error, operation, &target))?;
        let options = BlockBlobClientCommitBlockListOptions {
            blob_content_type: Some(options.content_type.clone()),
            if_none_match: Some("*".into()),
            metadata: Some(blob_rules::as_sent(&options.metadata).into_iter().collect()),
            ..BlockBlobClientCommitBlockListOptions::default()
        };
        match client.commit_block_list(content, Some(options)).await {
            Ok(_) => Ok(()),
            Err(error) if exists(&error) => {
                Err(StorageError::new(StorageErrorKind::AlreadyExists, operation, target).because(error))
            }
            Err(error) if has_code(&error, &StorageErrorCode::InvalidBlockList) => {
                Err(StorageError::new(StorageErrorKind::NotFound, operation, target)
                    .because("one of its blocks is not there"))
            }
            Err(error) => Err(refusal(error, operation, &target)),
        }
    }

    async fn copy(
        &self,
        from: &BlobAddress,
        to: &BlobAddress,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), StorageError> {
        let operation = "copy to blob";
        blob_rules::check_address(from, operation)?;
        blob_rules::check_metadata(to, metadata)?;
        let client = self.blob(to, operation)?;
        let target = to.to_string();
        let options = BlobClientStartCopyFromUrlOptions {
            if_none_match: Some("*".into()),
            metadata: Some(blob_rules::as_sent(metadata).into_iter().collect()),
            ..BlobClientStartCopyFromUrlOptions::default()
        };
        let mut status = match client.start_copy_from_url(self.url(from), Some(options)).await {
            Ok(response) => response.copy_status(),
            Err(error) if exists(&error) => {
                return Err(
                    StorageError::new(StorageErrorKind::AlreadyExists, operation, target).because(error)
                );
            }
            Err(error) => return Err(refusal(error, operation, &target)),
        };
        // Within an account the copy has nearly always ended by now.
        loop {
            match status.map_err(|error| StorageError::from_azure(error, operation, &target))? {
                Some(CopyStatus::Pending) => {}
                Some(CopyStatus::Success) | None => return Ok(()),
                Some(CopyStatus::Failed | CopyStatus::Aborted) => {
                    self.delete(to).await?;
                    return Err(StorageError::new(StorageErrorKind::Invalid, operation, target)
                        .because("the service has given the copy up"));
                }
            }
            tokio::time::sleep(COPY_POLL).await;
            let response = client.get_properties(None).await;
            status = response.map_err(|error| refusal(error, operation, &target))?.copy_status();
        }
    }

    async fn properties(&self, blob: &BlobAddress) -> Result<Option<BlobProperties>, StorageError> {
        let operation = "read the properties of blob";
        let target = blob.to_string();
        let response = match self.blob(blob, operation)?.get_properties(None).await {
            Ok(response) => response,
            Err(error) => {
                let error = refusal(error, operation, &target);
                return if error.kind() == StorageErrorKind::NotFound { Ok(None) } else { Err(error) };
            }
        };
        match response.copy_status().map_err(|error| StorageError::from_azure(error, operation, &target))? {
            None | Some(CopyStatus::Success) => {}
            // The service has kept a blob without content.
            Some(CopyStatus::Failed | CopyStatus::Aborted) => return Ok(None),
            Some(CopyStatus::Pending) => {
                return Err(StorageError::new(StorageErrorKind::Unavailable, operation, target)
                    .because("it is still being copied"));
            }
        }
        let read = || -> azure_core::Result<BlobProperties> {
            Ok(BlobProperties {
                bytes: response.content_length()?.unwrap_or_default(),
                content_type: response.content_type()?,
                created_at: response.creation_time()?.and_then(instant),
                last_modified: response.last_modified()?.and_then(instant),
                metadata: lower_case(response.metadata()?),
            })
        };
        read().map(Some).map_err(|error| StorageError::from_azure(error, operation, &target))
    }

    async fn download(&self, blob: &BlobAddress) -> Result<ByteStream, StorageError> {
        let client = self.blob(blob, azure_blob_read::OPERATION)?;
        azure_blob_read::stream(client, blob.to_string()).await
    }

    async fn delete(&self, blob: &BlobAddress) -> Result<bool, StorageError> {
        let operation = "delete blob";
        let options = BlobClientDeleteOptions {
            delete_snapshots: Some(DeleteSnapshotsOptionType::Include),
            ..BlobClientDeleteOptions::default()
        };
        match self.blob(blob, operation)?.delete(Some(options)).await {
            Ok(_) => Ok(true),
            Err(error) => match refusal(error, operation, &blob.to_string()) {
                error if error.kind() == StorageErrorKind::NotFound => Ok(false),
                error => Err(error),
            },
        }
    }

    async fn list(
        &self,
        container: &str,
        prefix: &str,
        marker: Option<&str>,
        limit: u32,
    ) -> Result<BlobListing, StorageError> {
        let operation = "list the blobs of container";
        let options = BlobContainerClientListBlobsOptions {
            include: Some(vec![ListBlobsIncludeItem::Metadata]),
            marker: marker.map(str::to_owned),
            maxresults: Some(i32::try_from(limit.clamp(1, 5000)).unwrap_or(5000)),
            prefix: Some(prefix.to_owned()).filter(|prefix| !prefix.is_empty()),
            ..BlobContainerClientListBlobsOptions::default()
        };
        let mut pages = self
            .container(container, operation)?
            .list_blobs(Some(options))
            .map_err(|error| StorageError::from_azure(error, operation, container))?
            .into_pages();
        let page = match pages.try_next().await {
            Ok(Some(page)) => page,
            Ok(None) => return Ok(BlobListing::default()),
            Err(error) => {
                let error = refusal(error, operation, container);
                let missing = error.kind() == StorageErrorKind::NotFound;
                return if missing { Ok(BlobListing::default()) } else { Err(error) };
            }
        };
        let page =
            page.into_model().map_err(|error| StorageError::from_azure(error, operation, container))?;
        Ok(BlobListing {
            blobs: page.blob_items.into_iter().filter_map(listed).collect(),
            marker: page.next_marker.filter(|marker| !marker.is_empty()),
        })
    }

    fn url(&self, blob: &BlobAddress) -> String {
        self.address(&blob.container, Some(&blob.name)).into()
    }
}

/// Tries eleven times in about a minute, quickly at first.
fn patient() -> RetryOptions {
    RetryOptions::exponential(ExponentialRetryOptions {
        initial_delay: Duration::milliseconds(250),
        max_retries: 12,
        max_total_elapsed: Duration::seconds(60),
        max_delay: Duration::seconds(8),
    })
}

/// Translates an error of a call for which "exists already" is no possible answer.
///
/// The service uses status 409 also for containers that are just being deleted, which passes, and
/// for blobs that a policy, a lease or their tier protects, which does not.
pub(super) fn refusal(error: azure_core::Error, operation: &'static str, target: &str) -> StorageError {
    if error.http_status() != Some(StatusCode::Conflict) {
        return StorageError::from_azure(error, operation, target);
    }
    let kind = if has_code(&error, &StorageErrorCode::ContainerBeingDeleted) {
        StorageErrorKind::Unavailable
    } else {
        StorageErrorKind::Invalid
    };
    StorageError::new(kind, operation, target).because(error)
}

/// Tells whether a create-only commit found a blob: the service answers 409 or 412, whichever it
/// sees first.
fn exists(error: &azure_core::Error) -> bool {
    match error.http_status() {
        Some(StatusCode::PreconditionFailed) => true,
        Some(StatusCode::Conflict) => !has_code(error, &StorageErrorCode::ContainerBeingDeleted),
        Some(_) | None => false,
    }
}

fn has_code(error: &azure_core::Error, code: &StorageErrorCode) -> bool {
    matches!(
        error.kind(),
        azure_core::error::ErrorKind::HttpResponse { error_code: Some(found), .. } if found == code.as_ref()
    )
}

/// Converts an entry of a listing; entries without a name are none.
fn listed(item: BlobItem) -> Option<Blob> {
    let properties = item.properties.unwrap_or_default();
    let metadata = item.metadata.and_then(|metadata| metadata.values).unwrap_or_default();
    Some(Blob {
        name: item.name?,
        properties: BlobProperties {
            bytes: properties.content_length.unwrap_or_default(),
            content_type: properties.content_type,
            created_at: properties.creation_time.and_then(instant),
            last_modified: properties.last_modified.and_then(instant),
            metadata: lower_case(metadata),
        },
    })
}

fn lower_case(metadata: HashMap<String, String>) -> BTreeMap<String, String> {
    metadata.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect()
}

fn instant(time: OffsetDateTime) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.unix_timestamp(), time.nanosecond())
}

#[cfg(test)]
mod tests {
    use azure_core::credentials::{AccessToken, TokenRequestOptions};

    use super::*;

    fn store(endpoint: &str) -> Result<AzureBlobs, Box<dyn std::error::Error>> {
        Ok(AzureBlobs::new(Url::parse(endpoint)?, None, ClientOptions::default())?)
    }

    #[test]
    fn encodes_names_once_and_keeps_slashes() -> Result<(), Box<dyn std::error::Error>> {
        let blob = BlobAddress::new("backups", "mysql/a+b %&=#?'\"/größe%20.sql.gz");
        insta::assert_snapshot!(
            store("http://127.0.0.1:10000/devstoreaccount1")?.url(&blob),
            @"http://127.0.0.1:10000/devstoreaccount1/backups/mysql/a+b%20%25&=%23%3F'%22/gr%C3%B6%C3%9Fe%2520.sql.gz"
        );
        insta::assert_snapshot!(
            store("https://acme.blob.core.windows.net/")?.url(&BlobAddress::new("backups", "a")),
            @"https://acme.blob.core.windows.net/backups/a"
        );
        Ok(())
    }

    #[test]
    fn sends_no_token_without_tls() -> Result<(), Box<dyn std::error::Error>> {
        #[derive(Debug)]
        struct Unused;
        #[async_trait]
        impl TokenCredential for Unused {
            async fn get_token(
                &self,
                _scopes: &[&str],
                _options: Option<TokenRequestOptions<'_>>,
            ) -> azure_core::Result<AccessToken> {
                Err(azure_core::Error::with_message(azure_core::error::ErrorKind::Credential, "unused"))
            }
        }
        let with_token = |address: &str| -> Result<bool, url::ParseError> {
            let endpoint = Url::parse(address)?;
            Ok(AzureBlobs::new(endpoint, Some(Arc::new(Unused)), ClientOptions::default()).is_ok())
        };
        assert!(!with_token("http://acme.blob.core.windows.net/")?);
        assert!(with_token("https://acme.blob.core.windows.net/")?);
        Ok(())
    }

    #[test]
    fn never_shows_its_options() -> Result<(), Box<dyn std::error::Error>> {
        insta::assert_snapshot!(
            format!("{:?}", store("https://acme.blob.core.windows.net/")?),
            @"AzureBlobs(https://acme.blob.core.windows.net/)"
        );
        Ok(())
    }
}
