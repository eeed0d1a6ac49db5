//! A directory on this machine: a key of its own, a key set, and Microsoft Graph's answer.

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router, routing};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{NOW, World, at, merge};

pub(crate) const TENANT: &str = "11111111-aaaa-bbbb-cccc-000000000001";
pub(crate) const CLIENT: &str = "22222222-aaaa-bbbb-cccc-000000000002";
pub(crate) const GRAPH_AUDIENCE: &str = "00000003-0000-0000-c000-000000000000";

/// Keys take a while to make, so that all tests of a process share two.
static KEYS: LazyLock<[RsaKeyPair; 2]> = LazyLock::new(|| [make_key(), make_key()]);

#[expect(clippy::disallowed_methods, reason = "keys are made by a program of the system")]
fn make_key() -> RsaKeyPair {
    let made = Command::new("openssl")
        .args([
            "genpkey",
            "-quiet",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
            "-outform",
            "DER",
        ])
        .output()
        .unwrap_or_else(|error| panic!("openssl is needed to make a key: {error}"));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    RsaKeyPair::from_der(&made.stdout).unwrap()
}

fn components(key: &RsaKeyPair) -> [Vec<u8>; 2] {
    let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(key.public_key());
    [n, e]
}

/// What the directory answers, and how often it was asked.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// The names under which the first and the second key are published.
    pub(crate) published: Mutex<Vec<(String, usize)>>,
    /// Whether it answers at all.
    pub(crate) is_away: Mutex<bool>,
    /// Whose token Graph takes the one for that it is asked about.
    pub(crate) me: Mutex<Option<Value>>,
    pub(crate) key_questions: AtomicU64,
    pub(crate) graph_questions: AtomicU64,
}

/// A directory; ends with the test.
pub(crate) struct Directory {
    pub(crate) answers: Arc<Answers>,
    port: u16,
}

impl Directory {
    pub(crate) async fn start() -> Self {
        let answers = Arc::new(Answers::default());
        answers.published.lock().unwrap().push(("one".to_owned(), 0));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new()
            .route("/keys", routing::get(keys))
            .route("/v1.0/me", routing::get(me))
            .with_state(Arc::clone(&answers));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { answers, port }
    }

    /// Makes a world whose users sign in with this directory.
    pub(crate) fn world(&self, more: &[(&str, &str)]) -> World {
        let base = format!("http://127.0.0.1:{}", self.port);
        let keys = format!("{base}/keys");
        let own = [
            ("AUTH_MODE", "azure"),
            ("AZURE_AD_TENANT_ID", TENANT),
            ("AZURE_AD_CLIENT_ID", CLIENT),
            ("AZURE_AD_KEYS_URL", keys.as_str()),
            ("GRAPH_BASE_URL", base.as_str()),
        ];
        World::with(&[&own[..], more].concat())
    }

    pub(crate) fn key_questions(&self) -> u64 {
        self.answers.key_questions.load(Ordering::Relaxed)
    }

    pub(crate) fn graph_questions(&self) -> u64 {
        self.answers.graph_questions.load(Ordering::Relaxed)
    }

    pub(crate) fn go_away(&self, away: bool) {
        *self.answers.is_away.lock().unwrap() = away;
    }
}

async fn keys(State(answers): State<Arc<Answers>>) -> Response {
    answers.key_questions.fetch_add(1, Ordering::Relaxed);
    if *answers.is_away.lock().unwrap() {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let published = answers.published.lock().unwrap().clone();
    let keys: Vec<Value> = published
        .iter()
        .map(|(kid, index)| {
            let [n, e] = components(&KEYS[*index]).map(|number| URL_SAFE_NO_PAD.encode(number));
            json!({"kty": "RSA", "use": "sig", "kid": kid, "n": n, "e": e, "x5c": []})
        })
        .collect();
    Json(json!({"keys": keys})).into_response()
}

async fn me(State(answers): State<Arc<Answers>>, headers: HeaderMap) -> Response {
    answers.graph_questions.fetch_add(1, Ordering::Relaxed);
    assert!(headers["authorization"].to_str().unwrap().starts_with("Bearer "));
    if *answers.is_away.lock().unwrap() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match answers.me.lock().unwrap().clone() {
        Some(me) => Json(me).into_response(),
        None => (StatusCode::UNAUTHORIZED, Json(json!({"error": "no"}))).into_response(),
    }
}

/// Returns the claims of a good token for this application.
pub(crate) fn claims(oid: &str) -> Value {
    let now = at(NOW).timestamp();
    json!({
        "aud": CLIENT, "iss": format!("https://login.microsoftonline.com/{TENANT}/v2.0"), "tid": TENANT,
        "oid": oid, "preferred_username": format!("{oid}@example.org"), "name": format!("Name of {oid}"),
        "iat": now - 60, "nbf": now - 60, "exp": now + 3600,
    })
}

/// Returns the claims of a token for Graph that was issued to this application.
pub(crate) fn graph_claims() -> Value {
    let now = at(NOW).timestamp();
    json!({"aud": GRAPH_AUDIENCE, "tid": TENANT, "appid": CLIENT, "nbf": now - 60, "exp": now + 3600})
}

/// Signs claims with one of the keys.
pub(crate) fn signed(key: usize, header: &Value, claims: &Value) -> String {
    let message = unsigned(header, claims);
    let key = &KEYS[key];
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Signs claims with the public key as if it were a shared secret: the classic confusion.
pub(crate) fn hmac_signed(claims: &Value) -> String {
    let message = unsigned(&json!({"alg": "HS256", "typ": "JWT", "kid": "one"}), claims);
    let [n, _] = components(&KEYS[0]);
    let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, URL_SAFE_NO_PAD.encode(n).as_bytes());
    let signature = ring::hmac::sign(&secret, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

pub(crate) fn unsigned(header: &Value, claims: &Value) -> String {
    let [header, claims] = [header, claims].map(|json| URL_SAFE_NO_PAD.encode(json.to_string()));
    format!("{header}.{claims}")
}

/// Makes a good token with some claims changed.
pub(crate) fn token(oid: &str, more: Value) -> String {
    let mut claims = claims(oid);
    merge(&mut claims, more);
    signed(0, &json!({"alg": "RS256", "typ": "JWT", "kid": "one"}), &claims)
}

/// Makes a token for Graph with some claims changed; its signature means nothing to us.
pub(crate) fn graph_token(more: Value) -> String {
    let mut claims = graph_claims();
    merge(&mut claims, more);
    let header = json!({"typ": "JWT", "nonce": "n", "alg": "RS256", "kid": "graph"});
    format!("{}.c2ln", unsigned(&header, &claims))
}
