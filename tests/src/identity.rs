//! A stand-in for the endpoint at which the platform gives an app the tokens of its identity.
//!
//! <https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference>

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router, routing};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use tokio::net::TcpListener;

/// What a program must show to get a token; the platform gives it to the app alone.
const HEADER: &str = "proof-of-the-app";

/// A stand-in that runs until the runtime ends.
pub struct IdentityStandIn {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl IdentityStandIn {
    /// Starts one.
    ///
    /// # Panics
    ///
    /// When this machine has no port left.
    pub async fn start() -> Self {
        let listener =
            TcpListener::bind("127.0.0.1:0").await.unwrap_or_else(|error| panic!("a port: {error}"));
        let port = listener.local_addr().unwrap_or_else(|error| panic!("a port: {error}")).port();
        let asked = Arc::new(Mutex::default());
        let router = Router::new().route("/token", routing::get(answer)).with_state(asked.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { port, asked }
    }

    /// Returns the variables by which the platform tells an app of the endpoint.
    pub fn variables(&self) -> [(String, String); 2] {
        [
            ("IDENTITY_ENDPOINT".to_owned(), format!("http://127.0.0.1:{}/token", self.port)),
            ("IDENTITY_HEADER".to_owned(), HEADER.to_owned()),
        ]
    }

    /// Returns for what, and for which identity, tokens were asked for.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(serde::Deserialize)]
struct Asked {
    resource: String,
    client_id: Option<String>,
}

async fn answer(
    State(asked): State<Arc<Mutex<Vec<String>>>>,
    Query(query): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    if headers.get("x-identity-header").is_none_or(|value| value != HEADER) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let who = query.client_id.as_deref().unwrap_or("the app's own");
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{} for {who}", query.resource));
    let expires = now() + 3600;
    Json(json!({
        "access_token": token(&query.resource),
        "expires_on": expires.to_string(),
        "resource": query.resource,
        "token_type": "Bearer",
    }))
    .into_response()
}

/// Makes a token for a resource, as long as real ones are. Nobody has signed it: the storage emulator reads
/// what it says, and databases take it as a password.
pub fn token(resource: &str) -> String {
    let claims = json!({
        "aud": resource, "iss": "https://sts.windows.net/11111111-1111-1111-1111-111111111111/",
        "iat": 1_700_000_000, "nbf": 1_700_000_000, "exp": 4_000_000_000_u64, "ver": "1.0",
        "oid": "22222222-2222-2222-2222-222222222222", "tid": "11111111-1111-1111-1111-111111111111",
        "scp": "user_impersonation", "groups": vec!["33333333-3333-3333-3333-333333333333"; 30],
    });
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!(
        "{}.{}.{}",
        part(r#"{"typ":"JWT","alg":"RS256","kid":"k"}"#),
        part(&claims.to_string()),
        "c2ln".repeat(85)
    )
}

#[expect(clippy::disallowed_methods, reason = "the platform's clock, not the product's")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
