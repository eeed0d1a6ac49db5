//! Tells whether a database holds anything, before something is loaded into it.
//!
//! The question is answered by the dump program itself: a database is empty when a dump of it has nothing
//! but settings and comments. So nothing that a backup would hold can be overlooked. Of a database that is
//! not empty only the first statements are read.

use std::time::Duration;

use dump::{DumpError, Limits, Target, Tools};
use futures::TryStreamExt as _;
use shared::models::{DatabaseType, DumpOptions};

/// The longest line that is collected to be judged, in bytes; a setting is shorter.
const LONGEST: usize = 4096;

/// How long the dump program may take; it waits for locks of others, if there are any.
const LIMIT: Duration = Duration::from_mins(5);

/// What `pg_dump` of earlier versions says of the schema that every database begins with.
const PUBLIC_SCHEMA: [&str; 3] = [
    "DROP SCHEMA IF EXISTS public;",
    "CREATE SCHEMA public;",
    "COMMENT ON SCHEMA public IS 'standard public schema';",
];

/// Tells whether the database holds nothing.
pub(super) async fn is_empty(tools: &Tools, target: &Target) -> Result<bool, DumpError> {
    let limits = Limits { stall: LIMIT, deadline: LIMIT, ..Limits::default() };
    // Every database has users; they are nothing that a backup would have to be kept from.
    let options = DumpOptions { leave_out_permissions: true, ..DumpOptions::default() };
    let mut dump = dump::dump_with(tools, target, &options, &limits).await?;
    let mut lines = Lines { kind: target.kind, held: Vec::new() };
    while let Some(piece) = dump.try_next().await? {
        if lines.hold_something(&piece) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A dump, cut into lines.
struct Lines {
    kind: DatabaseType,
    held: Vec<u8>,
}

impl Lines {
    /// Takes the next piece of the dump, and tells whether a line that has ended in it is a statement.
    fn hold_something(&mut self, piece: &[u8]) -> bool {
        for part in piece.split_inclusive(|&byte| byte == b'\n') {
            self.held.extend_from_slice(part);
            let is_whole = part.ends_with(b"\n");
            if !is_whole && self.held.len() <= LONGEST {
                continue;
            }
            let means_nothing = is_whole && means_nothing(self.kind, &String::from_utf8_lossy(&self.held));
            if !means_nothing {
                return true;
            }
            self.held.clear();
        }
        false
    }
}

/// Tells whether a line creates nothing: a comment, or a setting of the session that loads the dump.
fn means_nothing(kind: DatabaseType, line: &str) -> bool {
    let line = line.trim();
    if line.is_empty() || line.starts_with("--") || line.starts_with("SET ") {
        return true;
    }
    match kind {
        DatabaseType::Mysql => means_nothing_to_mysql(line),
        DatabaseType::Postgresql => {
            line.starts_with("SELECT pg_catalog.set_config(")
                || line.starts_with("\\restrict ")
                || line.starts_with("\\unrestrict ")
                || PUBLIC_SCHEMA.contains(&line)
        }
        DatabaseType::Sqlserver | DatabaseType::AzureSql => line == "GO",
    }
}

/// Looks into a comment of MySQL or MariaDB that servers from a certain version on carry out.
fn means_nothing_to_mysql(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("/*!").or_else(|| line.strip_prefix("/*M!")) else { return false };
    let statement = rest.trim_start_matches(|character: char| character.is_ascii_digit());
    statement.starts_with(" SET ") || statement.starts_with("\\-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_empty(kind: DatabaseType, dump: &str, cut: usize) -> bool {
        let mut lines = Lines { kind, held: Vec::new() };
        !dump.as_bytes().chunks(cut).any(|piece| lines.hold_something(piece))
    }

    const MARIADB: &str = "/*M!999999\\- enable the sandbox mode */ \n\
        -- MariaDB dump 10.19  Distrib 10.11.14-MariaDB, for debian-linux-gnu (x86_64)\n\n\
        /*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;\n\
        /*!40101 SET NAMES utf8mb4 */;\n\
        /*M!100616 SET @OLD_NOTE_VERBOSITY=@@NOTE_VERBOSITY, NOTE_VERBOSITY=0 */;\n\n\
        --\n-- Dumping events for database 'x'\n--\n\n\
        -- Dump completed on 2025-12-05 10:00:00\n";

    const POSTGRESQL: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n\
        SET statement_timeout = 0;\nSELECT pg_catalog.set_config('search_path', '', false);\n\n\
        DROP SCHEMA IF EXISTS public;\nCREATE SCHEMA public;\n\n\
        COMMENT ON SCHEMA public IS 'standard public schema';\n\n\
        --\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc\n\n";

    #[test]
    fn settings_and_comments_are_nothing_however_they_are_cut() {
        for cut in [1, 7, 64, 100_000] {
            assert!(is_empty(DatabaseType::Mysql, MARIADB, cut), "{cut}");
            assert!(is_empty(DatabaseType::Postgresql, POSTGRESQL, cut), "{cut}");
        }
    }

    #[test]
    fn anything_else_is_something() {
        for (kind, head, statement) in [
            (DatabaseType::Mysql, MARIADB, "CREATE TABLE `x` (\n"),
            (DatabaseType::Mysql, MARIADB, "/*!50001 CREATE VIEW `x` AS SELECT 1 */;\n"),
            (
                DatabaseType::Mysql,
                MARIADB,
                "/*!50003 CREATE*/ /*!50020 DEFINER=`x`*/ /*!50003 FUNCTION y() */;;\n",
            ),
            (DatabaseType::Mysql, MARIADB, "DELIMITER ;;\n"),
            (DatabaseType::Postgresql, POSTGRESQL, "CREATE SCHEMA \"public;\";\n"),
            (DatabaseType::Postgresql, POSTGRESQL, "CREATE EXTENSION IF NOT EXISTS x;\n"),
            (DatabaseType::Postgresql, POSTGRESQL, "SELECT pg_catalog.lo_create('1');\n"),
        ] {
            for cut in [1, 7, 100_000] {
                assert!(!is_empty(kind, &format!("{head}{statement}"), cut), "{statement}");
            }
        }
    }

    #[test]
    fn a_line_without_an_end_is_not_collected() {
        let long = format!("-- {}", "x".repeat(2 * LONGEST));
        assert!(!is_empty(DatabaseType::Mysql, &long, 100));
    }
}
