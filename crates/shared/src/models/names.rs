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
    /// An e-mail address, as people are registered by it.
    EmailAddress: "must be an e-mail address such as name@example.org, in plain letters",
        is_email;
    /// The name of a blob container.
    ContainerName: "must be 3 to 63 lower-case letters, digits and single hyphens, with a letter or digit at both ends",
        is_container;
}

impl Host {
    /// Returns the name or address of the machine, without the instance of SQL Server on it.
    pub fn machine(&self) -> &str {
        self.0.split_once('\\').map_or(self.as_str(), |(machine, _)| machine)
    }

    /// Returns the instance of SQL Server, which follows a backslash.
    pub fn instance(&self) -> Option<&str> {
        self.0.split_once('\\').map(|(_, instance)| instance)
    }
}

/// Tells whether a text can be the name of an instance of SQL Server.
/// <https://learn.microsoft.com/sql/sql-server/install/instance-configuration#named-instance>
pub fn is_instance(text: &str) -> bool {
    (1..=16).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_$#".contains(&byte))
}

fn length(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.chars().count())
}

fn plain(text: &str) -> bool {
    !text.starts_with('-') && !text.chars().any(char::is_control)
}

/// Accepts what looks like an address. Letters beyond ASCII are refused: many look like others, and an
/// administrator would give a role to somebody else.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let in_local = |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 254
        && (1..=64).contains(&local.len())
        && local.bytes().all(in_local)
        && !local.starts_with(['-', '.'])
        && !local.ends_with('.')
        && domain.contains('.')
        && domain.split('.').all(label)
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
    fn an_instance_follows_its_machine() {
        let host: Host = "db1.example\\SQLEXPRESS".parse().unwrap_or_else(|_| unreachable!("it is a host"));
        assert_eq!((host.machine(), host.instance()), ("db1.example", Some("SQLEXPRESS")));
        for good in ["SQLEXPRESS", "_a$#1", "MSSQL2019"] {
            assert!(is_instance(good), "{good}");
        }
        for bad in ["", "1A", "a.b", "a-b", "a b", "a,1", "a\\b", "\u{441}ql", "TOOLONGBYONECHARS"] {
            assert!(!is_instance(bad), "{bad}");
        }
    }

    #[test]
    fn an_address_has_a_name_and_a_domain() {
        for good in ["a@b.de", "O'Brien+x@mail.example.org", "x_y-1@a-b.co"] {
            assert!(good.parse::<EmailAddress>().is_ok(), "{good}");
        }
        let long = format!("{}@b.de", "x".repeat(65));
        for bad in [
            "",
            "a",
            "a@b",
            "@b.de",
            "a@",
            "a@@b.de",
            "a b@c.de",
            "-a@b.de",
            "a@-b.de",
            "a@b..de",
            "a\n@b.de",
            "\"a\"@b.de",
            "\u{430}@b.de",
            "a@b.de ",
            &long,
        ] {
            assert!(bad.parse::<EmailAddress>().is_err(), "{bad:?}");
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
