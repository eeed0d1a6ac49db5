//! Keys of rows that are read newest first.
//!
//! Rows sort by key ascending, so time is turned round: the later the instant, the smaller the key.

use chrono::{DateTime, Utc};

use super::super::table::Key;

/// The ticks (100 ns) of the last instant that .NET knows; the key counts down from it.
const MAX_TICKS: i64 = 3_155_378_975_999_999_999;

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
    fn finds_the_id_in_both_forms() {
        assert_eq!(id_in("3137729687999999999_a_b"), "a_b");
        assert_eq!(id_in("5646d03a-c0b3-4c69-82f1-882eeb86faba"), "5646d03a-c0b3-4c69-82f1-882eeb86faba");
        assert_eq!(id_in("short_id"), "short_id");
    }
}
