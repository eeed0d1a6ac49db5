//! What is due for a database: the latest slot of each of its lanes that nobody has served.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::Schedule;
use super::tiers::{slot, slot_after};
use crate::models::{BackupPolicy, Lane};

/// How far ahead of the clock a served slot may be and still be believed.
///
/// A clock that went back by less than this queues nothing until it has caught up. A slot further
/// ahead was recorded by a clock that was wrong, and believing it would leave the database without
/// backups until then: one backup too many is better than a day without.
pub const BELIEVED_AHEAD: TimeDelta = TimeDelta::hours(2);

/// How long a database waits for the first fire time of its schedule.
const LONGEST_FIRST_WAIT: TimeDelta = TimeDelta::hours(24);

/// What a database runs by.
#[derive(Debug, Clone, Copy)]
pub enum Plan<'a> {
    /// The tiers of a policy.
    Tiers(&'a BackupPolicy),
    /// A schedule of its own, which then decides alone.
    Cron(&'a Schedule),
}

impl Plan<'_> {
    /// Returns the time zone that its times are read in.
    pub fn zone(&self) -> Tz {
        match self {
            Self::Tiers(policy) => policy.time_zone,
            Self::Cron(schedule) => schedule.zone(),
        }
    }
}

/// The last slot that was served of each lane, whether its job ended well or not. A lane that is
/// missing was never served.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded(BTreeMap<Lane, DateTime<Utc>>);

impl Recorded {
    /// Returns the last slot that was served of a lane.
    pub fn get(&self, lane: Lane) -> Option<DateTime<Utc>> {
        self.0.get(&lane).copied()
    }

    /// Notes that a slot is served.
    pub fn serve(&mut self, due: Due) {
        self.0.insert(due.lane, due.slot);
    }
}

impl FromIterator<(Lane, DateTime<Utc>)> for Recorded {
    fn from_iter<I: IntoIterator<Item = (Lane, DateTime<Utc>)>>(slots: I) -> Self {
        Self(slots.into_iter().collect())
    }
}

/// A slot of a lane, to be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Due {
    /// The lane.
    pub lane: Lane,
    /// The slot.
    pub slot: DateTime<Utc>,
}

/// Decides what is due for a database now, the highest tier first.
///
/// A slot is due when it is later than the last one that was served of its lane. A tier that was
/// never served is due at once. A schedule that was never served is due at its first fire time
/// after `configured_at`, the last change of the database's configuration, because its hours were
/// chosen with care; but when that is more than a day away it is due at once, for its latest fire
/// time, so that no database is left without any backup for long.
pub fn due(
    plan: Plan<'_>,
    recorded: &Recorded,
    configured_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Vec<Due> {
    let is_open = |due: &Due| match recorded.get(due.lane) {
        Some(served) => due.slot > served || served > now + BELIEVED_AHEAD,
        None => match plan {
            Plan::Tiers(_) => true,
            Plan::Cron(schedule) => due.slot >= configured_at || waits_too_long(schedule, configured_at),
        },
    };
    lanes(plan).into_iter().filter_map(|lane| latest(plan, lane, now)).filter(is_open).collect()
}

/// Returns the next slots of a plan after an instant, the earliest first, for display.
pub fn next_slots(plan: Plan<'_>, now: DateTime<Utc>, count: usize) -> Vec<Due> {
    let mut upcoming: Vec<_> = lanes(plan).into_iter().filter_map(|lane| next(plan, lane, now)).collect();
    let earliest = || {
        // The first of several at the same instant, which is the highest tier.
        let at = (0..upcoming.len()).min_by_key(|at| upcoming[*at].slot)?;
        let due = upcoming[at];
        match next(plan, due.lane, due.slot) {
            Some(after) => upcoming[at] = after,
            None => drop(upcoming.remove(at)),
        }
        Some(due)
    };
    std::iter::from_fn(earliest).take(count).collect()
}

/// Returns the next slots of one lane of a plan after an instant, the earliest first, for display.
pub fn next_slots_of(plan: Plan<'_>, lane: Lane, now: DateTime<Utc>, count: usize) -> Vec<DateTime<Utc>> {
    let after = |now: DateTime<Utc>| next(plan, lane, now).map(|due| due.slot);
    std::iter::successors(after(now), |slot| after(*slot)).take(count).collect()
}

/// Returns the lanes of a plan that run, the highest tier first.
pub fn lanes(plan: Plan<'_>) -> Vec<Lane> {
    match plan {
        Plan::Cron(_) => vec![Lane::Schedule],
        Plan::Tiers(policy) => {
            policy.tiers().filter(|(_, config)| config.enabled).map(|(tier, _)| Lane::Tier(tier)).collect()
        }
    }
}

pub(super) fn latest(plan: Plan<'_>, lane: Lane, now: DateTime<Utc>) -> Option<Due> {
    let slot = match (plan, lane) {
        (Plan::Cron(schedule), Lane::Schedule) => schedule.latest_at_or_before(now),
        (Plan::Tiers(policy), Lane::Tier(tier)) => Some(slot(tier, policy.tier(tier), policy.time_zone, now)),
        (Plan::Cron(_), Lane::Tier(_)) | (Plan::Tiers(_), Lane::Schedule) => None,
    };
    slot.map(|slot| Due { lane, slot })
}

fn next(plan: Plan<'_>, lane: Lane, now: DateTime<Utc>) -> Option<Due> {
    let slot = match (plan, lane) {
        (Plan::Cron(schedule), Lane::Schedule) => schedule.next_after(now),
        (Plan::Tiers(policy), Lane::Tier(tier)) => slot_after(tier, policy.tier(tier), policy.time_zone, now),
        (Plan::Cron(_), Lane::Tier(_)) | (Plan::Tiers(_), Lane::Schedule) => None,
    };
    slot.map(|slot| Due { lane, slot })
}

pub(super) fn waits_too_long(schedule: &Schedule, configured_at: DateTime<Utc>) -> bool {
    schedule.next_after(configured_at).is_none_or(|first| first - configured_at > LONGEST_FIRST_WAIT)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::collections::HashSet;

    use chrono::{Datelike as _, NaiveDate, NaiveTime};
    use proptest::prelude::*;

    use super::*;
    use crate::models::{Tier, TierConfig, TimeOfDay, system_policies};

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// All five tiers; hourly at each hour, the others at 02:00, 03:00, 04:00, 05:00.
    fn critical() -> BackupPolicy {
        system_policies(DateTime::UNIX_EPOCH).remove(0)
    }

    fn shown(due: &[Due]) -> String {
        due.iter().map(|due| format!("{} {}", due.lane.as_str(), due.slot)).collect::<Vec<_>>().join("\n")
    }

    fn due_at(plan: Plan<'_>, recorded: &Recorded, now: &str) -> String {
        shown(&due(plan, recorded, DateTime::UNIX_EPOCH, at(now)))
    }

    #[test]
    fn tiers_that_were_never_served_are_due_at_once() {
        let policy = critical();
        insta::assert_snapshot!(due_at(Plan::Tiers(&policy), &Recorded::default(), "2026-03-04T10:07:00Z"), @"
        yearly 2026-01-01 05:00:00 UTC
        monthly 2026-03-01 04:00:00 UTC
        weekly 2026-03-01 03:00:00 UTC
        daily 2026-03-04 02:00:00 UTC
        hourly 2026-03-04 10:00:00 UTC
        ");
    }

    #[test]
    fn tiers_that_are_off_are_never_due() {
        let mut policy = critical();
        for tier in [&mut policy.hourly, &mut policy.weekly, &mut policy.monthly, &mut policy.yearly] {
            tier.enabled = false;
        }
        insta::assert_snapshot!(due_at(Plan::Tiers(&policy), &Recorded::default(), "2026-03-04T10:07:00Z"), @"daily 2026-03-04 02:00:00 UTC");
    }

    #[test]
    fn what_is_served_is_not_due_and_what_was_missed_is_due_once() {
        let policy = critical();
        let plan = Plan::Tiers(&policy);
        let mut recorded = Recorded::default();
        for due in due(plan, &recorded, DateTime::UNIX_EPOCH, at("2026-03-01T10:00:00Z")) {
            recorded.serve(due);
        }
        assert_eq!(due_at(plan, &recorded, "2026-03-01T10:59:59Z"), "");
        // Four days without a scheduler: one hourly and one daily slot remain of many.
        insta::assert_snapshot!(due_at(plan, &recorded, "2026-03-05T10:20:00Z"), @"
        daily 2026-03-05 02:00:00 UTC
        hourly 2026-03-05 10:00:00 UTC
        ");
    }

    #[test]
    fn a_clock_that_went_back_queues_nothing_and_one_that_was_ahead_blocks_nothing() {
        let policy = critical();
        let plan = Plan::Tiers(&policy);
        let served = at("2026-03-04T10:00:00Z");
        let recorded: Recorded = Tier::ALL.iter().map(|tier| (Lane::Tier(*tier), served)).collect();
        assert_eq!(due_at(plan, &recorded, "2026-03-04T08:00:00Z"), "");
        let all = due(plan, &recorded, DateTime::UNIX_EPOCH, at("2026-03-03T10:00:00Z"));
        assert_eq!(all.len(), 5);
    }

    #[test]
    fn a_schedule_waits_for_its_first_hour_but_not_for_days() {
        let nightly: Schedule = "0 2 * * *".parse().unwrap();
        let monthly: Schedule = "0 2 1 * *".parse().unwrap();
        let none = Recorded::default();
        let configured = at("2026-03-04T10:00:00Z");
        let due_at = |schedule, now| shown(&due(Plan::Cron(schedule), &none, configured, at(now)));
        assert_eq!(due_at(&nightly, "2026-03-04T10:15:00Z"), "");
        assert_eq!(due_at(&nightly, "2026-03-05T02:00:00Z"), "schedule 2026-03-05 02:00:00 UTC");
        assert_eq!(due_at(&nightly, "2026-03-09T10:00:00Z"), "schedule 2026-03-09 02:00:00 UTC");
        assert_eq!(due_at(&monthly, "2026-03-04T10:15:00Z"), "schedule 2026-03-01 02:00:00 UTC");
    }

    #[test]
    fn a_schedule_that_was_served_goes_by_its_slots_alone() {
        let nightly: Schedule = "0 2 * * *".parse().unwrap();
        let recorded: Recorded = [(Lane::Schedule, at("2026-03-04T02:00:00Z"))].into_iter().collect();
        // The configuration was changed after the slot that was missed: it is made good all the same.
        let due_at = |now| shown(&due(Plan::Cron(&nightly), &recorded, at("2026-03-05T03:00:00Z"), at(now)));
        assert_eq!(due_at("2026-03-05T01:59:59Z"), "");
        assert_eq!(due_at("2026-03-05T04:00:00Z"), "schedule 2026-03-05 02:00:00 UTC");
    }

    #[test]
    fn lanes_of_the_other_kind_do_not_count() {
        let nightly: Schedule = "0 2 * * *".parse().unwrap();
        let later = at("2026-03-04T02:00:00Z");
        let recorded: Recorded = [(Lane::Tier(Tier::Daily), later)].into_iter().collect();
        assert_eq!(due(Plan::Cron(&nightly), &recorded, DateTime::UNIX_EPOCH, later).len(), 1);
        let recorded: Recorded = [(Lane::Schedule, later)].into_iter().collect();
        assert_eq!(due(Plan::Tiers(&critical()), &recorded, DateTime::UNIX_EPOCH, later).len(), 5);
    }

    #[test]
    fn the_next_slots_are_in_order() {
        let policy = critical();
        insta::assert_snapshot!(shown(&next_slots(Plan::Tiers(&policy), at("2026-02-28T23:30:00Z"), 9)), @"
        hourly 2026-03-01 00:00:00 UTC
        hourly 2026-03-01 01:00:00 UTC
        daily 2026-03-01 02:00:00 UTC
        hourly 2026-03-01 02:00:00 UTC
        weekly 2026-03-01 03:00:00 UTC
        hourly 2026-03-01 03:00:00 UTC
        monthly 2026-03-01 04:00:00 UTC
        hourly 2026-03-01 04:00:00 UTC
        hourly 2026-03-01 05:00:00 UTC
        ");
        let schedule: Schedule = "0 6 * * 1-5".parse().unwrap();
        insta::assert_snapshot!(shown(&next_slots(Plan::Cron(&schedule), at("2026-03-06T06:00:00Z"), 2)), @"
        schedule 2026-03-09 06:00:00 UTC
        schedule 2026-03-10 06:00:00 UTC
        ");
        let off =
            BackupPolicy { hourly: TierConfig::default(), ..system_policies(DateTime::UNIX_EPOCH).remove(2) };
        assert_eq!(next_slots(Plan::Tiers(&off), at("2026-03-06T06:00:00Z"), 0), []);
    }

    fn plans() -> impl Strategy<Value = (BackupPolicy, Option<Schedule>)> {
        let schedule = proptest::sample::select(vec![
            None,
            Some("*/15 * * * *"),
            Some("0 2 * * *"),
            Some("CRON_TZ=Europe/Berlin 30 2 * * *"),
            Some("5 4 * * 0"),
        ]);
        (0_usize..3, 1_u8..=12, any::<[bool; 5]>(), schedule).prop_map(
            |(policy, hours, enabled, schedule)| {
                let mut policy = system_policies(DateTime::UNIX_EPOCH).remove(policy);
                policy.hourly.interval_hours = hours;
                let tiers = [
                    &mut policy.hourly,
                    &mut policy.daily,
                    &mut policy.weekly,
                    &mut policy.monthly,
                    &mut policy.yearly,
                ];
                for (tier, enabled) in tiers.into_iter().zip(enabled) {
                    tier.enabled = enabled;
                }
                (policy, schedule.map(|text| text.parse().unwrap()))
            },
        )
    }

    fn plan((policy, schedule): &(BackupPolicy, Option<Schedule>)) -> Plan<'_> {
        schedule.as_ref().map_or(Plan::Tiers(policy), Plan::Cron)
    }

    /// Reads the calendar backwards, day by day, for the latest slot of a tier in UTC.
    fn in_calendar(tier: Tier, config: &TierConfig, now: DateTime<Utc>) -> DateTime<Utc> {
        let is_its_day = |day: &NaiveDate| match tier {
            Tier::Hourly | Tier::Daily => true,
            Tier::Weekly => day.weekday().num_days_from_sunday() == u32::from(config.day_of_week),
            Tier::Monthly => day.day() == u32::from(config.day_of_month),
            Tier::Yearly => (day.month(), day.day()) == (config.month.into(), u32::from(config.day_of_month)),
        };
        let times: Vec<NaiveTime> = match tier {
            Tier::Hourly => {
                let hours = (0..24).rev().filter(|hour| hour % u32::from(config.interval_hours) == 0);
                hours.map(|hour| NaiveTime::from_hms_opt(hour, 0, 0).unwrap()).collect()
            }
            Tier::Daily | Tier::Weekly | Tier::Monthly | Tier::Yearly => vec![config.time.naive()],
        };
        let days = std::iter::successors(Some(now.date_naive()), NaiveDate::pred_opt).filter(is_its_day);
        let mut slots = days.flat_map(|day| times.iter().map(move |time| day.and_time(*time).and_utc()));
        slots.find(|slot| *slot <= now).unwrap()
    }

    /// What was served of a tier: nothing, its very last slot, or something around it, before or long ahead.
    fn histories() -> impl Strategy<Value = Vec<Option<i64>>> {
        let seconds = prop_oneof![
            2 => Just(Some(0)),
            1 => Just(None),
            2 => (-4_i64 * 3600..4 * 3600).prop_map(Some),
            1 => (-70_000_000_i64..100_000_000).prop_map(Some),
        ];
        proptest::collection::vec(seconds, 5)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn agrees_with_the_model_that_reads_the_calendar(
            (mut policy, _) in plans(),
            (hour, minute) in (0_u8..24, 0_u8..60),
            (day_of_week, day_of_month, month) in (0_u8..7, 1_u8..=28, 1_u8..=12),
            now in 1_700_000_000_i64..1_900_000_000,
            history in histories(),
        ) {
            let time: TimeOfDay = format!("{hour:02}:{minute:02}").parse().unwrap();
            let own = [&mut policy.daily, &mut policy.weekly, &mut policy.monthly, &mut policy.yearly];
            for config in own {
                *config = TierConfig { time, day_of_week, day_of_month, month, ..*config };
            }
            let now = DateTime::from_timestamp(now, 0).unwrap();
            let (mut recorded, mut expected) = (Recorded::default(), Vec::new());
            for ((tier, config), served) in policy.tiers().zip(history) {
                let (lane, slot) = (Lane::Tier(tier), in_calendar(tier, config, now));
                let served = served.map(|seconds| slot + TimeDelta::seconds(seconds));
                if let Some(served) = served {
                    recorded.serve(Due { lane, slot: served });
                }
                let is_wrong = served.is_some_and(|served| served - now > TimeDelta::hours(2));
                if config.enabled && (served.is_none_or(|served| served < slot) || is_wrong) {
                    expected.push(Due { lane, slot });
                }
            }
            prop_assert_eq!(due(Plan::Tiers(&policy), &recorded, DateTime::UNIX_EPOCH, now), expected);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Ticks at any distance, some of them twice: no slot is served twice, each is over when it
        /// is served, and after a tick nothing is left.
        #[test]
        fn each_slot_is_served_once(
            plans in plans(),
            start in 1_700_000_000_i64..1_900_000_000,
            steps in proptest::collection::vec(prop_oneof![Just(0_i64), 1_i64..2_000, 1_i64..3_000_000], 1..40),
        ) {
            let (mut recorded, mut served, mut now) = (Recorded::default(), HashSet::new(), start);
            let configured_at = DateTime::from_timestamp(start, 0).unwrap();
            for step in steps {
                now += step;
                let tick = DateTime::from_timestamp(now, 0).unwrap();
                let all = due(plan(&plans), &recorded, configured_at, tick);
                let lanes: Vec<_> = all.iter().map(|due| due.lane).collect();
                prop_assert!(lanes.is_sorted_by(|higher, lower| higher > lower), "{lanes:?}");
                for due in all {
                    prop_assert!(due.slot <= tick);
                    prop_assert!(served.insert(due), "{due:?}");
                    recorded.serve(due);
                }
                prop_assert_eq!(due(plan(&plans), &recorded, configured_at, tick), []);
            }
        }

        /// A tick at or after each slot, before the next one: then none is left out.
        #[test]
        fn no_slot_is_left_out_by_a_scheduler_that_lives(
            plans in plans(),
            start in 1_700_000_000_i64..1_900_000_000,
        ) {
            let start = DateTime::from_timestamp(start, 0).unwrap();
            let expected = next_slots(plan(&plans), start, 60);
            let mut recorded: Recorded =
                due(plan(&plans), &Recorded::default(), DateTime::UNIX_EPOCH, start)
                    .into_iter()
                    .map(|due| (due.lane, due.slot))
                    .collect();
            let mut served = Vec::new();
            for slot in &expected {
                for due in due(plan(&plans), &recorded, DateTime::UNIX_EPOCH, slot.slot) {
                    recorded.serve(due);
                    served.push(due);
                }
            }
            served.truncate(expected.len());
            prop_assert_eq!(served, expected);
        }

        /// Whatever is recorded and wherever the clock is: something is due again within the longest
        /// gap of the plan.
        #[test]
        fn nothing_blocks_for_ever(
            ahead in 0_i64..400_000_000,
            now in 1_700_000_000_i64..1_900_000_000,
        ) {
            let policy = critical();
            let now = DateTime::from_timestamp(now, 0).unwrap();
            let recorded: Recorded =
                Tier::ALL.iter().map(|tier| (Lane::Tier(*tier), now + TimeDelta::seconds(ahead))).collect();
            let soon = now + BELIEVED_AHEAD + TimeDelta::hours(1);
            let lanes: Vec<_> =
                due(Plan::Tiers(&policy), &recorded, DateTime::UNIX_EPOCH, soon).iter().map(|due| due.lane).collect();
            prop_assert!(lanes.contains(&Lane::Tier(Tier::Hourly)), "{lanes:?}");
        }
    }
}
