//! `dilux doctor`: what this machine has for backing up and restoring.

use std::process::ExitCode;

use dump::{Installed, Tools};

use crate::ending::print;
use crate::text::table;

/// The command line of `dilux doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {}

/// The programs that are needed for each kind of server.
const NEEDED: [(&str, [&str; 2]); 2] =
    [("MySQL and MariaDB", ["mysql", "mysqldump"]), ("PostgreSQL", ["psql", "pg_dump"])];

/// Lists the client programs, and says what is missing for which kind of server.
pub(crate) async fn run(_: Options) -> std::io::Result<ExitCode> {
    let tools = Tools::standard().with_launcher(std::env::current_exe()?);
    let (text, is_complete) = report(&tools.installed().await);
    print(&text)?;
    Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Writes the report, and tells whether nothing is missing.
fn report(installed: &[Installed]) -> (String, bool) {
    let mut rows = vec![["TOOL", "VERSION", "PROGRAM"].map(str::to_owned)];
    rows.extend(
        installed
            .iter()
            .map(|one| [one.tool.to_owned(), one.version.clone(), one.program.display().to_string()]),
    );
    let mut lines = vec![table(&rows)];
    let mut is_complete = true;
    for (kind, needed) in NEEDED {
        let missing: Vec<&str> =
            needed.into_iter().filter(|tool| !installed.iter().any(|one| one.tool == *tool)).collect();
        if !missing.is_empty() {
            is_complete = false;
            lines.push(format!("missing for {kind}: {}\n", missing.join(", ")));
        }
    }
    (lines.concat(), is_complete)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_for_each_kind_of_server() {
        let one = |tool: &'static str| Installed {
            tool,
            version: "15.18".to_owned(),
            program: format!("/usr/bin/{tool}").into(),
        };
        insta::assert_snapshot!(report(&[one("psql"), one("pg_dump"), one("mysql")]).0, @"
        TOOL     VERSION  PROGRAM
        psql     15.18    /usr/bin/psql
        pg_dump  15.18    /usr/bin/pg_dump
        mysql    15.18    /usr/bin/mysql
        missing for MySQL and MariaDB: mysqldump
        ");
        assert!(!report(&[one("psql")]).1);
        assert!(report(&["mysql", "mysqldump", "psql", "pg_dump"].map(one)).1);
    }
}
