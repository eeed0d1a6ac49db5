//! The bodies of queue and timer invocations.
//!
//! The real host turns .NET values into JSON by rules that surprise: text becomes its own JSON text
//! in quotes (so it is encoded twice), numbers become text, dates lose their fraction, and each
//! member of a message that is a JSON object is copied into `Metadata`, over built-in names too.
//! Handlers must cope, so all of it is done here as there.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::timer::status::Status;

/// A message as it was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueueMessage {
    /// The message's id.
    pub(crate) id: String,
    /// The receipt of this delivery.
    pub(crate) pop_receipt: String,
    /// The body, decoded as the app's settings say.
    pub(crate) body: Vec<u8>,
    /// How often the message was delivered, this time included.
    pub(crate) dequeue_count: i64,
    /// When it was sent.
    pub(crate) inserted: DateTime<Utc>,
    /// When it is thrown away.
    pub(crate) expires: DateTime<Utc>,
    /// When it is seen again unless it is dealt with.
    pub(crate) next_visible: DateTime<Utc>,
}

/// What the host adds to each invocation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sys<'a> {
    /// The function's name.
    pub(crate) function: &'a str,
    /// The present instant.
    pub(crate) now: DateTime<Utc>,
    /// A random id.
    pub(crate) id: Uuid,
}

/// How often an invocation was repeated under the retry rule of its function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RetryContext {
    /// Repetitions so far.
    pub(crate) count: u32,
    /// Repetitions allowed; `None` without end.
    pub(crate) most: Option<u32>,
    /// Why the last try failed.
    pub(crate) error: String,
}

impl Sys<'_> {
    /// Renders the block as it stands in `Metadata`.
    pub(crate) fn to_json(self) -> Value {
        json!({
            "MethodName": self.function,
            "UtcNow": format!(
                "{}.{:07}Z",
                self.now.format("%Y-%m-%dT%H:%M:%S"),
                self.now.timestamp_subsec_nanos() / 100
            ),
            "RandGuid": self.id.to_string(),
        })
    }
}

/// Builds the body of a queue invocation.
pub(crate) fn queue(binding: &str, binary: bool, message: &QueueMessage, sys: Sys) -> Value {
    let text = String::from_utf8_lossy(&message.body);
    let data = if binary { STANDARD.encode(&message.body) } else { quoted(&text) };
    let mut metadata = Map::from_iter([
        ("DequeueCount".to_owned(), Value::String(message.dequeue_count.to_string())),
        ("ExpirationTime".to_owned(), Value::String(whole_seconds(message.expires))),
        ("Id".to_owned(), Value::String(quoted(&message.id))),
        ("InsertionTime".to_owned(), Value::String(whole_seconds(message.inserted))),
        ("NextVisibleTime".to_owned(), Value::String(whole_seconds(message.next_visible))),
        ("PopReceipt".to_owned(), Value::String(quoted(&message.pop_receipt))),
        ("sys".to_owned(), sys.to_json()),
    ]);
    if let Ok(Value::Object(members)) = serde_json::from_str(&text) {
        merge(&mut metadata, members);
    }
    json!({ "Data": { binding: data }, "Metadata": metadata })
}

/// Builds the body of a timer invocation. `status` is the state before this run, if it is kept.
pub(crate) fn timer(
    binding: &str,
    is_cron: bool,
    status: Option<Status>,
    past_due: bool,
    retry: Option<&RetryContext>,
    sys: Sys,
) -> Value {
    let mut metadata = Map::from_iter([("sys".to_owned(), sys.to_json())]);
    if let Some(retry) = retry {
        metadata.insert(
            "RetryContext".to_owned(),
            json!({
                "RetryCount": retry.count,
                "MaxRetryCount": retry.most.map_or(-1, i64::from),
                "Exception": { "Message": retry.error },
            }),
        );
    }
    json!({
        "Data": { binding: {
            "Schedule": { "AdjustForDST": is_cron },
            "ScheduleStatus": status.map(Status::to_json),
            "IsPastDue": past_due,
        } },
        "Metadata": metadata,
    })
}

/// Renders text as JSON text, quotes included.
pub(crate) fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

/// Copies the members of a message into the metadata. Names that differ in case only are the same;
/// lists, nulls and names that end in "trigger" are left out.
fn merge(metadata: &mut Map<String, Value>, members: Map<String, Value>) {
    for (name, value) in members {
        if name.to_lowercase().ends_with("trigger") {
            continue;
        }
        let value = match value {
            Value::Null | Value::Array(_) => continue,
            Value::Object(inner) => Value::Object(nested(inner)),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                Value::String(quoted(&scalar(&value).unwrap_or_default()))
            }
        };
        let known = metadata.keys().find(|known| known.to_lowercase() == name.to_lowercase()).cloned();
        metadata.insert(known.unwrap_or(name), value);
    }
}

fn nested(members: Map<String, Value>) -> Map<String, Value> {
    members
        .into_iter()
        .filter_map(|(name, value)| match value {
            Value::Object(inner) => Some((name, Value::Object(nested(inner)))),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                scalar(&value).map(|text| (name, Value::String(text)))
            }
        })
        .collect()
}

/// Renders a scalar as .NET does in its invariant culture; dates are recognised and reformatted.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Array(_) | Value::Object(_) => None,
        Value::Bool(true) => Some("True".to_owned()),
        Value::Bool(false) => Some("False".to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(match DateTime::parse_from_rfc3339(text) {
            Ok(date) => date.to_utc().format("%m/%d/%Y %H:%M:%S").to_string(),
            Err(_) => text.clone(),
        }),
    }
}

fn whole_seconds(date: DateTime<Utc>) -> String {
    date.format("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn sys(function: &str) -> Result<Sys<'_>, Box<dyn std::error::Error>> {
        Ok(Sys {
            function,
            now: "2026-03-01T02:00:01.1234567Z".parse()?,
            id: "0c2f6a7e-0000-4000-8000-000000000002".parse()?,
        })
    }

    fn message(body: &str) -> Result<QueueMessage, Box<dyn std::error::Error>> {
        Ok(QueueMessage {
            id: "7f0e2a52-0000-4000-8000-000000000001".to_owned(),
            pop_receipt: "AgAAAAMAAAAAAAAA0000000000A=".to_owned(),
            body: body.as_bytes().to_vec(),
            dequeue_count: 1,
            inserted: "2026-03-01T02:00:00Z".parse()?,
            expires: "2026-03-08T02:00:00.9Z".parse()?,
            next_visible: "2026-03-01T02:10:01Z".parse()?,
        })
    }

    #[test]
    fn a_queue_invocation_encodes_text_twice() -> Outcome {
        let message = message(r#"{"job_id":"j-1","database_id":"db-7"}"#)?;
        let body = queue("msg", false, &message, sys("backup_processor")?);
        insta::assert_snapshot!(serde_json::to_string_pretty(&body)?, @r#"
        {
          "Data": {
            "msg": "\"{\\\"job_id\\\":\\\"j-1\\\",\\\"database_id\\\":\\\"db-7\\\"}\""
          },
          "Metadata": {
            "DequeueCount": "1",
            "ExpirationTime": "2026-03-08T02:00:00+00:00",
            "Id": "\"7f0e2a52-0000-4000-8000-000000000001\"",
            "InsertionTime": "2026-03-01T02:00:00+00:00",
            "NextVisibleTime": "2026-03-01T02:10:01+00:00",
            "PopReceipt": "\"AgAAAAMAAAAAAAAA0000000000A=\"",
            "database_id": "\"db-7\"",
            "job_id": "\"j-1\"",
            "sys": {
              "MethodName": "backup_processor",
              "RandGuid": "0c2f6a7e-0000-4000-8000-000000000002",
              "UtcNow": "2026-03-01T02:00:01.1234567Z"
            }
          }
        }
        "#);
        Ok(())
    }

    #[test]
    fn members_of_the_message_go_over_built_in_names() -> Outcome {
        let message = message(
            r#"{"ID":7,"dequeueCOUNT":"9","on":true,"list":[1],"none":null,"at":"2026-03-01T02:00:00+01:00","deep":{"n":1.5,"list":[]},"queueTrigger":"x"}"#,
        )?;
        let body = queue("msg", false, &message, sys("f")?);
        let metadata = body.get("Metadata").ok_or("no metadata")?;
        insta::assert_snapshot!(serde_json::to_string_pretty(metadata)?, @r#"
        {
          "DequeueCount": "\"9\"",
          "ExpirationTime": "2026-03-08T02:00:00+00:00",
          "Id": "\"7\"",
          "InsertionTime": "2026-03-01T02:00:00+00:00",
          "NextVisibleTime": "2026-03-01T02:10:01+00:00",
          "PopReceipt": "\"AgAAAAMAAAAAAAAA0000000000A=\"",
          "at": "\"03/01/2026 01:00:00\"",
          "deep": {
            "n": "1.5"
          },
          "on": "\"True\"",
          "sys": {
            "MethodName": "f",
            "RandGuid": "0c2f6a7e-0000-4000-8000-000000000002",
            "UtcNow": "2026-03-01T02:00:01.1234567Z"
          }
        }
        "#);
        Ok(())
    }

    #[test]
    fn text_that_is_no_object_adds_nothing_and_binary_is_base64() -> Outcome {
        let plain = queue("msg", false, &message("a \"b\"\n<ü>")?, sys("f")?);
        insta::assert_snapshot!(plain["Data"], @r#"{"msg":"\"a \\\"b\\\"\\n<ü>\""}"#);
        assert_eq!(plain["Metadata"].as_object().map(Map::len), Some(7));
        let binary = queue("msg", true, &message("hello")?, sys("f")?);
        assert_eq!(binary["Data"]["msg"], "aGVsbG8=");
        Ok(())
    }

    #[test]
    fn a_timer_invocation_holds_an_object() -> Outcome {
        let status = Status { last: None, next: "2026-03-01T02:00:00Z".parse()?, updated: None };
        let body = timer("timer", true, Some(status), false, None, sys("dynamic_scheduler")?);
        insta::assert_snapshot!(serde_json::to_string_pretty(&body)?, @r#"
        {
          "Data": {
            "timer": {
              "IsPastDue": false,
              "Schedule": {
                "AdjustForDST": true
              },
              "ScheduleStatus": {
                "Last": "0001-01-01T00:00:00",
                "LastUpdated": "0001-01-01T00:00:00",
                "Next": "2026-03-01T02:00:00+00:00"
              }
            }
          },
          "Metadata": {
            "sys": {
              "MethodName": "dynamic_scheduler",
              "RandGuid": "0c2f6a7e-0000-4000-8000-000000000002",
              "UtcNow": "2026-03-01T02:00:01.1234567Z"
            }
          }
        }
        "#);
        let retry = RetryContext { count: 1, most: None, error: "x".to_owned() };
        let body = timer("timer", false, None, true, Some(&retry), sys("f")?);
        insta::assert_snapshot!(body, @r#"{"Data":{"timer":{"IsPastDue":true,"Schedule":{"AdjustForDST":false},"ScheduleStatus":null}},"Metadata":{"RetryContext":{"Exception":{"Message":"x"},"MaxRetryCount":-1,"RetryCount":1},"sys":{"MethodName":"f","RandGuid":"0c2f6a7e-0000-4000-8000-000000000002","UtcNow":"2026-03-01T02:00:01.1234567Z"}}}"#);
        Ok(())
    }
}
