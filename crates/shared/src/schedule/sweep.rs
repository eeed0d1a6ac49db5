//! Two years of minutes in zones with odd clocks, against a model that is too slow to be wrong.

#![expect(clippy::unwrap_used, reason = "tests")]

use chrono::{DateTime, Datelike as _, NaiveDateTime, Offset as _, TimeDelta, Timelike as _, Utc};
use chrono_tz::Tz;

use super::Schedule;

/// An expression, and the same in Rust: minute, hour, day of month, month, day of week.
type Expression = (&'static str, fn(u32, u32, u32, u32, u32) -> bool);

const EXPRESSIONS: [Expression; 9] = [
    ("*/15 * * * *", |minute, _, _, _, _| minute % 15 == 0),
    ("0 * * * *", |minute, _, _, _, _| minute == 0),
    ("30 2 * * *", |minute, hour, _, _, _| (hour, minute) == (2, 30)),
    ("0 0 * * *", |minute, hour, _, _, _| (hour, minute) == (0, 0)),
    ("59 23 * * *", |minute, hour, _, _, _| (hour, minute) == (23, 59)),
    ("20,50 1-3 * * 0", |minute, hour, _, _, weekday| {
        weekday == 0 && (1..=3).contains(&hour) && (minute == 20 || minute == 50)
    }),
    ("5 */6 1-7 * *", |minute, hour, day, _, _| minute == 5 && hour % 6 == 0 && day <= 7),
    ("0 3 13 * 5", |minute, hour, day, _, weekday| (hour, minute) == (3, 0) && (day == 13 || weekday == 5)),
    ("45 1 31 3,10 *", |minute, hour, day, month, _| {
        (hour, minute, day) == (1, 45, 31) && (month == 3 || month == 10)
    }),
];

/// Walks all instants of two years. The clock on the wall passes over one local minute at each of
/// them, over many when it is put forward, and over none that is new after it was put back.
fn model(zone: Tz, from: DateTime<Utc>) -> [Vec<DateTime<Utc>>; EXPRESSIONS.len()] {
    let mut slots = EXPRESSIONS.map(|_| Vec::new());
    let local = |at: DateTime<Utc>| at.with_timezone(&zone).naive_local();
    let mut passed = local(from - TimeDelta::minutes(1));
    for minute in 0..2 * 365 * 24 * 60 {
        let now = from + TimeDelta::minutes(minute);
        while passed < local(now) {
            passed += TimeDelta::minutes(1);
            for ((_, fires), slots) in EXPRESSIONS.iter().zip(&mut slots) {
                if slots.last() != Some(&now) && at(*fires, passed) {
                    slots.push(now);
                }
            }
        }
    }
    slots
}

fn at(fires: fn(u32, u32, u32, u32, u32) -> bool, local: NaiveDateTime) -> bool {
    fires(local.minute(), local.hour(), local.day(), local.month(), local.weekday().num_days_from_sunday())
}

fn sweep(zone: Tz, from: &str) {
    let from: DateTime<Utc> = from.parse().unwrap();
    for ((text, _), slots) in EXPRESSIONS.iter().zip(model(zone, from)) {
        let schedule: Schedule = format!("CRON_TZ={zone} {text}").parse().unwrap();
        let second = TimeDelta::seconds(1);
        assert_eq!(schedule.next_after(from - second), slots.first().copied(), "{schedule}");
        for (at, pair) in slots.windows(2).enumerate() {
            let [slot, next] = [pair[0], pair[1]];
            // Frequent slots are all alike, but for those around a change of the clocks.
            if slots.len() > 1000 && at % 97 != 0 && !is_near_change(zone, slot) {
                continue;
            }
            assert_eq!(schedule.next_after(slot), Some(next), "{schedule} after {slot}");
            for now in [slot, slot + second, slot + (next - slot) / 2, next - second] {
                assert_eq!(schedule.latest_at_or_before(now), Some(slot), "{schedule} at {now}");
            }
            assert_eq!(schedule.next_after(next - second), Some(next), "{schedule} before {next}");
        }
    }
}

fn is_near_change(zone: Tz, at: DateTime<Utc>) -> bool {
    let offset = |at: DateTime<Utc>| at.with_timezone(&zone).offset().fix();
    offset(at - TimeDelta::hours(5)) != offset(at + TimeDelta::hours(5))
}

#[test]
fn berlin() {
    sweep(Tz::Europe__Berlin, "2025-01-01T00:00:00Z");
}

#[test]
fn new_york() {
    sweep(Tz::America__New_York, "2025-01-01T00:00:00Z");
}

/// Clocks are changed by half an hour.
#[test]
fn lord_howe() {
    sweep(Tz::Australia__Lord_Howe, "2025-01-01T00:00:00Z");
}

/// Clocks were changed at midnight, so that some days had none.
#[test]
fn sao_paulo_as_it_was() {
    sweep(Tz::America__Sao_Paulo, "2017-07-01T00:00:00Z");
}

/// A quarter of an hour off, and never changed.
#[test]
fn kathmandu() {
    sweep(Tz::Asia__Kathmandu, "2025-01-01T00:00:00Z");
}

/// A day that did not exist.
#[test]
fn apia_when_it_crossed_the_date_line() {
    sweep(Tz::Pacific__Apia, "2011-01-01T00:00:00Z");
}
