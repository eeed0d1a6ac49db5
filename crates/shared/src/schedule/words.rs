//! When a lane runs, in words for people.

use super::Plan;
use crate::models::{Lane, Tier, TierConfig};

const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Says when a lane of a plan runs, and in which time zone.
pub fn words(plan: Plan<'_>, lane: Lane) -> String {
    match (plan, lane) {
        (Plan::Tiers(policy), Lane::Tier(tier)) => {
            format!("{}, in {}", times(tier, policy.tier(tier)), plan.zone())
        }
        (Plan::Cron(schedule), _) => format!("by the schedule \"{schedule}\", in {}", plan.zone()),
        (Plan::Tiers(_), Lane::Schedule) => "never: the database has no schedule of its own".to_owned(),
    }
}

fn times(tier: Tier, config: &TierConfig) -> String {
    let time = config.time;
    let name = |names: &[&'static str], number: usize| names.get(number).copied().unwrap_or_default();
    match tier {
        Tier::Hourly if config.interval_hours == 1 => "every full hour".to_owned(),
        Tier::Hourly => format!("every {} hours, counted from midnight", config.interval_hours),
        Tier::Daily => format!("every day at {time}"),
        Tier::Weekly => format!("every {} at {time}", name(&WEEKDAYS, config.day_of_week.into())),
        Tier::Monthly => format!("on day {} of every month at {time}", config.day_of_month),
        Tier::Yearly => {
            let month = name(&MONTHS, usize::from(config.month).saturating_sub(1));
            format!("every year on {} {month} at {time}", config.day_of_month)
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::models::system_policies;
    use crate::schedule::Schedule;

    #[test]
    fn says_when_each_lane_runs() {
        let mut policy = system_policies(chrono::DateTime::UNIX_EPOCH).remove(0);
        policy.time_zone = chrono_tz::Tz::Europe__Berlin;
        policy.hourly.interval_hours = 4;
        policy.weekly.day_of_week = 6;
        policy.yearly.month = 12;
        let schedule: Schedule = "CRON_TZ=Asia/Tokyo 0 2 * * *".parse().unwrap();
        let mut lines: Vec<String> =
            Tier::ALL.iter().map(|tier| words(Plan::Tiers(&policy), Lane::Tier(*tier))).collect();
        lines.push(words(Plan::Cron(&schedule), Lane::Schedule));
        insta::assert_snapshot!(lines.join("\n"), @r#"
        every 4 hours, counted from midnight, in Europe/Berlin
        every day at 02:00, in Europe/Berlin
        every Saturday at 03:00, in Europe/Berlin
        on day 1 of every month at 04:00, in Europe/Berlin
        every year on 1 December at 05:00, in Europe/Berlin
        by the schedule "CRON_TZ=Asia/Tokyo 0 2 * * *", in Asia/Tokyo
        "#);
    }
}
