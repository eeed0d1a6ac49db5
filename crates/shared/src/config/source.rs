//! Named texts, from the environment or from a test.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The error of a variable whose value cannot be used. The value itself is not repeated, since it
/// may be a secret.
#[derive(Debug, thiserror::Error)]
#[error("the environment variable {variable} cannot be used: {problem}")]
pub struct ConfigError {
    /// The variable's name.
    pub variable: &'static str,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl ConfigError {
    /// Makes an error about a variable.
    pub fn new(variable: &'static str, problem: impl Into<String>) -> Self {
        Self { variable, problem: problem.into() }
    }
}

/// Where configuration comes from.
#[derive(Clone)]
pub struct Source(HashMap<String, String>);

impl Source {
    /// Takes the environment of the process; values that are not UTF-8 count as not set.
    #[expect(clippy::disallowed_methods, reason = "the one home of the environment")]
    pub fn environment() -> Self {
        let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(utf8).collect())
    }

    /// Takes the given variables.
    pub fn of(variables: &[(&str, &str)]) -> Self {
        Self(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    /// Returns a variable's value; empty counts as not set.
    pub fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty()).map(str::to_owned)
    }

    /// Returns the pieces of a value between commas.
    pub fn list(&self, name: &str) -> Option<Vec<String>> {
        let text = self.text(name)?;
        Some(text.split(',').map(str::trim).filter(|piece| !piece.is_empty()).map(str::to_owned).collect())
    }

    /// Returns a truth value, `false` by default.
    pub fn flag(&self, name: &'static str) -> Result<bool, ConfigError> {
        match self.text(name).map(|text| text.to_ascii_lowercase()).as_deref() {
            None | Some("false" | "0" | "no") => Ok(false),
            Some("true" | "1" | "yes") => Ok(true),
            Some(_) => Err(ConfigError::new(name, "use true or false")),
        }
    }

    /// Parses a value.
    pub fn parse<T: FromStr>(&self, name: &'static str, default: T, rule: &str) -> Result<T, ConfigError> {
        match self.text(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| ConfigError::new(name, format!("use {rule}"))),
        }
    }

    /// Parses a value that must lie within a range.
    pub fn parse_within<T: FromStr + PartialOrd>(
        &self,
        name: &'static str,
        default: T,
        range: RangeInclusive<T>,
        rule: &str,
    ) -> Result<T, ConfigError> {
        let value = self.parse(name, default, rule)?;
        if range.contains(&value) { Ok(value) } else { Err(ConfigError::new(name, format!("use {rule}"))) }
    }
}
