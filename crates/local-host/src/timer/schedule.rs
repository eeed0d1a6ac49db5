//! When a timer fires: an NCRONTAB expression or a plain interval.

use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};

use crate::ncrontab::{InvalidNcrontab, Ncrontab};
use crate::timespan;

/// A timer's schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Schedule {
    /// Fires at the instants that fit, in UTC.
    Cron(Ncrontab),
    /// Fires this long after the start of the host or the last run.
    Interval(TimeDelta),
}

impl Schedule {
    /// Returns the first instant strictly after `start` at which the timer fires.
    pub(crate) fn next_after(&self, start: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron(cron) => cron.next_after(start),
            Self::Interval(interval) => start.checked_add_signed(*interval),
        }
    }

    /// Tells whether the next fire times follow each other within less than a minute.
    pub(crate) fn is_frequent(&self) -> bool {
        match self {
            Self::Interval(interval) => *interval < TimeDelta::minutes(1),
            Self::Cron(cron) => {
                let first = cron.next_after(DateTime::UNIX_EPOCH);
                let mut earlier = first;
                (0..10).any(|_| {
                    let later = earlier.and_then(|at| cron.next_after(at));
                    let gap = later.zip(earlier).map(|(later, earlier)| later - earlier);
                    earlier = later;
                    gap.is_some_and(|gap| gap < TimeDelta::minutes(1))
                })
            }
        }
    }

    /// Tells whether the schedule follows the clock rather than counting time.
    pub(crate) fn is_cron(&self) -> bool {
        matches!(self, Self::Cron(_))
    }
}

impl FromStr for Schedule {
    type Err = InvalidNcrontab;

    fn from_str(text: &str) -> Result<Self, InvalidNcrontab> {
        match text.parse() {
            Ok(cron) => Ok(Self::Cron(cron)),
            Err(error) => match timespan::parse(text) {
                Some(interval) if interval > TimeDelta::zero() => Ok(Self::Interval(interval)),
                Some(_) | None => Err(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_cron_and_intervals() -> Result<(), InvalidNcrontab> {
        assert!("0 0 2 * * *".parse::<Schedule>()?.is_cron());
        assert_eq!("00:15:00".parse::<Schedule>()?, Schedule::Interval(TimeDelta::minutes(15)));
        assert!("00:00:00".parse::<Schedule>().is_err());
        assert!("tomorrow".parse::<Schedule>().is_err());
        Ok(())
    }

    #[test]
    fn knows_frequent_schedules() -> Result<(), InvalidNcrontab> {
        for (text, expected) in
            [("*/30 * * * * *", true), ("0,1 0 0 * * *", true), ("0 * * * * *", false), ("00:01:00", false)]
        {
            assert_eq!(text.parse::<Schedule>()?.is_frequent(), expected, "{text}");
        }
        Ok(())
    }
}
