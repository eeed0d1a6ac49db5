//! Shared access signatures: those given in a connection string, and our own for reading one blob.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::error::{Error, ErrorKind};
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{Context, Request};
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::{AccountKey, InvalidKey, Service, StorageAccount};

/// The service version whose string-to-sign is built here.
/// <https://learn.microsoft.com/rest/api/storageservices/create-service-sas>
const VERSION: &str = "2021-12-02";

/// A permission to read one blob until an instant.
#[derive(Debug, Clone)]
pub struct BlobReadSas<'a> {
    /// The container.
    pub container: &'a str,
    /// The blob's name, not encoded.
    pub blob: &'a str,
    /// When the permission ends.
    pub expires_at: DateTime<Utc>,
    /// Whether plain HTTP is refused.
    pub https_only: bool,
    /// The name under which a browser should save the file.
    pub file_name: Option<&'a str>,
}

/// A key that the service lends to an identity, to sign with in place of the account key.
/// <https://learn.microsoft.com/rest/api/storageservices/get-user-delegation-key>
#[derive(Debug, Clone)]
pub struct DelegationKey {
    /// The object id of the identity.
    pub object_id: String,
    /// Its directory.
    pub tenant_id: String,
    /// When the key begins to work.
    pub starts_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// The service that takes it: `b`.
    pub service: String,
    /// The version of the service that made it.
    pub version: String,
    /// The key itself.
    pub key: AccountKey,
}

impl BlobReadSas<'_> {
    /// Builds the signed address of the blob.
    ///
    /// Answers `None` when the account is not reached by key, since only a key can sign.
    pub fn sign(&self, account: &StorageAccount) -> Option<Result<Url, InvalidKey>> {
        let key = account.key()?;
        let (head, tail) = (self.head(account.name()), self.tail());
        // Without a stored policy.
        let text = [head.as_slice(), &[String::new()], &tail].concat().join("\n");
        let endpoint = account.endpoint(Service::Blob);
        Some(key.sign(&text).map(|signature| self.url(endpoint, &[], &signature)))
    }

    /// Builds the signed address of the blob with a key that the service has lent.
    /// <https://learn.microsoft.com/rest/api/storageservices/create-user-delegation-sas>
    pub fn sign_delegated(
        &self,
        account: &str,
        endpoint: &Url,
        key: &DelegationKey,
    ) -> Result<Url, InvalidKey> {
        let lent = [
            ("skoid", key.object_id.clone()),
            ("sktid", key.tenant_id.clone()),
            ("skt", instant(key.starts_at)),
            ("ske", instant(key.expires_at)),
            ("sks", key.service.clone()),
            ("skv", key.version.clone()),
        ];
        let who = lent.iter().map(|(_, value)| value.clone());
        // Without an authorised user, one that may not, and a number for the logs.
        let who: Vec<String> = who.chain([String::new(), String::new(), String::new()]).collect();
        let text = [self.head(account).as_slice(), &who, &self.tail()].concat().join("\n");
        Ok(self.url(endpoint, &lent, &key.key.sign(&text)?))
    }

    /// Returns the first lines of the text that is signed: permission, start, end, blob.
    fn head(&self, account: &str) -> [String; 4] {
        let resource = format!("/blob/{account}/{}/{}", self.container, self.blob);
        ["r".to_owned(), String::new(), instant(self.expires_at), resource]
    }

    /// Returns the last lines of the text that is signed.
    fn tail(&self) -> [String; 11] {
        [
            "", // address range
            self.protocol(),
            VERSION,
            "b",
            "", // snapshot
            "", // encryption scope
            "", // cache control
            &self.disposition(),
            "", // content encoding
            "", // content language
            "", // content type
        ]
        .map(str::to_owned)
    }

    fn url(&self, endpoint: &Url, lent: &[(&str, String)], signature: &str) -> Url {
        let mut url = endpoint.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(self.container).extend(self.blob.split('/'));
        }
        let mut query = url.query_pairs_mut();
        query.append_pair("sv", VERSION).append_pair("sr", "b").append_pair("sp", "r");
        query.append_pair("se", &instant(self.expires_at)).append_pair("spr", self.protocol());
        query.extend_pairs(lent);
        let disposition = self.disposition();
        if !disposition.is_empty() {
            query.append_pair("rscd", &disposition);
        }
        query.append_pair("sig", signature);
        drop(query);
        url
    }

    fn protocol(&self) -> &'static str {
        if self.https_only { "https" } else { "https,http" }
    }

    fn disposition(&self) -> String {
        self.file_name.map(content_disposition).unwrap_or_default()
    }
}

/// Renders an instant as the service wants it.
fn instant(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Renders a header that makes a browser save the file; characters outside a safe set become `_`.
fn content_disposition(file_name: &str) -> String {
    let safe: String = file_name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' })
        .collect();
    format!("attachment; filename=\"{safe}\"")
}

/// The query of a signature from a connection string, added to each request.
#[derive(Debug, Clone)]
pub(crate) struct SasQuery(SecretString);

impl SasQuery {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.trim_start_matches('?').to_owned().into())
    }
}

#[async_trait]
impl Policy for SasQuery {
    async fn send(&self, ctx: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        let url = request.url_mut();
        // A retried request carries the signature already.
        if !url.query_pairs().any(|(name, _)| name == "sig") {
            let query = match url.query() {
                Some(query) if !query.is_empty() => format!("{query}&{}", self.0.expose_secret()),
                Some(_) | None => self.0.expose_secret().to_owned(),
            };
            url.set_query(Some(&query));
        }
        let Some((first, rest)) = next.split_first() else {
            return Err(Error::with_message(ErrorKind::Other, "the pipeline ends without a transport"));
        };
        first.send(ctx, request, rest).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ConnectionStringError;

    #[test]
    fn builds_a_read_only_address_for_one_blob() -> Result<(), ConnectionStringError> {
        let account = StorageAccount::from_connection_string("UseDevelopmentStorage=true")?;
        let sas = BlobReadSas {
            container: "backups",
            blob: "mysql/db 1/a.sql.gz",
            expires_at: DateTime::UNIX_EPOCH,
            https_only: true,
            file_name: Some("a\".sql.gz"),
        };
        let url = sas.sign(&account).and_then(Result::ok).map(String::from).unwrap_or_default();
        let (head, signature) = url.split_once("&sig=").unwrap_or_default();
        insta::assert_snapshot!(head, @"http://127.0.0.1:10000/devstoreaccount1/backups/mysql/db%201/a.sql.gz?sv=2021-12-02&sr=b&sp=r&se=1970-01-01T00%3A00%3A00Z&spr=https&rscd=attachment%3B+filename%3D%22a_.sql.gz%22");
        assert!(signature.len() > 40, "a signature ends the address: {url}");
        Ok(())
    }
}
