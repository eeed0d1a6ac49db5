//! The JSON object of a request body, read member by member.
//!
//! Members that nobody asks for are ignored; those that are must have the right type. Reading by name
//! instead of by derivation tells an absent member from `null`, which a partial update needs, and lets
//! every error name its field.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use secrecy::SecretString;
use serde_json::{Map, Value};
use shared::models::{Host, is_instance};

use crate::error::ApiError;
use crate::state::AppState;

/// The client programs refuse longer passwords, and those with a NUL character.
const LONGEST_SECRET: usize = 2000;
/// Labels are stored as one text, which has to fit into a property of a row.
const LONGEST_LABELS: usize = 30_000;
const MOST_LABELS: usize = 50;
/// The rule for every text, against those that look like another one or turn around what follows them.
const VISIBLE: &str = "must not have invisible or direction-changing characters";

/// The members of a request body.
pub(crate) struct Members(Map<String, Value>);

/// A member that may be absent, `null`, or there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Given<T> {
    /// It is not in the body.
    Absent,
    /// It is `null`, or an empty text where that means the same.
    Null,
    /// It has a value.
    Value(T),
}

impl<T> Given<T> {
    /// Returns the value, if there is one.
    pub(crate) fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }

    /// Returns the value after a partial update: what was there when the member is absent.
    pub(crate) fn or_keep(self, current: Option<T>) -> Option<T> {
        match self {
            Self::Absent => current,
            Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }

    fn map<U>(self, change: impl FnOnce(T) -> Result<U, ApiError>) -> Result<Given<U>, ApiError> {
        Ok(match self {
            Self::Absent => Given::Absent,
            Self::Null => Given::Null,
            Self::Value(value) => Given::Value(change(value)?),
        })
    }

    /// Refuses `null`.
    pub(crate) fn not_null(self, name: &str) -> Result<Option<T>, ApiError> {
        match self {
            Self::Absent => Ok(None),
            Self::Null => Err(ApiError::field(name, "must not be empty or null")),
            Self::Value(value) => Ok(Some(value)),
        }
    }
}

impl Members {
    /// Reads a text.
    pub(crate) fn text(&self, name: &str) -> Result<Given<&str>, ApiError> {
        self.member(name).map(|value| {
            let text = value.as_str().ok_or_else(|| wrong(name, "a text", value))?;
            if text.chars().any(is_deceptive) { Err(ApiError::field(name, VISIBLE)) } else { Ok(text) }
        })
    }

    /// Reads the name or address of a server, in the letters that names and addresses have: a letter of
    /// another script may look like one of them, and other characters mean more to some client program.
    pub(crate) fn host(&self, name: &str) -> Result<Given<Host>, ApiError> {
        self.parsed::<Host>(name)?.map(|host| {
            let text = host.machine();
            let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte);
            let rule = "must be a host name or an address, without anything around it; write names with other \
                        letters in their ASCII form (xn--…)";
            if bare.is_empty() || !bare.bytes().all(allowed) {
                return Err(ApiError::field(name, rule));
            }
            if host.instance().is_some_and(|instance| !is_instance(instance)) {
                let rule = "has something after the backslash that is not the name of an instance";
                return Err(ApiError::field(name, rule));
            }
            Ok(host)
        })
    }

    /// Reads a text of several lines for people; an empty one counts as `null`.
    pub(crate) fn prose(&self, name: &str, most: usize) -> Result<Given<String>, ApiError> {
        let text = self.text(name)?;
        if text == Given::Value("") {
            return Ok(Given::Null);
        }
        text.map(|text| {
            let is_bad = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\r' | '\t');
            if text.chars().count() <= most && !text.chars().any(is_bad) {
                Ok(text.to_owned())
            } else {
                let rule = format!("must be at most {most} characters, without control characters");
                Err(ApiError::field(name, rule))
            }
        })
    }

    /// Reads a member that is an object itself.
    pub(crate) fn object(&self, name: &str) -> Result<Given<Self>, ApiError> {
        self.member(name).map(|value| Self::of(name, value))
    }

    /// Reads a member that is a list of objects.
    pub(crate) fn objects(&self, name: &str) -> Result<Given<Vec<Self>>, ApiError> {
        self.member(name).map(|value| {
            let list = value.as_array().ok_or_else(|| wrong(name, "a list of objects", value))?;
            list.iter()
                .enumerate()
                .map(|(index, value)| Self::of(&format!("{name}[{index}]"), value))
                .collect()
        })
    }

    fn of(name: &str, value: &Value) -> Result<Self, ApiError> {
        value.as_object().cloned().map(Self).ok_or_else(|| wrong(name, "an object", value))
    }

    /// Reads a text that stands for a value of its own kind; an empty one counts as `null`.
    pub(crate) fn parsed<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Given<T>, ApiError> {
        let text = self.text(name)?;
        if text == Given::Value("") {
            return Ok(Given::Null);
        }
        text.map(|text| text.parse().map_err(|error| ApiError::field(name, error)))
    }

    /// Reads a name for people: without the spaces at its ends, of at most so many characters.
    pub(crate) fn label(&self, name: &str, most: usize) -> Result<Option<String>, ApiError> {
        let label = self.text(name)?.map(|text| {
            let text = text.trim();
            if (1..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
                Ok(text.to_owned())
            } else {
                Err(ApiError::field(
                    name,
                    format!("must be 1 to {most} characters, without control characters"),
                ))
            }
        });
        label?.not_null(name)
    }

    /// Reads a truth value.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        let flag =
            self.member(name).map(|value| value.as_bool().ok_or_else(|| wrong(name, "true or false", value)));
        flag?.not_null(name)
    }

    /// Reads a whole number within a range.
    pub(crate) fn number<T: TryFrom<u64> + PartialOrd + Display>(
        &self,
        name: &str,
        range: RangeInclusive<T>,
    ) -> Result<Given<T>, ApiError> {
        self.member(name).map(|value| {
            let number = value.as_u64().and_then(|number| T::try_from(number).ok());
            let rule = format!("a whole number from {} to {}", range.start(), range.end());
            number.filter(|number| range.contains(number)).ok_or_else(|| wrong(name, &rule, value))
        })
    }

    /// Reads a password or the like; an empty one counts as not given. The value is in no error.
    pub(crate) fn secret(&self, name: &str) -> Result<Option<SecretString>, ApiError> {
        let text = match self.member(name) {
            Given::Absent | Given::Null => return Ok(None),
            Given::Value(value) => value.as_str().ok_or_else(|| ApiError::field(name, "must be a text"))?,
        };
        if text.len() > LONGEST_SECRET || text.contains('\0') {
            let rule = format!("must be at most {LONGEST_SECRET} bytes, without NUL characters");
            return Err(ApiError::field(name, rule));
        }
        Ok((!text.is_empty()).then(|| text.into()))
    }

    /// Reads labels: an object of texts.
    pub(crate) fn labels(&self, name: &str) -> Result<Option<BTreeMap<String, String>>, ApiError> {
        let labels = self.member(name).map(|value| {
            let members = value.as_object().ok_or_else(|| wrong(name, "an object of texts", value))?;
            let label = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
            let labels: Option<BTreeMap<_, _>> = members.iter().map(label).collect();
            let labels = labels.ok_or_else(|| ApiError::field(name, "every value must be a text"))?;
            let is_bad =
                |text: &String| text.chars().any(|letter| letter.is_control() || is_deceptive(letter));
            if labels.iter().any(|(key, value)| is_bad(key) || is_bad(value)) {
                return Err(ApiError::field(name, format!("{VISIBLE}, nor control characters")));
            }
            if labels.len() > MOST_LABELS {
                return Err(ApiError::field(name, format!("must have at most {MOST_LABELS} pairs")));
            }
            if value.to_string().encode_utf16().count() > LONGEST_LABELS {
                return Err(ApiError::field(
                    name,
                    format!("must be at most {LONGEST_LABELS} characters in all"),
                ));
            }
            Ok(labels)
        });
        labels?.not_null(name)
    }

    /// Reads a list of texts, at most so many, each of which stands for a value of its own kind.
    pub(crate) fn list<T: FromStr<Err: Display>>(
        &self,
        name: &str,
        most: usize,
    ) -> Result<Given<Vec<T>>, ApiError> {
        self.member(name).map(|value| {
            let texts = value.as_array().ok_or_else(|| wrong(name, "a list of texts", value))?;
            if texts.len() > most {
                return Err(ApiError::field(name, format!("must have at most {most} entries")));
            }
            let one = |value: &Value| {
                let text =
                    value.as_str().ok_or_else(|| ApiError::field(name, "every entry must be a text"))?;
                text.parse().map_err(|error| ApiError::field(name, error))
            };
            texts.iter().map(one).collect()
        })
    }

    /// Reads a list of 1 to so many texts.
    pub(crate) fn texts(&self, name: &str, most: usize) -> Result<Vec<&str>, ApiError> {
        let texts = self.member(name).map(|value| {
            let items = value.as_array().ok_or_else(|| wrong(name, "a list of texts", value))?;
            if !(1..=most).contains(&items.len()) {
                return Err(ApiError::field(name, format!("must have 1 to {most} items")));
            }
            let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            texts.ok_or_else(|| ApiError::field(name, "every item must be a text"))
        });
        texts?.not_null(name)?.ok_or_else(|| ApiError::Invalid(format!("Missing: {name}.")))
    }

    fn member(&self, name: &str) -> Given<&Value> {
        match self.0.get(name) {
            None => Given::Absent,
            Some(Value::Null) => Given::Null,
            Some(value) => Given::Value(value),
        }
    }

    /// Makes a body for tests.
    #[cfg(test)]
    pub(crate) fn for_test(value: &Value) -> Self {
        Self::parse(value.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn parse(bytes: &[u8]) -> Result<Self, ApiError> {
        let value = serde_json::from_slice(bytes)
            .map_err(|error| ApiError::Invalid(format!("The request body is not valid JSON: {error}.")))?;
        if let Value::Object(members) = value {
            return Ok(Self(members));
        }
        Err(ApiError::Invalid(format!("The request body must be a JSON object, not {}.", kind(&value))))
    }
}

/// Makes the error of required members that are missing; all of them are named.
pub(crate) fn require(members: &[(&str, bool)]) -> Result<(), ApiError> {
    let missing: Vec<&str> = members.iter().filter(|(_, given)| !given).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(ApiError::Invalid(format!("Missing: {}.", missing.join(", "))))
    }
}

/// Tells whether a character is invisible, or changes the direction of the text behind it. The joiners
/// that some scripts and signs are written with are not among them.
fn is_deceptive(letter: char) -> bool {
    matches!(
        u32::from(letter),
        0xad | 0x061c | 0x180e | 0x200b | 0x200e | 0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff
            | 0xfff9..=0xfffb | 0xe0000..=0xe007f
    )
}

fn wrong(name: &str, rule: &str, given: &Value) -> ApiError {
    ApiError::field(name, format!("must be {rule}, not {}", kind(given)))
}

/// Says what a value is; its content is repeated only where it is a number or a truth value.
fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(_) => "a text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

impl FromRequest<AppState> for Members {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        Self::parse(&bytes(request, state).await?)
    }
}

/// The members of a body that may be missing altogether.
pub(crate) struct MaybeMembers(pub(crate) Members);

impl FromRequest<AppState> for MaybeMembers {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let body = bytes(request, state).await?;
        if body.is_empty() { Ok(Self(Members(Map::new()))) } else { Members::parse(&body).map(Self) }
    }
}

async fn bytes(request: Request, state: &AppState) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, state).await.map_err(|rejection| {
        if rejection.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
            ApiError::TooLarge
        } else {
            ApiError::Invalid("The request body could not be read; send it again.".to_owned())
        }
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn members(text: &str) -> Members {
        Members::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn error<T>(result: Result<T, ApiError>) -> String {
        result.err().unwrap().to_string()
    }

    #[test]
    fn what_is_no_json_object_is_refused_without_being_repeated() {
        let bodies = ["", "{", "{\"password\": hunter2}", "[]", "\"hunter2\"", "null", "7", "{\"a\":1}x"];
        let texts = bodies.map(|body| error(Members::parse(body.as_bytes())));
        insta::assert_snapshot!(texts.join("\n"), @"
        The request body is not valid JSON: EOF while parsing a value at line 1 column 0.
        The request body is not valid JSON: EOF while parsing an object at line 1 column 1.
        The request body is not valid JSON: expected value at line 1 column 14.
        The request body must be a JSON object, not a list.
        The request body must be a JSON object, not a text.
        The request body must be a JSON object, not null.
        The request body must be a JSON object, not 7.
        The request body is not valid JSON: trailing characters at line 1 column 8.
        ");
        assert!(Members::parse(b"\xff").is_err());
        assert!(Members::parse("[".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn every_wrong_type_names_its_field_and_the_rule() {
        let body = members(
            r#"{"s":1,"b":"true","n":"1","f":1.5,"big":65536,"neg":-1,"o":[],"t":{"a":1},"z":null,"p":7}"#,
        );
        let texts = [
            error(body.text("s")),
            error(body.label("z", 10)),
            error(body.flag("b")),
            error(body.flag("z")),
            error(body.number("n", 1..=u16::MAX)),
            error(body.number("f", 1..=u16::MAX)),
            error(body.number("big", 1..=u16::MAX)),
            error(body.number("neg", 0..=10u8)),
            error(body.labels("o")),
            error(body.labels("t")),
            error(body.secret("p")),
            error(body.parsed::<shared::models::Host>("o")),
        ];
        insta::assert_snapshot!(texts.join("\n"), @"
        s: must be a text, not 1
        z: must not be empty or null
        b: must be true or false, not a text
        z: must not be empty or null
        n: must be a whole number from 1 to 65535, not a text
        f: must be a whole number from 1 to 65535, not 1.5
        big: must be a whole number from 1 to 65535, not 65536
        neg: must be a whole number from 0 to 10, not -1
        o: must be an object of texts, not a list
        t: every value must be a text
        p: must be a text
        o: must be a text, not a list
        ");
    }

    #[test]
    fn absent_null_and_empty_are_told_apart() {
        let body = members(r#"{"n":null,"e":"","v":"db1"}"#);
        let host = |name| body.parsed::<shared::models::Host>(name).unwrap();
        assert_eq!(host("a"), Given::Absent);
        assert_eq!(host("n"), Given::Null);
        assert_eq!(host("e"), Given::Null);
        assert_eq!(host("v"), Given::Value("db1".parse().unwrap()));
        assert_eq!(Given::Absent.or_keep(Some(1)), Some(1));
        assert_eq!(Given::Null.or_keep(Some(1)), None);
        assert_eq!(Given::Value(2).or_keep(Some(1)), Some(2));
        assert!(body.secret("e").unwrap().is_none());
    }

    #[test]
    fn texts_that_deceive_the_eye_are_refused_wherever_they_are() {
        for hidden in ['\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}', '\u{ad}', '\u{2028}', '\u{e0041}'] {
            let text = format!("a{hidden}b");
            let body = Members::parse(
                serde_json::json!({"n": text, "l": {"k": text}, "m": {text.clone(): ""}})
                    .to_string()
                    .as_bytes(),
            )
            .unwrap();
            assert!(body.text("n").is_err() && body.label("n", 9).is_err() && body.prose("n", 9).is_err());
            assert!(body.parsed::<shared::models::DatabaseName>("n").is_err());
            assert!(body.labels("l").is_err() && body.labels("m").is_err());
            // Nobody reads a password.
            assert!(body.secret("n").is_ok());
        }
        let body = members(r#"{"n":"نمی\u200cخواهم 👩\u200d💻 Ünïcode"}"#);
        assert!(body.label("n", 100).is_ok());
    }

    #[test]
    fn a_host_has_the_letters_of_names_and_addresses() {
        let host = |text: &str| Members(Map::from_iter([("h".to_owned(), text.into())])).host("h").is_ok();
        for good in
            ["db_1.example", "10.0.0.7", "::1", "[fe80::1%eth0]", "xn--bcher-kva.example", "db1\\SQLEXPRESS"]
        {
            assert!(host(good), "{good}");
        }
        // The third one has a Cyrillic letter, the fourth full-width ones.
        let bad = [
            "a'b",
            "a;b",
            "db.ex\u{430}mple",
            "\u{ff44}\u{ff42}1",
            "/var/run",
            "a,b",
            "u@h",
            "h=1",
            "a\"",
            "[::1",
            "x/y",
            "\\SQLEXPRESS",
            "db1\\",
            "db1\\a.example",
            "db1\\a\\b",
            "\\\\.\\pipe\\sql",
        ];
        for bad in bad {
            assert!(!host(bad), "{bad}");
        }
    }

    #[test]
    fn labels_and_names_have_bounds() {
        let pairs = |count: usize| {
            let labels: Map<String, Value> = (0..count).map(|n| (n.to_string(), "x".into())).collect();
            Members(Map::from_iter([("tags".to_owned(), Value::Object(labels))]))
        };
        assert!(pairs(50).labels("tags").is_ok());
        assert!(pairs(51).labels("tags").is_err());
        let long = Map::from_iter([("a".to_owned(), "x".repeat(40_000).into())]);
        assert!(Members(Map::from_iter([("tags".to_owned(), Value::Object(long))])).labels("tags").is_err());
        let name = |text: &str| Members(Map::from_iter([("name".to_owned(), text.into())])).label("name", 5);
        assert_eq!(name("  four ").unwrap().as_deref(), Some("four"));
        for bad in ["", "   ", "sixsix", "a\u{7}b"] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
        let secret = Map::from_iter([("password".to_owned(), "x".repeat(2001).into())]);
        assert!(Members(secret).secret("password").is_err());
    }
}
