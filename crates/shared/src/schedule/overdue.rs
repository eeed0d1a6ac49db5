//! Whether a database has gone without a backup for longer than its schedule allows.

use chrono::{DateTime, TimeDelta, Utc};

use super::due::{lanes, latest, waits_too_long};
use super::{Due, Plan, Recorded};

/// How long after its slot a backup may still be on its way: the tick, the queue, retries and the dump.
pub const GRACE: TimeDelta = TimeDelta::hours(2);

/// A backup that a schedule wants to be there by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The slot: a completed backup from then on, of whatever kind, is enough. One by hand protects the
    /// data as well.
    pub slot: DateTime<Utc>,
    /// Since when it could have been made: the slot, or the last change of the configuration if that
    /// came later and nobody has served the slot.
    pub since: DateTime<Utc>,
}

/// Decides which backup a plan wants to be there by now: that of its latest slot, of whatever lane, once
/// the grace is over. `None` while nothing is wanted.
///
/// This follows what is due: a tier makes up for its latest slot as soon as it is configured, a schedule
/// that was never served waits for its first fire time after `configured_at`, the last change of the
/// database's configuration, unless that is more than a day away. A lane that was served goes by its
/// slots alone, so that an edit hides nothing.
pub fn wanted(
    plan: Plan<'_>,
    recorded: &Recorded,
    configured_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Option<Wanted> {
    let over = now.checked_sub_signed(GRACE)?;
    let slots = lanes(plan).into_iter().filter_map(|lane| latest(plan, lane, over));
    let Due { lane, slot } = slots.max_by_key(|due| due.slot)?;
    let served = recorded.get(lane);
    let waits = match plan {
        Plan::Cron(schedule) => {
            served.is_none() && slot < configured_at && !waits_too_long(schedule, configured_at)
        }
        Plan::Tiers(_) => false,
    };
    // What was switched off for a while has missed slots that it makes good from now on.
    let since = if served.is_some_and(|served| served >= slot) { slot } else { slot.max(configured_at) };
    (since <= over && !waits).then_some(Wanted { slot, since })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;
    use crate::models::system_policies;
    use crate::models::{Lane, Tier};
    use crate::schedule::{Schedule, due, next_slots};

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn shown(plan: Plan<'_>, configured_at: &str, now: &str) -> String {
        match wanted(plan, &Recorded::default(), at(configured_at), at(now)) {
            Some(Wanted { slot, since }) => format!("{slot} since {since}"),
            None => "nothing".to_owned(),
        }
    }

    #[test]
    fn a_slot_is_wanted_after_the_grace() {
        let nightly: Schedule = "0 2 * * *".parse().unwrap();
        let of = |now| shown(Plan::Cron(&nightly), "2026-01-01T00:00:00Z", now);
        insta::assert_snapshot!(of("2026-03-05T03:59:59Z"), @"2026-03-04 02:00:00 UTC since 2026-03-04 02:00:00 UTC");
        insta::assert_snapshot!(of("2026-03-05T04:00:00Z"), @"2026-03-05 02:00:00 UTC since 2026-03-05 02:00:00 UTC");
    }

    #[test]
    fn a_database_that_was_just_configured_has_time() {
        let policy = system_policies(DateTime::UNIX_EPOCH).remove(2);
        let tiers = |now| shown(Plan::Tiers(&policy), "2026-03-04T10:00:00Z", now);
        insta::assert_snapshot!(tiers("2026-03-04T11:59:59Z"), @"nothing");
        insta::assert_snapshot!(tiers("2026-03-04T12:00:00Z"), @"2026-03-04 02:00:00 UTC since 2026-03-04 10:00:00 UTC");
        let nightly: Schedule = "0 2 * * *".parse().unwrap();
        let cron = |now| shown(Plan::Cron(&nightly), "2026-03-04T10:00:00Z", now);
        insta::assert_snapshot!(cron("2026-03-05T03:59:00Z"), @"nothing");
        insta::assert_snapshot!(cron("2026-03-05T04:00:00Z"), @"2026-03-05 02:00:00 UTC since 2026-03-05 02:00:00 UTC");
        // Its first fire time is so far away that it is due at once.
        let yearly: Schedule = "0 2 1 1 *".parse().unwrap();
        let cron = |now| shown(Plan::Cron(&yearly), "2026-03-04T10:00:00Z", now);
        insta::assert_snapshot!(cron("2026-03-04T12:00:00Z"), @"2026-01-01 02:00:00 UTC since 2026-03-04 10:00:00 UTC");
    }

    #[test]
    fn an_edit_hides_nothing_of_a_lane_that_was_served() {
        let nightly: Schedule = "0 2 * * *".parse().unwrap();
        let policy = system_policies(DateTime::UNIX_EPOCH).remove(2);
        let edited = at("2026-03-05T09:00:00Z");
        let plans = [(Plan::Cron(&nightly), Lane::Schedule), (Plan::Tiers(&policy), Lane::Tier(Tier::Daily))];
        for (plan, lane) in plans {
            let of = |served: &str, now: &str| {
                let recorded: Recorded = [(lane, at(served))].into_iter().collect();
                wanted(plan, &recorded, edited, at(now)).map(|wanted| wanted.since.to_string())
            };
            // The job of the night was queued, and came to nothing.
            assert_eq!(
                of("2026-03-05T02:00:00Z", "2026-03-05T09:01:00Z").unwrap(),
                "2026-03-05 02:00:00 UTC"
            );
            // The slot was not served, since the database was off perhaps: it has its time from the edit on.
            assert_eq!(of("2026-03-01T02:00:00Z", "2026-03-05T10:59:59Z"), None);
            assert_eq!(
                of("2026-03-01T02:00:00Z", "2026-03-05T11:00:00Z").unwrap(),
                "2026-03-05 09:00:00 UTC"
            );
        }
    }

    #[test]
    fn the_zone_of_the_schedule_decides_over_both_changes_of_the_clock() {
        let nightly: Schedule = "CRON_TZ=Europe/Berlin 30 2 * * *".parse().unwrap();
        let of = |now| shown(Plan::Cron(&nightly), "2026-01-01T00:00:00Z", now);
        // 02:30 does not exist on 29 March: it runs at the next instant that does, 01:00 UTC.
        insta::assert_snapshot!(of("2026-03-29T02:59:59Z"), @"2026-03-28 01:30:00 UTC since 2026-03-28 01:30:00 UTC");
        insta::assert_snapshot!(of("2026-03-29T03:00:00Z"), @"2026-03-29 01:00:00 UTC since 2026-03-29 01:00:00 UTC");
        // 02:30 exists twice on 25 October, and runs once, the first time.
        insta::assert_snapshot!(of("2026-10-25T02:30:00Z"), @"2026-10-25 00:30:00 UTC since 2026-10-25 00:30:00 UTC");
        insta::assert_snapshot!(of("2026-10-25T04:00:00Z"), @"2026-10-25 00:30:00 UTC since 2026-10-25 00:30:00 UTC");
    }

    #[test]
    fn a_plan_that_never_runs_wants_nothing() {
        let mut policy = system_policies(DateTime::UNIX_EPOCH).remove(1);
        for tier in [
            &mut policy.hourly,
            &mut policy.daily,
            &mut policy.weekly,
            &mut policy.monthly,
            &mut policy.yearly,
        ] {
            tier.enabled = false;
        }
        assert_eq!(shown(Plan::Tiers(&policy), "2026-01-01T00:00:00Z", "2026-03-04T10:00:00Z"), "nothing");
    }

    proptest! {
        /// Whoever is backed up within the grace after each slot is never overdue; whoever stops is,
        /// exactly when the grace after the next slot is over.
        #[test]
        fn agrees_with_the_slots(policy in 0_usize..3, start in 1_700_000_000_i64..1_900_000_000, late in 0_i64..7_200) {
            let policy = system_policies(DateTime::UNIX_EPOCH).remove(policy);
            let start = DateTime::from_timestamp(start, 0).unwrap();
            let plan = Plan::Tiers(&policy);
            let is_overdue = |made: DateTime<Utc>, now| {
                let wanted = wanted(plan, &Recorded::default(), DateTime::UNIX_EPOCH, now);
                wanted.is_some_and(|wanted| made < wanted.slot)
            };
            for pair in next_slots(plan, start, 40).windows(2) {
                let (slot, next) = (pair[0].slot, pair[1].slot);
                let made = slot + TimeDelta::seconds(late);
                prop_assert!(!is_overdue(made, made));
                prop_assert!(!is_overdue(made, slot + GRACE));
                if made < next {
                    prop_assert!(!is_overdue(made, next + GRACE - TimeDelta::seconds(1)));
                    prop_assert!(is_overdue(made, next + GRACE));
                }
            }
        }

        /// What is wanted of a database that was never backed up is what was due for it then.
        #[test]
        fn what_is_wanted_was_due(policy in 0_usize..3, cron in 0_usize..4, configured in 0_i64..40_000_000, age in 0_i64..40_000_000) {
            let policy = system_policies(DateTime::UNIX_EPOCH).remove(policy);
            let cron = ["0 2 * * *", "*/15 * * * *", "0 3 1 1 *", "CRON_TZ=America/New_York 30 1 * * 0"][cron];
            let schedule: Schedule = cron.parse().unwrap();
            let configured = DateTime::from_timestamp(1_770_000_000 + configured, 0).unwrap();
            let now = configured + TimeDelta::seconds(age);
            for plan in [Plan::Tiers(&policy), Plan::Cron(&schedule)] {
                let due = due(plan, &Recorded::default(), configured, now - GRACE);
                let latest = due.iter().map(|due| due.slot).max().filter(|_| now - GRACE >= configured);
                let wanted = wanted(plan, &Recorded::default(), configured, now);
                prop_assert_eq!(wanted.map(|wanted| wanted.slot), latest);
            }
        }
    }
}
