//! Texts that reach other programs: hosts, users, databases, containers.
//!
//! Each is checked once, here, so that nothing below has to ask whether a text could be read as an
//! option, a path or a directive.

use std::fmt;
use std::str::FromStr;

/// The error of a text that breaks the rule of its kind. The text says the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidText(pub &'static str);

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident: $rule:literal, $check:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidText;

            fn from_str(text: &str) -> Result<Self, InvalidText> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.to_owned())) } else { Err(InvalidText($rule)) }
            }
        }
    )+};
}

texts! {
    /// The name or address of a server.
    Host: "must be 1 to 255 characters without spaces or control characters, and must not begin with a hyphen",
        |text| length(text, 1, 255) && plain(text) && !text.contains(char::is_whitespace);
    /// The name of a database on its server.
    DatabaseName: "must be 1 to 128 characters without control characters, and must not begin with a hyphen",
        |text| length(text, 1, 128) && plain(text);
    /// The name of an account on a server.
    UserName: "must be 1 to 256 characters without control characters, and must not begin with a hyphen",
        |text| length(text, 1, 256) && plain(text);
    /// The name of a blob container.
    ContainerName: "must be 3 to 63 lower-case letters, digits and single hyphens, with a letter or digit at both ends",
        is_container;
}

fn length(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.chars().count())
}

fn plain(text: &str) -> bool {
    !text.starts_with('-') && !text.chars().any(char::is_control)
}

/// The vendor's rule for container names.
/// <https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata>
fn is_container(text: &str) -> bool {
    (3..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
        && !text.contains("--")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_out_what_other_programs_could_misread() {
        for bad in ["", "-h", "a b", "a\nb", "a\0", &"x".repeat(256)] {
            assert!(bad.parse::<Host>().is_err(), "{bad:?}");
        }
        for bad in ["", "--result-file=x", "a\tb", &"x".repeat(129)] {
            assert!(bad.parse::<DatabaseName>().is_err(), "{bad:?}");
        }
        for bad in ["ab", "Backups", "-ab", "ab-", "a--b", "a_b", &"x".repeat(64)] {
            assert!(bad.parse::<ContainerName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lets_through_what_servers_really_have() {
        assert!("::1".parse::<Host>().is_ok());
        assert!("1st db; drop 'x' `y`".parse::<DatabaseName>().is_ok());
        assert!("backups".parse::<ContainerName>().is_ok());
        assert!("user@host".parse::<UserName>().is_ok());
    }
}
