//! What the host reads as the result of a timer or queue invocation.
//!
//! The host wants a JSON object with these three members under a JSON content type. Whatever else
//! has a 2xx status is read as a failure or, when the body is empty, as no result at all.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// The result of one invocation, with lines for the log that the host keeps for it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an invocation that is not answered hangs until the host's time limit"]
pub struct Answer {
    outcome: Outcome,
    logs: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Success,
    Failure { error: String },
}

impl Answer {
    /// Builds the answer that tells the host that the invocation is done. A queue message is then
    /// deleted.
    pub fn success() -> Self {
        Self { outcome: Outcome::Success, logs: Vec::new() }
    }

    /// Builds the answer that tells the host that the invocation failed. A queue message comes back
    /// later or goes to the poison queue.
    ///
    /// The text goes to whoever called, so it must not hold secrets.
    pub fn failure(error: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failure { error: error.into() }, logs: Vec::new() }
    }

    /// Adds a line for the log of this invocation. The host only keeps lines of successful answers.
    pub fn with_log(mut self, line: impl Into<String>) -> Self {
        self.logs.push(line.into());
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let (status, logs, error) = match self.outcome {
            Outcome::Success => (StatusCode::OK, self.logs, None),
            Outcome::Failure { error } => {
                let logs = std::iter::once(error.clone()).chain(self.logs).collect();
                (StatusCode::INTERNAL_SERVER_ERROR, logs, Some(error))
            }
        };
        let body =
            Body { outputs: Outputs {}, logs: (!logs.is_empty()).then_some(logs), return_value: None, error };
        (status, Json(body)).into_response()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body {
    outputs: Outputs,
    logs: Option<Vec<String>>,
    return_value: Option<Outputs>,
    /// Beside the members of the protocol, for people and programs that call without a host; the
    /// host ignores members it does not know, and the body of a failure altogether.
    #[serde(rename = "error", skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Always empty: output bindings rewrite what passes through them, so apps use storage directly.
#[derive(Serialize)]
struct Outputs {}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    async fn shown(answer: Answer) -> String {
        let response = answer.into_response();
        let head = format!("{} {}", response.status(), response.headers()["content-type"].to_str().unwrap());
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        format!("{head}\n{}", String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn success_has_the_three_members() {
        insta::assert_snapshot!(shown(Answer::success()).await, @r#"
        200 OK application/json
        {"Outputs":{},"Logs":null,"ReturnValue":null}
        "#);
    }

    #[tokio::test]
    async fn success_carries_its_log_lines() {
        let answer = Answer::success().with_log("queued 2 jobs").with_log("1 \"odd\" row\nskipped");
        insta::assert_snapshot!(shown(answer).await, @r#"
        200 OK application/json
        {"Outputs":{},"Logs":["queued 2 jobs","1 \"odd\" row\nskipped"],"ReturnValue":null}
        "#);
    }

    #[tokio::test]
    async fn failure_says_why() {
        let answer = Answer::failure("storage cannot be reached").with_log("tried 3 times");
        insta::assert_snapshot!(shown(answer).await, @r#"
        500 Internal Server Error application/json
        {"Outputs":{},"Logs":["storage cannot be reached","tried 3 times"],"ReturnValue":null,"error":"storage cannot be reached"}
        "#);
    }

    #[tokio::test]
    async fn no_answer_has_an_empty_body() {
        for answer in [Answer::success(), Answer::failure("")] {
            let body = axum::body::to_bytes(answer.into_response().into_body(), usize::MAX).await.unwrap();
            let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert!(json["Outputs"].is_object());
        }
    }
}
