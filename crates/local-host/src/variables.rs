//! Settings by name, as the environment of the host holds them.
//!
//! Values are often secrets (connection strings), so `Debug` shows names only.

use std::collections::BTreeMap;
use std::fmt;

/// A set of environment variables. `Debug` shows their names, never their values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<String, String>);

/// A `%NAME%` that names no setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("%{0}% names no setting; add it to Values in local.settings.json or to the environment")]
pub struct UnknownSetting(pub String);

impl Variables {
    /// Creates an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a value by its exact name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Sets a value, replacing one that is there.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// Sets a value unless one is there.
    pub fn set_default(&mut self, name: &str, value: &str) {
        if !self.0.contains_key(name) {
            self.set(name, value);
        }
    }

    /// Walks through names and values in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Tells whether a setting is switched on: `true` in any case, or `1`.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1")
    }

    /// Replaces each `%NAME%` by the setting of that name; names are found in any case.
    pub(crate) fn resolve(&self, text: &str) -> Result<String, UnknownSetting> {
        replace(text, |name| self.get_any_case(name).ok_or_else(|| UnknownSetting(name.to_owned())))
    }

    /// Replaces each `%NAME%` by the setting of that name, an unset one by nothing.
    pub(crate) fn expand(&self, text: &str) -> String {
        let expanded =
            replace::<std::convert::Infallible>(text, |name| Ok(self.get_any_case(name).unwrap_or_default()));
        match expanded {
            Ok(text) => text,
        }
    }

    fn get_any_case(&self, name: &str) -> Option<&str> {
        self.get(name).or_else(|| {
            self.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        })
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Variables {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl<N: Into<String>, V: Into<String>> Extend<(N, V)> for Variables {
    fn extend<I: IntoIterator<Item = (N, V)>>(&mut self, pairs: I) {
        self.0.extend(pairs.into_iter().map(|(name, value)| (name.into(), value.into())));
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

fn replace<'a, E>(text: &str, value: impl Fn(&str) -> Result<&'a str, E>) -> Result<String, E> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        result.push_str(before);
        let Some((name, tail)) = after.split_once('%') else {
            result.push('%');
            rest = after;
            continue;
        };
        result.push_str(value(name)?);
        rest = tail;
    }
    result.push_str(rest);
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolves_names_between_percent_signs() {
        let variables = Variables::from_iter([("Queue", "jobs"), ("EMPTY", "")]);
        assert_eq!(variables.resolve("%QUEUE%-x%EMPTY%"), Ok("jobs-x".to_owned()));
        assert_eq!(variables.resolve("100%"), Ok("100%".to_owned()));
        assert_eq!(variables.resolve("%nothing%"), Err(UnknownSetting("nothing".to_owned())));
        assert_eq!(variables.expand("a%nothing%b"), "ab");
    }

    #[test]
    fn debug_shows_no_value() {
        assert_eq!(format!("{:?}", Variables::from_iter([("KEY", "secret")])), r#"{"KEY"}"#);
    }
}
