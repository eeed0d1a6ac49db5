//! The keys that the directory signs with: fetched when needed, kept, and fetched again when a token
//! names one that is not known, but not at anybody's bidding.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use url::Url;

use super::IdentityError;
use super::http::{Http, HttpError};

/// How long keys are used without asking again.
const FRESH: TimeDelta = TimeDelta::hours(12);
/// How long they are used when the directory cannot be asked.
const USABLE: TimeDelta = TimeDelta::hours(48);
/// The pause between two questions, whatever tokens come meanwhile.
const FLOOR: TimeDelta = TimeDelta::minutes(1);
/// The pause after a question without an answer.
const FLOOR_AFTER_FAILURE: TimeDelta = TimeDelta::seconds(5);
/// A directory publishes a handful.
const MOST_KEYS: usize = 100;

/// The keys of one directory.
#[derive(Debug)]
pub(super) struct Keys {
    http: Http,
    url: Url,
    known: Mutex<Known>,
    /// Held by the one who asks.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default, Clone)]
struct Known {
    keys: Arc<HashMap<String, DecodingKey>>,
    fetched_at: Option<DateTime<Utc>>,
    failed_at: Option<DateTime<Utc>>,
}

/// What is to be done about a key.
#[derive(Debug)]
enum Step {
    Use(DecodingKey),
    /// There is no such key, and the directory was asked just now.
    Unknown,
    /// The directory could not be asked just now.
    Away,
    Ask,
}

impl Keys {
    pub(super) fn new(http: Http, url: Url) -> Self {
        Self { http, url, known: Mutex::default(), asking: tokio::sync::Mutex::default() }
    }

    /// Finds a key by its name; `None` when the directory has no such key.
    pub(super) async fn find(
        &self,
        kid: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<DecodingKey>, IdentityError> {
        if let Some(outcome) = settled(self.known().step(kid, now)) {
            return outcome;
        }
        let _asking = self.asking.lock().await;
        // Somebody may have asked while this waited.
        if let Some(outcome) = settled(self.known().step(kid, now)) {
            return outcome;
        }
        let fetched = self.fetch().await;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match fetched {
            Ok(keys) => {
                *known = Known { keys: Arc::new(keys), fetched_at: Some(now), failed_at: None };
                Ok(known.keys.get(kid).cloned())
            }
            Err(error) => {
                known.failed_at = Some(now);
                match known.old_key(kid, now) {
                    Some(key) => {
                        tracing::warn!(
                            error = &error as &dyn Error,
                            "the directory's keys cannot be renewed; the known ones are used"
                        );
                        Ok(Some(key))
                    }
                    None => Err(IdentityError::Away(error)),
                }
            }
        }
    }

    fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn fetch(&self) -> Result<HashMap<String, DecodingKey>, HttpError> {
        let answer = self.http.get(&self.url, None).await?;
        let place = || self.url.host_str().unwrap_or_default().to_owned();
        if !answer.status.is_success() {
            return Err(HttpError::Status(place(), answer.status));
        }
        match read(&answer.body) {
            Some(keys) if !keys.is_empty() => Ok(keys),
            Some(_) | None => Err(HttpError::Unusable(place())),
        }
    }
}

fn settled(step: Step) -> Option<Result<Option<DecodingKey>, IdentityError>> {
    match step {
        Step::Use(key) => Some(Ok(Some(key))),
        Step::Unknown => Some(Ok(None)),
        Step::Away => Some(Err(IdentityError::AwayStill)),
        Step::Ask => None,
    }
}

impl Known {
    fn step(&self, kid: &str, now: DateTime<Utc>) -> Step {
        let within = |at: Option<DateTime<Utc>>, span: TimeDelta| at.is_some_and(|at| now - at < span);
        let key = self.keys.get(kid);
        if let Some(key) = key.filter(|_| within(self.fetched_at, FRESH)) {
            return Step::Use(key.clone());
        }
        if within(self.failed_at, FLOOR_AFTER_FAILURE) {
            return self.old_key(kid, now).map_or(Step::Away, Step::Use);
        }
        if key.is_none() && within(self.fetched_at, FLOOR) {
            return Step::Unknown;
        }
        Step::Ask
    }

    fn old_key(&self, kid: &str, now: DateTime<Utc>) -> Option<DecodingKey> {
        self.keys.get(kid).filter(|_| self.fetched_at.is_some_and(|at| now - at < USABLE)).cloned()
    }
}

#[derive(Debug, Deserialize)]
struct KeySet {
    keys: Vec<PublishedKey>,
}

#[derive(Debug, Deserialize)]
struct PublishedKey {
    kty: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    kid: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

/// Reads a key set; keys of other kinds are left out.
fn read(body: &[u8]) -> Option<HashMap<String, DecodingKey>> {
    let set: KeySet = serde_json::from_slice(body).ok()?;
    let key = |key: PublishedKey| {
        let signs = key.kty == "RSA" && key.purpose.as_deref().is_none_or(|purpose| purpose == "sig");
        let components = DecodingKey::from_rsa_components(&key.n?, &key.e?).ok()?;
        Some((key.kid.filter(|_| signs)?, components))
    };
    Some(set.keys.into_iter().filter_map(key).take(MOST_KEYS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn known(fetched_at: Option<i64>, failed_at: Option<i64>) -> Known {
        let key = DecodingKey::from_rsa_raw_components(&[1], &[3]);
        Known {
            keys: Arc::new(HashMap::from([("a".to_owned(), key)])),
            fetched_at: fetched_at.map(at),
            failed_at: failed_at.map(at),
        }
    }

    fn step(known: &Known, kid: &str, seconds: i64) -> &'static str {
        match known.step(kid, at(seconds)) {
            Step::Use(_) => "use",
            Step::Unknown => "unknown",
            Step::Away => "away",
            Step::Ask => "ask",
        }
    }

    #[test]
    fn asks_when_it_must_and_not_more_often() {
        let nothing = Known::default();
        assert_eq!(step(&nothing, "a", 0), "ask");
        assert_eq!(step(&Known { failed_at: Some(at(0)), ..nothing.clone() }, "a", 4), "away");
        assert_eq!(step(&Known { failed_at: Some(at(0)), ..nothing }, "a", 5), "ask");
        let fetched = known(Some(0), None);
        assert_eq!(step(&fetched, "a", 59), "use");
        assert_eq!(step(&fetched, "b", 59), "unknown", "a forged name does not make it ask again");
        assert_eq!(step(&fetched, "b", 60), "ask", "a new key is found within a minute");
        assert_eq!(step(&fetched, "a", 12 * 3600), "ask");
        let failing = known(Some(0), Some(13 * 3600));
        assert_eq!(step(&failing, "a", 13 * 3600 + 1), "use", "known keys go on for a while");
        assert_eq!(step(&failing, "b", 13 * 3600 + 1), "away");
        let long = known(Some(0), Some(48 * 3600));
        assert_eq!(step(&long, "a", 48 * 3600 + 1), "away", "but not for ever");
    }

    #[test]
    fn reads_the_keys_that_sign() {
        let set = br#"{"keys":[
            {"kty":"RSA","use":"sig","kid":"a","n":"AQAB","e":"AQAB","x5c":["x"]},
            {"kty":"RSA","kid":"b","n":"AQAB","e":"AQAB"},
            {"kty":"RSA","use":"enc","kid":"c","n":"AQAB","e":"AQAB"},
            {"kty":"EC","kid":"d","x":"AQAB"},
            {"kty":"RSA","n":"AQAB","e":"AQAB"},
            {"kty":"RSA","kid":"f","n":"!","e":"AQAB"}]}"#;
        let mut names: Vec<String> = read(set).unwrap_or_default().into_keys().collect();
        names.sort();
        assert_eq!(names, ["a", "b"]);
        assert!(read(b"<html>").is_none());
    }
}
