//! What the user of a backup may see of a MySQL or MariaDB database. Pure.
//!
//! To a user without the right to see them, the server lists no triggers, routines or tables, and says
//! nothing: `mysqldump` writes a dump without them and succeeds. So the rights are looked at beforehand. An
//! answer that is not understood tells of nothing.

use crate::remarks::Remarks;
use crate::version::{Flavour, Version};

/// Asks what the user may, with the roles that count for it.
pub(crate) const GRANTS_QUERY: &str = "SHOW GRANTS";

/// The rights of which one is enough for the server to list all routines.
const LISTING_ROUTINES: [&str; 5] =
    ["EXECUTE", "ALTER ROUTINE", "CREATE ROUTINE", "SHOW CREATE ROUTINE", "SHOW_ROUTINE"];

/// What may be done with all of a database's tables or routines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rights {
    tables: bool,
    triggers: bool,
    routines: bool,
}

impl Rights {
    /// Reads the answer to the query, for one database; `None` when no grant is in it.
    pub(crate) fn read(answer: &str, database: &str, server: &Version) -> Option<Self> {
        let grants: Vec<Grant> = answer.lines().filter_map(|line| Grant::read(&unescaped(line))).collect();
        if grants.is_empty() {
            return None;
        }
        let may = |right: &str| grants.iter().any(|grant| grant.covers(database) && grant.gives(right));
        // Where routines are rows of a table, whoever reads that sees all of them.
        let is_mysql_8 = server.flavour == Flavour::Mysql && server.is_at_least(8, 0, 0);
        let reads_routines = |grant: &Grant| {
            let covers = if is_mysql_8 { grant.is_global() } else { grant.covers_table("mysql", "proc") };
            covers && grant.gives("SELECT")
        };
        Some(Self {
            tables: may("SELECT"),
            triggers: may("TRIGGER"),
            routines: LISTING_ROUTINES.iter().any(|right| may(right)) || grants.iter().any(reads_routines),
        })
    }

    /// Notes what the dump may lack, and how to mend that.
    pub(crate) fn remark(self, database: &str, server: &Version, remarks: &Remarks) {
        let of_database = format!("`{}`.*", database.replace('`', "``"));
        let missing = |what: &str, right: &str, grant: &str| {
            remarks.warn(format!(
                "{what} may be missing, since the server shows none to a user without {right}: GRANT {grant} TO \
                 the user of the backup"
            ));
        };
        if !self.tables {
            let grant = format!("SELECT, SHOW VIEW ON {of_database}");
            missing("tables and views", "a right on them", &grant);
        }
        if !self.triggers {
            missing("triggers", "the right TRIGGER", &format!("TRIGGER ON {of_database}"));
        }
        if !self.routines {
            let grant = match server.flavour {
                Flavour::Mysql if server.is_at_least(8, 0, 20) => "SHOW_ROUTINE ON *.*".to_owned(),
                Flavour::Mysql if server.is_at_least(8, 0, 0) => "SELECT ON *.*".to_owned(),
                Flavour::Mariadb if server.is_at_least(11, 3, 0) => {
                    format!("SHOW CREATE ROUTINE ON {of_database}")
                }
                Flavour::Mysql
                | Flavour::Mariadb
                | Flavour::Postgresql
                | Flavour::OdbcSqlcmd
                | Flavour::GoSqlcmd
                | Flavour::Unknown => "SELECT ON `mysql`.`proc`".to_owned(),
            };
            missing("procedures and functions", "a right on all of them", &grant);
        }
    }
}

/// One line of an answer: rights, and what they are on.
#[derive(Debug, PartialEq, Eq)]
struct Grant {
    /// In capitals; those on single columns are left out.
    rights: Vec<String>,
    /// The database, which may be a pattern; all of them if there is none.
    database: Option<String>,
    /// The table; all of them if there is none.
    table: Option<String>,
}

impl Grant {
    /// Reads a line; `None` for one that grants a role, or rights on a routine or on a user.
    fn read(line: &str) -> Option<Self> {
        let (rights, rest) = line.strip_prefix("GRANT ")?.split_once(" ON ")?;
        let (database, rest) = object(rest)?;
        let (table, rest) = object(rest.strip_prefix('.')?)?;
        rest.strip_prefix(" TO ")?;
        // What stands between parentheses are columns, with commas of their own.
        let mut all = Vec::new();
        let mut depth = 0_u32;
        for part in rights.split(',') {
            let has_columns = depth > 0 || part.contains('(');
            depth = depth.saturating_add(part.matches('(').count().try_into().unwrap_or(0));
            depth = depth.saturating_sub(part.matches(')').count().try_into().unwrap_or(0));
            if !has_columns {
                all.push(part.trim().to_ascii_uppercase());
            }
        }
        Some(Self { rights: all, database, table })
    }

    fn is_global(&self) -> bool {
        self.database.is_none()
    }

    /// Tells whether it is about all of a database.
    fn covers(&self, database: &str) -> bool {
        self.table.is_none() && self.covers_database(database)
    }

    fn covers_table(&self, database: &str, table: &str) -> bool {
        self.covers(database)
            || self.table.as_deref() == Some(table) && self.database.as_deref() == Some(database)
    }

    fn covers_database(&self, database: &str) -> bool {
        self.database.as_ref().is_none_or(|pattern| is_like(pattern, database))
    }

    fn gives(&self, right: &str) -> bool {
        self.rights.iter().any(|given| given == right || given == "ALL PRIVILEGES" || given == "ALL")
    }
}

/// Reads `*`, or a name between quotes, and returns what follows.
fn object(text: &str) -> Option<(Option<String>, &str)> {
    if let Some(rest) = text.strip_prefix('*') {
        return Some((None, rest));
    }
    let quote = text.chars().next().filter(|quote| matches!(quote, '`' | '"'))?;
    let mut name = String::new();
    let mut rest = &text[1..];
    loop {
        let (part, after) = rest.split_once(quote)?;
        name.push_str(part);
        match after.strip_prefix(quote) {
            Some(more) => {
                name.push(quote);
                rest = more;
            }
            None => return Some((Some(name), after)),
        }
    }
}

/// Takes back what the client does to the characters that would break its lines.
fn unescaped(line: &str) -> String {
    let mut text = String::new();
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('0') => text.push('\0'),
                Some(other) => text.push(other),
                None => text.push('\\'),
            },
            other => text.push(other),
        }
    }
    text
}

/// Tells whether a name is like a pattern, in which `%` are any characters, `_` is any one, and a backslash
/// takes that from the next. Capital letters are the same as small ones: some servers keep names as these.
fn is_like(pattern: &str, name: &str) -> bool {
    let mut parts = Vec::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        parts.push(match character {
            '%' => Part::Any,
            '_' => Part::One,
            '\\' => Part::This(characters.next().unwrap_or('\\')),
            other => Part::This(other),
        });
    }
    // For each beginning of the name, whether the parts so far are like it.
    let name: Vec<char> = name.chars().collect();
    let mut fits = vec![false; name.len() + 1];
    fits[0] = true;
    for part in parts {
        let mut next = vec![false; name.len() + 1];
        if part == Part::Any {
            let mut any = false;
            for (after, before) in next.iter_mut().zip(&fits) {
                any |= before;
                *after = any;
            }
        } else {
            for (at, character) in name.iter().enumerate() {
                let is_this = match part {
                    Part::This(this) => this.to_lowercase().eq(character.to_lowercase()),
                    Part::One | Part::Any => true,
                };
                next[at + 1] = fits[at] && is_this;
            }
        }
        fits = next;
    }
    fits[name.len()]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Any,
    One,
    This(char),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MARIADB: &str = "10.11.19-MariaDB";

    fn read(answer: &str, database: &str, server: &str) -> Option<(bool, bool, bool)> {
        Rights::read(answer, database, &Version::of_mysql_server(server))
            .map(|Rights { tables, triggers, routines }| (tables, triggers, routines))
    }

    #[test]
    fn rights_are_read_from_the_words_of_both_makers() {
        const ALL: Option<(bool, bool, bool)> = Some((true, true, true));
        let usage = "GRANT USAGE ON *.* TO `b`@`%` IDENTIFIED BY PASSWORD '*00'\n";
        for (answer, server, expected) in [
            (
                "GRANT ALL PRIVILEGES ON *.* TO `b`@`%` IDENTIFIED BY PASSWORD '*00' WITH GRANT OPTION\n",
                MARIADB,
                ALL,
            ),
            ("GRANT ALL PRIVILEGES ON `shop`.* TO `b`@`%`\n", MARIADB, ALL),
            ("GRANT SELECT, TRIGGER, SHOW VIEW ON *.* TO `b`@`%`\n", MARIADB, ALL),
            ("GRANT SELECT, TRIGGER, SHOW VIEW ON *.* TO `b`@`%`\n", "8.0.36", ALL),
            (
                "GRANT SELECT, TRIGGER ON `sh%`.* TO `b`@`%`\nGRANT SELECT ON `mysql`.`proc` TO `b`@`%`\n",
                MARIADB,
                ALL,
            ),
            (
                "GRANT SELECT, TRIGGER ON `shop`.* TO `b`@`%`\nGRANT SELECT ON `mysql`.`proc` TO `b`@`%`\n",
                "8.0.36",
                Some((true, true, false)),
            ),
            (
                "GRANT SELECT, TRIGGER ON `shop`.* TO `b`@`%`\nGRANT SHOW_ROUTINE ON *.* TO `b`@`%`\n",
                "8.0.36",
                ALL,
            ),
            ("GRANT SELECT, EXECUTE ON `shop`.* TO `b`@`%`\n", MARIADB, Some((true, false, true))),
            (usage, MARIADB, Some((false, false, false))),
            (
                "GRANT SELECT, INSERT (`TRIGGER, EXECUTE, x`, a) ON `shop`.`t` TO `b`@`%`\nGRANT TRIGGER ON `shop`.`t` TO `b`@`%`\nGRANT EXECUTE ON PROCEDURE `shop`.`p` TO `b`@`%`\n",
                MARIADB,
                Some((false, false, false)),
            ),
            (
                "GRANT ALL PRIVILEGES ON `shop2`.* TO `b`@`%`\nGRANT PROXY ON ''@'%' TO 'b'@'%' WITH GRANT OPTION\n",
                MARIADB,
                Some((false, false, false)),
            ),
            // What comes with a role that counts is listed as well.
            (
                "GRANT `reader` TO `b`@`%`\nGRANT USAGE ON *.* TO `b`@`%`\nGRANT SELECT, TRIGGER, EXECUTE ON `shop`.* TO `reader`\n",
                MARIADB,
                ALL,
            ),
            ("", MARIADB, None),
            ("nonsense\nGRANT x\nGRANT x ON y\n", MARIADB, None),
        ] {
            assert_eq!(read(answer, "shop", server), expected, "{answer}");
        }
        let odd = "GRANT ALL PRIVILEGES ON `a\\\\_b``c\\nd`.* TO `b`@`%`\n";
        assert_eq!(read(odd, "a_b`c\nd", MARIADB), ALL);
        assert_eq!(read(odd, "axb`c\nd", MARIADB), Some((false, false, false)));
    }

    #[test]
    fn what_may_be_missing_is_named_with_the_grant_that_mends_it() {
        let said = |server: &str| {
            let remarks = Remarks::default();
            let version = Version::of_mysql_server(server);
            Rights { tables: false, triggers: false, routines: false }.remark("sh`op", &version, &remarks);
            remarks.warnings().as_slice().join("\n")
        };
        insta::assert_snapshot!(said(MARIADB), @r"
        tables and views may be missing, since the server shows none to a user without a right on them: GRANT SELECT, SHOW VIEW ON `sh``op`.* TO the user of the backup
        triggers may be missing, since the server shows none to a user without the right TRIGGER: GRANT TRIGGER ON `sh``op`.* TO the user of the backup
        procedures and functions may be missing, since the server shows none to a user without a right on all of them: GRANT SELECT ON `mysql`.`proc` TO the user of the backup
        ");
        assert!(said("11.4.5-MariaDB").contains("GRANT SHOW CREATE ROUTINE ON `sh``op`.* TO"));
        assert!(said("8.0.36").contains("GRANT SHOW_ROUTINE ON *.* TO"));
        let remarks = Remarks::default();
        let version = Version::of_mysql_server(MARIADB);
        Rights { tables: true, triggers: true, routines: true }.remark("shop", &version, &remarks);
        assert_eq!(remarks.warnings().as_slice().len(), 0);
    }

    proptest! {
        #[test]
        fn a_name_is_like_itself_and_the_pattern_of_everything(name in "[a-zA-Z_%\\\\ü`]{0,12}", other in "[a-z]{1,4}") {
            let escaped = name.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
            let longer = format!("{name}{other}");
            let (begins, ends) = (format!("{escaped}%"), format!("{escaped}%{other}"));
            let is_as_long = format!("{escaped}{}", "_".repeat(other.len()));
            prop_assert!(is_like(&escaped, &name) && is_like("%", &name) && is_like(&begins, &name));
            prop_assert!(!is_like(&escaped, &longer));
            prop_assert!(is_like(&ends, &longer) && is_like(&is_as_long, &longer));
        }

        #[test]
        fn no_answer_is_too_much(answer in any::<String>(), tail in "[`\"*., ONTGRAEC()\\\\]{0,40}") {
            let _ = read(&answer, "shop", MARIADB);
            let _ = read(&format!("GRANT SELECT ON {tail}"), "shop", MARIADB);
            let _ = read(&format!("GRANT {tail}"), "shop", MARIADB);
        }
    }
}
