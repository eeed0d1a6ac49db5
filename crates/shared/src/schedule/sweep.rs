//! Two years of minutes in zones with odd clocks, against a model that is too slow to be wrong.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike as _, NaiveDateTime, Offset as _, TimeDelta, Timelike as _, Utc};
use chrono_tz::Tz;

use super::Schedule;
use super::tiers::{slot, slot_after};
use crate::models::{Tier, TierConfig};

/// Tells whether a minute fires: minute, hour, day of month, month, day of week.
type Fires = fn(u32, u32, u32, u32, u32) -> bool;

/// An expression, and the same in Rust.
type Expression = (&'static str, Fires);

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

fn at(fires: Fires, local: NaiveDateTime) -> bool {
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

/// What a tier does, in the same form: the days and hours of `EXPRESSIONS` that a tier can say.
fn tier_configs() -> [(Tier, TierConfig, Fires); 7] {
    let config = |time: &str| TierConfig { time: time.parse().unwrap(), ..TierConfig::default() };
    [
        (Tier::Hourly, config("00:00"), |minute, _, _, _, _| minute == 0),
        (Tier::Hourly, TierConfig { interval_hours: 5, ..config("00:00") }, |minute, hour, _, _, _| {
            minute == 0 && hour % 5 == 0
        }),
        (Tier::Daily, config("02:30"), |minute, hour, _, _, _| (hour, minute) == (2, 30)),
        (Tier::Daily, config("00:00"), |minute, hour, _, _, _| (hour, minute) == (0, 0)),
        (Tier::Weekly, config("01:30"), |minute, hour, _, _, weekday| (weekday, hour, minute) == (0, 1, 30)),
        (Tier::Monthly, TierConfig { day_of_month: 28, ..config("23:59") }, |minute, hour, day, _, _| {
            (day, hour, minute) == (28, 23, 59)
        }),
        (
            Tier::Yearly,
            TierConfig { day_of_month: 26, month: 10, ..config("02:59") },
            |minute, hour, day, month, _| (month, day, hour, minute) == (10, 26, 2, 59),
        ),
    ]
}

/// All zones that there are, each instant of two years at which their clocks are changed, and the
/// hours around it. Zones that change alike are looked at once.
#[test]
fn every_zone_around_every_change_of_two_years() {
    let from: DateTime<Utc> = "2025-01-01T00:00:00Z".parse().unwrap();
    let mut seen = BTreeSet::new();
    for zone in chrono_tz::TZ_VARIANTS {
        let changes = changes(zone, from);
        if !seen.insert((offset(zone, from), changes.clone())) {
            continue;
        }
        for middle in changes.into_iter().chain([from + TimeDelta::days(3)]) {
            around(zone, middle);
        }
    }
    assert!(seen.len() > 40, "{}", seen.len());
}

/// The starts of the six hours within which the clocks of a zone are changed, over two years.
fn changes(zone: Tz, from: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let starts: Vec<_> = (0..2 * 365 * 4).map(|step| from + TimeDelta::hours(6 * step)).collect();
    let offsets: Vec<i32> = starts.iter().map(|start| offset(zone, *start)).collect();
    let pairs = starts.iter().zip(offsets.windows(2));
    pairs.filter(|(_, pair)| pair[0] != pair[1]).map(|(start, _)| *start).collect()
}

fn offset(zone: Tz, at: DateTime<Utc>) -> i32 {
    at.with_timezone(&zone).offset().fix().local_minus_utc()
}

/// Compares the hours around an instant, minute by minute, with the model.
fn around(zone: Tz, middle: DateTime<Utc>) {
    let (from, until) = (middle - TimeDelta::hours(6), middle + TimeDelta::hours(18));
    let walked = walk(zone, from, until);
    let model = |fires: Fires| {
        let mut slots: Vec<_> =
            walked.iter().filter(|(_, passed)| at(fires, *passed)).map(|(now, _)| *now).collect();
        slots.dedup();
        slots
    };
    for (text, fires) in EXPRESSIONS {
        let schedule: Schedule = format!("CRON_TZ={zone} {text}").parse().unwrap();
        let next = |at: DateTime<Utc>| schedule.next_after(at);
        compare(&schedule, from, &model(fires), next, |at| schedule.latest_at_or_before(at));
    }
    for (tier, config, fires) in tier_configs() {
        let next = |at: DateTime<Utc>| slot_after(tier, &config, zone, at);
        let name = format!("{tier} {config:?} {zone}");
        compare(&name, from, &model(fires), next, |at| Some(slot(tier, &config, zone, at)));
    }
}

/// Returns, for each minute in which the wall shows something new, what it has come by.
fn walk(zone: Tz, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<(DateTime<Utc>, NaiveDateTime)> {
    let local = |at: DateTime<Utc>| at.with_timezone(&zone).naive_local();
    let (mut now, mut walked) = (from, Vec::new());
    let mut passed = local(from - TimeDelta::minutes(1));
    while now < until {
        let wall = local(now);
        while passed < wall {
            passed += TimeDelta::minutes(1);
            walked.push((now, passed));
        }
        now += TimeDelta::minutes(1);
    }
    walked
}

fn compare(
    name: &impl std::fmt::Display,
    from: DateTime<Utc>,
    slots: &[DateTime<Utc>],
    next: impl Fn(DateTime<Utc>) -> Option<DateTime<Utc>>,
    latest: impl Fn(DateTime<Utc>) -> Option<DateTime<Utc>>,
) {
    let second = TimeDelta::seconds(1);
    let mut before = from - second;
    for slot in slots {
        assert_eq!(next(before), Some(*slot), "{name} after {before}");
        assert_eq!(latest(*slot), Some(*slot), "{name} at {slot}");
        if before >= from {
            for now in [before + second, before + (*slot - before) / 2, *slot - second] {
                assert_eq!(latest(now), Some(before), "{name} at {now}");
            }
        }
        before = *slot;
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
