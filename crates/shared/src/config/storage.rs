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
    /// Reads the four endpoint variables, or else the connection string, or else what the Functions host
    /// is told of its own account, where that is reached by an identity.
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
                identity: Identity::read(source),
            });
        }
        let text = match (source.text("STORAGE_CONNECTION_STRING"), host_account(source)?) {
            (Some(text), _) => text,
            (None, Some(account)) => return Ok(account),
            (None, None) => "UseDevelopmentStorage=true".to_owned(),
        };
        StorageAccount::from_connection_string(&text)
            .map(Self::Account)
            .map_err(|error| ConfigError::new("STORAGE_CONNECTION_STRING", error.to_string()))
    }
}

/// Reads the account that the Functions host is told to use with an identity:
/// <https://learn.microsoft.com/azure/azure-functions/functions-reference#connecting-to-host-storage-with-an-identity>
fn host_account(source: &Source) -> Result<Option<StorageConfig>, ConfigError> {
    let name = source.text("AzureWebJobsStorage__accountName");
    let service = |variable: &'static str, part: &str| match (source.text(variable), &name) {
        (Some(text), _) => endpoint(variable, &text).map(Some),
        (None, Some(name)) => {
            let text = format!("https://{name}.{part}.core.windows.net");
            let rule = "use the account's name: 3 to 24 lower-case letters and digits";
            let usable = (3..=24).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            let url = Url::parse(&text).ok().filter(|_| usable);
            url.map(Some).ok_or_else(|| ConfigError::new("AzureWebJobsStorage__accountName", rule))
        }
        (None, None) => Ok(None),
    };
    let blob = service("AzureWebJobsStorage__blobServiceUri", "blob")?;
    let queue = service("AzureWebJobsStorage__queueServiceUri", "queue")?;
    let table = service("AzureWebJobsStorage__tableServiceUri", "table")?;
    let (Some(blob), Some(queue), Some(table)) = (blob, queue, table) else { return Ok(None) };
    // The name is the first part of the address, as in https://name.blob.core.windows.net.
    let first = || blob.host_str().and_then(|host| host.split('.').next()).unwrap_or_default().to_owned();
    let account = name.unwrap_or_else(first);
    let client_id = source.text("AzureWebJobsStorage__clientId");
    let identity = match client_id {
        Some(client_id) => Identity::Managed { client_id: Some(client_id) },
        None => Identity::read(source),
    };
    Ok(Some(StorageConfig::Identity { account, blob, queue, table, identity }))
}

fn endpoint(variable: &'static str, text: &str) -> Result<Url, ConfigError> {
    let rule = "use an https address such as https://name.blob.core.windows.net";
    let url = Url::parse(text).map_err(|_| ConfigError::new(variable, rule))?;
    if url.scheme() == "https" && url.has_host() { Ok(url) } else { Err(ConfigError::new(variable, rule)) }
}

impl Identity {
    pub(super) fn read(source: &Source) -> Self {
        let either = |a, b| source.text(a).or_else(|| source.text(b));
        let client_id = source.text("AZURE_CLIENT_ID");
        let principal = either("AZURE_AD_TENANT_ID", "AZURE_TENANT_ID")
            .zip(either("AZURE_CLIENT_ID", "AZURE_AD_CLIENT_ID"))
            .zip(secret(source, "AZURE_CLIENT_SECRET"));
        match principal {
            Some(((tenant_id, client_id), secret)) => Self::ClientSecret { tenant_id, client_id, secret },
            None => Self::Managed { client_id },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(variables: &[(&str, &str)]) -> String {
        match StorageConfig::read(&Source::of(variables)) {
            Ok(StorageConfig::Account(account)) => format!("by key: {}", account.name()),
            Ok(StorageConfig::Identity { account, blob, queue, table, identity }) => {
                format!("{account} {blob} {queue} {table} by {identity:?}")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn an_account_is_found_in_each_of_its_forms() {
        let four = [
            ("STORAGE_ACCOUNT_NAME", "shop"),
            ("STORAGE_BLOB_ENDPOINT", "https://shop.blob.core.windows.net"),
            ("STORAGE_QUEUE_ENDPOINT", "https://shop.queue.core.windows.net"),
            ("STORAGE_TABLE_ENDPOINT", "https://shop.table.core.windows.net"),
        ];
        let principal =
            [("AZURE_TENANT_ID", "tenant"), ("AZURE_CLIENT_ID", "client"), ("AZURE_CLIENT_SECRET", "s3cret")];
        let uris = [
            ("AzureWebJobsStorage__blobServiceUri", "https://shop.blob.core.chinacloudapi.cn"),
            ("AzureWebJobsStorage__queueServiceUri", "https://shop.queue.core.chinacloudapi.cn"),
            ("AzureWebJobsStorage__tableServiceUri", "https://shop.table.core.chinacloudapi.cn"),
            ("AzureWebJobsStorage__clientId", "user-assigned"),
        ];
        let lines = [
            shown(&[]),
            shown(&four),
            shown(&four[..3]),
            shown(&[&four[..], &principal[..]].concat()),
            shown(&[("AzureWebJobsStorage__accountName", "shop")]),
            shown(&[("AzureWebJobsStorage__accountName", "shop.evil.example/")]),
            shown(&uris),
            shown(&uris[..2]),
            shown(&[&uris[..], &[("STORAGE_CONNECTION_STRING", "UseDevelopmentStorage=true")]].concat()),
            shown(&[&four[..3], &[("STORAGE_TABLE_ENDPOINT", "http://shop.example")]].concat()),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r#"
        by key: devstoreaccount1
        shop https://shop.blob.core.windows.net/ https://shop.queue.core.windows.net/ https://shop.table.core.windows.net/ by Managed { client_id: None }
        by key: devstoreaccount1
        shop https://shop.blob.core.windows.net/ https://shop.queue.core.windows.net/ https://shop.table.core.windows.net/ by ClientSecret { tenant_id: "tenant", client_id: "client", secret: SecretBox<str>([REDACTED]) }
        shop https://shop.blob.core.windows.net/ https://shop.queue.core.windows.net/ https://shop.table.core.windows.net/ by Managed { client_id: None }
        the environment variable AzureWebJobsStorage__accountName cannot be used: use the account's name: 3 to 24 lower-case letters and digits
        shop https://shop.blob.core.chinacloudapi.cn/ https://shop.queue.core.chinacloudapi.cn/ https://shop.table.core.chinacloudapi.cn/ by Managed { client_id: Some("user-assigned") }
        by key: devstoreaccount1
        by key: devstoreaccount1
        the environment variable STORAGE_TABLE_ENDPOINT cannot be used: use an https address such as https://name.blob.core.windows.net
        "#);
    }
}
