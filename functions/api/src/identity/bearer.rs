//! Tokens in the `Authorization` header: those for this application, and those for Microsoft Graph.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::Value;
use shared::config::Directory;

use super::failures::Asker;
use super::graph::Graph;
use super::http::{Http, HttpSetUpError};
use super::keys::Keys;
use super::{Identity, IdentityError, rs256};

/// No directory makes longer ones.
const LONGEST_TOKEN: usize = 32 * 1024;
/// By how much the clocks of the directory and of this machine may differ.
const LEEWAY: TimeDelta = TimeDelta::minutes(2);
/// Whom tokens for Microsoft Graph are for.
const GRAPH: [&str; 3] =
    ["00000003-0000-0000-c000-000000000000", "https://graph.microsoft.com", "https://graph.microsoft.com/"];

/// What checks tokens.
#[derive(Debug)]
pub(super) struct Bearer {
    directory: Directory,
    keys: Keys,
    graph: Option<Arc<Graph>>,
    validation: Validation,
}

/// What a token says that has been verified.
#[derive(Debug, Deserialize)]
struct Claims {
    oid: String,
    exp: f64,
    nbf: Option<f64>,
    preferred_username: Option<String>,
    email: Option<String>,
    upn: Option<String>,
    name: Option<String>,
    given_name: Option<String>,
}

/// What a token says that nobody has verified: good for deciding whom to ask, and for refusing.
#[derive(Debug, Deserialize)]
struct Unverified {
    aud: Option<Value>,
    exp: Option<f64>,
    nbf: Option<f64>,
    tid: Option<String>,
    appid: Option<String>,
    azp: Option<String>,
}

impl Bearer {
    pub(super) fn new(directory: Directory) -> Result<Self, HttpSetUpError> {
        rs256::install();
        let http = Http::new()?;
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_required_spec_claims(&["aud", "exp", "iss"]);
        validation.set_audience(&[directory.client_id.clone(), format!("api://{}", directory.client_id)]);
        validation.set_issuer(&[
            format!("https://login.microsoftonline.com/{}/v2.0", directory.tenant_id),
            format!("https://sts.windows.net/{}/", directory.tenant_id),
        ]);
        // Time is an argument here and not there.
        validation.validate_exp = false;
        Ok(Self {
            keys: Keys::new(http.clone(), directory.keys.clone()),
            graph: directory.graph.as_ref().map(|base| Arc::new(Graph::new(http, base))),
            directory,
            validation,
        })
    }

    /// Finds out whose a token is; `None` when it proves nothing.
    pub(super) async fn identity(
        &self,
        token: &str,
        asker: Asker<'_>,
        now: DateTime<Utc>,
    ) -> Result<Option<Identity>, IdentityError> {
        let Some(unverified) = unverified(token) else { return Ok(None) };
        if !unverified.is_for_graph() {
            return self.own(token, now).await;
        }
        match (&self.graph, expiry(unverified.exp)) {
            (Some(graph), Some(expires)) if self.may_be_ours(&unverified, now) => {
                graph.owner(token, expires, asker, now).await
            }
            _ => Ok(None),
        }
    }

    /// Verifies a token for this application.
    async fn own(&self, token: &str, now: DateTime<Utc>) -> Result<Option<Identity>, IdentityError> {
        let Some(header) = decode_header(token).ok().filter(|header| header.alg == Algorithm::RS256) else {
            return Ok(None);
        };
        let Some(kid) = header.kid else { return Ok(None) };
        let Some(key) = self.keys.find(&kid, now).await? else { return Ok(None) };
        let claims = match decode::<Claims>(token, &key, &self.validation) {
            Ok(token) => token.claims,
            Err(error) => {
                tracing::debug!(%error, "a token is refused");
                return Ok(None);
            }
        };
        if !holds(Some(claims.exp), claims.nbf, now) {
            return Ok(None);
        }
        Ok(claims.identity())
    }

    /// Tells whether a token for Graph says that it was issued to this application in this directory;
    /// one that was issued to another application is not shown to us by its owner's wish.
    fn may_be_ours(&self, token: &Unverified, now: DateTime<Utc>) -> bool {
        let is = |claim: &Option<String>, wanted: &str| {
            claim.as_deref().is_some_and(|claim| claim.eq_ignore_ascii_case(wanted))
        };
        let client = &self.directory.client_id;
        let others = [&token.appid, &token.azp];
        is(&token.tid, &self.directory.tenant_id)
            && others.iter().any(|claim| is(claim, client))
            && others.iter().all(|claim| claim.is_none() || is(claim, client))
            && holds(token.exp, token.nbf, now)
    }
}

impl Unverified {
    fn is_for_graph(&self) -> bool {
        self.aud.as_ref().and_then(Value::as_str).is_some_and(|audience| GRAPH.contains(&audience))
    }
}

impl Claims {
    fn identity(&self) -> Option<Identity> {
        let filled = |text: &'_ Option<String>| text.as_ref().filter(|text| !text.is_empty()).cloned();
        let email = filled(&self.preferred_username).or_else(|| filled(&self.email));
        let email = email.or_else(|| filled(&self.upn));
        let name = filled(&self.name).or_else(|| filled(&self.given_name));
        Identity::new(&self.oid, email.as_deref(), name.as_deref())
    }
}

/// Reads what a token of three parts says, without believing it.
fn unverified(token: &str) -> Option<Unverified> {
    let mut parts = token.split('.');
    let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let payload = (token.len() <= LONGEST_TOKEN).then(|| URL_SAFE_NO_PAD.decode(payload).ok()).flatten()?;
    serde_json::from_slice(&payload).ok()
}

/// Tells whether a token holds now; one without an end never does.
fn holds(exp: Option<f64>, nbf: Option<f64>, now: DateTime<Utc>) -> bool {
    let begun = nbf.is_none_or(|nbf| instant(nbf).is_some_and(|nbf| nbf <= now + LEEWAY));
    begun && expiry(exp).is_some_and(|exp| now < exp + LEEWAY)
}

fn expiry(exp: Option<f64>) -> Option<DateTime<Utc>> {
    exp.and_then(instant)
}

/// Reads the seconds of a token; years beyond 9999 are none.
fn instant(seconds: f64) -> Option<DateTime<Utc>> {
    let in_range = (0.0..253_402_300_800.0).contains(&seconds);
    #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
    in_range.then(|| DateTime::from_timestamp(seconds as i64, 0)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_holds_between_its_instants_with_a_little_leeway() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::seconds(1000);
        let cases = [
            (Some(1001.0), None, true),
            (Some(881.0), None, true),
            (Some(880.0), None, false),
            (Some(2000.0), Some(1120.0), true),
            (Some(2000.0), Some(1121.0), false),
            (Some(f64::NAN), None, false),
            (Some(1e300), None, false),
            (Some(2000.0), Some(-1.0), false),
            (None, None, false),
        ];
        for (exp, nbf, expected) in cases {
            assert_eq!(holds(exp, nbf, now), expected, "{exp:?} {nbf:?}");
        }
    }

    #[test]
    fn only_three_parts_are_a_token() {
        let payload = URL_SAFE_NO_PAD.encode(r#"{"aud":"https://graph.microsoft.com","exp":1}"#);
        assert!(unverified(&format!("a.{payload}.c")).is_some_and(|token| token.is_for_graph()));
        for bad in
            ["", "a", &payload, &format!("a.{payload}"), &format!("a.{payload}.c.d"), "a.!.c", "a.e30=.c"]
        {
            assert!(unverified(bad).is_none(), "{bad}");
        }
        let long = format!("{}.{payload}.c", "x".repeat(LONGEST_TOKEN));
        assert!(unverified(&long).is_none());
        let text = URL_SAFE_NO_PAD.encode(r#"{"exp":"never"}"#);
        assert!(unverified(&format!("a.{text}.c")).is_none());
    }
}
