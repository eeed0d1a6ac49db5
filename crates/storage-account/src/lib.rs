//! Azure Storage accounts: connection strings, endpoints and the signatures that account keys need.
//!
//! The vendor's crates sign with directory tokens only. Account keys, which connection strings and
//! the emulator use, are added here as a pipeline policy, together with the service SAS that lets a
//! browser read one blob. This crate knows Azure Storage and nothing of what is stored there.

mod connection_string;
mod sas;
mod shared_key;
mod transport;

use std::fmt;
use std::sync::Arc;

use azure_core::http::ClientOptions;
use azure_core::http::policies::Policy;
use url::Url;

pub use connection_string::ConnectionStringError;
pub use sas::{BlobReadSas, DelegationKey};
pub use shared_key::{AccountKey, InvalidKey};
pub use transport::{TransportError, transport};

/// One of the three storage services that the product uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Blobs.
    Blob,
    /// Queues.
    Queue,
    /// Tables.
    Table,
}

/// A storage account reached by key or by shared access signature.
#[derive(Clone)]
pub struct StorageAccount {
    name: String,
    blob: Url,
    queue: Url,
    table: Url,
    credential: Credential,
}

/// What proves that requests may use the account.
#[derive(Clone)]
enum Credential {
    Key(AccountKey),
    Sas(sas::SasQuery),
}

impl StorageAccount {
    /// Returns the account's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the address of a service, without a trailing slash in its path.
    pub fn endpoint(&self, service: Service) -> &Url {
        match service {
            Service::Blob => &self.blob,
            Service::Queue => &self.queue,
            Service::Table => &self.table,
        }
    }

    /// Returns the account key, when the account is reached by key.
    pub fn key(&self) -> Option<&AccountKey> {
        match &self.credential {
            Credential::Key(key) => Some(key),
            Credential::Sas(_) => None,
        }
    }

    /// Builds client options whose pipeline signs every try for `service`.
    ///
    /// The transport is the vendor's default; set `transport` to share one between clients.
    pub fn client_options(&self, service: Service) -> ClientOptions {
        let policy: Arc<dyn Policy> = match &self.credential {
            Credential::Key(key) => {
                Arc::new(shared_key::SharedKeyPolicy::new(&self.name, key.clone(), service))
            }
            Credential::Sas(query) => Arc::new(query.clone()),
        };
        ClientOptions { per_try_policies: vec![policy], ..ClientOptions::default() }
    }
}

impl fmt::Debug for StorageAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageAccount")
            .field("name", &self.name)
            .field("blob", &self.blob.as_str())
            .finish_non_exhaustive()
    }
}
