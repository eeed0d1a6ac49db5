//! What of a database is dumped, and how.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::InvalidText;
use super::kinds::names;

names! {
    /// How dumps are compressed.
    CompressionFormat, "compression format" {
        /// gzip, which every machine can undo.
        Gzip = "gzip",
        /// Zstandard, which is faster and smaller.
        Zstd = "zstd",
    }
}

impl CompressionFormat {
    /// Returns the highest level that may be chosen; the lowest is 1.
    pub const fn highest_level(self) -> u8 {
        match self {
            Self::Gzip => 9,
            Self::Zstd => 19,
        }
    }
}

/// Whether the roles of a server are stored beside the dump of a database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Roles {
    /// They are not.
    #[default]
    LeftOut,
    /// Without their passwords.
    WithoutPasswords,
    /// With the hashes of their passwords.
    WithPasswords,
}

impl Roles {
    /// Makes the choice of the two answers that rows and requests have.
    pub fn of(included: bool, with_passwords: bool) -> Self {
        match (included, with_passwords) {
            (false, _) => Self::LeftOut,
            (true, false) => Self::WithoutPasswords,
            (true, true) => Self::WithPasswords,
        }
    }

    /// Tells whether they are stored.
    pub fn are_included(self) -> bool {
        self != Self::LeftOut
    }

    /// Tells whether the hashes of their passwords are stored.
    pub fn have_passwords(self) -> bool {
        self == Self::WithPasswords
    }
}

/// What of a database is dumped, and how. The default is all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DumpOptions {
    /// Tables and views that are left out.
    pub exclude_tables: Vec<NamePattern>,
    /// Tables whose rows are left out.
    pub exclude_table_data: Vec<NamePattern>,
    /// The only schemas that are dumped; all when empty. PostgreSQL only.
    pub include_schemas: Vec<NamePattern>,
    /// How the dump is compressed, if it is.
    pub compression_format: Option<CompressionFormat>,
    /// How hard the compressor tries.
    pub compression_level: Option<u8>,
    /// The longest dump, in minutes.
    pub dump_timeout_minutes: Option<u16>,
    /// The longest silence of the dump program, in minutes.
    pub stall_timeout_minutes: Option<u16>,
    /// Whether owners and privileges are dumped. PostgreSQL only.
    pub include_privileges: bool,
    /// Whether the roles of the server are stored beside the dump. PostgreSQL only.
    pub roles: Roles,
    /// Whether users, roles and permissions are left out. SQL Server and Azure SQL only.
    pub leave_out_permissions: bool,
    /// Whether a dump fails that would leave something out. SQL Server and Azure SQL only.
    pub strict: bool,
}

impl DumpOptions {
    /// Returns the form of compression.
    pub fn format(&self) -> CompressionFormat {
        self.compression_format.unwrap_or(CompressionFormat::Gzip)
    }

    /// Returns the longest dump: the database's own limit, but no more than the processor allows.
    pub fn deadline(&self, most: Duration) -> Duration {
        minutes(self.dump_timeout_minutes).map_or(most, |own| own.min(most))
    }

    /// Returns the longest silence: the database's own limit, else that of the processor.
    pub fn stall(&self, usual: Duration) -> Duration {
        minutes(self.stall_timeout_minutes).unwrap_or(usual)
    }
}

fn minutes(minutes: Option<u16>) -> Option<Duration> {
    minutes.map(|minutes| Duration::from_mins(minutes.into()))
}

/// The most patterns of one kind.
pub const MOST_PATTERNS: usize = 100;

/// A name with `*` for any characters and `?` for any one; all others stand for themselves.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct NamePattern(String);

impl NamePattern {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether a name is one of those that are meant.
    pub fn matches(&self, name: &str) -> bool {
        let pattern: Vec<char> = self.0.chars().collect();
        let name: Vec<char> = name.chars().collect();
        // Where to go on when a character does not fit: after the last star, with one more character of
        // the name taken by it.
        let (mut at, mut of, mut star) = (0, 0, None);
        while of < name.len() {
            match pattern.get(at) {
                Some('*') => {
                    star = Some((at, of));
                    at += 1;
                }
                Some(&wanted) if wanted == '?' || wanted == name[of] => {
                    at += 1;
                    of += 1;
                }
                Some(_) | None => match star {
                    Some((before, taken)) => {
                        star = Some((before, taken + 1));
                        at = before + 1;
                        of = taken + 1;
                    }
                    None => return false,
                },
            }
        }
        pattern[at..].iter().all(|&rest| rest == '*')
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NamePattern {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let length = text.chars().count();
        if !(1..=200).contains(&length) || text.chars().any(char::is_control) || text.trim() != text {
            return Err(InvalidText(
                "each must be 1 to 200 characters without control characters, and without spaces at its ends; \
                 * stands for any characters and ? for any one",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> NamePattern {
        NamePattern(text.to_owned())
    }

    #[test]
    fn stars_and_question_marks_stand_for_characters() {
        for (text, names, others) in [
            ("log", vec!["log"], vec!["Log", "logs", "lo", ""]),
            ("log_*", vec!["log_", "log_2026"], vec!["log", "xlog_"]),
            ("*_log", vec!["a_log", "_log", "_log_log"], vec!["a_logs"]),
            ("*a*b*", vec!["ab", "xaxbx", "aab"], vec!["ba"]),
            ("t?", vec!["t1", "tü"], vec!["t", "t12"]),
            ("*", vec!["", "x"], vec![]),
            ("a.b%_", vec!["a.b%_"], vec!["a.bc_"]),
        ] {
            for name in names {
                assert!(pattern(text).matches(name), "{text} {name}");
            }
            for name in others {
                assert!(!pattern(text).matches(name), "{text} {name}");
            }
        }
    }

    #[test]
    fn what_could_be_no_name_is_refused() {
        for bad in ["", " a", "a ", "a\nb", "a\0", &"x".repeat(201)] {
            assert!(bad.parse::<NamePattern>().is_err(), "{bad:?}");
        }
        assert!("Weird \"name\" `x`*".parse::<NamePattern>().is_ok());
    }

    #[test]
    fn own_limits_count_within_those_of_the_processor() {
        let own = DumpOptions {
            dump_timeout_minutes: Some(10),
            stall_timeout_minutes: Some(2),
            ..DumpOptions::default()
        };
        let (hour, minute) = (Duration::from_hours(1), Duration::from_mins(1));
        assert_eq!(own.deadline(hour), 10 * minute);
        assert_eq!(own.deadline(minute), minute);
        assert_eq!(own.stall(hour), 2 * minute);
        assert_eq!(DumpOptions::default().deadline(hour), hour);
        assert_eq!(DumpOptions::default().stall(minute), minute);
    }

    proptest! {
        #[test]
        fn a_name_matches_itself_and_stars_around_any_part(name in "[a-z?*.]{1,12}", cut in 0_usize..12) {
            prop_assert!(pattern(&name).matches(&name));
            let around = format!("*{}*", &name[cut.min(name.len())..]);
            prop_assert!(pattern(&around).matches(&name));
        }
    }
}
