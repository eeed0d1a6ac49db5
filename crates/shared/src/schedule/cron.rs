//! The schedule of a user: a cron expression in a time zone.
//!
//! The expression is evaluated on the calendar of the zone as if its clocks were never changed, and
//! the result is then placed in real time. So there is one rule for days on which they are: a local
//! time that does not exist runs at the first instant that does, and one that exists twice runs
//! once, the first time.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use super::fields::{InvalidSchedule, plain, shortened};
use super::wall;

/// A cron expression of five fields, with `CRON_TZ=<zone> ` before it where the zone is not UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    text: String,
    zone: Tz,
    cron: Cron,
}

impl Schedule {
    /// Returns the text as it was given, without the spaces at its ends.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the time zone that its fields are read in.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// Returns the latest slot at or before an instant.
    pub fn latest_at_or_before(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let minute = self.local_minute(now);
        // In the second pass of a repeated hour the first pass is over: its later minutes come after
        // the local time, yet their slots lie before now.
        let later = self.after(minute).take_while(|slot| *slot <= now).last();
        later.or_else(|| {
            let latest = self.cron.find_previous_occurrence(&minute, true).ok()?;
            wall::instant(self.zone, latest.naive_utc())
        })
    }

    /// Returns the next slot after an instant.
    pub fn next_after(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.after(self.local_minute(now)).find(|slot| *slot > now)
    }

    /// The full minute on the wall at an instant. The evaluator sees it as if it were UTC.
    fn local_minute(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let local = wall::local(self.zone, now).and_utc();
        local.duration_trunc(TimeDelta::minutes(1)).unwrap_or(local)
    }

    /// The slots of the local times after one, in order; several may be the same instant.
    fn after(&self, minute: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
        let next = |minute: &DateTime<Utc>| self.cron.find_next_occurrence(minute, false).ok();
        let minutes = std::iter::successors(next(&minute), next);
        minutes.map_while(|minute| wall::instant(self.zone, minute.naive_utc()))
    }
}

impl FromStr for Schedule {
    type Err = InvalidSchedule;

    fn from_str(text: &str) -> Result<Self, InvalidSchedule> {
        let text = text.trim();
        let (zone, expression) = match text.strip_prefix("CRON_TZ=") {
            None => (Tz::UTC, text),
            Some(rest) => {
                let (name, expression) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                let unknown = |_| InvalidSchedule::UnknownZone { name: shortened(name) };
                (name.parse().map_err(unknown)?, expression)
            }
        };
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .sloppy_ranges(true)
            .build();
        // Stars and lists are understood by every evaluator, so no text gets this far and fails.
        let cron = parser.parse(&plain(expression)?).map_err(|_| InvalidSchedule::Never)?;
        Ok(Self { text: text.to_owned(), zone, cron })
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn schedule(text: &str) -> Schedule {
        text.parse().unwrap()
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// The next slots, in the local time of the schedule.
    fn following(text: &str, from: &str, count: usize) -> String {
        let schedule = schedule(text);
        let next = |now: &DateTime<Utc>| schedule.next_after(*now);
        let slots = std::iter::successors(next(&at(from)), next).take(count);
        slots.map(|slot| slot.with_timezone(&schedule.zone).to_rfc3339()).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn keeps_its_text() {
        assert_eq!(
            schedule(" CRON_TZ=Europe/Berlin  0 2 * * * ").to_string(),
            "CRON_TZ=Europe/Berlin  0 2 * * *"
        );
    }

    #[test]
    fn says_what_is_wrong_with_a_zone() {
        let texts = ["CRON_TZ=Berlin 0 2 * * *", "CRON_TZ= 0 2 * * *", "CRON_TZ=UTC", "TZ=UTC 0 2 * * *"];
        let errors: Vec<_> =
            texts.iter().map(|text| text.parse::<Schedule>().unwrap_err().to_string()).collect();
        insta::assert_snapshot!(errors.join("\n"), @r#"
        "Berlin" is not a time zone; write a name such as Europe/Berlin or UTC after CRON_TZ=
        "" is not a time zone; write a name such as Europe/Berlin or UTC after CRON_TZ=
        a schedule has five fields (minute, hour, day of month, month, day of week), not 0; "0 2 * * *" is every day at 02:00
        a schedule has five fields (minute, hour, day of month, month, day of week), not 6; "0 2 * * *" is every day at 02:00
        "#);
    }

    #[test]
    fn a_slot_is_at_its_instant_and_not_a_second_before() {
        let daily = schedule("30 2 * * *");
        assert_eq!(daily.latest_at_or_before(at("2026-03-01T02:30:00Z")), Some(at("2026-03-01T02:30:00Z")));
        assert_eq!(
            daily.latest_at_or_before(at("2026-03-01T02:29:59.999Z")),
            Some(at("2026-02-28T02:30:00Z"))
        );
        assert_eq!(daily.next_after(at("2026-03-01T02:29:59.999Z")), Some(at("2026-03-01T02:30:00Z")));
        assert_eq!(daily.next_after(at("2026-03-01T02:30:00Z")), Some(at("2026-03-02T02:30:00Z")));
    }

    #[test]
    fn a_local_time_that_does_not_exist_runs_at_the_first_that_does() {
        insta::assert_snapshot!(following("CRON_TZ=Europe/Berlin 30 2 * * *", "2026-03-28T00:00:00Z", 3), @"
        2026-03-28T02:30:00+01:00
        2026-03-29T03:00:00+02:00
        2026-03-30T02:30:00+02:00
        ");
        insta::assert_snapshot!(following("CRON_TZ=Europe/Berlin */30 1-3 29 3 *", "2026-03-28T00:00:00Z", 6), @"
        2026-03-29T01:00:00+01:00
        2026-03-29T01:30:00+01:00
        2026-03-29T03:00:00+02:00
        2026-03-29T03:30:00+02:00
        2027-03-29T01:00:00+02:00
        2027-03-29T01:30:00+02:00
        ");
    }

    #[test]
    fn a_local_time_that_exists_twice_runs_once() {
        insta::assert_snapshot!(following("CRON_TZ=Europe/Berlin 30 2 * * *", "2026-10-24T00:00:00Z", 3), @"
        2026-10-24T02:30:00+02:00
        2026-10-25T02:30:00+02:00
        2026-10-26T02:30:00+01:00
        ");
        insta::assert_snapshot!(following("CRON_TZ=Europe/Berlin */30 * * * *", "2026-10-25T00:00:00Z", 5), @"
        2026-10-25T02:30:00+02:00
        2026-10-25T03:00:00+01:00
        2026-10-25T03:30:00+01:00
        2026-10-25T04:00:00+01:00
        2026-10-25T04:30:00+01:00
        ");
        let daily = schedule("CRON_TZ=Europe/Berlin 50 2 * * *");
        // 02:10 of the second pass: 02:50 of the first is over.
        assert_eq!(daily.latest_at_or_before(at("2026-10-25T01:10:00Z")), Some(at("2026-10-25T00:50:00Z")));
    }

    #[test]
    fn either_day_field_suffices_when_both_are_given() {
        insta::assert_snapshot!(following("0 0 13 * 5", "2026-02-10T00:00:00Z", 4), @"
        2026-02-13T00:00:00+00:00
        2026-02-20T00:00:00+00:00
        2026-02-27T00:00:00+00:00
        2026-03-06T00:00:00+00:00
        ");
        insta::assert_snapshot!(following("0 0 */1 * 5", "2026-02-10T00:00:00Z", 2), @"
        2026-02-13T00:00:00+00:00
        2026-02-20T00:00:00+00:00
        ");
    }

    #[test]
    fn rare_days_are_found() {
        insta::assert_snapshot!(following("0 0 29 2 *", "2026-01-01T00:00:00Z", 2), @"
        2028-02-29T00:00:00+00:00
        2032-02-29T00:00:00+00:00
        ");
        let leap = schedule("0 0 29 2 *");
        assert_eq!(leap.latest_at_or_before(at("2026-01-01T00:00:00Z")), Some(at("2024-02-29T00:00:00Z")));
    }
}
