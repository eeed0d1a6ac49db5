//! A stand-in for Azure Key Vault: its REST API for secrets, as far as the product uses it.
//!
//! <https://learn.microsoft.com/rest/api/keyvault/secrets/operation-groups>

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::time::OffsetDateTime;
use serde_json::{Value, json};
use shared::secrets::KeyVault;
use url::Url;

use crate::tls::TlsServer;

/// The token that the stand-in accepts.
const TOKEN: &str = "token-for-the-vault";

/// How often a secret that is being recovered is not ready yet.
const RECOVERY_STEPS: u32 = 2;

/// What the vault does with a request that has a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// It serves it.
    Fine,
    /// It refuses the identity.
    Forbidding,
    /// It is busy for so many requests.
    Busy(u32),
    /// It takes it and does not answer.
    Silent,
}

#[derive(Debug)]
struct Vault {
    mood: Mood,
    /// When all secrets were written, in seconds.
    clock: i64,
    secrets: BTreeMap<String, Vec<String>>,
    deleted: BTreeMap<String, Vec<String>>,
    recovering: BTreeMap<String, u32>,
    requests: Vec<String>,
}

/// A stand-in that runs.
pub struct VaultStandIn {
    server: TlsServer,
    vault: Arc<Mutex<Vault>>,
}

impl VaultStandIn {
    /// Starts one.
    pub async fn start() -> Self {
        let vault = Arc::new(Mutex::new(Vault {
            mood: Mood::Fine,
            clock: 1_800_000_000,
            secrets: BTreeMap::new(),
            deleted: BTreeMap::new(),
            recovering: BTreeMap::new(),
            requests: Vec::new(),
        }));
        let router = Router::new().fallback(answer).with_state(vault.clone());
        Self { server: TlsServer::start("unit-test.vault.azure.net", router).await, vault }
    }

    /// Makes a client of it with an identity that it knows.
    ///
    /// # Panics
    ///
    /// When the client cannot be set up.
    pub fn client(&self) -> KeyVault {
        let url = self.server.url().parse().unwrap_or_else(|error| panic!("its own address: {error}"));
        self.client_at(&url)
    }

    /// Makes a client that looks for it at another port, where nobody listens.
    ///
    /// # Panics
    ///
    /// When the client cannot be set up.
    pub fn client_at(&self, url: &Url) -> KeyVault {
        KeyVault::with(url, Arc::new(Known), self.server.transport())
            .unwrap_or_else(|error| panic!("a client of the vault: {error}"))
    }

    /// Changes what it does with requests.
    pub fn set_mood(&self, mood: Mood) {
        self.lock().mood = mood;
    }

    /// Returns the versions of a secret, oldest first; none when there is no such secret.
    pub fn versions(&self, name: &str) -> Vec<String> {
        self.lock().secrets.get(name).cloned().unwrap_or_default()
    }

    /// Returns the names of the secrets that are deleted and can be recovered.
    pub fn deleted(&self) -> Vec<String> {
        self.lock().deleted.keys().cloned().collect()
    }

    /// Changes a secret behind the product's back.
    pub fn put(&self, name: &str, value: &str) {
        self.lock().secrets.entry(name.to_owned()).or_default().push(value.to_owned());
    }

    /// Deletes a secret behind the product's back; it can be recovered.
    pub fn delete(&self, name: &str) {
        let mut vault = self.lock();
        if let Some(versions) = vault.secrets.remove(name) {
            vault.deleted.insert(name.to_owned(), versions);
        }
    }

    /// Returns the names of the secrets that are not deleted.
    pub fn names(&self) -> Vec<String> {
        self.lock().secrets.keys().cloned().collect()
    }

    /// Changes when all secrets were written.
    pub fn set_clock(&self, seconds: i64) {
        self.lock().clock = seconds;
    }

    /// Removes a secret without a trace.
    pub fn purge(&self, name: &str) {
        self.lock().secrets.remove(name);
    }

    /// Takes the requests that have come since the last time.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().requests)
    }

    fn lock(&self) -> MutexGuard<'_, Vault> {
        self.vault.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(
    State(vault): State<Arc<Mutex<Vault>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let silent = {
        let mut vault = vault.lock().unwrap_or_else(PoisonError::into_inner);
        let (who, with_body) =
            (if token.is_some() { "token" } else { "nobody" }, if body.is_empty() { "" } else { " body" });
        vault.requests.push(format!("{method} {} {who}{with_body}", uri.path()));
        vault.mood == Mood::Silent && token.is_some()
    };
    if silent {
        tokio::time::sleep(Duration::from_mins(10)).await;
    }
    let mut vault = vault.lock().unwrap_or_else(PoisonError::into_inner);
    if token != Some(&format!("Bearer {TOKEN}")) {
        let challenge = r#"Bearer authorization="https://login.windows.net/a-tenant", resource="https://vault.azure.net""#;
        let (status, body) = problem(401, "Unauthorized", "", &body);
        return (status, [(header::WWW_AUTHENTICATE, challenge)], body).into_response();
    }
    let (status, body) = match vault.mood {
        Mood::Forbidding => problem(403, "Forbidden", "ForbiddenByRbac", &body),
        Mood::Busy(left @ 1..) => {
            vault.mood = Mood::Busy(left - 1);
            problem(429, "TooManyRequests", "", &body)
        }
        Mood::Busy(0) | Mood::Fine | Mood::Silent => vault.serve(&method, &uri, &body),
    };
    (status, [(HeaderName::from_static("content-type"), "application/json")], body).into_response()
}

impl Vault {
    fn serve(&mut self, method: &Method, uri: &Uri, body: &[u8]) -> (StatusCode, String) {
        let query = uri.query().unwrap_or("");
        let parts: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
        match (method.as_str(), parts.as_slice()) {
            ("GET", ["secrets"]) => self.list(query),
            ("GET", ["secrets", name]) => {
                let versions = self.secrets.get(*name).map_or(&[][..], Vec::as_slice);
                match versions.last() {
                    Some(value) => done(name, versions.len(), Some(value)),
                    None => problem(404, "SecretNotFound", "", body),
                }
            }
            ("GET", ["secrets", name, version]) => {
                let number = version.strip_prefix('v').and_then(|number| number.parse::<usize>().ok());
                let versions = self.secrets.get(*name).map_or(&[][..], Vec::as_slice);
                match number.and_then(|number| Some((number, versions.get(number.checked_sub(1)?)?))) {
                    Some((number, value)) => done(name, number, Some(value)),
                    None => problem(404, "SecretNotFound", "", body),
                }
            }
            ("PUT", ["secrets", name]) => self.put(name, body),
            ("DELETE", ["secrets", name]) => match self.secrets.remove(*name) {
                Some(versions) => {
                    let newest = versions.len();
                    self.deleted.insert((*name).to_owned(), versions);
                    done(name, newest, None)
                }
                None => problem(404, "SecretNotFound", "", body),
            },
            ("POST", ["deletedsecrets", name, "recover"]) => match self.deleted.remove(*name) {
                Some(versions) => {
                    let newest = versions.len();
                    self.secrets.insert((*name).to_owned(), versions);
                    self.recovering.insert((*name).to_owned(), RECOVERY_STEPS);
                    done(name, newest, None)
                }
                None => problem(404, "SecretNotFound", "", body),
            },
            _ => problem(400, "BadParameter", "", body),
        }
    }

    fn put(&mut self, name: &str, body: &[u8]) -> (StatusCode, String) {
        if self.deleted.contains_key(name) {
            return problem(409, "Conflict", "ObjectIsDeletedButRecoverable", body);
        }
        if let Some(left) = self.recovering.get_mut(name).filter(|left| **left > 0) {
            *left -= 1;
            return problem(409, "Conflict", "ObjectIsBeingRecovered", body);
        }
        let value: Option<Value> = serde_json::from_slice(body).ok();
        let Some(value) = value.as_ref().and_then(|body| body["value"].as_str()) else {
            return problem(400, "BadParameter", "", body);
        };
        let versions = self.secrets.entry(name.to_owned()).or_default();
        versions.push(value.to_owned());
        done(name, versions.len(), Some(value))
    }

    /// Lists the secrets in pages of two; a page names where the next one begins.
    fn list(&self, query: &str) -> (StatusCode, String) {
        let from = query.split('&').find_map(|pair| pair.strip_prefix("from=")).unwrap_or("");
        let mut names = self.secrets.keys().filter(|name| name.as_str() >= from);
        let one = |name: &String| {
            json!({
                "id": format!("https://unit-test.vault.azure.net/secrets/{name}"),
                "attributes": {"enabled": true, "created": self.clock, "updated": self.clock},
            })
        };
        let page: Vec<Value> = names.by_ref().take(2).map(one).collect();
        let next = names.next().map(|name| format!("/secrets?from={name}"));
        (StatusCode::OK, json!({"value": page, "nextLink": next}).to_string())
    }
}

fn done(name: &str, version: usize, value: Option<&str>) -> (StatusCode, String) {
    let id = format!("https://unit-test.vault.azure.net/secrets/{name}/v{version}");
    (StatusCode::OK, json!({"id": id, "value": value, "attributes": {"enabled": true}}).to_string())
}

/// An answer that, unlike the real one, repeats what was sent: nothing of it may get anywhere.
fn problem(status: u16, code: &str, inner: &str, sent: &[u8]) -> (StatusCode, String) {
    let message = format!("cannot do it with {}", String::from_utf8_lossy(sent));
    let error = json!({"error": {"code": code, "message": message, "innererror": {"code": inner}}});
    (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), error.to_string())
}

/// An identity that the stand-in knows.
struct Known;

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Known")
    }
}

#[async_trait]
impl TokenCredential for Known {
    async fn get_token(
        &self,
        scopes: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        assert_eq!(scopes, ["https://vault.azure.net/.default"], "the scope is that of the challenge");
        let expires = OffsetDateTime::now_utc() + azure_core::time::Duration::hours(1);
        Ok(AccessToken::new(TOKEN, expires))
    }
}
