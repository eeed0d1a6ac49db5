//! How the answer to an invocation is read.
//!
//! The trap is kept: a successful status with an empty body (or `null`) sets no result, so the
//! invocation hangs until its time-out and then takes the whole handler with it.

use serde_json::{Map, Value};

/// What an answer means.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// The invocation succeeded.
    Success(Answer),
    /// The invocation failed, for this reason.
    Failure(String),
    /// No result was set: the invocation never ends.
    NoResult,
}

/// The content of a successful answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Answer {
    /// Values of output bindings by their exact names.
    pub(crate) outputs: Map<String, Value>,
    /// Lines for the log.
    pub(crate) logs: Vec<String>,
}

/// Reads an answer.
pub(crate) fn read(status: u16, content_type: Option<&str>, body: &[u8]) -> Verdict {
    if !(200..300).contains(&status) {
        return Verdict::Failure(format!("the handler answered with status {status}"));
    }
    if body.is_empty() {
        return Verdict::NoResult;
    }
    if !content_type.is_some_and(is_json) {
        return Verdict::Failure(format!(
            "the handler answered with content type \"{}\"; it must be application/json",
            content_type.unwrap_or_default()
        ));
    }
    match serde_json::from_slice(body) {
        Ok(Value::Null) => Verdict::NoResult,
        Ok(Value::Object(members)) => match Answer::from_members(members) {
            Ok(answer) => Verdict::Success(answer),
            Err(problem) => Verdict::Failure(format!("in the handler's answer {problem}")),
        },
        Ok(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            Verdict::Failure("the handler's answer is not a JSON object".to_owned())
        }
        Err(error) => Verdict::Failure(format!("the handler's answer is not JSON: {error}")),
    }
}

impl Answer {
    fn from_members(members: Map<String, Value>) -> Result<Self, &'static str> {
        let mut answer = Self::default();
        let mut result = None;
        for (name, value) in members {
            match (name.to_ascii_lowercase().as_str(), value) {
                ("outputs", Value::Object(outputs)) => answer.outputs = outputs,
                ("logs", Value::Array(lines)) => answer.logs = lines.iter().map(line).collect(),
                ("outputs" | "logs", Value::Null) => {}
                ("outputs", _) => return Err("\"Outputs\" is not an object"),
                ("logs", _) => return Err("\"Logs\" is not a list"),
                ("returnvalue", value) => result = Some(value),
                (_, _) => {}
            }
        }
        // Without a binding of that name, the members of a returned object are outputs.
        if let Some(Value::Object(members)) = result {
            for (name, value) in members {
                answer.outputs.entry(name).or_insert(value);
            }
        } else if let Some(value) = result.filter(|value| !value.is_null()) {
            answer.outputs.entry("$return").or_insert(value);
        }
        Ok(answer)
    }
}

fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json") || kind.eq_ignore_ascii_case("text/json")
}

fn line(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: Option<&str> = Some("application/json; charset=utf-8");

    fn is_success(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Success(_))
    }

    #[test]
    fn takes_a_json_object_with_names_in_any_case() {
        let body = br#"{"outputs":{"Res":1},"LOGS":["a",2],"ReturnValue":null,"Other":3}"#;
        let expected = Answer {
            outputs: Map::from_iter([("Res".to_owned(), Value::from(1))]),
            logs: vec!["a".to_owned(), "2".to_owned()],
        };
        assert_eq!(read(200, JSON, body), Verdict::Success(expected));
        assert!(is_success(&read(202, Some("text/json"), b"{}")));
    }

    #[test]
    fn an_empty_answer_never_ends() {
        for status in [200, 204] {
            assert_eq!(read(status, None, b""), Verdict::NoResult);
        }
        assert_eq!(read(200, JSON, b" null "), Verdict::NoResult);
    }

    #[test]
    fn all_else_is_a_failure() {
        let cases: [(u16, Option<&str>, &[u8]); 9] = [
            (500, JSON, b"{}"),
            (404, None, b""),
            (307, None, b""),
            (200, Some("text/plain"), b"ok"),
            (200, None, b"{}"),
            (200, JSON, b"{"),
            (200, JSON, b"[]"),
            (200, JSON, br#"{"Logs":"a"}"#),
            (200, JSON, br#"{"Outputs":[]}"#),
        ];
        for (status, content_type, body) in cases {
            assert!(
                matches!(read(status, content_type, body), Verdict::Failure(_)),
                "{status} {content_type:?}"
            );
        }
    }
}
