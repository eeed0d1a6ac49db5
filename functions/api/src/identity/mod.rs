//! Who somebody is, as the directory says. Whether that person may do anything is decided in
//! [`crate::admission`].
//!
//! What must stay true: nothing is believed that was not proved, by the platform in front where the
//! configuration says that it does so, by a signature of the directory, or by Microsoft Graph. When the
//! one to ask cannot be reached, that is an error and never "nobody".

mod bearer;
mod failures;
mod graph;
mod http;
mod keys;
mod platform;
mod rs256;

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use chrono::{DateTime, Utc};
use shared::config::{AuthMode, Config};
use shared::models::{UserId, is_pending};

use bearer::Bearer;
use failures::{Asker, Failures};
pub use http::HttpSetUpError;

/// The longest texts of a directory that are kept.
const LONGEST_TEXT: usize = 320;

/// Somebody whom the directory knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The directory's id, which never changes.
    pub object_id: UserId,
    pub email: String,
    pub name: String,
}

/// What a request proves.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Somebody calls.
    Of(Identity),
    /// Nothing was shown that would prove anything.
    Nothing,
    /// What was shown proves nothing.
    Rejected,
}

/// Why it cannot be told who calls.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    /// The directory's keys, or Microsoft Graph, cannot be had.
    #[error("the directory cannot be asked who calls")]
    Away(#[source] http::HttpError),
    /// It was asked a moment ago, in vain.
    #[error("the directory could not be asked who calls, a moment ago")]
    AwayStill,
    /// The address has asked too often in vain to be worth another question.
    #[error("too many failed sign-ins from one address")]
    TooOften,
}

/// Finds out who calls.
#[derive(Debug, Clone)]
pub struct Identities(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    trust_platform_headers: bool,
    bearer: Option<Bearer>,
    failures: Failures,
}

impl Identities {
    /// Sets up the ways to prove an identity that the configuration allows. Nothing is sent yet.
    pub fn new(config: &Config) -> Result<Self, HttpSetUpError> {
        let azure = config.auth_mode == AuthMode::Azure;
        let directory = config.sign_in.directory.clone().filter(|_| azure);
        let bearer = directory.map(Bearer::new).transpose()?;
        let trust_platform_headers = azure && config.sign_in.trust_platform_headers;
        if azure && bearer.is_none() && !trust_platform_headers {
            tracing::warn!(
                "nobody can sign in: set AZURE_AD_TENANT_ID and AZURE_AD_CLIENT_ID, or \
                 TRUST_EASYAUTH_HEADERS=true where the platform in front proves identities"
            );
        }
        Ok(Self(Arc::new(Parts { trust_platform_headers, bearer, failures: Failures::default() })))
    }

    /// Finds out what the headers of a request from an address prove.
    pub(crate) async fn proof(
        &self,
        headers: &HeaderMap,
        address: Option<IpAddr>,
        now: DateTime<Utc>,
    ) -> Result<Proof, IdentityError> {
        if self.0.trust_platform_headers
            && let Some(identity) = platform::identity(headers)
        {
            return Ok(Proof::Of(identity));
        }
        let Some(given) = headers.get(AUTHORIZATION) else { return Ok(Proof::Nothing) };
        let Some((token, bearer)) = given.to_str().ok().and_then(token).zip(self.0.bearer.as_ref()) else {
            return Ok(Proof::Rejected);
        };
        let asker = Asker { failures: &self.0.failures, address };
        let identity = bearer.identity(token, asker, now).await?;
        Ok(identity.map_or(Proof::Rejected, Proof::Of))
    }

    /// Counts a caller who was refused, and returns for how many seconds the address is refused now if
    /// it has failed too often.
    pub(crate) fn count_failure(&self, address: Option<IpAddr>, now: DateTime<Utc>) -> Option<u64> {
        self.0.failures.count(address, now);
        self.seconds_to_wait(address, now)
    }

    /// Returns for how many seconds failures from an address are not answered in detail.
    pub(crate) fn seconds_to_wait(&self, address: Option<IpAddr>, now: DateTime<Utc>) -> Option<u64> {
        self.0.failures.wait(address, now)
    }
}

impl Identity {
    /// Makes an identity of what the directory says, unless it cannot be a user of ours: without an
    /// e-mail address nobody could be found in the list of users.
    fn new(object_id: &str, email: Option<&str>, name: Option<&str>) -> Option<Self> {
        let object_id: UserId = object_id.parse().ok()?;
        let email = email.and_then(text)?;
        let name = name.and_then(text).unwrap_or_else(|| before_at(&email));
        (!is_pending(&object_id)).then_some(Self { object_id, email, name })
    }
}

/// Returns the part of an e-mail address that names a person.
pub(crate) fn before_at(email: &str) -> String {
    match email.split_once('@') {
        Some((name, _)) if !name.is_empty() => name.to_owned(),
        Some(_) | None => email.to_owned(),
    }
}

/// Tidies a text that goes into rows and to screens.
fn text(text: &str) -> Option<String> {
    let tidy: String = text.trim().chars().filter(|c| !c.is_control()).take(LONGEST_TEXT).collect();
    (!tidy.is_empty()).then_some(tidy)
}

/// Returns the token of a header; the word before it is written in any case.
fn token(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_follows_its_scheme() {
        assert_eq!(token("Bearer a.b.c"), Some("a.b.c"));
        assert_eq!(token("bearer  a "), Some("a"));
        for other in ["", "Bearer", "Bearer ", "Basic a", "Bearera"] {
            assert_eq!(token(other), None, "{other}");
        }
    }

    #[test]
    fn an_identity_has_an_id_and_an_address() {
        let named = Identity::new("oid", Some(" Zoe@Example.org\n"), Some("\u{7}"));
        assert_eq!(named.map(|who| (who.email, who.name)), Some(("Zoe@Example.org".into(), "Zoe".into())));
        for (id, email) in [("", Some("a@b")), ("a/b", Some("a@b")), ("pending-1", Some("a@b")), ("a", None)]
        {
            assert_eq!(Identity::new(id, email, Some("x")), None, "{id}");
        }
        assert_eq!(before_at("@x"), "@x");
    }
}
