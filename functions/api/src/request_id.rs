//! The id of a request: in the log, in the answer's header and in the body of every error.

use std::convert::Infallible;
use std::fmt;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use serde::Serialize;
use shared::models::AuditId;

use crate::state::AppState;

/// The header in which a caller may give an id, and in which the answer has it.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Where an id may come from, the caller's own first, then the Functions host's for the invocation.
const SOURCES: [HeaderName; 2] = [HEADER, HeaderName::from_static("x-azure-functions-invocationid")];

const LONGEST: usize = 64;

/// The id of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct RequestId(String);

impl RequestId {
    /// Takes the id that somebody in front has given, if it can do no harm in a log; else makes one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let given = SOURCES.into_iter().filter_map(|name| headers.get(&name)?.to_str().ok());
        given.map(str::trim).find(|id| is_harmless(id)).map_or_else(Self::random, |id| Self(id.to_owned()))
    }

    /// Makes one that nobody else has; which kind of id it is does not matter.
    fn random() -> Self {
        Self(AuditId::random().to_string())
    }

    /// Writes the id into the header of an answer.
    pub(crate) fn on(&self, mut response: Response) -> Response {
        if let Ok(value) = HeaderValue::from_str(&self.0) {
            response.headers_mut().insert(HEADER, value);
        }
        response
    }
}

fn is_harmless(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=LONGEST).contains(&id.len()) && id.bytes().all(allowed)
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromRequestParts<AppState> for RequestId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_else(Self::random))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &[(HeaderName, &'static str)]) -> String {
        let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        RequestId::of(&headers.collect()).to_string()
    }

    #[test]
    fn the_callers_id_wins_then_the_hosts_then_a_new_one() {
        let [own, host] = SOURCES;
        assert_eq!(of(&[(own.clone(), "r-1"), (host.clone(), "i-1")]), "r-1");
        assert_eq!(of(&[(own.clone(), "a b"), (host, "i-1")]), "i-1");
        assert_eq!(of(&[(own, " r_1.x ")]), "r_1.x");
        assert_ne!(of(&[]), of(&[]));
        assert_eq!(of(&[]).len(), 36);
    }

    #[test]
    fn an_id_that_could_do_harm_is_not_taken() {
        const LONG: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
        for bad in ["", "a\"b", "<script>", "a,b", "a/b", "{}", LONG] {
            assert_ne!(of(&[(HEADER, bad)]), bad);
        }
    }
}
