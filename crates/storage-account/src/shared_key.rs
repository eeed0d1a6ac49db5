//! The Shared Key signature as a pipeline policy.
//!
//! The text that is signed is laid down in
//! <https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key>; blob and queue
//! share one form, tables have a shorter one. Each try is signed anew, since the date is part of
//! the text.

use std::fmt::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::error::{Error, ErrorKind};
use azure_core::http::headers::{AUTHORIZATION, HeaderName};
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{Context, Method, Request};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::Sha256;
use url::Url;

use crate::Service;

const DATE: HeaderName = HeaderName::from_static("x-ms-date");

/// The error of a key that is not base64.
#[derive(Debug, thiserror::Error)]
#[error("the key is not base64 text")]
pub struct InvalidKey;

/// A storage account key. Never shown by `Debug`.
#[derive(Clone, Debug)]
pub struct AccountKey(SecretSlice<u8>);

impl AccountKey {
    /// Reads the key in the form in which the portal shows it.
    pub fn from_base64(text: &str) -> Result<Self, InvalidKey> {
        let bytes = STANDARD.decode(text).map_err(|_| InvalidKey)?;
        if bytes.is_empty() {
            return Err(InvalidKey);
        }
        Ok(Self(bytes.into()))
    }

    /// Signs a text with HMAC-SHA256 and returns the signature as base64.
    pub(crate) fn sign(&self, text: &str) -> Result<String, InvalidKey> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret()).map_err(|_| InvalidKey)?;
        mac.update(text.as_bytes());
        Ok(STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// Signs every request with an account key.
#[derive(Debug)]
pub(crate) struct SharedKeyPolicy {
    account: String,
    key: AccountKey,
    service: Service,
}

impl SharedKeyPolicy {
    pub(crate) fn new(account: &str, key: AccountKey, service: Service) -> Self {
        Self { account: account.to_owned(), key, service }
    }

    fn authorization(&self, request: &Request, date: &str) -> Result<String, InvalidKey> {
        let text = match self.service {
            Service::Blob | Service::Queue => text_to_sign(&self.account, request),
            Service::Table => table_text_to_sign(&self.account, request, date),
        };
        Ok(format!("SharedKey {}:{}", self.account, self.key.sign(&text)?))
    }
}

#[async_trait]
impl Policy for SharedKeyPolicy {
    async fn send(&self, ctx: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        let date = http_date();
        request.insert_header(DATE, date.clone());
        let authorization =
            self.authorization(request, &date).map_err(|error| Error::new(ErrorKind::Credential, error))?;
        request.insert_header(AUTHORIZATION, authorization);
        let Some((first, rest)) = next.split_first() else {
            return Err(Error::with_message(ErrorKind::Other, "the pipeline ends without a transport"));
        };
        first.send(ctx, request, rest).await
    }
}

/// Returns the present instant in the form that HTTP dates have.
fn http_date() -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "a signature carries the wall clock's time, not a request's"
    )]
    let now = chrono::Utc::now();
    now.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn text_to_sign(account: &str, request: &Request) -> String {
    let header = |name: &'static str| header(request, name);
    let length = match request.body().len() {
        Some(length) if length > 0 => length.to_string(),
        Some(_) | None => {
            let given = header("content-length");
            if given == "0" { String::new() } else { given }
        }
    };
    let mut text = [
        request.method().as_ref(),
        &header("content-encoding"),
        &header("content-language"),
        &length,
        &header("content-md5"),
        &header("content-type"),
        "", // The date is given by x-ms-date below.
        &header("if-modified-since"),
        &header("if-match"),
        &header("if-none-match"),
        &header("if-unmodified-since"),
        &header("range"),
        "",
    ]
    .join("\n");
    for (name, value) in vendor_headers(request) {
        let _ = writeln!(text, "{name}:{value}");
    }
    text + &canonical_resource(account, request.url())
}

fn table_text_to_sign(account: &str, request: &Request, date: &str) -> String {
    let url = request.url();
    let comp = url.query_pairs().find(|(name, _)| name == "comp");
    let comp = comp.map(|(_, value)| format!("?comp={value}")).unwrap_or_default();
    let method: &Method = &request.method();
    format!(
        "{}\n{}\n{}\n{date}\n/{account}{}{comp}",
        method.as_ref(),
        header(request, "content-md5"),
        header(request, "content-type"),
        url.path(),
    )
}

fn header(request: &Request, name: &'static str) -> String {
    request
        .headers()
        .get_optional_str(&HeaderName::from_static(name))
        .map(|value| value.trim().to_owned())
        .unwrap_or_default()
}

fn vendor_headers(request: &Request) -> Vec<(String, String)> {
    let mut headers: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_ascii_lowercase(), value.as_str().trim().to_owned()))
        .filter(|(name, _)| name.starts_with("x-ms-"))
        .collect();
    headers.sort();
    headers
}

/// Renders account, path and decoded query; for path-style addresses the account stands twice.
fn canonical_resource(account: &str, url: &Url) -> String {
    let mut query: Vec<(String, String)> =
        url.query_pairs().map(|(name, value)| (name.to_lowercase(), value.into_owned())).collect();
    query.sort();
    let mut text = format!("/{account}{}", url.path());
    let mut previous: Option<String> = None;
    for (name, value) in query {
        if previous.as_ref() == Some(&name) {
            let _ = write!(text, ",{value}");
        } else {
            let _ = write!(text, "\n{name}:{value}");
        }
        previous = Some(name);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method, url: &str) -> Result<Request, url::ParseError> {
        Ok(Request::new(Url::parse(url)?, method))
    }

    #[test]
    fn signs_the_documented_form_for_blobs() -> Result<(), url::ParseError> {
        let mut request = request(
            Method::Put,
            "http://127.0.0.1:10000/acme/backups/a%20b?comp=block&blockid=MDA%3D&Timeout=5",
        )?;
        request.insert_header("x-ms-version", "2024-11-04");
        request.insert_header("x-ms-date", "now");
        request.insert_header("if-none-match", "*");
        request.set_body(vec![1_u8; 10]);
        insta::assert_snapshot!(text_to_sign("acme", &request).replace('\n', "|"), @"PUT|||10||||||*|||x-ms-date:now|x-ms-version:2024-11-04|/acme/acme/backups/a%20b|blockid:MDA=|comp:block|timeout:5");
        Ok(())
    }

    #[test]
    fn signs_an_empty_body_as_no_length() -> Result<(), url::ParseError> {
        let mut request = request(Method::Put, "https://acme.queue.core.windows.net/q")?;
        request.insert_header("content-length", "0");
        insta::assert_snapshot!(text_to_sign("acme", &request).replace('\n', "|"), @"PUT||||||||||||/acme/q");
        Ok(())
    }

    #[test]
    fn signs_the_short_form_for_tables() -> Result<(), url::ParseError> {
        let mut request = request(
            Method::Get,
            "http://127.0.0.1:10002/acme/users(PartitionKey='a''b',RowKey='1')?$filter=x",
        )?;
        request.insert_header("content-type", "application/json");
        insta::assert_snapshot!(table_text_to_sign("acme", &request, "now").replace('\n', "|"), @"GET||application/json|now|/acme/acme/users(PartitionKey='a''b',RowKey='1')");
        Ok(())
    }

    #[test]
    fn computes_the_signature_of_a_known_key() -> Result<(), InvalidKey> {
        // RFC 4231, test case 2: key "Jefe".
        let key = AccountKey::from_base64("SmVmZQ==")?;
        assert_eq!(key.sign("what do ya want for nothing?")?, "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=");
        assert!(!format!("{key:?}").contains("Jefe"));
        Ok(())
    }
}
