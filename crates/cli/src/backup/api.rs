//! The few requests that `dilux backup` makes of the api, as any other client would.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use shared::config::Source;
use shared::models::BackupStatus;
use url::{Host, Url};

use crate::text::{cut, on_one_line};

/// The time for one request, connecting included.
const TIME_LIMIT: Duration = Duration::from_mins(1);

/// How much of an answer that is no JSON goes into an error text, in characters.
const QUOTE: usize = 200;

/// Where the token comes from. There is no option for it: arguments can be seen by every user of a machine.
const TOKEN: &str = "DILUX_TOKEN";

/// Which api is asked.
#[derive(Debug, clap::Args)]
pub(super) struct ApiOptions {
    /// The address of the api
    #[arg(
        long = "api",
        help = "The address of the api; a bearer token for it is taken from the variable DILUX_TOKEN",
        value_name = "URL",
        env = "DILUX_API",
        hide_env_values = true,
        default_value = "http://127.0.0.1:7071/api"
    )]
    address: String,
}

/// Why the api did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// The address cannot be one of an api.
    #[error("the address of the api is {0}; give one like http://127.0.0.1:7071/api by --api or DILUX_API")]
    Address(&'static str),
    /// The token cannot be one.
    #[error("the variable DILUX_TOKEN holds characters that no token has; copy it again")]
    Token,
    /// The client could not be set up.
    #[error("the HTTP client could not be set up")]
    Client(#[source] reqwest::Error),
    /// There is no answer.
    #[error(
        "the api at {address} does not answer; start it with `dilux up`, or give the address of another one \
         by --api or DILUX_API"
    )]
    Unreachable {
        /// The address of the api.
        address: String,
        /// What happened.
        #[source]
        source: reqwest::Error,
    },
    /// The api does not know who asks, or does not allow it.
    #[error("the api refused the request: {0}; set DILUX_TOKEN to a valid token of a user who may do this")]
    Denied(String),
    /// The api refused the request for another reason.
    #[error("the api answered with {status}: {text}")]
    Refused {
        /// The status of the answer.
        status: StatusCode,
        /// What it said.
        text: String,
    },
    /// The answer is none of this product's api.
    #[error("the answer from {address} is not one of the api; check the address, which usually ends in /api")]
    Unexpected {
        /// The address of the api.
        address: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The api does not have the record of the job.
    #[error("the api shows no record of the job")]
    NoRecord,
}

impl ApiError {
    /// Tells whether the command line or the environment is to blame.
    pub(super) fn is_usage(&self) -> bool {
        matches!(self, Self::Address(_) | Self::Token)
    }

    /// Tells whether the same request may succeed in a moment.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::NoRecord => true,
            Self::Refused { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::Address(_) | Self::Token | Self::Client(_) | Self::Denied(_) | Self::Unexpected { .. } => {
                false
            }
        }
    }
}

/// What is read of a configured database.
#[derive(Debug, Deserialize)]
pub(super) struct Database {
    /// Its id.
    pub(super) id: String,
    /// Its display name.
    pub(super) name: String,
}

/// The answer to the wish for a backup.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    /// The job, which may be one that was asked for before and still runs.
    pub(super) job_id: String,
    /// A text for people.
    #[serde(default)]
    pub(super) message: String,
}

/// A record of the history.
#[derive(Debug)]
pub(super) struct Record {
    /// Where the backup stands.
    pub(super) status: BackupStatus,
    /// What is read of it.
    pub(super) view: View,
    /// All of it.
    pub(super) json: Value,
}

/// What is read of a record.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct View {
    /// The blob.
    pub(super) blob_name: Option<String>,
    /// Its size in bytes.
    pub(super) file_size_bytes: Option<u64>,
    /// How long the backup took.
    pub(super) duration_seconds: Option<f64>,
    /// Why the last attempt failed.
    pub(super) error_message: Option<String>,
    /// When the running attempt began.
    pub(super) started_at: Option<DateTime<Utc>>,
    /// The last sign of life of its processor.
    pub(super) heartbeat_at: Option<DateTime<Utc>>,
    /// What the dump tool has written until then, in bytes.
    pub(super) bytes_dumped: Option<u64>,
    /// What storage has taken until then, in bytes.
    pub(super) bytes_uploaded: Option<u64>,
}

/// A client of the api.
pub(super) struct Api {
    base: Url,
    token: Option<SecretString>,
    http: Client,
}

impl Api {
    /// Makes a client; nothing is sent yet.
    pub(super) fn new(options: &ApiOptions) -> Result<Self, ApiError> {
        let base = address(&options.address)?;
        let token = Source::environment().text(TOKEN);
        if token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(ApiError::Token);
        }
        // Only the first call in a process counts; that it was done before is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut http = Client::builder().timeout(TIME_LIMIT).redirect(Policy::none());
        if is_this_machine(&base) {
            http = http.no_proxy();
        }
        let http = http.build().map_err(ApiError::Client)?;
        Ok(Self { base, token: token.map(SecretString::from), http })
    }

    /// Reads all configured databases.
    pub(super) async fn databases(&self) -> Result<Vec<Database>, ApiError> {
        #[derive(Deserialize)]
        struct List {
            databases: Vec<Database>,
        }
        Ok(self.send::<List>(Method::GET, &["databases"], &[]).await?.databases)
    }

    /// Asks for a backup.
    pub(super) async fn back_up(&self, database: &str) -> Result<Asked, ApiError> {
        self.send(Method::POST, &["databases", database, "backup"], &[]).await
    }

    /// Reads the record of a job of a database; `None` when there is none.
    pub(super) async fn record(&self, database: &str, job: &str) -> Result<Option<Record>, ApiError> {
        #[derive(Deserialize)]
        struct List {
            backups: Vec<Value>,
        }
        let query = [("database_id", database), ("page_size", "100")];
        let list: List = self.send(Method::GET, &["backups"], &query).await?;
        let of_job = |record: &Value| record.get("job_id").and_then(Value::as_str) == Some(job);
        list.backups.into_iter().find(of_job).map(|json| self.understood(json)).transpose()
    }

    /// Takes out of a record what is needed.
    fn understood(&self, json: Value) -> Result<Record, ApiError> {
        #[derive(Deserialize)]
        struct Status {
            status: String,
        }
        let view = View::deserialize(&json).map_err(|source| self.unexpected(source))?;
        let Status { status } = Status::deserialize(&json).map_err(|source| self.unexpected(source))?;
        let status = status.parse().map_err(|error| self.unexpected(serde::de::Error::custom(error)))?;
        Ok(Record { status, view, json })
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, ApiError> {
        let mut request = self.http.request(method, self.url(path, query));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        let unreachable = |source: reqwest::Error| ApiError::Unreachable {
            address: self.base.to_string(),
            // Without the address, which the text has already.
            source: source.without_url(),
        };
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(unreachable)?;
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(ApiError::Denied(said(&body))),
            status if !status.is_success() => Err(ApiError::Refused { status, text: said(&body) }),
            _ => serde_json::from_slice(&body).map_err(|source| self.unexpected(source)),
        }
    }

    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        // An http address always has segments.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    fn unexpected(&self, source: serde_json::Error) -> ApiError {
        ApiError::Unexpected { address: self.base.to_string(), source }
    }
}

/// Reads the address of an api. What is wrong with it is said without the address, which may hold a password.
fn address(text: &str) -> Result<Url, ApiError> {
    let url = Url::parse(text.trim()).map_err(|_| ApiError::Address("not an address"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(ApiError::Address("not one of http or https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ApiError::Address("one with a user name or password in it; use DILUX_TOKEN instead"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(ApiError::Address("longer than an address; leave out what begins with ? or #"));
    }
    Ok(url)
}

/// Tells whether an address is one of this machine, to which no proxy leads.
fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Takes the text for people out of an error body; a body of another shape is quoted.
fn said(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Body {
        error: String,
    }
    let text = serde_json::from_slice::<Body>(body)
        .map_or_else(|_| cut(String::from_utf8_lossy(body).trim(), QUOTE), |body| body.error);
    if text.is_empty() { "no reason was given".to_owned() } else { on_one_line(&text) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn addresses_are_taken_with_and_without_a_slash_at_the_end() {
        for text in ["http://127.0.0.1:7071/api", " http://127.0.0.1:7071/api/ "] {
            let api = Api::new(&ApiOptions { address: text.to_owned() }).unwrap();
            let url = api.url(&["databases", "a/b?", "backup"], &[("database_id", "x&y")]);
            assert_eq!(url.as_str(), "http://127.0.0.1:7071/api/databases/a%2Fb%3F/backup?database_id=x%26y");
        }
    }

    #[test]
    fn wrong_addresses_are_not_repeated() {
        for text in [
            "",
            "127.0.0.1:7071",
            "ftp://host/api",
            "http://me:s3cret@host/api",
            "http://host/api?code=s3cret",
            "s3cret",
        ] {
            let error = address(text).unwrap_err();
            assert!(error.is_usage(), "{text}");
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn no_proxy_leads_to_this_machine() {
        let local = |text: &str| is_this_machine(&Url::parse(text).unwrap());
        assert!(local("http://127.0.0.1:1/") && local("http://[::1]/") && local("http://localhost/api"));
        assert!(!local("https://localhost.example.com/") && !local("http://10.0.0.1/"));
    }

    #[test]
    fn error_bodies_of_any_shape_become_one_line() {
        assert_eq!(said(br#"{"error": "no such\ndatabase"}"#), "no such database");
        assert_eq!(said(b"<html>\r\n502"), "<html>  502");
        assert_eq!(said(b""), "no reason was given");
        assert!(said("x".repeat(5000).as_bytes()).len() < 210);
    }
}
