//! NCRONTAB, the cron dialect of timer triggers: second, minute, hour, day, month, day of week.
//!
//! What differs from unix cron and is kept here: days of the week are 0 to 6 with 0 for Sunday and 7
//! is an error; a day must fit day-of-month *and* day-of-week; a range whose ends are in the wrong
//! order is turned round, it does not wrap; names are any beginning of the English name; a step of 0
//! counts as 1. Times are UTC. <https://github.com/atifaziz/NCrontab>

use std::str::FromStr;

use chrono::{DateTime, Datelike as _, Days, NaiveDate, NaiveTime, TimeDelta, Timelike as _, Utc};

/// After this many days the calendar repeats itself, so nothing more can be found.
const CALENDAR_CYCLE_DAYS: u32 = 146_097;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

/// An expression that is not NCRONTAB.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNcrontab {
    /// The number of fields is neither five nor six.
    #[error("an NCRONTAB expression has 6 fields (5 without seconds), this one has {0}")]
    Fields(usize),
    /// A field cannot be read.
    #[error("\"{text}\" is not valid for {field} (allowed: {least} to {most})")]
    Field {
        /// Which field.
        field: &'static str,
        /// The part of the field.
        text: String,
        /// The field's least number.
        least: u32,
        /// The field's greatest number.
        most: u32,
    },
}

/// An NCRONTAB expression: for each field the set of allowed numbers, as bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ncrontab {
    seconds: u64,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
}

impl Ncrontab {
    /// Returns the first fitting instant strictly after `start`; `None` where no day ever fits.
    pub(crate) fn next_after(&self, start: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let start = start.with_nanosecond(0)?.checked_add_signed(TimeDelta::seconds(1))?;
        let (first_day, first_time) = (start.date_naive(), start.time());
        let mut day = first_day;
        for _ in 0..=CALENDAR_CYCLE_DAYS {
            if self.fits(day) {
                let earliest = if day == first_day { first_time } else { NaiveTime::MIN };
                if let Some(time) = self.time_from(earliest) {
                    return Some(day.and_time(time).and_utc());
                }
            }
            day = day.checked_add_days(Days::new(1))?;
        }
        None
    }

    fn fits(&self, day: NaiveDate) -> bool {
        has(self.months, day.month())
            && has(self.days, day.day())
            && has(self.weekdays, day.weekday().num_days_from_sunday())
    }

    /// Returns the first fitting time of a day that is not before `earliest`.
    fn time_from(&self, earliest: NaiveTime) -> Option<NaiveTime> {
        for hour in (earliest.hour()..24).filter(|&hour| has(self.hours, hour)) {
            let first_minute = if hour == earliest.hour() { earliest.minute() } else { 0 };
            for minute in (first_minute..60).filter(|&minute| has(self.minutes, minute)) {
                let same_minute = hour == earliest.hour() && minute == earliest.minute();
                let first_second = if same_minute { earliest.second() } else { 0 };
                if let Some(second) = (first_second..60).find(|&second| has(self.seconds, second)) {
                    return NaiveTime::from_hms_opt(hour, minute, second);
                }
            }
        }
        None
    }
}

impl FromStr for Ncrontab {
    type Err = InvalidNcrontab;

    fn from_str(text: &str) -> Result<Self, InvalidNcrontab> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let (second, rest) = match fields.as_slice() {
            [second, rest @ ..] if rest.len() == 5 => (*second, rest),
            rest if rest.len() == 5 => ("0", rest),
            other => return Err(InvalidNcrontab::Fields(other.len())),
        };
        let &[minute, hour, day, month, weekday] = rest else {
            return Err(InvalidNcrontab::Fields(fields.len()));
        };
        Ok(Self {
            seconds: Field::numbers("seconds", 0, 59).read(second)?,
            minutes: Field::numbers("minutes", 0, 59).read(minute)?,
            hours: Field::numbers("hours", 0, 23).read(hour)?,
            days: Field::numbers("days", 1, 31).read(day)?,
            months: Field { names: &MONTHS, ..Field::numbers("months", 1, 12) }.read(month)?,
            weekdays: Field { names: &WEEKDAYS, ..Field::numbers("days of the week", 0, 6) }.read(weekday)?,
        })
    }
}

struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

impl Field {
    fn numbers(name: &'static str, least: u32, most: u32) -> Self {
        Self { name, least, most, names: &[] }
    }

    fn read(&self, text: &str) -> Result<u64, InvalidNcrontab> {
        text.split(',').try_fold(0, |bits, part| Ok(bits | self.read_part(part)?))
    }

    fn read_part(&self, part: &str) -> Result<u64, InvalidNcrontab> {
        let invalid = || InvalidNcrontab::Field {
            field: self.name,
            text: part.to_owned(),
            least: self.least,
            most: self.most,
        };
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(digits(step).ok_or_else(invalid)?)),
            None => (part, None),
        };
        let (first, last) = if range == "*" {
            (self.least, self.most)
        } else if let Some((first, last)) = range.split_once('-') {
            let (first, last) =
                (self.value(first).ok_or_else(invalid)?, self.value(last).ok_or_else(invalid)?);
            (first.min(last), first.max(last))
        } else {
            let value = self.value(range).ok_or_else(invalid)?;
            (value, if step.is_some() { self.most } else { value })
        };
        let step = usize::try_from(step.unwrap_or(1).max(1)).map_err(|_| invalid())?;
        Ok((first..=last).step_by(step).fold(0, |bits, value| bits | 1 << value))
    }

    fn value(&self, text: &str) -> Option<u32> {
        if let Some(value) = digits(text) {
            return (self.least..=self.most).contains(&value).then_some(value);
        }
        if text.is_empty() {
            return None;
        }
        let text = text.to_ascii_lowercase();
        let index = self.names.iter().position(|name| name.starts_with(&text))?;
        Some(self.least + u32::try_from(index).ok()?)
    }
}

fn digits(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn has(bits: u64, value: u32) -> bool {
    bits & (1 << value) != 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn next(expression: &str, start: &str) -> Result<String, Box<dyn std::error::Error>> {
        let start: DateTime<Utc> = start.parse()?;
        let next = expression.parse::<Ncrontab>()?.next_after(start);
        Ok(next.map_or_else(|| "never".to_owned(), |next| next.format("%Y-%m-%dT%H:%M:%S").to_string()))
    }

    #[test]
    fn finds_the_next_instant() -> Result<(), Box<dyn std::error::Error>> {
        let cases = [
            ("0 */15 * * * *", "2026-03-01T01:45:00Z", "2026-03-01T02:00:00"),
            ("0 */15 * * * *", "2026-03-01T01:44:59.9Z", "2026-03-01T01:45:00"),
            ("0 0 */6 * * *", "2026-03-01T18:00:00Z", "2026-03-02T00:00:00"),
            ("0 0 2 * * *", "2026-12-31T02:00:00Z", "2027-01-01T02:00:00"),
            ("*/5 * * * *", "2026-03-01T00:00:00Z", "2026-03-01T00:05:00"),
            ("0 5/15 * * * *", "2026-03-01T00:05:00Z", "2026-03-01T00:20:00"),
            ("0 5/15 * * * *", "2026-03-01T00:50:00Z", "2026-03-01T01:05:00"),
            ("* * * * * *", "2026-03-01T23:59:59.5Z", "2026-03-02T00:00:00"),
            ("*/0 * * * * *", "2026-03-01T00:00:00Z", "2026-03-01T00:00:01"),
            // Both day fields must fit: the next Friday that is a 13th.
            ("0 0 0 13 * FRI", "2026-03-14T00:00:00Z", "2026-11-13T00:00:00"),
            ("0 0 0 29 2 *", "2026-03-01T00:00:00Z", "2028-02-29T00:00:00"),
            ("0 0 0 29 2 0", "2026-03-01T00:00:00Z", "2032-02-29T00:00:00"),
            ("0 0 0 30 2 *", "2026-03-01T00:00:00Z", "never"),
            ("0 0 0 * * 0", "2026-03-02T00:00:00Z", "2026-03-08T00:00:00"),
            ("0 0 0 1 J *", "2026-03-02T00:00:00Z", "2027-01-01T00:00:00"),
            ("0 0 0 * * Wednes", "2026-03-02T00:00:00Z", "2026-03-04T00:00:00"),
            // Ends are turned round: Monday to Saturday, so Sunday does not fit.
            ("0 0 0 * * SAT-MON", "2026-03-07T00:00:00Z", "2026-03-09T00:00:00"),
        ];
        for (expression, start, expected) in cases {
            assert_eq!(next(expression, start)?, expected, "{expression} after {start}");
        }
        Ok(())
    }

    #[test]
    fn refuses_what_ncrontab_refuses() {
        for expression in [
            "",
            "* * * *",
            "* * * * * * *",
            "0 0 0 * * 7",
            "60 * * * * *",
            "0 0 24 * * *",
            "0 0 0 0 * *",
            "0 0 0 ? * *",
            "0 0 0 L * *",
            "0 0 0 * * 5#2",
            "@daily",
            "0 0 0 1W * *",
            "0 0 0 * 13 *",
            "0 ,1 * * * *",
            "0 -1 * * * *",
            "0 1- * * * *",
            "0 */ * * * *",
            "0 */x * * * *",
            "0 0 0 * * Funday",
            "0 1-2-3 * * * *",
            "0 +5 * * * *",
        ] {
            assert!(expression.parse::<Ncrontab>().is_err(), "{expression}");
        }
    }

    /// One field, and the numbers it stands for, worked out without the parser's arithmetic.
    fn field(least: u32, most: u32) -> impl Strategy<Value = (String, Vec<u32>)> {
        let part =
            (least..=most, least..=most, 0_u32..5, 0_u8..5).prop_map(
                move |(a, b, step, shape)| match shape {
                    0 => ("*".to_owned(), (least..=most).collect::<Vec<_>>()),
                    1 => (a.to_string(), vec![a]),
                    2 => (
                        format!("{a}-{b}"),
                        (least..=most).filter(|x| (a.min(b)..=a.max(b)).contains(x)).collect(),
                    ),
                    3 => (
                        format!("{a}/{step}"),
                        (a..=most).filter(|x| step == 0 || (x - a).is_multiple_of(step)).collect(),
                    ),
                    _ => (
                        format!("*/{step}"),
                        (least..=most).filter(|x| step == 0 || (x - least).is_multiple_of(step)).collect(),
                    ),
                },
            );
        proptest::collection::vec(part, 1..3).prop_map(|parts| {
            let texts: Vec<_> = parts.iter().map(|(text, _)| text.clone()).collect();
            (texts.join(","), parts.into_iter().flat_map(|(_, numbers)| numbers).collect())
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        /// Compares with a model that tries every second of the next days, and every day of the next years.
        #[test]
        fn agrees_with_a_slow_model(
            (second, seconds) in field(0, 59),
            (minute, minutes) in field(0, 59),
            (hour, hours) in field(0, 23),
            (day, days) in field(1, 31),
            (month, months) in field(1, 12),
            (weekday, weekdays) in field(0, 6),
            start in 1_700_000_000_i64..1_900_000_000,
        ) {
            let expression: Ncrontab = format!("{second} {minute} {hour} {day} {month} {weekday}").parse()?;
            let start = DateTime::from_timestamp(start, 0).ok_or_else(|| TestCaseError::reject("date"))?;
            let day_fits = |at: DateTime<Utc>| days.contains(&at.day())
                && months.contains(&at.month())
                && weekdays.contains(&at.weekday().num_days_from_sunday());
            let fits = |at: DateTime<Utc>| day_fits(at)
                && hours.contains(&at.hour())
                && minutes.contains(&at.minute())
                && seconds.contains(&at.second());
            let mut at = start + TimeDelta::seconds(1);
            let mut expected = None;
            while expected.is_none() && at < start + TimeDelta::days(365 * 12) {
                if fits(at) {
                    expected = Some(at);
                } else if !day_fits(at) && at.num_seconds_from_midnight() == 0 {
                    at += TimeDelta::days(1);
                } else {
                    at += TimeDelta::seconds(1);
                }
            }
            let found = expression.next_after(start);
            match expected {
                Some(_) => prop_assert_eq!(found, expected),
                None => prop_assert!(found.is_none_or(|found| found >= at)),
            }
        }
    }
}
