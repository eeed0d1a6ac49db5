//! Keys of rows that are read newest first.
//!
//! Rows sort by key ascending, so time is turned round: the later the instant, the smaller the key.

use chrono::{DateTime, Utc};

use super::super::table::Key;

/// The ticks (100 ns) of the last instant that .NET knows; the key counts down from it.
const MAX_TICKS: i64 = 3_155_378_975_999_999_999;
/// The end that the earlier system counted microseconds down from.
const MAX_MICROS: i64 = 9_999_999_999_999_999;

/// Returns the key of a row made at `created_at`: partition by UTC day, row by inverted ticks of the
/// Unix clock in 19 digits, `_`, id.
pub(crate) fn history_key(created_at: DateTime<Utc>, id: &str) -> Key {
    Key::new(created_at.format("%Y-%m-%d").to_string(), format!("{}_{id}", inverted_ticks(created_at)))
}

/// Returns the inverted ticks of an instant in 19 digits.
fn inverted_ticks(at: DateTime<Utc>) -> String {
    let ticks = at.timestamp() * 10_000_000 + i64::from(at.timestamp_subsec_nanos() / 100);
    format!("{:019}", MAX_TICKS - ticks)
}

/// Returns what divides the row keys of a partition, or of several days: those below it were made at `at`
/// or later, those above it before.
pub(crate) fn history_key_bound(at: DateTime<Utc>) -> String {
    // The next letter after the one that follows the ticks.
    format!("{}`", inverted_ticks(at))
}

/// Returns the same for the partitions of months that an earlier system made: their row keys count
/// microseconds down from another end.
pub(crate) fn audit_month_key(at: DateTime<Utc>) -> String {
    format!("{:016}`", MAX_MICROS - at.timestamp_micros())
}

/// Returns the instant in a row key of either kind.
pub(crate) fn instant_in(row_key: &str) -> Option<DateTime<Utc>> {
    let (digits, _) = row_key.split_once('_')?;
    let left: i64 = digits.parse().ok()?;
    match digits.len() {
        19 => DateTime::from_timestamp_micros((MAX_TICKS - left) / 10),
        16 => DateTime::from_timestamp_micros(MAX_MICROS - left),
        _ => None,
    }
}

/// Returns the id in a row key: what follows the first `_` of a long key, else the whole key, which
/// is how rows were named before there were ticks.
pub(crate) fn id_in(row_key: &str) -> &str {
    match row_key.split_once('_') {
        Some((_, id)) if row_key.len() > 20 => id,
        Some(_) | None => row_key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_down_from_the_end_of_time() {
        let at = DateTime::from_timestamp(1_764_928_800, 0).unwrap_or_default();
        assert_eq!(at.to_rfc3339(), "2025-12-05T10:00:00+00:00");
        assert_eq!(history_key(at, "abc"), Key::new("2025-12-05", "3137729687999999999_abc"));
        assert!(inverted_ticks(at + chrono::TimeDelta::microseconds(1)) < inverted_ticks(at));
    }

    #[test]
    fn bounds_divide_what_was_made_before_and_after() {
        let at = DateTime::from_timestamp(1_764_928_800, 0).unwrap_or_default();
        let step = chrono::TimeDelta::microseconds(1);
        let bound = history_key_bound(at);
        assert!(history_key(at, "~").row < bound && history_key(at + step, "~").row < bound);
        assert!(history_key(at - step, "").row > bound);
        let of_month = |at: DateTime<Utc>| format!("{:016}_x", 9_999_999_999_999_999 - at.timestamp_micros());
        assert!(of_month(at) < audit_month_key(at) && of_month(at - step) > audit_month_key(at));
        assert_eq!(instant_in(&of_month(at)), Some(at));
        assert_eq!(instant_in(&history_key(at, "x").row), Some(at));
        assert_eq!(instant_in("x"), None);
    }

    #[test]
    fn finds_the_id_in_both_forms() {
        assert_eq!(id_in("3137729687999999999_a_b"), "a_b");
        assert_eq!(id_in("5646d03a-c0b3-4c69-82f1-882eeb86faba"), "5646d03a-c0b3-4c69-82f1-882eeb86faba");
        assert_eq!(id_in("short_id"), "short_id");
    }
}
