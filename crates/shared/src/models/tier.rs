//! How often a tier of a policy runs, and how many of its backups stay.

use std::fmt;
use std::str::FromStr;

use chrono::NaiveTime;

use super::Tier;

/// A time of day, to the minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimeOfDay {
    hour: u8,
    minute: u8,
}

/// The error of a text that is no time of day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a time of day from 00:00 to 23:59, written HH:MM")]
pub struct InvalidTime;

impl TimeOfDay {
    /// Returns a full hour; hours after 23 count as 23.
    pub const fn hour(hour: u8) -> Self {
        Self { hour: if hour < 24 { hour } else { 23 }, minute: 0 }
    }

    /// Returns the time as the calendar's type.
    pub fn naive(self) -> NaiveTime {
        NaiveTime::from_hms_opt(self.hour.into(), self.minute.into(), 0).unwrap_or_default()
    }
}

impl FromStr for TimeOfDay {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let [h1 @ b'0'..=b'9', h0 @ b'0'..=b'9', b':', m1 @ b'0'..=b'9', m0 @ b'0'..=b'9'] = text.as_bytes()
        else {
            return Err(InvalidTime);
        };
        let number = |tens: &u8, ones: &u8| (tens - b'0') * 10 + (ones - b'0');
        let (hour, minute) = (number(h1, h0), number(m1, m0));
        if hour < 24 && minute < 60 { Ok(Self { hour, minute }) } else { Err(InvalidTime) }
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

/// A tier of a policy. Each tier reads only those members that mean something to it; the others keep
/// what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierConfig {
    /// Whether the tier runs.
    pub enabled: bool,
    /// How many completed backups stay, 0 to 10,000; 0 keeps them all.
    pub keep_count: u32,
    /// Hourly: the hours between two runs, 1 to 12, counted from midnight.
    pub interval_hours: u8,
    /// All but hourly: the time of day, in the zone of the policy.
    pub time: TimeOfDay,
    /// Weekly: the day, 0 (Sunday) to 6 (Saturday).
    pub day_of_week: u8,
    /// Monthly and yearly: the day, 1 to 28, so that every month has it.
    pub day_of_month: u8,
    /// Yearly: the month, 1 to 12.
    pub month: u8,
}

impl TierConfig {
    /// Returns the configuration as a tier keeps it: members that mean nothing to it have their defaults.
    #[must_use]
    pub fn of(self, tier: Tier) -> Self {
        let common = Self { enabled: self.enabled, keep_count: self.keep_count, ..Self::default() };
        match tier {
            Tier::Hourly => Self { interval_hours: self.interval_hours, ..common },
            Tier::Daily => Self { time: self.time, ..common },
            Tier::Weekly => Self { time: self.time, day_of_week: self.day_of_week, ..common },
            Tier::Monthly => Self { time: self.time, day_of_month: self.day_of_month, ..common },
            Tier::Yearly => {
                Self { time: self.time, day_of_month: self.day_of_month, month: self.month, ..common }
            }
        }
    }

    /// Returns the tier if all its members are in their ranges, and fails with the first that is not.
    pub fn checked(self) -> Result<Self, OutOfRange> {
        let ranges = [
            ("keep_count", self.keep_count, 0, 10_000),
            ("interval_hours", self.interval_hours.into(), 1, 12),
            ("day_of_week", self.day_of_week.into(), 0, 6),
            ("day_of_month", self.day_of_month.into(), 1, 28),
            ("month", self.month.into(), 1, 12),
        ];
        let outside = ranges.into_iter().find(|(_, given, least, most)| !(least..=most).contains(&given));
        outside
            .map_or(Ok(self), |(member, given, least, most)| Err(OutOfRange { member, least, most, given }))
    }
}

impl Default for TierConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            keep_count: 0,
            interval_hours: 1,
            time: TimeOfDay::hour(2),
            day_of_week: 0,
            day_of_month: 1,
            month: 1,
        }
    }
}

/// The error of a member of a tier outside of its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{member} must be from {least} to {most}, not {given}")]
pub struct OutOfRange {
    /// The member, as the public API calls it.
    pub member: &'static str,
    /// The least value.
    pub least: u32,
    /// The greatest value.
    pub most: u32,
    /// What was given.
    pub given: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_one_way_only() {
        for good in ["00:00", "02:05", "23:59"] {
            assert_eq!(good.parse::<TimeOfDay>().map(|time| time.to_string()), Ok(good.to_owned()));
        }
        for bad in [
            "", "2:00", "24:00", "25:00", "99:99", "12:60", "12-30", "12:3", "12:30:00", " 2:00", "+1:00",
            "１2:00",
        ] {
            assert_eq!(bad.parse::<TimeOfDay>(), Err(InvalidTime), "{bad}");
        }
    }

    #[test]
    fn says_which_member_is_outside_of_its_range() {
        let good = TierConfig::default();
        let bad = [
            TierConfig { keep_count: 10_001, ..good },
            TierConfig { interval_hours: 0, ..good },
            TierConfig { interval_hours: 13, ..good },
            TierConfig { day_of_week: 7, ..good },
            TierConfig { day_of_month: 0, ..good },
            TierConfig { day_of_month: 29, ..good },
            TierConfig { month: 0, ..good },
            TierConfig { month: 13, ..good },
        ];
        let texts: Vec<_> =
            bad.into_iter().filter_map(|tier| tier.checked().err()).map(|e| e.to_string()).collect();
        insta::assert_snapshot!(texts.join("\n"), @"
        keep_count must be from 0 to 10000, not 10001
        interval_hours must be from 1 to 12, not 0
        interval_hours must be from 1 to 12, not 13
        day_of_week must be from 0 to 6, not 7
        day_of_month must be from 1 to 28, not 0
        day_of_month must be from 1 to 28, not 29
        month must be from 1 to 12, not 0
        month must be from 1 to 12, not 13
        ");
    }

    #[test]
    fn the_default_is_valid() {
        assert_eq!(TierConfig::default().checked(), Ok(TierConfig::default()));
    }
}
