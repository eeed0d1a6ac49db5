//! Tokens for Microsoft Graph, which the web application sends. Nobody but Graph can check their
//! signature, so Graph is asked whose they are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::StatusCode;
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tracing::Instrument as _;
use url::Url;

use super::failures::Asker;
use super::http::{Http, HttpError};
use super::{Identity, IdentityError};

/// How long an answer is used.
const KEPT: TimeDelta = TimeDelta::minutes(5);
/// How many answers are kept.
const MOST_ANSWERS: usize = 2000;
/// How many questions are asked at the same time.
const MOST_QUESTIONS: usize = 16;

/// Microsoft Graph.
#[derive(Debug)]
pub(super) struct Graph {
    http: Http,
    me: Url,
    answers: Mutex<HashMap<[u8; 32], Answer>>,
    questions: Semaphore,
}

#[derive(Debug, Clone)]
struct Answer {
    identity: Identity,
    until: DateTime<Utc>,
}

/// What Graph says about the owner of a token.
#[derive(Debug, Deserialize)]
struct Me {
    id: String,
    mail: Option<String>,
    #[serde(rename = "userPrincipalName")]
    principal_name: Option<String>,
    #[serde(rename = "displayName")]
    display_name: Option<String>,
}

impl Graph {
    pub(super) fn new(http: Http, base: &Url) -> Self {
        let mut me = base.clone();
        me.set_path(&format!("{}/v1.0/me", base.path().trim_end_matches('/')));
        Self { http, me, answers: Mutex::default(), questions: Semaphore::new(MOST_QUESTIONS) }
    }

    /// Asks whose a token is that says to end at `expires`. When an address has asked too often in vain, only
    /// what is known counts.
    pub(super) async fn owner(
        self: &Arc<Self>,
        token: &str,
        expires: DateTime<Utc>,
        asker: Asker<'_>,
        now: DateTime<Utc>,
    ) -> Result<Option<Identity>, IdentityError> {
        let key = fingerprint(token);
        if let Some(known) = self.known(&key, now) {
            return Ok(Some(known));
        }
        let question = asker.question(now).await.ok_or(IdentityError::TooOften)?;
        // Somebody else may have asked the same while this one waited.
        if let Some(known) = self.known(&key, now) {
            question.give_back();
            return Ok(Some(known));
        }
        let (graph, token) = (Arc::clone(self), token.to_owned());
        // In a task of its own, so that a caller who goes away learns nothing for free, and one with a good
        // token is not charged for it.
        let asking = async move {
            let answer = graph.ask(&token).await;
            if let Ok(Some(identity)) = &answer {
                let until = expires.min(now + KEPT);
                graph.keep(key, Answer { identity: identity.clone(), until }, now);
            }
            if !matches!(answer, Ok(None)) {
                question.give_back();
            }
            answer
        };
        match tokio::spawn(asking.in_current_span()).await {
            Ok(answer) => answer.map_err(IdentityError::Away),
            // It panicked, or the program ends.
            Err(_) => Err(IdentityError::AwayStill),
        }
    }

    async fn ask(&self, token: &str) -> Result<Option<Identity>, HttpError> {
        // The semaphore is never closed.
        let _turn = self.questions.acquire().await;
        let answer = self.http.get(&self.me, Some(token)).await?;
        let place = || self.me.host_str().unwrap_or_default().to_owned();
        if answer.status == StatusCode::TOO_MANY_REQUESTS || answer.status.is_server_error() {
            return Err(HttpError::Status(place(), answer.status));
        }
        if answer.status != StatusCode::OK {
            return Ok(None);
        }
        let me: Me = serde_json::from_slice(&answer.body).map_err(|_| HttpError::Unusable(place()))?;
        let email = me.mail.as_deref().filter(|mail| !mail.is_empty()).or(me.principal_name.as_deref());
        Ok(Identity::new(&me.id, email, me.display_name.as_deref()))
    }

    fn known(&self, key: &[u8; 32], now: DateTime<Utc>) -> Option<Identity> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(key).filter(|answer| now < answer.until).map(|answer| answer.identity.clone())
    }

    fn keep(&self, key: [u8; 32], answer: Answer, now: DateTime<Utc>) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= MOST_ANSWERS {
            answers.retain(|_, answer| now < answer.until);
        }
        if answers.len() >= MOST_ANSWERS {
            let first = answers.iter().min_by_key(|(_, answer)| answer.until).map(|(key, _)| *key);
            first.and_then(|key| answers.remove(&key));
        }
        answers.insert(key, answer);
    }
}

/// Returns what a token is known by, so that no token is kept in memory.
fn fingerprint(token: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_a_bounded_number_of_answers_while_they_hold() -> Result<(), Box<dyn std::error::Error>> {
        let graph = Graph::new(Http::new()?, &Url::parse("http://127.0.0.1:1/x/")?);
        assert_eq!(graph.me.as_str(), "http://127.0.0.1:1/x/v1.0/me");
        let now = DateTime::UNIX_EPOCH;
        let identity = Identity::new("a", Some("a@b"), None).ok_or("an identity")?;
        for second in 0..=MOST_ANSWERS {
            let until = now + TimeDelta::seconds(1 + i64::try_from(second)?);
            let answer = Answer { identity: identity.clone(), until };
            graph.keep(fingerprint(&second.to_string()), answer, now);
        }
        assert_eq!(graph.answers.lock().unwrap_or_else(PoisonError::into_inner).len(), MOST_ANSWERS);
        assert!(graph.known(&fingerprint("0"), now).is_none(), "the first to end made room");
        assert!(graph.known(&fingerprint("1"), now + TimeDelta::seconds(1)).is_some());
        assert!(graph.known(&fingerprint("1"), now + TimeDelta::seconds(2)).is_none());
        Ok(())
    }
}
