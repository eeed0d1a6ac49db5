//! Identifiers, one type per noun so that they cannot be mixed up.
//!
//! Any text that matches `[A-Za-z0-9._-]{1,128}` is an identifier: rows of earlier systems carry
//! other forms than the UUIDs that are made here, and all of these characters are safe in keys,
//! paths and blob names.

use std::fmt;
use std::str::FromStr;

/// The error of a text that cannot be an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier: use 1 to 128 letters, digits, dots, underscores and hyphens")]
pub struct InvalidId;

fn check(text: &str) -> Result<(), InvalidId> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if (1..=128).contains(&text.len()) && text.bytes().all(allowed) { Ok(()) } else { Err(InvalidId) }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Returns the text of the identifier.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Makes a new random identifier.
            pub fn random() -> Self {
                Self(random_uuid().to_string())
            }

            /// Derives an identifier from names: the same names always give the same identifier.
            pub fn derived(names: &[&str]) -> Self {
                Self(derived_uuid(names).to_string())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                check(text).map(|()| Self(text.to_owned()))
            }
        }
    )+};
}

ids! {
    /// Identifies a database configuration.
    DatabaseId,
    /// Identifies a database server ("engine").
    EngineId,
    /// Identifies a backup policy; the slug of its name.
    PolicyId,
    /// Identifies a record of the backup history.
    BackupId,
    /// Identifies a job: one wish for one backup, however often it is delivered.
    JobId,
    /// Identifies a restore.
    RestoreId,
    /// Identifies a user: the directory's object id.
    UserId,
    /// Identifies a stranger's wish for access.
    AccessRequestId,
    /// Identifies a record of the audit log.
    AuditId,
    /// Identifies one holder of a lease.
    ClaimId,
}

#[expect(clippy::disallowed_methods, reason = "the one home of random identifiers")]
fn random_uuid() -> uuid::Uuid {
    uuid::Uuid::new_v4()
}

/// Derives a text of 36 characters, safe in every key, from names that may hold anything.
pub(crate) fn derived_text(names: &[&str]) -> String {
    derived_uuid(names).to_string()
}

/// Hashes the names into a UUID; each is preceded by its length, so that no two lists collide.
fn derived_uuid(names: &[&str]) -> uuid::Uuid {
    let parts: Vec<String> = names.iter().map(|name| format!("{}:{name};", name.len())).collect();
    let text = parts.concat();
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_only_safe_texts() {
        for good in ["a", "production-standard", "db-001", "X_1.2"] {
            assert!(good.parse::<DatabaseId>().is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", "a'b", "ü", &"x".repeat(129)] {
            assert!(bad.parse::<DatabaseId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn derives_the_same_from_the_same_only() {
        assert_eq!(JobId::derived(&["a", "b"]), JobId::derived(&["a", "b"]));
        assert_ne!(JobId::derived(&["a", "b"]), JobId::derived(&["ab", ""]));
        assert_ne!(JobId::random(), JobId::random());
    }
}
