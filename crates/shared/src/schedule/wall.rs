//! Between the clock on the wall of a time zone and real time: one rule for all schedules.
//!
//! A local time that does not exist, because the clocks were put forward over it, stands for the
//! first instant that does exist after it; one that exists twice stands for the first of the two.

use chrono::{DateTime, NaiveDateTime, TimeZone as _, Utc};
use chrono_tz::{GapInfo, Tz};

/// Returns what the clock on the wall shows at an instant.
pub(super) fn local(zone: Tz, now: DateTime<Utc>) -> NaiveDateTime {
    now.with_timezone(&zone).naive_local()
}

/// Places a local time in real time. Never goes back when local time goes on.
pub(super) fn instant(zone: Tz, local: NaiveDateTime) -> Option<DateTime<Utc>> {
    let exists = zone.from_local_datetime(&local).earliest();
    let instant = exists.or_else(|| GapInfo::new(&local, &zone)?.end)?;
    Some(instant.to_utc())
}
