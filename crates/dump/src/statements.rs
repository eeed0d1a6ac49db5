//! Statements that make, drop and exchange whole databases. Pure.
//!
//! What must stay true: a name is data. It is quoted here, in the way of the server, and nowhere else.

use shared::models::DatabaseType;

use crate::sqlserver::text as sqlserver_text;

/// Quotes a name in the way of a server; a NUL cannot be in one, since targets are checked.
pub(crate) fn quoted(kind: DatabaseType, name: &str) -> String {
    match kind {
        DatabaseType::Mysql => format!("`{}`", name.replace('`', "``")),
        DatabaseType::Postgresql => format!("\"{}\"", name.replace('"', "\"\"")),
        DatabaseType::Sqlserver | DatabaseType::AzureSql => format!("[{}]", name.replace(']', "]]")),
    }
}

/// Quotes a text for a statement to PostgreSQL, in the form that no setting changes the meaning of.
pub(crate) fn text(text: &str) -> String {
    format!("convert_from(decode('{}', 'hex'), 'UTF8')", hex(text))
}

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// How the texts of a database are stored and compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Texts {
    /// The character set.
    pub charset: String,
    /// How texts are sorted.
    pub collation: String,
    /// How letters are told apart; PostgreSQL only.
    pub ctype: String,
}

impl Texts {
    /// Reads the answer to [`texts_query`]; names of other characters than are usual are not taken over.
    pub(crate) fn read(answer: &str) -> Option<Self> {
        let mut words = answer.trim_end_matches('\n').split(['\t', '|']);
        let mut word = || words.next().filter(|word| word.chars().all(is_usual)).map(str::to_owned);
        let (charset, collation) = (word()?, word()?);
        let ctype = word().unwrap_or_default();
        (!charset.is_empty()).then_some(Self { charset, collation, ctype })
    }
}

fn is_usual(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.' | '@')
}

/// Asks how the texts of a database are stored and compared.
pub(crate) fn texts_query(kind: DatabaseType, name: &str) -> String {
    match kind {
        DatabaseType::Mysql => format!(
            "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA \
             WHERE SCHEMA_NAME = CONVERT(0x{} USING utf8mb4)",
            hex(name)
        ),
        // Marked as an answer of ours; there is no character set, which is written as one of the same name.
        DatabaseType::Sqlserver | DatabaseType::AzureSql => {
            let collation =
                format!("CONVERT(varchar(128), DATABASEPROPERTYEX({}, 'Collation'))", sqlserver_text(name));
            format!("SELECT '~T|utf16|' + {collation}")
        }
        DatabaseType::Postgresql => format!(
            "SELECT pg_encoding_to_char(encoding), datcollate, datctype FROM pg_database WHERE datname = {}",
            text(name)
        ),
    }
}

/// Writes the statement that makes an empty database, like another one if that is known.
pub(crate) fn create(kind: DatabaseType, name: &str, like: Option<&Texts>) -> String {
    let name = quoted(kind, name);
    match (kind, like) {
        (DatabaseType::Mysql, None) => format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"),
        (DatabaseType::Mysql, Some(texts)) => {
            format!("CREATE DATABASE {name} CHARACTER SET {} COLLATE {}", texts.charset, texts.collation)
        }
        (DatabaseType::Sqlserver | DatabaseType::AzureSql, None) => format!("CREATE DATABASE {name}"),
        (DatabaseType::Sqlserver | DatabaseType::AzureSql, Some(texts)) => {
            format!("CREATE DATABASE {name} COLLATE {}", texts.collation)
        }
        (DatabaseType::Postgresql, None) => format!("CREATE DATABASE {name} TEMPLATE template0"),
        (DatabaseType::Postgresql, Some(Texts { charset, collation, ctype })) => format!(
            "CREATE DATABASE {name} TEMPLATE template0 ENCODING '{charset}' LC_COLLATE '{collation}' LC_CTYPE '{ctype}'"
        ),
    }
}

/// Writes the statement that makes the database of a session of MySQL or MariaDB store texts like another.
pub(crate) fn alter_texts(texts: &Texts) -> String {
    format!("ALTER DATABASE CHARACTER SET {} COLLATE {};\n", texts.charset, texts.collation)
}

/// Writes the statement that drops a database.
pub(crate) fn drop(kind: DatabaseType, name: &str) -> String {
    format!("DROP DATABASE {}", quoted(kind, name))
}

/// Writes the statement that ends all other sessions in a database of PostgreSQL.
pub(crate) fn disconnect(name: &str) -> String {
    format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = {} \
         AND pid <> pg_backend_pid()",
        text(name)
    )
}

/// Asks for the sessions in a database of MySQL or MariaDB, which may tell names apart by the case of letters.
pub(crate) fn sessions_query(name: &str) -> String {
    format!(
        "SELECT ID FROM information_schema.PROCESSLIST WHERE CAST(DB AS BINARY) = 0x{} AND ID <> CONNECTION_ID()",
        hex(name)
    )
}

/// Writes the statement that gives a database another name; MySQL has none.
pub(crate) fn rename(kind: DatabaseType, name: &str, to: &str) -> Option<String> {
    let (name, to) = (quoted(kind, name), quoted(kind, to));
    match kind {
        DatabaseType::Mysql => None,
        DatabaseType::Postgresql => Some(format!("ALTER DATABASE {name} RENAME TO {to}")),
        DatabaseType::Sqlserver | DatabaseType::AzureSql => {
            Some(format!("ALTER DATABASE {name} MODIFY NAME = {to}"))
        }
    }
}

/// Writes the statement that lets only one session at a time into a database of SQL Server, and ends all
/// others, or the one that lets everybody in again.
pub(crate) fn single_user(name: &str, single: bool) -> String {
    let name = quoted(DatabaseType::Sqlserver, name);
    let mode = if single { "SINGLE_USER WITH ROLLBACK IMMEDIATE" } else { "MULTI_USER" };
    format!("ALTER DATABASE {name} SET {mode}")
}

/// Writes the statements that exchange one database of PostgreSQL for another, all at once.
///
/// Who is connected to the old one is disconnected first: a database in use cannot be renamed.
pub(crate) fn exchange(name: &str, loaded: &str, aside: &str) -> String {
    let quoted = |name| quoted(DatabaseType::Postgresql, name);
    format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname IN ({}, {}) \
         AND pid <> pg_backend_pid(); \
         ALTER DATABASE {} RENAME TO {}; ALTER DATABASE {} RENAME TO {}",
        text(name),
        text(loaded),
        quoted(name),
        quoted(aside),
        quoted(loaded),
        quoted(name),
    )
}

/// What a MySQL or MariaDB database holds besides tables: it does not move with them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Tables and sequences.
    pub tables: Vec<String>,
    /// Views.
    pub views: Vec<String>,
    /// Triggers.
    pub triggers: Vec<String>,
    /// Procedures.
    pub procedures: Vec<String>,
    /// Functions.
    pub functions: Vec<String>,
    /// Packages of MariaDB's Oracle mode.
    pub packages: Vec<String>,
    /// Events.
    pub events: Vec<String>,
}

/// Asks for all that is in a MySQL or MariaDB database: a letter for its kind, and its name in hexadecimal.
pub(crate) const CONTENTS_QUERY: &str = "SELECT CASE TABLE_TYPE WHEN 'VIEW' THEN 'v' ELSE 't' END, \
        HEX(CONVERT(TABLE_NAME USING utf8mb4)) FROM information_schema.TABLES \
        WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE NOT LIKE 'SYSTEM VIEW' \
    UNION ALL SELECT 'g', HEX(CONVERT(TRIGGER_NAME USING utf8mb4)) FROM information_schema.TRIGGERS \
        WHERE TRIGGER_SCHEMA = DATABASE() \
    UNION ALL SELECT CASE ROUTINE_TYPE WHEN 'PROCEDURE' THEN 'p' WHEN 'FUNCTION' THEN 'f' ELSE 'k' END, \
        HEX(CONVERT(ROUTINE_NAME USING utf8mb4)) FROM information_schema.ROUTINES \
        WHERE ROUTINE_SCHEMA = DATABASE() AND ROUTINE_TYPE <> 'PACKAGE BODY' \
    UNION ALL SELECT 'e', HEX(CONVERT(EVENT_NAME USING utf8mb4)) FROM information_schema.EVENTS \
        WHERE EVENT_SCHEMA = DATABASE()";

impl Contents {
    /// Reads the answer to the query; `None` when a line is not understood.
    pub(crate) fn read(answer: &str, name: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let mut contents = Self::default();
        for line in answer.lines() {
            let (kind, hex) = line.split_once('\t')?;
            let list = match kind {
                "t" => &mut contents.tables,
                "v" => &mut contents.views,
                "g" => &mut contents.triggers,
                "p" => &mut contents.procedures,
                "f" => &mut contents.functions,
                "k" => &mut contents.packages,
                "e" => &mut contents.events,
                _ => return None,
            };
            list.push(name(hex)?);
        }
        Some(contents)
    }

    /// Writes the statements that drop everything but tables.
    pub(crate) fn drop_code(&self) -> String {
        let of = |kind: &str, names: &[String]| -> String {
            let drop = |name: &String| format!("DROP {kind} {};\n", quoted(DatabaseType::Mysql, name));
            names.iter().map(drop).collect::<Vec<_>>().concat()
        };
        [
            of("TRIGGER", &self.triggers),
            of("EVENT", &self.events),
            of("VIEW", &self.views),
            of("PROCEDURE", &self.procedures),
            of("FUNCTION", &self.functions),
            of("PACKAGE", &self.packages),
        ]
        .concat()
    }
}

/// Writes the one statement that moves tables between databases of MySQL or MariaDB, all or none of them.
pub(crate) fn move_tables(moves: &[(&str, &[String], &str)]) -> Option<String> {
    let quoted = |name: &str| quoted(DatabaseType::Mysql, name);
    let parts: Vec<String> = moves
        .iter()
        .flat_map(|(from, tables, to)| {
            tables.iter().map(move |table| {
                let table = quoted(table);
                format!("{}.{table} TO {}.{table}", quoted(from), quoted(to))
            })
        })
        .collect();
    (!parts.is_empty()).then(|| format!("RENAME TABLE {};\n", parts.join(", ")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn statements_look_as_expected() {
        use DatabaseType::{Mysql, Postgresql};
        insta::assert_snapshot!(
            [
                create(Mysql, "a`b", None),
                create(Postgresql, "a\"b; --", None),
                drop(Postgresql, "x"),
                exchange("shop", "new", "old"),
                move_tables(&[("shop", &["t".to_owned()], "old"), ("new", &["t".to_owned()], "shop")])
                    .unwrap_or_default(),
            ]
            .join("\n"),
            @r#"
        CREATE DATABASE `a``b` CHARACTER SET utf8mb4
        CREATE DATABASE "a""b; --" TEMPLATE template0
        DROP DATABASE "x"
        SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname IN (convert_from(decode('73686f70', 'hex'), 'UTF8'), convert_from(decode('6e6577', 'hex'), 'UTF8')) AND pid <> pg_backend_pid(); ALTER DATABASE "shop" RENAME TO "old"; ALTER DATABASE "new" RENAME TO "shop"
        RENAME TABLE `shop`.`t` TO `old`.`t`, `new`.`t` TO `shop`.`t`;
        "#
        );
    }

    #[test]
    fn only_usual_names_of_character_sets_are_taken_over() {
        let texts = Texts::read("utf8mb4\tutf8mb4_general_ci\n");
        assert_eq!(texts.as_ref().map(|texts| texts.charset.as_str()), Some("utf8mb4"));
        let texts = Texts::read("UTF8|C.UTF-8|en_US.UTF-8\n");
        assert_eq!(texts.map(|texts| texts.ctype), Some("en_US.UTF-8".to_owned()));
        for answer in ["", "\n", "UTF8'; DROP|C|C", "utf8"] {
            assert_eq!(Texts::read(answer), None, "{answer:?}");
        }
    }

    proptest! {
        #[test]
        fn a_quoted_name_ends_where_it_should(name in "[a-z`\"'\\\\; -]{0,20}") {
            for (kind, quote) in [(DatabaseType::Mysql, '`'), (DatabaseType::Postgresql, '"')] {
                let text = quoted(kind, &name);
                let inner = &text[1..text.len() - 1];
                prop_assert!(text.starts_with(quote) && text.ends_with(quote));
                prop_assert_eq!(inner.replace(&format!("{quote}{quote}"), &quote.to_string()), name.clone());
                prop_assert_eq!(inner.matches(quote).count() % 2, 0);
            }
        }
    }
}
