//! Questions to the directory: short, bounded, without redirects.

use std::time::Duration;

use reqwest::StatusCode;
use url::Url;

/// How long a whole question may take, and making the connection for it.
const DEADLINE: Duration = Duration::from_secs(10);
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// Longer answers are not read.
const LONGEST_ANSWER: usize = 1 << 20;

/// The error of a client that cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for the directory could not be set up; check the system's certificate store")]
pub struct HttpSetUpError(#[source] reqwest::Error);

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("no answer from {0}")]
    NoAnswer(String, #[source] reqwest::Error),
    #[error("{0} answered {1}")]
    Status(String, StatusCode),
    #[error("the answer of {0} is longer than is read, or is not what is documented")]
    Unusable(String),
}

/// A client with its own connections.
#[derive(Debug, Clone)]
pub(super) struct Http(reqwest::Client);

/// An answer, whatever its status.
#[derive(Debug)]
pub(super) struct HttpAnswer {
    pub status: StatusCode,
    pub body: Vec<u8>,
}

impl Http {
    pub(super) fn new() -> Result<Self, HttpSetUpError> {
        // A provider that another part of the program installed first serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_DEADLINE)
            .timeout(DEADLINE)
            .redirect(reqwest::redirect::Policy::none())
            .build();
        client.map(Self).map_err(HttpSetUpError)
    }

    /// Asks, with a token where there is one.
    pub(super) async fn get(&self, url: &Url, token: Option<&str>) -> Result<HttpAnswer, HttpError> {
        let place = || url.host_str().unwrap_or_default().to_owned();
        let failed = |error: reqwest::Error| HttpError::NoAnswer(place(), error.without_url());
        let mut request = self.0.get(url.clone());
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let mut response = request.send().await.map_err(failed)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(HttpError::Unusable(place()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(HttpAnswer { status: response.status(), body })
    }
}
