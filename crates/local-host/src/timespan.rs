//! Time spans in the notation of .NET: `[-][d.]hh:mm[:ss[.fffffff]]`, or whole days.
//!
//! Two readings surprise and are kept: a bare number counts days, and where the first part of
//! `a:b:c` is too large for hours it counts days, so `24:00:00` is twenty-four days.
//! <https://learn.microsoft.com/dotnet/api/system.timespan.parse>

use chrono::TimeDelta;

/// Reads a time span; `None` where the text is not one.
pub(crate) fn parse(text: &str) -> Option<TimeDelta> {
    let text = text.trim();
    match text.strip_prefix('-') {
        Some(rest) => Some(-parse_positive(rest)?),
        None => parse_positive(text),
    }
}

fn parse_positive(text: &str) -> Option<TimeDelta> {
    let (text, fraction) = split_fraction(text)?;
    let (days, text) = match text.split_once('.') {
        Some((days, rest)) => (Some(number(days)?), rest),
        None => (None, text),
    };
    let parts = text.split(':').map(number).collect::<Option<Vec<_>>>()?;
    let (days, hours, minutes, seconds) = match (days, parts.as_slice()) {
        (None, &[days]) => (days, 0, 0, 0),
        (days, &[hours, minutes]) => (days.unwrap_or(0), hours, minutes, 0),
        (None, &[days, hours, minutes]) if days > 23 => (days, hours, minutes, 0),
        (days, &[hours, minutes, seconds]) => (days.unwrap_or(0), hours, minutes, seconds),
        (None, &[days, hours, minutes, seconds]) => (days, hours, minutes, seconds),
        _ => return None,
    };
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    TimeDelta::try_seconds(days * 86_400 + hours * 3_600 + minutes * 60 + seconds)?.checked_add(&fraction)
}

/// Splits the digits after the seconds off, which count tenths of microseconds.
fn split_fraction(text: &str) -> Option<(&str, TimeDelta)> {
    let colon = text.rfind(':');
    let (Some(colon), Some(dot)) = (colon, text.rfind('.')) else {
        return Some((text, TimeDelta::zero()));
    };
    if dot < colon {
        return Some((text, TimeDelta::zero()));
    }
    let digits = &text[dot + 1..];
    if digits.is_empty() || digits.len() > 7 {
        return None;
    }
    Some((&text[..dot], TimeDelta::nanoseconds(number(&format!("{digits:0<9}"))?)))
}

fn number(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Option<i64> {
        parse(text).map(|span| span.num_seconds())
    }

    #[test]
    fn reads_the_usual_forms() {
        assert_eq!(seconds("00:05:00"), Some(300));
        assert_eq!(seconds("00:15"), Some(900));
        assert_eq!(seconds("1.00:00:00"), Some(86_400));
        assert_eq!(seconds("-00:00:01"), Some(-1));
        assert_eq!(parse("00:00:00.1"), Some(TimeDelta::milliseconds(100)));
        assert_eq!(parse("00:00:00.0000001"), Some(TimeDelta::nanoseconds(100)));
    }

    #[test]
    fn a_first_part_beyond_hours_counts_days() {
        assert_eq!(seconds("24:00:00"), Some(24 * 86_400));
        assert_eq!(seconds("-1"), Some(-86_400));
        assert_eq!(seconds("7"), Some(7 * 86_400));
    }

    #[test]
    fn refuses_what_is_no_time_span() {
        for text in
            ["", ":", "00:60:00", "00:00:60", "1.24:00:00", "soon", "00:00:00.", "1:2:3:4:5", "99999999999"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
