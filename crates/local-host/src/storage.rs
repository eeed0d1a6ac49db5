//! The storage account of an app: its queues, and the blobs in which the host keeps timer states.

use azure_core::error::ErrorKind;
use azure_core::http::{ClientOptions, ExponentialRetryOptions, RetryOptions, Transport, Url};
use azure_core::time::Duration;
use azure_storage_blob::{BlobClient, BlobClientOptions, BlobContainerClient, BlobContainerClientOptions};
use azure_storage_queue::{QueueClient, QueueClientOptions};
use storage_account::{ConnectionStringError, Service, StorageAccount, TransportError};

/// Why an account cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The connection string is not valid.
    #[error("the connection string is not valid")]
    ConnectionString(#[source] ConnectionStringError),
    /// No HTTP client could be set up.
    #[error("no connection to storage can be set up")]
    Transport(#[source] TransportError),
}

/// A storage account and the connections to it.
#[derive(Debug, Clone)]
pub(crate) struct Storage {
    account: StorageAccount,
    transport: Transport,
}

impl Storage {
    /// Reads a connection string. Nothing is sent yet.
    pub(crate) fn new(connection_string: &str) -> Result<Self, StorageError> {
        Ok(Self {
            account: StorageAccount::from_connection_string(connection_string)
                .map_err(StorageError::ConnectionString)?,
            transport: storage_account::transport().map_err(StorageError::Transport)?,
        })
    }

    /// Returns the client of a queue.
    pub(crate) fn queue(&self, name: &str) -> azure_core::Result<QueueClient> {
        let options = QueueClientOptions {
            client_options: self.options(Service::Queue),
            ..QueueClientOptions::default()
        };
        QueueClient::new(self.url(Service::Queue, &[name])?, None, Some(options))
    }

    /// Returns the client of a container.
    pub(crate) fn container(&self, name: &str) -> azure_core::Result<BlobContainerClient> {
        let options = BlobContainerClientOptions {
            client_options: self.options(Service::Blob),
            ..BlobContainerClientOptions::default()
        };
        BlobContainerClient::new(self.url(Service::Blob, &[name])?, None, Some(options))
    }

    /// Returns the client of a blob; the parts of its path are joined by slashes.
    pub(crate) fn blob(&self, path: &[&str]) -> azure_core::Result<BlobClient> {
        let options =
            BlobClientOptions { client_options: self.options(Service::Blob), ..BlobClientOptions::default() };
        BlobClient::new(self.url(Service::Blob, path)?, None, Some(options))
    }

    fn url(&self, service: Service, path: &[&str]) -> azure_core::Result<Url> {
        let mut url = self.account.endpoint(service).clone();
        url.path_segments_mut()
            .map_err(|()| azure_core::Error::with_message(ErrorKind::Other, "the endpoint has no path"))?
            .pop_if_empty()
            .extend(path);
        Ok(url)
    }

    /// Loops try again by themselves, so a single call gives up soon.
    fn options(&self, service: Service) -> ClientOptions {
        ClientOptions {
            transport: Some(self.transport.clone()),
            retry: RetryOptions::exponential(ExponentialRetryOptions {
                initial_delay: Duration::milliseconds(200),
                max_retries: 3,
                max_total_elapsed: Duration::seconds(20),
                max_delay: Duration::seconds(2),
            }),
            ..self.account.client_options(service)
        }
    }
}
