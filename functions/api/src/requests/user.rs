//! Users in requests. Pure.

use chrono::{DateTime, Utc};
use shared::models::{EmailAddress, User, UserRole, pending_id};

use crate::error::ApiError;
use crate::identity::before_at;
use crate::json::{Given, Members, require};

const LONGEST_NAME: usize = 100;
const LONGEST_REASON: usize = 1000;

/// Somebody who is to be registered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NewUser {
    email: EmailAddress,
    name: Option<String>,
    role: UserRole,
}

impl NewUser {
    /// Reads a body.
    pub(crate) fn read(body: &Members) -> Result<Self, ApiError> {
        let email = body.parsed("email")?.not_null("email")?;
        require(&[("email", email.is_some())])?;
        let email = email.ok_or(ApiError::Internal("a required member was not checked"))?;
        // The form sends an empty name where none was entered.
        let has_name = matches!(body.text("name")?, Given::Value(name) if !name.trim().is_empty());
        let name = if has_name { body.label("name", LONGEST_NAME)? } else { None };
        Ok(Self { email, name, role: role(body)?.value().unwrap_or(UserRole::Viewer) })
    }

    /// Makes the user, with an id that holds until the first sign-in.
    pub(crate) fn into_user(self, created_by: String, now: DateTime<Utc>) -> User {
        let email = self.email.as_str().to_owned();
        User {
            id: pending_id(&email),
            name: self.name.unwrap_or_else(|| before_at(&email)),
            email,
            role: self.role,
            enabled: true,
            dark_mode: false,
            page_size: 25,
            created_at: now,
            updated_at: now,
            last_login: None,
            created_by: Some(created_by),
        }
    }
}

/// A change of a user; what is absent stays.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UserChange {
    name: Option<String>,
    role: Option<UserRole>,
    enabled: Option<bool>,
}

impl UserChange {
    /// Reads a body.
    pub(crate) fn read(body: &Members) -> Result<Self, ApiError> {
        Ok(Self {
            name: body.label("name", LONGEST_NAME)?,
            role: role(body)?.not_null("role")?,
            enabled: body.flag("enabled")?,
        })
    }

    /// Makes the user as it is after the change.
    pub(crate) fn apply(&self, before: User, now: DateTime<Utc>) -> User {
        User {
            name: self.name.clone().unwrap_or(before.name),
            role: self.role.unwrap_or(before.role),
            enabled: self.enabled.unwrap_or(before.enabled),
            updated_at: now,
            ..before
        }
    }
}

/// Preferences; what is absent stays.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Preferences {
    pub dark_mode: Option<bool>,
    pub page_size: Option<u8>,
}

impl Preferences {
    /// Reads a body.
    pub(crate) fn read(body: &Members) -> Result<Self, ApiError> {
        let page_size = body.number("page_size", 10..=100)?.not_null("page_size")?;
        Ok(Self {
            dark_mode: body.flag("dark_mode")?,
            page_size: page_size.and_then(|size| size.try_into().ok()),
        })
    }
}

/// Reads a role, in any case.
pub(crate) fn role(body: &Members) -> Result<Given<UserRole>, ApiError> {
    Ok(match body.text("role")? {
        Given::Absent => Given::Absent,
        Given::Null | Given::Value("") => Given::Null,
        Given::Value(role) => {
            let role = role.to_ascii_lowercase().parse();
            Given::Value(role.map_err(|error| ApiError::field("role", error))?)
        }
    })
}

/// Reads why somebody is refused; an empty text is no reason.
pub(crate) fn reason(body: &Members) -> Result<Option<String>, ApiError> {
    let Given::Value(reason) = body.text("reason")? else { return Ok(None) };
    let reason = reason.trim();
    // A text of several lines is fine, other control characters are not.
    let plain = !reason.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'));
    if plain && reason.chars().count() <= LONGEST_REASON {
        Ok((!reason.is_empty()).then(|| reason.to_owned()))
    } else {
        let rule = format!("must be at most {LONGEST_REASON} characters, without control characters");
        Err(ApiError::field("reason", rule))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    fn body(value: Value) -> Members {
        let Value::Object(members) = value else { panic!("an object is needed") };
        Members::for_test(&Value::Object(members))
    }

    /// Any JSON, and texts of the kinds that get through where they should not.
    fn hostile() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[-'\"\\\\\u{0}-\u{1f}аdminADMIN@. ]{0,12}".prop_map(Value::from),
            "[ -~]{0,1200}".prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 8, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z]{1,6}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_keeps_the_rules(
            email in prop_oneof![hostile(), "[a-z]{1,5}@[a-z]{1,5}\\.de".prop_map(Value::from)],
            name in hostile(), role in hostile(), flag in hostile(), size in hostile(), why in hostile(),
        ) {
            let body = body(json!({
                "email": email, "name": name, "role": role, "enabled": flag, "dark_mode": flag,
                "page_size": size, "reason": why,
            }));
            let plain = |text: &str, most: usize| {
                !text.trim().is_empty() && text.chars().count() <= most && !text.chars().any(char::is_control)
            };
            if let Ok(new) = NewUser::read(&body) {
                let user = new.into_user("me".to_owned(), DateTime::UNIX_EPOCH);
                prop_assert!(user.is_pending() && user.email.is_ascii() && user.email.contains('@'));
                prop_assert!(plain(&user.name, 100), "{:?}", user.name);
            }
            if let Ok(change) = UserChange::read(&body) {
                prop_assert!(change.name.is_none_or(|name| plain(&name, 100)));
                prop_assert!(flag.is_boolean());
            }
            if let Ok(preferences) = Preferences::read(&body) {
                prop_assert!(preferences.page_size.is_some_and(|size| (10..=100).contains(&size)));
                prop_assert!(flag.is_boolean());
            }
            if let Ok(Some(reason)) = reason(&body) {
                prop_assert!(reason.chars().count() <= 1000 && !reason.contains('\0'));
            }
        }
    }

    #[test]
    fn absent_members_change_nothing() {
        let empty = body(json!({"email": "x", "other": 1}));
        let change = UserChange::read(&empty).unwrap();
        assert_eq!(change, UserChange { name: None, role: None, enabled: None });
        let preferences = Preferences::read(&empty).unwrap();
        assert_eq!(preferences, Preferences { dark_mode: None, page_size: None });
    }

    #[test]
    fn roles_come_in_any_case_and_names_may_be_empty_at_first() {
        let new =
            NewUser::read(&body(json!({"email": "Zoe@b.de", "name": " ", "role": "Operator"}))).unwrap();
        assert_eq!(new.role, UserRole::Operator);
        assert_eq!(new.into_user(String::new(), DateTime::UNIX_EPOCH).name, "Zoe");
        let errors = [
            NewUser::read(&body(json!({}))).unwrap_err(),
            NewUser::read(&body(json!({"email": ""}))).unwrap_err(),
            NewUser::read(&body(json!({"email": "nobody"}))).unwrap_err(),
            NewUser::read(&body(json!({"email": "a@b.de", "role": "root"}))).unwrap_err(),
            UserChange::read(&body(json!({"name": ""}))).unwrap_err(),
            UserChange::read(&body(json!({"role": null}))).unwrap_err(),
            UserChange::read(&body(json!({"enabled": "yes"}))).unwrap_err(),
            Preferences::read(&body(json!({"page_size": 9}))).unwrap_err(),
            Preferences::read(&body(json!({"dark_mode": null}))).unwrap_err(),
        ];
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        Missing: email.
        email: must not be empty or null
        email: must be an e-mail address such as name@example.org, in plain letters
        role: "root" is not a known role; use one of: admin, operator, viewer
        name: must be 1 to 100 characters, without control characters
        role: must not be empty or null
        enabled: must be true or false, not a text
        page_size: must be a whole number from 10 to 100, not 9
        dark_mode: must not be empty or null
        "#);
    }
}
