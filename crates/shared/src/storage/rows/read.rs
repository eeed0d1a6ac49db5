//! Lenient reading of properties.

use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime, SubsecRound as _, Utc};

use super::super::table::{Entity, Value};
use super::UnreadableRow;

/// The properties of one row.
pub(crate) struct Reader<'a>(pub(crate) &'a Entity);

impl Reader<'_> {
    /// Makes the error of a property of this row.
    pub(crate) fn unreadable(&self, property: &'static str, problem: impl Into<String>) -> UnreadableRow {
        UnreadableRow { key: self.0.key.to_string(), property, problem: problem.into() }
    }

    /// Returns a text; absent and empty count as nothing.
    pub(crate) fn text(&self, property: &'static str) -> Option<&str> {
        match self.0.properties.get(property) {
            Some(Value::String(text)) if !text.is_empty() => Some(text),
            Some(
                Value::String(_)
                | Value::Bool(_)
                | Value::Int32(_)
                | Value::Int64(_)
                | Value::Double(_)
                | Value::DateTime(_),
            )
            | None => None,
        }
    }

    /// Returns a text as an owned value.
    pub(crate) fn owned(&self, property: &'static str) -> Option<String> {
        self.text(property).map(str::to_owned)
    }

    /// Returns a text that must be there.
    pub(crate) fn required(&self, property: &'static str) -> Result<&str, UnreadableRow> {
        self.text(property).ok_or_else(|| self.unreadable(property, "missing"))
    }

    /// Parses a text that must be there.
    pub(crate) fn parse<T: FromStr<Err: ToString>>(
        &self,
        property: &'static str,
    ) -> Result<T, UnreadableRow> {
        let text = self.required(property)?;
        text.parse().map_err(|error: T::Err| self.unreadable(property, error.to_string()))
    }

    /// Parses a text that may be missing.
    pub(crate) fn parse_optional<T: FromStr<Err: ToString>>(
        &self,
        property: &'static str,
    ) -> Result<Option<T>, UnreadableRow> {
        self.text(property).map(|_| self.parse(property)).transpose()
    }

    /// Returns a truth value.
    pub(crate) fn flag(&self, property: &'static str, default: bool) -> bool {
        match self.0.properties.get(property) {
            Some(Value::Bool(value)) => *value,
            Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => true,
            Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => false,
            Some(
                Value::String(_) | Value::Int32(_) | Value::Int64(_) | Value::Double(_) | Value::DateTime(_),
            )
            | None => default,
        }
    }

    /// Returns a whole number, in whichever of the service's types it was stored.
    pub(crate) fn whole(&self, property: &'static str) -> Option<i64> {
        match self.0.properties.get(property) {
            Some(Value::Int32(value)) => Some(i64::from(*value)),
            Some(Value::Int64(value)) => Some(*value),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a whole number beyond 2^53 is no size or count"
            )]
            Some(Value::Double(value)) if value.fract() == 0.0 && value.abs() < 9.0e15 => Some(*value as i64),
            Some(Value::Double(_) | Value::String(_) | Value::Bool(_) | Value::DateTime(_)) | None => None,
        }
    }

    /// Returns a whole number of a smaller type; `None` when absent or out of range.
    pub(crate) fn number<T: TryFrom<i64>>(&self, property: &'static str) -> Option<T> {
        self.whole(property).and_then(|value| T::try_from(value).ok())
    }

    /// Returns a number with a fraction.
    pub(crate) fn fraction(&self, property: &'static str) -> Option<f64> {
        match self.0.properties.get(property) {
            Some(Value::Double(value)) => Some(*value),
            Some(Value::Int32(value)) => Some(f64::from(*value)),
            #[expect(clippy::cast_precision_loss, reason = "seconds are far below 2^52")]
            Some(Value::Int64(value)) => Some(*value as f64),
            Some(Value::String(_) | Value::Bool(_) | Value::DateTime(_)) | None => None,
        }
    }

    /// Returns an instant; a text that is none counts as absent.
    pub(crate) fn instant(&self, property: &'static str) -> Option<DateTime<Utc>> {
        match self.0.properties.get(property) {
            Some(Value::DateTime(at)) => Some(at.trunc_subsecs(6)),
            Some(Value::String(text)) => parse_date_time(text),
            Some(Value::Bool(_) | Value::Int32(_) | Value::Int64(_) | Value::Double(_)) | None => None,
        }
    }

    /// Returns when a configuration was made. It is for people only, so a row without it is read all the
    /// same: a database must not go without backups for that.
    pub(crate) fn made_at(&self) -> DateTime<Utc> {
        self.instant("created_at").or_else(|| self.instant("updated_at")).unwrap_or_default()
    }

    /// Returns an instant that must be there.
    pub(crate) fn required_instant(&self, property: &'static str) -> Result<DateTime<Utc>, UnreadableRow> {
        self.instant(property).ok_or_else(|| self.unreadable(property, "missing or no date and time"))
    }
}

/// Renders an instant as the text that rows hold: UTC, microseconds, no zone.
pub(crate) fn date_time(at: DateTime<Utc>) -> Value {
    Value::String(at.format("%Y-%m-%dT%H:%M:%S%.6f").to_string())
}

/// Reads an instant with or without fraction and zone; without a zone it is UTC.
pub(crate) fn parse_date_time(text: &str) -> Option<DateTime<Utc>> {
    let at = match DateTime::parse_from_rfc3339(&text.replacen(' ', "T", 1)) {
        Ok(at) => at.with_timezone(&Utc),
        Err(_) => {
            NaiveDateTime::parse_from_str(&text.replacen(' ', "T", 1), "%Y-%m-%dT%H:%M:%S%.f").ok()?.and_utc()
        }
    };
    Some(at.trunc_subsecs(6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_of_an_instant() {
        let expected = parse_date_time("2025-12-05T10:00:00");
        assert!(expected.is_some());
        for text in [
            "2025-12-05T10:00:00.000000",
            "2025-12-05T10:00:00Z",
            "2025-12-05T11:00:00+01:00",
            "2025-12-05 10:00:00",
        ] {
            assert_eq!(parse_date_time(text), expected, "{text}");
        }
        for text in ["", "yesterday", "2025-13-01T00:00:00"] {
            assert_eq!(parse_date_time(text), None, "{text}");
        }
    }
}
