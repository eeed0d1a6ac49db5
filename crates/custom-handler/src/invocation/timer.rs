//! Timer invocations.
//!
//! Only one thing in them is worth reading: whether the host is late. The schedule's dates are left
//! alone: before the first run one of them is in the year 1 and has no offset, with the monitor
//! switched off there are none, and what is due is decided from recorded state anyway.

use axum::extract::{FromRequest, Request};

use super::envelope::{Envelope, InvocationError, RawMap, lenient, member};

/// A tick of a timer, as an axum extractor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerInvocation {
    /// Whether the host was down or busy at the scheduled time, so that this run is late and may
    /// stand for several. `false` when the host does not say.
    pub is_past_due: bool,
    /// The host's id of this invocation, or `"unknown"`.
    pub invocation_id: String,
}

impl<S: Send + Sync> FromRequest<S> for TimerInvocation {
    type Rejection = InvocationError;

    async fn from_request(request: Request, _: &S) -> Result<Self, InvocationError> {
        Ok(Envelope::read(request).await?.into())
    }
}

impl From<Envelope> for TimerInvocation {
    fn from(envelope: Envelope) -> Self {
        let is_past_due = envelope.data.values().any(|timer| {
            let timer: Option<RawMap> = lenient(timer);
            timer.is_some_and(|timer| flag(&timer, "IsPastDue"))
        });
        Self { is_past_due, invocation_id: envelope.invocation_id }
    }
}

fn flag(map: &RawMap, name: &str) -> bool {
    member(map, name).is_some_and(|value| {
        let text = value.get().trim_matches('"');
        text.eq_ignore_ascii_case("true")
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn is_past_due(body: &str) -> Result<bool, InvocationError> {
        let envelope = Envelope::parse(body.as_bytes(), "i-1".to_owned())?;
        Ok(TimerInvocation::from(envelope).is_past_due)
    }

    /// A whole invocation as the host sends it before the first run: `Last` has no offset.
    const FIRST_RUN: &str = r#"{
      "Data": { "timer": {
        "Schedule": { "AdjustForDST": true },
        "ScheduleStatus": { "Last": "0001-01-01T00:00:00",
                            "Next": "2026-03-01T02:00:00+00:00",
                            "LastUpdated": "2026-03-01T01:45:00.0021437+00:00" },
        "IsPastDue": false } },
      "Metadata": { "sys": { "MethodName": "tick", "UtcNow": "2026-03-01T02:00:00.0034567Z" } }
    }"#;

    #[test]
    fn decodes_what_the_host_sends() {
        assert!(!is_past_due(FIRST_RUN).unwrap());
        assert!(is_past_due(&FIRST_RUN.replace("false", "true")).unwrap());
    }

    #[test]
    fn accepts_every_object() {
        let table = [
            (r#"{"Data":{"timer":{"ScheduleStatus":null,"IsPastDue":true}}}"#, true),
            (r#"{"Data":{"myTimer":{"isPastDue":true}}}"#, true),
            (r#"{"Data":{"timer":{"IsPastDue":"True"}}}"#, true),
            (r#"{"Data":{"timer":"{\"IsPastDue\":true}"}}"#, true),
            (r#"{"Data":{"timer":{"IsPastDue":null}}}"#, false),
            (r#"{"Data":{"timer":{"IsPastDue":1}}}"#, false),
            (r#"{"Data":{"timer":{}}}"#, false),
            (r#"{"Data":{"timer":null}}"#, false),
            (r#"{"Data":{}}"#, false),
            (r#"{"Data":[]}"#, false),
            ("{}", false),
        ];
        for (body, late) in table {
            assert_eq!(is_past_due(body).unwrap(), late, "{body}");
        }
    }

    #[test]
    fn refuses_what_is_no_object() {
        for body in ["", "now", "[]", "3", r#"{"Data":"#] {
            assert!(matches!(is_past_due(body), Err(InvocationError::NotAnObject { .. })), "{body}");
        }
    }
}
