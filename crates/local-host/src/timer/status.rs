//! What is remembered of a timer between starts of the host, and what follows from it at a start.
//!
//! The three fields and their notation are those of the real host, so that either can take over
//! from the other. Before the first run `Last` is the first instant of year 1, written without an
//! offset; readers must take it.

use chrono::{DateTime, Datelike as _, NaiveDateTime, Utc};
use serde_json::{Value, json};

use super::schedule::Schedule;

const NEVER: &str = "0001-01-01T00:00:00";

/// The remembered state of a timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status {
    /// When it ran last; `None` before the first run.
    pub(crate) last: Option<DateTime<Utc>>,
    /// When it is to run next.
    pub(crate) next: DateTime<Utc>,
    /// When this was written.
    pub(crate) updated: Option<DateTime<Utc>>,
}

/// Why a timer fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The instant has come.
    Due,
    /// It should have fired while the host was down.
    PastDue,
    /// It fires at each start of the host.
    Startup,
}

/// What a timer does when the host starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AtStart {
    /// The status to remember, if it is new.
    pub(crate) remember: Option<Status>,
    /// Why to fire at once, if so.
    pub(crate) fire: Option<Reason>,
    /// When to fire next, if not at once.
    pub(crate) next: DateTime<Utc>,
}

impl Status {
    /// Renders the status as invocations and the status blob show it.
    pub(crate) fn to_json(self) -> Value {
        json!({
            "Last": self.last.map_or_else(|| NEVER.to_owned(), exact),
            "Next": exact(self.next),
            "LastUpdated": self.updated.map_or_else(|| NEVER.to_owned(), exact),
        })
    }

    /// Reads a status, whoever wrote it. Dates without an offset are taken as UTC, year 1 as never.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let date = |name| value.get(name).and_then(Value::as_str).and_then(parse_date);
        let after_year_one = |date: DateTime<Utc>| Some(date).filter(|date| date.year() > 1);
        Some(Self {
            last: after_year_one(date("Last")?),
            next: date("Next")?,
            updated: date("LastUpdated").and_then(after_year_one),
        })
    }
}

/// Decides what a timer does when the host starts. `stored` is what is remembered of it.
pub(crate) fn at_start(
    stored: Option<Status>,
    schedule: &Schedule,
    run_on_startup: bool,
    now: DateTime<Utc>,
) -> Option<AtStart> {
    let upcoming = schedule.next_after(now)?;
    let startup = run_on_startup.then_some(Reason::Startup);
    let Some(status) = stored else {
        let first = Status { last: None, next: upcoming, updated: Some(now) };
        return Some(AtStart { remember: Some(first), fire: startup, next: upcoming });
    };
    let expected =
        status.last.or(status.updated).and_then(|last| schedule.next_after(last)).unwrap_or(upcoming);
    if expected != status.next {
        // The schedule was edited: ticks of the new one that lie in the past are not made up for.
        let next = if expected < now { upcoming } else { expected };
        let remember = Status { next, updated: Some(now), ..status };
        return Some(AtStart { remember: Some(remember), fire: startup, next });
    }
    if now > status.next {
        return Some(AtStart { remember: None, fire: Some(Reason::PastDue), next: upcoming });
    }
    Some(AtStart { remember: None, fire: startup, next: status.next })
}

/// Renders an instant with up to seven digits after the seconds.
fn exact(instant: DateTime<Utc>) -> String {
    let ticks = instant.timestamp_subsec_nanos() / 100;
    let seconds = instant.format("%Y-%m-%dT%H:%M:%S");
    if ticks == 0 {
        return format!("{seconds}+00:00");
    }
    let digits = format!("{ticks:07}");
    format!("{seconds}.{}+00:00", digits.trim_end_matches('0'))
}

fn parse_date(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text)
        .map(|date| date.to_utc())
        .or_else(|_| text.parse::<NaiveDateTime>().map(|date| date.and_utc()))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn date(text: &str) -> Result<DateTime<Utc>, chrono::ParseError> {
        format!("2026-03-01T{text}Z").parse()
    }

    #[test]
    fn a_first_start_remembers_the_next_tick() -> Outcome {
        let schedule = "0 */15 * * * *".parse()?;
        let now = date("01:50:00.5")?;
        let start = at_start(None, &schedule, false, now).ok_or("never")?;
        assert_eq!(start.fire, None);
        assert_eq!(start.next, date("02:00:00")?);
        let json = start.remember.ok_or("nothing")?.to_json();
        insta::assert_snapshot!(json, @r#"{"Last":"0001-01-01T00:00:00","LastUpdated":"2026-03-01T01:50:00.5+00:00","Next":"2026-03-01T02:00:00+00:00"}"#);
        Ok(())
    }

    #[test]
    fn missed_ticks_are_made_up_for_once() -> Outcome {
        let schedule = "0 */15 * * * *".parse()?;
        let stored = Status { last: Some(date("00:45:00.002")?), next: date("01:00:00")?, updated: None };
        let start = at_start(Some(stored), &schedule, true, date("01:50:00")?).ok_or("never")?;
        assert_eq!(start, AtStart { remember: None, fire: Some(Reason::PastDue), next: date("02:00:00")? });
        Ok(())
    }

    #[test]
    fn a_tick_to_come_is_waited_for() -> Outcome {
        let schedule = "0 */15 * * * *".parse()?;
        let stored = Status { last: Some(date("01:45:00")?), next: date("02:00:00")?, updated: None };
        let start = at_start(Some(stored), &schedule, false, date("01:50:00")?).ok_or("never")?;
        assert_eq!(start, AtStart { remember: None, fire: None, next: date("02:00:00")? });
        let start = at_start(Some(stored), &schedule, true, date("01:50:00")?).ok_or("never")?;
        assert_eq!(start.fire, Some(Reason::Startup));
        Ok(())
    }

    #[test]
    fn an_edited_schedule_starts_from_now() -> Outcome {
        let stored = Status { last: Some(date("00:00:00")?), next: date("06:00:00")?, updated: None };
        let start =
            at_start(Some(stored), &"0 */15 * * * *".parse()?, false, date("01:50:00")?).ok_or("never")?;
        assert_eq!((start.fire, start.next), (None, date("02:00:00")?));
        assert_eq!(start.remember.map(|status| status.next), Some(date("02:00:00")?));
        let start =
            at_start(Some(stored), &"0 0 2 * * *".parse()?, false, date("01:50:00")?).ok_or("never")?;
        assert_eq!(start.next, date("02:00:00")?);
        Ok(())
    }

    #[test]
    fn before_the_first_run_the_time_of_writing_counts() -> Outcome {
        let stored = Status { last: None, next: date("02:00:00")?, updated: Some(date("01:50:00")?) };
        let schedule = "0 */15 * * * *".parse()?;
        let start = at_start(Some(stored), &schedule, false, date("03:01:00")?).ok_or("never")?;
        assert_eq!(start.fire, Some(Reason::PastDue));
        Ok(())
    }

    #[test]
    fn reads_what_it_and_others_write() -> Outcome {
        let status = Status { last: Some(date("01:45:00.0021437")?), next: date("02:00:00")?, updated: None };
        assert_eq!(Status::from_json(&status.to_json()), Some(status));
        let foreign = json!({"Last": "2026-03-01T01:00:00", "Next": "2026-03-01T04:00:00+02:00", "LastUpdated": "0001-01-01T00:00:00+00:00"});
        let expected = Status { last: Some(date("01:00:00")?), next: date("02:00:00")?, updated: None };
        assert_eq!(Status::from_json(&foreign), Some(expected));
        assert_eq!(Status::from_json(&json!({"Last": "soon"})), None);
        Ok(())
    }
}
