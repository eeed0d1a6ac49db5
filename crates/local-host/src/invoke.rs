//! One invocation: wait for a handler, send, read the answer, enforce the time-out.
//!
//! A time-out kills the handler, and with it every other invocation that it was working on: that is
//! what the real host does, and why handlers keep a deadline of their own below it.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use bytes::Bytes;
use serde_json::Value;
use tokio::time::{Instant, timeout};
use tracing::{error, info};
use uuid::Uuid;

use crate::envelope::answer::{self, Answer, Verdict};
use crate::process::{Handler, Instance, NotReady};
use crate::{ambient, error_chain};

/// The version that the host claims to be.
pub(crate) const HOST_VERSION: HeaderValue = HeaderValue::from_static("4.1037.0.0");
/// The header that names it.
pub(crate) const HOST_VERSION_HEADER: &str = "x-azure-functions-hostversion";
/// The header that names the invocation.
pub(crate) const INVOCATION_ID_HEADER: &str = "x-azure-functions-invocationid";
/// What the host adds to the user agent.
pub(crate) const USER_AGENT: &str = "Azure-Functions-Host/4.1037.0.0";

/// Why an invocation failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvocationError {
    #[error("no handler could take the invocation")]
    NotReady(#[source] NotReady),
    #[error("the handler could not be reached or broke off")]
    Connection(#[source] reqwest::Error),
    #[error("{0}")]
    Answer(String),
    #[error("the invocation took longer than functionTimeout ({0:?}); the handler is restarted")]
    TimedOut(Duration),
}

impl InvocationError {
    /// Takes the address out of a client's error: its query may hold keys.
    pub(crate) fn connection(error: reqwest::Error) -> Self {
        Self::Connection(error.without_url())
    }
}

/// Calls the handler.
#[derive(Debug)]
pub(crate) struct Invoker {
    /// The app's name in the log.
    pub(crate) app: Arc<str>,
    /// Connections to the handler.
    pub(crate) client: reqwest::Client,
    /// The way to the handler.
    pub(crate) handler: Handler,
    /// How long an invocation may take; `None` is without end.
    pub(crate) function_timeout: Option<Duration>,
    /// Whether bodies are sent without a length, as in the cloud.
    pub(crate) chunked: bool,
    /// Whether an answer that sets no result fails at once instead of hanging.
    pub(crate) empty_answer_fails: bool,
}

impl Invoker {
    /// Runs a function that is not forwarded, and logs how it went.
    pub(crate) async fn call(&self, function: &str, payload: &Value) -> Result<Answer, InvocationError> {
        let id = ambient::new_id();
        let started = Instant::now();
        info!(app = %self.app, "{function} started ({id})");
        let outcome = self.within_time(|instance| self.exchange(function, payload, id, instance)).await;
        let seconds = started.elapsed().as_secs_f64();
        match &outcome {
            Ok(answer) => {
                for line in &answer.logs {
                    info!(app = %self.app, "{function}: {line}");
                }
                info!(app = %self.app, "{function} succeeded in {seconds:.2} s ({id})");
            }
            Err(failure) => {
                error!(app = %self.app, "{function} failed after {seconds:.2} s ({id}): {}", error_chain(failure));
            }
        }
        outcome
    }

    /// Runs an exchange with a handler that is ready, and kills the handler when it takes too long.
    pub(crate) async fn within_time<T, F>(
        &self,
        exchange: impl FnOnce(Instance) -> F,
    ) -> Result<T, InvocationError>
    where
        F: Future<Output = Result<T, InvocationError>>,
    {
        let instance = self.handler.instance().await.map_err(InvocationError::NotReady)?;
        let Some(longest) = self.function_timeout else { return exchange(instance).await };
        if let Ok(outcome) = timeout(longest, exchange(instance)).await {
            return outcome;
        }
        self.handler.replace(instance);
        Err(InvocationError::TimedOut(longest))
    }

    async fn exchange(
        &self,
        function: &str,
        payload: &Value,
        id: Uuid,
        instance: Instance,
    ) -> Result<Answer, InvocationError> {
        let body = Bytes::from(payload.to_string());
        let body = if self.chunked {
            let parts = futures::stream::iter([Ok::<_, std::convert::Infallible>(body)]);
            reqwest::Body::wrap_stream(parts)
        } else {
            reqwest::Body::from(body)
        };
        let response = self
            .client
            .post(format!("http://127.0.0.1:{}/{function}", instance.port))
            .header("content-type", "application/json; charset=utf-8")
            .header("user-agent", USER_AGENT)
            .header(HOST_VERSION_HEADER, HOST_VERSION)
            .header(INVOCATION_ID_HEADER, id.to_string())
            .header("traceparent", traceparent())
            .body(body)
            .send()
            .await
            .map_err(InvocationError::connection)?;
        let status = response.status().as_u16();
        let content_type =
            response.headers().get("content-type").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = response.bytes().await.map_err(InvocationError::connection)?;
        match answer::read(status, content_type.as_deref(), &body) {
            Verdict::Success(answer) => Ok(answer),
            Verdict::Failure(problem) => Err(InvocationError::Answer(problem)),
            Verdict::NoResult => {
                let problem = format!("the handler answered {function} with status {status} and no body");
                if self.empty_answer_fails {
                    return Err(InvocationError::Answer(problem));
                }
                error!(app = %self.app, "{problem}; such an invocation never ends: answer with {{\"Outputs\":{{}},\"Logs\":null,\"ReturnValue\":null}} instead");
                std::future::pending().await
            }
        }
    }
}

/// Builds the trace header of a new trace. <https://www.w3.org/TR/trace-context/>
pub(crate) fn traceparent() -> String {
    let span = ambient::new_id().simple().to_string();
    format!("00-{}-{}-00", ambient::new_id().simple(), &span[..16])
}
