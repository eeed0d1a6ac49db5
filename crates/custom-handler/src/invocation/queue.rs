//! Queue invocations.
//!
//! The host writes a text as its JSON text inside a string, so a message that is JSON itself comes
//! encoded twice. Hosts and stand-ins differ here, so a message that was encoded once, or not at
//! all, is understood too. `Metadata` begins with what the queue knows about the message, but every
//! scalar or object member of a JSON message is copied over it, whatever it is called: the only
//! thing read from there is how often the message has been delivered, and even that is a hint.

use axum::extract::{FromRequest, Request};
use serde_json::value::RawValue;

use super::envelope::{Envelope, InvocationError, RawMap, member};

/// A message from a queue, as an axum extractor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueInvocation {
    /// The text of the message as it was sent.
    pub body: String,
    /// How often the message has been delivered, this time included: 1 at first, and 1 when the
    /// host does not say or a member of the message hides it.
    pub dequeue_count: u32,
    /// The host's id of this invocation, or `"unknown"`.
    pub invocation_id: String,
}

impl<S: Send + Sync> FromRequest<S> for QueueInvocation {
    type Rejection = InvocationError;

    async fn from_request(request: Request, _: &S) -> Result<Self, InvocationError> {
        Envelope::read(request).await?.try_into()
    }
}

impl TryFrom<Envelope> for QueueInvocation {
    type Error = InvocationError;

    fn try_from(envelope: Envelope) -> Result<Self, InvocationError> {
        let Envelope { invocation_id, data, metadata } = envelope;
        // The key is the name of the binding, which is the app folder's affair.
        let mut values = data.values();
        let body = match (values.next(), values.len()) {
            (Some(value), 0) => message_text(value).ok_or(InvocationError::NoMessage)?,
            (None, _) => return Err(InvocationError::NoMessage),
            (Some(_), _) => return Err(InvocationError::SeveralValues { count: data.len() }),
        };
        Ok(Self { body, dequeue_count: dequeue_count(&metadata), invocation_id })
    }
}

/// Takes the message out of its value; `null` is none.
fn message_text(value: &RawValue) -> Option<String> {
    let json = value.get();
    if json == "null" {
        return None;
    }
    let Ok(text) = serde_json::from_str::<String>(json) else {
        // An object, a list or a number stands for itself.
        return Some(json.to_owned());
    };
    // The inner string of the usual form; anything else is a message that was encoded once.
    Some(serde_json::from_str(&text).unwrap_or(text))
}

fn dequeue_count(metadata: &RawMap) -> u32 {
    // A number, a string of one, or, in place of the counter, a member of the message: a string of
    // a string of one.
    let digits = |value: &RawValue| {
        value.get().trim_matches(|c: char| c == '"' || c == '\\' || c.is_whitespace()).parse().ok()
    };
    member(metadata, "DequeueCount").and_then(digits).filter(|count| *count > 0).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn decoded(body: &str) -> Result<QueueInvocation, InvocationError> {
        Envelope::parse(body.as_bytes(), "i-1".to_owned())?.try_into()
    }

    /// The form of the host: the JSON text of a text, in a string.
    fn doubly(message: &str) -> String {
        let once = serde_json::to_string(message).unwrap();
        format!(r#"{{"Data":{{"msg":{}}},"Metadata":{{}}}}"#, serde_json::to_string(&once).unwrap())
    }

    /// A whole invocation as the host sends it.
    const CAPTURED: &str = r#"{
      "Data": { "msg": "\"{\\\"job_id\\\":\\\"j-1\\\",\\\"database_id\\\":\\\"db-7\\\"}\"" },
      "Metadata": {
        "DequeueCount": "2",
        "ExpirationTime": "2026-03-08T02:00:00+00:00",
        "Id": "\"7f0e2a52-0000-4000-8000-000000000001\"",
        "InsertionTime": "2026-03-01T02:00:00+00:00",
        "NextVisibleTime": "2026-03-01T02:10:01+00:00",
        "PopReceipt": "\"AgAAAAMAAAAAAAAA0000000000A=\"",
        "sys": { "MethodName": "worker", "UtcNow": "2026-03-01T02:00:01.1234567Z" },
        "job_id": "\"j-1\"",
        "database_id": "\"db-7\""
      }
    }"#;

    #[test]
    fn decodes_what_the_host_sends() {
        insta::assert_debug_snapshot!(decoded(CAPTURED), @r#"
        Ok(
            QueueInvocation {
                body: "{\"job_id\":\"j-1\",\"database_id\":\"db-7\"}",
                dequeue_count: 2,
                invocation_id: "i-1",
            },
        )
        "#);
    }

    #[test]
    fn gives_back_every_message_as_it_was_sent() {
        let messages = [
            r#"{"a":1}"#,
            "{\"a\": \"line\\nbreak\",\t\"b\":\"\\\"quoted\\\"\"}",
            "plain text, no JSON",
            "",
            "3",
            "null",
            "\"a JSON text\"",
            r#"["a","b"]"#,
            "ünïcödé 🦀 \u{1}",
            "C:\\path\\",
        ];
        for message in messages {
            assert_eq!(decoded(&doubly(message)).unwrap().body, message);
        }
    }

    #[test]
    fn understands_other_encodings_of_the_same_message() {
        let table = [
            ("encoded once", r#""{\"a\":1.10}""#, r#"{"a":1.10}"#),
            ("an object", r#"{"a":1.10}"#, r#"{"a":1.10}"#),
            (
                "an object with a number beyond 64 bits",
                r#"{"a":18446744073709551616000}"#,
                r#"{"a":18446744073709551616000}"#,
            ),
            ("a list", "[1, 2]", "[1, 2]"),
            ("plain text encoded once", r#""hello""#, "hello"),
            ("a number as the host writes it", r#""3""#, "3"),
            ("a number", "3", "3"),
            ("a boolean", "true", "true"),
            ("broken JSON in a string", r#""{\"a\":""#, r#"{"a":"#),
        ];
        for (case, value, message) in table {
            let body = format!(r#"{{"Data":{{"other_name":{value}}}}}"#);
            assert_eq!(decoded(&body).unwrap().body, message, "{case}");
        }
    }

    #[test]
    fn reads_the_count_in_every_form_and_never_fails_for_it() {
        let table = [
            (r#"{"DequeueCount":"3"}"#, 3),
            (r#"{"DequeueCount":3}"#, 3),
            (r#"{"DequeueCount":"\"3\""}"#, 3),
            (r#"{"DequeueCount":" 3 "}"#, 3),
            (r#"{"dequeuecount":"3"}"#, 3),
            (r#"{"dequeuecount":"9","DequeueCount":"3"}"#, 3),
            (r#"{"DequeueCount":"0"}"#, 1),
            (r#"{"DequeueCount":-1}"#, 1),
            (r#"{"DequeueCount":2.5}"#, 1),
            (r#"{"DequeueCount":"many"}"#, 1),
            (r#"{"DequeueCount":{"a":1}}"#, 1),
            (r#"{"DequeueCount":null}"#, 1),
            (r#"{"DequeueCount":99999999999}"#, 1),
            ("{}", 1),
            ("null", 1),
            ("\"text\"", 1),
            ("[]", 1),
        ];
        for (metadata, count) in table {
            let body = format!(r#"{{"Data":{{"msg":"\"x\""}},"Metadata":{metadata}}}"#);
            assert_eq!(decoded(&body).unwrap().dequeue_count, count, "{metadata}");
        }
        assert_eq!(decoded(r#"{"Data":{"msg":"\"x\""}}"#).unwrap().dequeue_count, 1);
    }

    #[test]
    fn members_of_the_message_that_hide_metadata_change_nothing() {
        let body = r#"{"Data":{"msg":"\"{\\\"id\\\":\\\"job-9\\\",\\\"sys\\\":1}\""},
            "Metadata":{"DequeueCount":"1","Id":"job-9","sys":"1","PopReceipt":null,"Data":"\"no\""}}"#;
        let invocation = decoded(body).unwrap();
        assert_eq!(invocation.body, r#"{"id":"job-9","sys":1}"#);
        assert_eq!(invocation.dequeue_count, 1);
    }

    #[test]
    fn tells_what_is_wrong_with_the_rest() {
        let bodies = [
            "",
            "hello",
            "[]",
            "null",
            r#"{"Data""#,
            "{}",
            r#"{"Data":null}"#,
            r#"{"Data":{}}"#,
            r#"{"Data":{"msg":null}}"#,
            r#"{"Data":{"msg":"\"a\"","blob":"\"b\""}}"#,
        ];
        let texts: Vec<_> =
            bodies.iter().map(|body| format!("{body} => {}", decoded(body).unwrap_err())).collect();
        insta::assert_snapshot!(texts.join("\n"), @r#"
         => the invocation is not a JSON object (line 1, column 0); was it posted by the host?
        hello => the invocation is not a JSON object (line 1, column 1); was it posted by the host?
        [] => the invocation is not a JSON object (line 1, column 0); was it posted by the host?
        null => the invocation is not a JSON object (line 1, column 4); was it posted by the host?
        {"Data" => the invocation is not a JSON object (line 1, column 7); was it posted by the host?
        {} => the invocation has no queue message in "Data"; check that its function has a queue trigger
        {"Data":null} => the invocation has no queue message in "Data"; check that its function has a queue trigger
        {"Data":{}} => the invocation has no queue message in "Data"; check that its function has a queue trigger
        {"Data":{"msg":null}} => the invocation has no queue message in "Data"; check that its function has a queue trigger
        {"Data":{"msg":"\"a\"","blob":"\"b\""}} => the invocation has 2 values in "Data" where one queue message is expected; remove the other input bindings of its function
        "#);
    }

    #[test]
    fn survives_bytes_that_are_no_text() {
        assert!(Envelope::parse(b"\xff\xfe{}", "i-1".to_owned()).is_err());
        assert!(
            Envelope::parse(b"{\"Data\":{\"msg\":\"\\ud800\"}}", "i-1".to_owned())
                .and_then(QueueInvocation::try_from)
                .is_ok()
        );
    }
}
