//! Route templates of HTTP functions: `users/{id}`, `{id:int}`, `{id?}`, `{*rest}`.
//!
//! Literal parts match in any case. There is no "literal beats parameter": which function gets a
//! request is decided by the order of function names alone, as in the real host.
//! <https://learn.microsoft.com/aspnet/core/fundamentals/routing>

use std::collections::BTreeMap;

/// A route that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the route \"{route}\" is not supported: {problem}")]
pub struct InvalidRoute {
    route: String,
    problem: &'static str,
}

/// A route template, prefix included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Parameter { name: String, constraint: Constraint, optional: bool },
    Rest { name: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Constraint {
    None,
    Integer,
    Letters,
    Guid,
    Flag,
}

impl Route {
    /// Reads a template below a prefix, both without leading slash.
    pub(crate) fn parse(prefix: &str, route: &str) -> Result<Self, InvalidRoute> {
        let invalid = |problem| InvalidRoute { route: route.to_owned(), problem };
        let first = route.split('/').next().unwrap_or_default();
        if prefix.is_empty() && (first.eq_ignore_ascii_case("admin") || first.eq_ignore_ascii_case("runtime"))
        {
            return Err(invalid("the host keeps admin and runtime for itself; choose another first part"));
        }
        if route.starts_with('/') {
            return Err(invalid("it must not begin with a slash"));
        }
        let literals = prefix.split('/').filter(|part| !part.is_empty());
        let mut parts: Vec<Part> = literals.map(|part| Part::Literal(part.to_owned())).collect();
        for part in route.split('/').filter(|part| !part.is_empty()) {
            match parts.last() {
                Some(Part::Rest { .. }) => return Err(invalid("nothing may follow {*rest}")),
                Some(Part::Parameter { optional: true, .. }) => {
                    return Err(invalid("nothing may follow an optional part"));
                }
                Some(Part::Literal(_) | Part::Parameter { .. }) | None => {}
            }
            parts.push(Part::parse(part).map_err(invalid)?);
        }
        Ok(Self(parts))
    }

    /// Matches the path of a URL and returns the values of its parameters.
    pub(crate) fn matches(&self, path: &str) -> Option<BTreeMap<String, String>> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut segments = path.split('/').peekable();
        if path.is_empty() {
            segments.next();
        }
        let mut values = BTreeMap::new();
        for part in &self.0 {
            match part {
                Part::Literal(literal) => {
                    let segment = decode(segments.next()?);
                    if segment.to_lowercase() != literal.to_lowercase() {
                        return None;
                    }
                }
                Part::Parameter { name, constraint, optional } => match segments.next() {
                    Some(segment) => {
                        let value = decode(segment);
                        if value.is_empty() || !constraint.allows(&value) {
                            return None;
                        }
                        values.insert(name.clone(), value);
                    }
                    None if *optional => {}
                    None => return None,
                },
                Part::Rest { name } => {
                    let rest: Vec<_> = segments.by_ref().map(decode).collect();
                    values.insert(name.clone(), rest.join("/"));
                }
            }
        }
        segments.next().is_none().then_some(values)
    }
}

impl Part {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let Some(inner) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) else {
            return if text.contains(['{', '}']) {
                Err("a part is either text or one parameter")
            } else {
                Ok(Self::Literal(text.to_owned()))
            };
        };
        if inner.contains(['{', '}', '=', '(']) {
            return Err("defaults and constraints with arguments are unknown here");
        }
        if let Some(name) = inner.strip_prefix('*') {
            return Ok(Self::Rest { name: parameter_name(name.trim_start_matches('*'))? });
        }
        let (inner, optional) = match inner.strip_suffix('?') {
            Some(inner) => (inner, true),
            None => (inner, false),
        };
        let (name, constraint) = match inner.split_once(':') {
            Some((name, constraint)) => (name, Constraint::parse(constraint)?),
            None => (inner, Constraint::None),
        };
        Ok(Self::Parameter { name: parameter_name(name)?, constraint, optional })
    }
}

impl Constraint {
    fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "int" | "long" => Ok(Self::Integer),
            "alpha" => Ok(Self::Letters),
            "guid" => Ok(Self::Guid),
            "bool" => Ok(Self::Flag),
            _ => Err("known constraints are int, long, alpha, guid and bool"),
        }
    }

    fn allows(self, value: &str) -> bool {
        match self {
            Self::None => true,
            Self::Integer => value.parse::<i64>().is_ok(),
            Self::Letters => value.chars().all(|letter| letter.is_ascii_alphabetic()),
            Self::Guid => uuid::Uuid::try_parse(value).is_ok(),
            Self::Flag => value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false"),
        }
    }
}

fn parameter_name(name: &str) -> Result<String, &'static str> {
    if name.is_empty() { Err("a parameter needs a name") } else { Ok(name.to_owned()) }
}

/// Undoes percent-encoding, `%2F` excepted: an encoded slash never parts segments.
pub(crate) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let code = match tail {
            [high, low, ..] if byte == b'%' => hex(*high).zip(hex(*low)).map(|(high, low)| high * 16 + low),
            _ => None,
        };
        match code {
            Some(code) if code != b'/' => {
                bytes.push(code);
                rest = &tail[2..];
            }
            Some(_) | None => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(prefix: &str, route: &str, path: &str) -> Result<Option<String>, InvalidRoute> {
        let values = Route::parse(prefix, route)?.matches(path);
        Ok(values.map(|values| {
            let pairs: Vec<_> = values.iter().map(|(name, value)| format!("{name}={value}")).collect();
            pairs.join(",")
        }))
    }

    #[test]
    fn matches_as_the_real_host_does() -> Result<(), InvalidRoute> {
        let cases = [
            ("api", "{*path}", "/api", Some("path=")),
            ("api", "{*path}", "/api/", Some("path=")),
            ("api", "{*path}", "/API/a/b%20c", Some("path=a/b c")),
            ("api", "{*path}", "/apix", None),
            ("api", "{*path}", "/", None),
            ("", "{*path}", "/", Some("path=")),
            ("api", "users/{id}", "/api/users/me", Some("id=me")),
            ("api", "users/{id}", "/api/Users/a%2Fb", Some("id=a%2Fb")),
            ("api", "users/{id}", "/api/users", None),
            ("api", "users/{id}", "/api/users//", None),
            ("api", "users/{id?}", "/api/users", Some("")),
            ("api", "users/{id:int}", "/api/users/7", Some("id=7")),
            ("api", "users/{id:int}", "/api/users/x", None),
            ("v1/api", "x", "/v1/api/x", Some("")),
            ("api", "x", "/api/x/y", None),
        ];
        for (prefix, route, path, expected) in cases {
            assert_eq!(matched(prefix, route, path)?.as_deref(), expected, "{route} {path}");
        }
        Ok(())
    }

    #[test]
    fn refuses_templates_it_cannot_follow() {
        for (prefix, route) in [
            ("", "admin/x"),
            ("api", "/x"),
            ("api", "{a}-{b}"),
            ("api", "{a:regex(x)}"),
            ("api", "{*a}/b"),
            ("api", "{a=1}"),
            ("api", "{a:date}"),
            ("api", "{}"),
        ] {
            assert!(Route::parse(prefix, route).is_err(), "{route}");
        }
    }

    #[test]
    fn decodes_all_but_slashes() {
        assert_eq!(decode("a%20b%2Fc%C3%A4%zz%4"), "a b%2Fcä%zz%4");
        assert_eq!(decode("%ff"), "%ff");
    }
}
