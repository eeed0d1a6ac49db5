//! Versions of client programs and servers, and which program to take for which server. Pure.

use std::fmt;

/// Who made a client program or a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Flavour {
    /// Oracle's MySQL, and what is built from it.
    Mysql,
    /// MariaDB.
    Mariadb,
    /// PostgreSQL.
    Postgresql,
    /// Microsoft's `sqlcmd` on ODBC.
    OdbcSqlcmd,
    /// Microsoft's `sqlcmd` in Go.
    GoSqlcmd,
    /// A program that did not say, such as a wrapper script.
    Unknown,
}

/// A version as a program or a server states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    /// Who made it.
    pub flavour: Flavour,
    /// Major, minor and patch number; those that are not stated are 0.
    pub numbers: [u32; 3],
    /// The words that were read, for messages.
    pub text: String,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Version {
    /// Reads what a client program prints for `--version`.
    ///
    /// MySQL and MariaDB have printed two versions on one line for years, the program's own after
    /// `Ver` and the release's after `Distrib`; since 8.0 MySQL prints the release after `Ver`, and since
    /// 11 MariaDB prints it after `from`.
    pub(crate) fn of_program(line: &str) -> Self {
        let line = line.lines().next().unwrap_or_default().trim();
        let after = |word: &str| line.split_once(word).and_then(|(_, rest)| rest.split_whitespace().next());
        if line.contains("(PostgreSQL)") {
            return Self::new(Flavour::Postgresql, after("(PostgreSQL) ").unwrap_or_default());
        }
        let (flavour, release) = if line.contains("MariaDB") {
            (Flavour::Mariadb, after(" Distrib ").or_else(|| after(" from ")).or_else(|| after(" Ver ")))
        } else if line.starts_with("mysql") || line.contains("MySQL") {
            (Flavour::Mysql, after(" Distrib ").or_else(|| after(" Ver ")))
        } else {
            (Flavour::Unknown, None)
        };
        match release {
            Some(release) => Self::new(flavour, release.trim_end_matches(',')),
            None => {
                Self { flavour: Flavour::Unknown, numbers: [0; 3], text: "of unknown version".to_owned() }
            }
        }
    }

    /// Reads what the two programs called `sqlcmd` say about themselves, the older one when it is asked for
    /// help, the newer one when it is asked for its version. Only the older one names its operating system.
    pub(crate) fn of_sqlcmd(text: &str) -> Self {
        let version = text.lines().find_map(|line| {
            let (_, after) = line.split_once("Version")?;
            Some(after.trim_start_matches([':', ' ']).trim())
        });
        if version == Some("local-build") {
            // The newer one, built from its source without a word about which release that is.
            return Self { flavour: Flavour::GoSqlcmd, numbers: [0; 3], text: "local-build".to_owned() };
        }
        let Some(version) =
            version.filter(|version| version.starts_with(|c: char| c.is_ascii_digit() || c == 'v'))
        else {
            return Self {
                flavour: Flavour::Unknown,
                numbers: [0; 3],
                text: "of unknown version".to_owned(),
            };
        };
        let odbc = ["Linux", "macOS", "NT", "Windows"].iter().any(|system| version.contains(system));
        let flavour = if odbc { Flavour::OdbcSqlcmd } else { Flavour::GoSqlcmd };
        Self::new(flavour, version.trim_start_matches('v'))
    }

    /// Tells whether a `sqlcmd` of this version can be given a token of the directory.
    pub(crate) fn takes_tokens(&self) -> bool {
        match self.flavour {
            // Before, it took the word for it and left the token out.
            Flavour::GoSqlcmd => self.is_at_least(1, 11, 0),
            Flavour::OdbcSqlcmd => self.is_at_least(17, 8, 0),
            Flavour::Mysql | Flavour::Mariadb | Flavour::Postgresql | Flavour::Unknown => false,
        }
    }

    /// Reads what `SELECT VERSION()` of a MySQL or MariaDB server returns.
    pub(crate) fn of_mysql_server(text: &str) -> Self {
        let flavour = if text.contains("MariaDB") { Flavour::Mariadb } else { Flavour::Mysql };
        Self::new(flavour, text.lines().next().unwrap_or_default().trim())
    }

    /// Reads the setting `server_version` of a PostgreSQL server.
    pub(crate) fn of_postgresql_server(text: &str) -> Self {
        Self::new(Flavour::Postgresql, text.trim())
    }

    /// Returns the number that tells one series of PostgreSQL from the next.
    pub(crate) fn major(&self) -> u32 {
        self.numbers[0]
    }

    /// Tells whether this is at least the release given.
    pub(crate) fn is_at_least(&self, major: u32, minor: u32, patch: u32) -> bool {
        self.numbers >= [major, minor, patch]
    }

    /// Tells whether this `psql` has the restricted mode that its maintenance releases of August 2025
    /// brought (CVE-2025-8714).
    pub(crate) fn knows_restrict(&self) -> bool {
        let minor = self.numbers[1];
        match self.major() {
            13 => minor >= 22,
            14 => minor >= 19,
            15 => minor >= 14,
            16 => minor >= 10,
            17 => minor >= 6,
            major => major >= 18,
        }
    }

    fn new(flavour: Flavour, text: &str) -> Self {
        let mut numbers = [0; 3];
        let digits = text.split(|character: char| !(character.is_ascii_digit() || character == '.')).next();
        for (number, part) in numbers.iter_mut().zip(digits.unwrap_or_default().split('.')) {
            *number = part.parse().unwrap_or(0);
        }
        Self { flavour, numbers, text: text.to_owned() }
    }
}

/// Picks, from programs in the order in which they were found, the one that fits a MySQL or MariaDB
/// server: the first of the server's flavour (or of an unknown one, which somebody put there on purpose),
/// else the first of all.
pub(crate) fn pick_mysql(found: &[Version], server: Flavour) -> Option<usize> {
    found
        .iter()
        .position(|version| version.flavour == server || version.flavour == Flavour::Unknown)
        .or(if found.is_empty() { None } else { Some(0) })
}

/// Picks the `pg_dump` for a server: one of the server's major version or of an unknown one, else the
/// nearest newer. An older one would refuse, so that there is none to pick; a newer one works but may
/// write statements that the server itself cannot load again.
pub(crate) fn pick_pg_dump(found: &[Version], server: &Version) -> Option<usize> {
    ranked(found, server, |version| version.major() >= server.major())
}

/// Picks the `psql` for a server: like `pg_dump`, and the newest of the older ones when nothing else is
/// there, since it can talk to any server.
pub(crate) fn pick_psql(found: &[Version], server: &Version) -> Option<usize> {
    pick_pg_dump(found, server)
        .or_else(|| (0..found.len()).max_by_key(|index| (found[*index].numbers, usize::MAX - index)))
}

/// Returns the fitting version whose major is nearest to the server's, the first found among equals.
fn ranked(found: &[Version], server: &Version, fits: impl Fn(&Version) -> bool) -> Option<usize> {
    (0..found.len())
        .filter(|index| found[*index].flavour == Flavour::Unknown || fits(&found[*index]))
        .min_by_key(|index| match found[*index].flavour {
            Flavour::Unknown => (0, *index),
            Flavour::Mysql
            | Flavour::Mariadb
            | Flavour::Postgresql
            | Flavour::OdbcSqlcmd
            | Flavour::GoSqlcmd => (found[*index].major().abs_diff(server.major()), *index),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlcmd_built_from_its_source_is_the_newer_one() {
        let own = "sqlcmd: Install/Create/Query SQL Server, Azure SQL, and Tools\n\nVersion: local-build\n";
        let read = Version::of_sqlcmd(own);
        assert_eq!((read.flavour, read.takes_tokens()), (Flavour::GoSqlcmd, false));
        let read = Version::of_sqlcmd(&own.replace("local-build", "v1.10.0"));
        assert_eq!((read.flavour, read.numbers, read.takes_tokens()), (Flavour::GoSqlcmd, [1, 10, 0], false));
    }

    #[test]
    fn programs_of_both_flavours_and_all_times_are_told_apart() {
        let read = |line| {
            let version = Version::of_program(line);
            (version.flavour, version.numbers)
        };
        for (line, expected) in [
            (
                "mysqldump  Ver 10.19 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)",
                (Flavour::Mariadb, [10, 11, 19]),
            ),
            (
                "mariadb-dump from 11.4.5-MariaDB, client 10.19 for debian-linux-gnu (x86_64)",
                (Flavour::Mariadb, [11, 4, 5]),
            ),
            (
                "mysql  Ver 15.1 Distrib 10.5.29-MariaDB, for Linux (x86_64) using readline 5.1",
                (Flavour::Mariadb, [10, 5, 29]),
            ),
            (
                "mysqldump  Ver 8.0.36-0ubuntu0.22.04.1 for Linux on x86_64 ((Ubuntu))",
                (Flavour::Mysql, [8, 0, 36]),
            ),
            (
                "mysqldump  Ver 8.4.3 for Linux on x86_64 (MySQL Community Server - GPL)",
                (Flavour::Mysql, [8, 4, 3]),
            ),
            (
                "mysqldump  Ver 10.13 Distrib 5.7.44, for linux-glibc2.12 (x86_64)",
                (Flavour::Mysql, [5, 7, 44]),
            ),
            ("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", (Flavour::Postgresql, [15, 18, 0])),
            ("pg_dump (PostgreSQL) 9.6.24", (Flavour::Postgresql, [9, 6, 24])),
            ("psql (PostgreSQL) 18beta1", (Flavour::Postgresql, [18, 0, 0])),
            ("", (Flavour::Unknown, [0, 0, 0])),
            ("some wrapper", (Flavour::Unknown, [0, 0, 0])),
        ] {
            assert_eq!(read(line), expected, "{line}");
        }
    }

    #[test]
    fn servers_are_told_apart() {
        assert_eq!(Version::of_mysql_server("10.11.19-MariaDB-0+deb12u1\n").flavour, Flavour::Mariadb);
        assert_eq!(Version::of_mysql_server("8.0.36").flavour, Flavour::Mysql);
        assert_eq!(Version::of_postgresql_server("15.18 (Debian 15.18-0+deb12u1)").numbers, [15, 18, 0]);
    }

    #[test]
    fn restricted_mode_is_known_from_its_release_on() {
        for (text, known) in [
            ("13.21", false),
            ("13.22", true),
            ("15.13", false),
            ("15.14", true),
            ("17.5", false),
            ("17.6", true),
            ("18.0", true),
            ("12.22", false),
        ] {
            assert_eq!(Version::of_postgresql_server(text).knows_restrict(), known, "{text}");
        }
    }

    #[test]
    fn the_flavour_of_the_server_decides() {
        let mysql =
            Version::of_program("mysqldump  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)");
        let mariadb = Version::of_program("mysqldump  Ver 10.19 Distrib 10.11.19-MariaDB, for x (y)");
        let script = Version::of_program("");
        let found = [mysql.clone(), mariadb.clone()];
        assert_eq!(pick_mysql(&found, Flavour::Mariadb), Some(1));
        assert_eq!(pick_mysql(&found, Flavour::Mysql), Some(0));
        assert_eq!(pick_mysql(&found[1..], Flavour::Mysql), Some(0));
        assert_eq!(pick_mysql(&[script, mariadb], Flavour::Mariadb), Some(0));
        assert_eq!(pick_mysql(&[], Flavour::Mysql), None);
    }

    #[test]
    fn the_same_major_is_preferred_then_the_nearest_newer() {
        let pg = |text: &str| Version::of_postgresql_server(text);
        let found = [pg("17.2"), pg("13.1"), pg("15.4"), pg("16.0")];
        assert_eq!(pick_pg_dump(&found, &pg("15.18")), Some(2));
        assert_eq!(pick_pg_dump(&found, &pg("14.1")), Some(2));
        assert_eq!(pick_pg_dump(&found, &pg("16.9")), Some(3));
        assert_eq!(pick_pg_dump(&found, &pg("18.0")), None);
        assert_eq!(pick_psql(&found, &pg("18.0")), Some(0));
        assert_eq!(pick_pg_dump(&[pg("15.1"), pg("15.9")], &pg("15.18")), Some(0));
        assert_eq!(pick_psql(&[], &pg("15.0")), None);
    }
}
