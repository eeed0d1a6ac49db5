//! How the storage account is reached.

use secrecy::SecretString;
use storage_account::StorageAccount;
use url::Url;

use super::{ConfigError, Source, secret};

/// How the storage account is reached.
#[derive(Debug, Clone)]
pub enum StorageConfig {
    /// By the key or signature of a connection string.
    Account(StorageAccount),
    /// By an identity of the directory.
    Identity {
        /// The account's name.
        account: String,
        /// The address of the blob service.
        blob: Url,
        /// The address of the queue service.
        queue: Url,
        /// The address of the table service.
        table: Url,
        /// Which identity.
        identity: Identity,
    },
}

/// An identity of the directory.
#[derive(Debug, Clone)]
pub enum Identity {
    /// The app's own.
    Managed {
        /// The client id of a user-assigned one.
        client_id: Option<String>,
    },
    /// A service principal with a secret.
    ClientSecret {
        /// The directory.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// The secret.
        secret: SecretString,
    },
}

impl StorageConfig {
    /// Reads the four endpoint variables, or else the connection string.
    pub(super) fn read(source: &Source) -> Result<Self, ConfigError> {
        let four = [
            "STORAGE_ACCOUNT_NAME",
            "STORAGE_BLOB_ENDPOINT",
            "STORAGE_QUEUE_ENDPOINT",
            "STORAGE_TABLE_ENDPOINT",
        ]
        .map(|name| source.text(name));
        if let [Some(account), Some(blob), Some(queue), Some(table)] = four {
            return Ok(Self::Identity {
                account,
                blob: endpoint("STORAGE_BLOB_ENDPOINT", &blob)?,
                queue: endpoint("STORAGE_QUEUE_ENDPOINT", &queue)?,
                table: endpoint("STORAGE_TABLE_ENDPOINT", &table)?,
                identity: identity(source),
            });
        }
        let text = source
            .text("STORAGE_CONNECTION_STRING")
            .unwrap_or_else(|| "UseDevelopmentStorage=true".to_owned());
        StorageAccount::from_connection_string(&text)
            .map(Self::Account)
            .map_err(|error| ConfigError::new("STORAGE_CONNECTION_STRING", error.to_string()))
    }
}

fn endpoint(variable: &'static str, text: &str) -> Result<Url, ConfigError> {
    let rule = "use an https address such as https://name.blob.core.windows.net";
    let url = Url::parse(text).map_err(|_| ConfigError::new(variable, rule))?;
    if url.scheme() == "https" && url.has_host() { Ok(url) } else { Err(ConfigError::new(variable, rule)) }
}

fn identity(source: &Source) -> Identity {
    let either = |a, b| source.text(a).or_else(|| source.text(b));
    let client_id = source.text("AZURE_CLIENT_ID");
    let principal = either("AZURE_AD_TENANT_ID", "AZURE_TENANT_ID")
        .zip(either("AZURE_CLIENT_ID", "AZURE_AD_CLIENT_ID"))
        .zip(secret(source, "AZURE_CLIENT_SECRET"));
    match principal {
        Some(((tenant_id, client_id), secret)) => Identity::ClientSecret { tenant_id, client_id, secret },
        None => Identity::Managed { client_id },
    }
}
