//! The query of an address, read by name: a value that cannot be used is an error that names it.
//!
//! A name without a value counts as not given, since the web application sends those. Of a name that
//! comes twice, the first value counts.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};

use crate::error::ApiError;
use crate::state::AppState;

/// The values of a query.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    fn parse(query: &str) -> Self {
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// Returns a text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(given, value)| given == name && !value.is_empty());
        value.map(|(_, value)| value.as_str())
    }

    /// Tells whether a value is `true`, in whatever case; everything else is not.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// Reads one of a closed set of names.
    pub(crate) fn name<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, ApiError> {
        self.text(name).map(|text| text.parse().map_err(|error| ApiError::field(name, error))).transpose()
    }

    /// Reads a whole number; more than the greatest counts as the greatest, less than the least is an error.
    pub(crate) fn clamped(
        &self,
        name: &str,
        range: RangeInclusive<usize>,
    ) -> Result<Option<usize>, ApiError> {
        let rule = || format!("must be a whole number from {}", range.start());
        let number = self.number(name, &(*range.start()..=usize::MAX), rule)?;
        Ok(number.map(|number| number.min(*range.end())))
    }

    /// Reads a whole number; one outside of the range is an error.
    pub(crate) fn within(&self, name: &str, range: RangeInclusive<usize>) -> Result<Option<usize>, ApiError> {
        let rule = || format!("must be a whole number from {} to {}", range.start(), range.end());
        self.number(name, &range, rule)
    }

    /// Reads a day and returns its first instant.
    pub(crate) fn start_of_day(&self, name: &str) -> Result<Option<DateTime<Utc>>, ApiError> {
        Ok(self.date(name)?.map(midnight))
    }

    /// Reads a day and returns the first instant after it.
    pub(crate) fn end_of_day(&self, name: &str) -> Result<Option<DateTime<Utc>>, ApiError> {
        let next = |day: NaiveDate| day.checked_add_days(Days::new(1)).unwrap_or(NaiveDate::MAX);
        Ok(self.date(name)?.map(|day| midnight(next(day))))
    }

    /// Reads a day.
    pub(crate) fn date(&self, name: &str) -> Result<Option<NaiveDate>, ApiError> {
        let day = |text: &str| {
            // Four digits, so that days sort as texts.
            let day = (text.len() == 10).then(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()).flatten();
            day.ok_or_else(|| ApiError::field(name, "must be a day such as 2025-12-31"))
        };
        self.text(name).map(day).transpose()
    }

    /// Reads a whole number; one that is too large for the machine counts as the largest.
    fn number(
        &self,
        name: &str,
        range: &RangeInclusive<usize>,
        rule: impl Fn() -> String,
    ) -> Result<Option<usize>, ApiError> {
        let read = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = digits.then(|| text.parse().unwrap_or(usize::MAX));
            number.filter(|number| range.contains(number)).ok_or_else(|| ApiError::field(name, rule()))
        };
        self.text(name).map(read).transpose()
    }
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

impl FromRequestParts<AppState> for Query {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, std::convert::Infallible> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_values_count_as_not_given() {
        let query = Query::parse("status=&b&a=1&a=2&c=%C3%BC+x");
        assert_eq!(query.text("status"), None);
        assert_eq!(query.text("b"), None);
        assert_eq!(query.text("a"), Some("1"));
        assert_eq!(query.text("c"), Some("ü x"));
    }

    #[test]
    fn only_true_is_true() {
        let query = Query::parse("a=true&b=TRUE&c=1&d=yes&e=");
        assert_eq!(
            ["a", "b", "c", "d", "e", "f"].map(|name| query.flag(name)),
            [true, true, false, false, false, false]
        );
    }

    #[test]
    fn numbers_are_clamped_at_the_top_and_refused_below() -> Result<(), ApiError> {
        let query = Query::parse("a=7&b=99999999999999999999999&c=0&d=-1&e=1.5&f=x");
        assert_eq!(query.clamped("a", 1..=10)?, Some(7));
        assert_eq!(query.clamped("b", 1..=10)?, Some(10));
        assert_eq!(query.clamped("none", 1..=10)?, None);
        for name in ["c", "d", "e", "f"] {
            let error = query.clamped(name, 1..=10).map_err(|error| error.to_string());
            assert_eq!(error, Err(format!("{name}: must be a whole number from 1")));
        }
        let error = query.within("b", 1..=168).map_err(|error| error.to_string());
        assert_eq!(error, Err("b: must be a whole number from 1 to 168".to_owned()));
        assert_eq!(query.within("a", 1..=168)?, Some(7));
        Ok(())
    }

    #[test]
    fn days_are_whole_days_in_utc() -> Result<(), ApiError> {
        let query = Query::parse("a=2024-02-29&b=9999-12-31");
        assert_eq!(
            query.start_of_day("a")?.map(|at| at.to_rfc3339()).as_deref(),
            Some("2024-02-29T00:00:00+00:00")
        );
        assert_eq!(
            query.end_of_day("a")?.map(|at| at.to_rfc3339()).as_deref(),
            Some("2024-03-01T00:00:00+00:00")
        );
        assert!(query.end_of_day("b")?.is_some());
        for bad in [
            "2025-02-30",
            "2025-1-1",
            "+2025-01-01",
            "20250101",
            "today",
            "2025-01-01T00:00:00Z",
            "12025-01-01",
        ] {
            let query = Query(vec![("a".to_owned(), bad.to_owned())]);
            assert!(query.start_of_day("a").is_err(), "{bad}");
            assert!(query.end_of_day("a").is_err(), "{bad}");
        }
        Ok(())
    }
}
