//! The slots of the tiers of a policy, in the policy's time zone.

use std::iter::successors;

use chrono::{
    DateTime, Datelike as _, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike as _, Utc,
};
use chrono_tz::Tz;

use super::wall;
use crate::models::{Tier, TierConfig};

/// Returns the latest slot of a tier at or before an instant.
///
/// Hourly slots are the full hours of the day that the interval divides, so that each day begins
/// with one; the others are at the tier's time on its day. A member outside of its range counts as
/// the nearest one in it.
pub fn slot(tier: Tier, config: &TierConfig, zone: Tz, now: DateTime<Utc>) -> DateTime<Utc> {
    let wall = wall::local(zone, now);
    // In the second pass of a repeated hour the first pass is over: its later slots come after the
    // local time, yet they lie before now.
    let later = following(tier, config, zone, wall).take_while(|slot| *slot <= now).last();
    let latest = later.or_else(|| wall::instant(zone, latest(tier, config, wall)?));
    // Only before the beginning of the calendar is there none.
    latest.unwrap_or(DateTime::<Utc>::MIN_UTC)
}

/// Returns the first slot of a tier after an instant.
pub(super) fn slot_after(
    tier: Tier,
    config: &TierConfig,
    zone: Tz,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    following(tier, config, zone, wall::local(zone, now)).find(|slot| *slot > now)
}

/// The slots of the local times after one, in order; several may be the same instant.
fn following(
    tier: Tier,
    config: &TierConfig,
    zone: Tz,
    wall: NaiveDateTime,
) -> impl Iterator<Item = DateTime<Utc>> {
    let next = move |wall: &NaiveDateTime| next(tier, config, *wall);
    successors(next(&wall), next).map_while(move |wall| wall::instant(zone, wall))
}

/// Returns the latest local time of a tier at or before one.
fn latest(tier: Tier, config: &TierConfig, wall: NaiveDateTime) -> Option<NaiveDateTime> {
    let today = wall.date();
    match tier {
        Tier::Hourly => today.and_hms_opt(wall.hour() - wall.hour() % interval(config), 0, 0),
        Tier::Daily => on_time(today, config, wall, |day| day.pred_opt()),
        Tier::Weekly => {
            let weekday = u32::from(config.day_of_week % 7);
            let back = (7 + today.weekday().num_days_from_sunday() - weekday) % 7;
            let day = today.checked_sub_days(Days::new(back.into()))?;
            on_time(day, config, wall, |day| day.checked_sub_days(Days::new(7)))
        }
        Tier::Monthly => {
            let day = today.with_day(day_of_month(config))?;
            on_time(day, config, wall, |day| day.checked_sub_months(Months::new(1)))
        }
        Tier::Yearly => {
            let month = u32::from(config.month.clamp(1, 12));
            let day = NaiveDate::from_ymd_opt(today.year(), month, day_of_month(config))?;
            on_time(day, config, wall, |day| day.checked_sub_months(Months::new(12)))
        }
    }
}

/// Returns the first local time of a tier after one.
fn next(tier: Tier, config: &TierConfig, wall: NaiveDateTime) -> Option<NaiveDateTime> {
    let latest = latest(tier, config, wall)?;
    match tier {
        Tier::Hourly => {
            let midnight = latest.date().succ_opt()?.and_time(NaiveTime::MIN);
            let next = latest.checked_add_signed(TimeDelta::hours(interval(config).into()))?;
            Some(next.min(midnight))
        }
        Tier::Daily => latest.checked_add_days(Days::new(1)),
        Tier::Weekly => latest.checked_add_days(Days::new(7)),
        Tier::Monthly => latest.checked_add_months(Months::new(1)),
        Tier::Yearly => latest.checked_add_months(Months::new(12)),
    }
}

/// Takes the tier's time on a day, or on the day before it in the tier if that is still to come.
fn on_time(
    day: NaiveDate,
    config: &TierConfig,
    wall: NaiveDateTime,
    before: impl Fn(NaiveDate) -> Option<NaiveDate>,
) -> Option<NaiveDateTime> {
    let at = |day: NaiveDate| NaiveDateTime::new(day, config.time.naive());
    if at(day) <= wall { Some(at(day)) } else { before(day).map(at) }
}

fn interval(config: &TierConfig) -> u32 {
    config.interval_hours.clamp(1, 24).into()
}

fn day_of_month(config: &TierConfig) -> u32 {
    config.day_of_month.clamp(1, 28).into()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;
    use crate::models::TimeOfDay;

    fn config() -> impl Strategy<Value = TierConfig> {
        let time = (0_u8..24, prop_oneof![0_u8..60, 46_u8..60])
            .prop_map(|(hour, minute)| format!("{hour:02}:{minute:02}").parse::<TimeOfDay>().unwrap());
        (1_u8..=12, time, 0_u8..7, 1_u8..=28, 1_u8..=12).prop_map(
            |(interval_hours, time, day_of_week, day_of_month, month)| TierConfig {
                enabled: true,
                keep_count: 1,
                interval_hours,
                time,
                day_of_week,
                day_of_month,
                month,
            },
        )
    }

    /// An instant between 2019 and 2030, often within seconds of midnight.
    fn instant() -> impl Strategy<Value = DateTime<Utc>> {
        let seconds = 1_546_300_800_i64..1_893_456_000;
        prop_oneof![
            seconds.clone(),
            (seconds, -2_i64..2).prop_map(|(seconds, off)| seconds - seconds % 86_400 + off),
        ]
        .prop_map(|seconds| DateTime::from_timestamp(seconds, 0).unwrap())
    }

    /// Tells whether the tier fires in the minute that begins at an instant, from the words of the
    /// rule alone.
    fn fires(tier: Tier, config: &TierConfig, at: DateTime<Utc>) -> bool {
        let on_time = at.time() == config.time.naive();
        match tier {
            Tier::Hourly => at.minute() == 0 && at.hour().is_multiple_of(config.interval_hours.into()),
            Tier::Daily => on_time,
            Tier::Weekly => on_time && at.weekday().num_days_from_sunday() == u32::from(config.day_of_week),
            Tier::Monthly => on_time && at.day() == u32::from(config.day_of_month),
            Tier::Yearly => {
                on_time && at.day() == u32::from(config.day_of_month) && at.month() == u32::from(config.month)
            }
        }
    }

    /// Walks back, minute by minute, to the first that fires.
    fn slow(tier: Tier, config: &TierConfig, now: DateTime<Utc>) -> DateTime<Utc> {
        let mut minute = now.with_second(0).unwrap();
        while !fires(tier, config, minute) {
            minute -= TimeDelta::minutes(1);
        }
        minute
    }

    proptest! {
        #[test]
        fn agrees_with_the_slow_model(config in config(), now in instant()) {
            for tier in [Tier::Hourly, Tier::Daily, Tier::Weekly, Tier::Monthly] {
                prop_assert_eq!(slot(tier, &config, Tz::UTC, now), slow(tier, &config, now), "{}", tier);
            }
        }

        #[test]
        fn the_next_slot_is_the_first_after(config in config(), now in instant()) {
            for tier in Tier::ALL {
                let latest = slot(*tier, &config, Tz::UTC, now);
                let next = slot_after(*tier, &config, Tz::UTC, now).unwrap();
                prop_assert!(latest <= now && now < next, "{latest} {next}");
                prop_assert!(fires(*tier, &config, next));
                prop_assert_eq!(slot(*tier, &config, Tz::UTC, next), next);
                prop_assert_eq!(slot(*tier, &config, Tz::UTC, next - TimeDelta::milliseconds(1)), latest);
            }
        }
    }

    proptest! {
        // A year of minutes each.
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn agrees_with_the_slow_model_over_years(config in config(), now in instant()) {
            prop_assert_eq!(slot(Tier::Yearly, &config, Tz::UTC, now), slow(Tier::Yearly, &config, now));
        }
    }

    #[test]
    fn the_last_minutes_of_a_day_are_served_by_the_first_tick_of_the_next() {
        let config = TierConfig { time: "23:59".parse().unwrap(), ..TierConfig::default() };
        let tick: DateTime<Utc> = "2026-03-01T00:00:00Z".parse().unwrap();
        assert_eq!(slot(Tier::Daily, &config, Tz::UTC, tick).to_rfc3339(), "2026-02-28T23:59:00+00:00");
    }

    #[test]
    fn members_outside_of_their_range_do_no_harm() {
        let (least, most) = (
            TierConfig {
                interval_hours: 0,
                day_of_week: 7,
                day_of_month: 0,
                month: 0,
                ..TierConfig::default()
            },
            TierConfig {
                interval_hours: 255,
                day_of_week: 255,
                day_of_month: 255,
                month: 255,
                ..TierConfig::default()
            },
        );
        let now: DateTime<Utc> = "2026-03-31T00:00:00Z".parse().unwrap();
        for config in [least, most] {
            for tier in Tier::ALL {
                assert!(slot(*tier, &config, Tz::UTC, now) <= now, "{tier}");
                assert!(slot_after(*tier, &config, Tz::UTC, now).unwrap() > now, "{tier}");
            }
        }
    }
}
