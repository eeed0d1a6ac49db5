//! The client programs: which are there, and what their absence means.

use dump::Installed;
use serde::Serialize;

use super::Finding;

/// The programs that are needed for each kind of server, and the package that brings them.
const NEEDED: [(&str, [&str; 2], &str); 2] = [
    (
        "client programs for MySQL and MariaDB",
        ["mysql", "mysqldump"],
        "install mariadb-client, or MySQL's own client programs for MySQL 8",
    ),
    (
        "client programs for PostgreSQL",
        ["psql", "pg_dump"],
        "install postgresql-client, of the newest version among your servers",
    ),
];

/// A client program, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Program {
    tool: String,
    version: String,
    path: String,
}

impl Program {
    /// Returns the row of the table.
    pub(super) fn row(&self) -> [String; 3] {
        [self.tool.clone(), self.version.clone(), self.path.clone()]
    }
}

impl From<&Installed> for Program {
    fn from(installed: &Installed) -> Self {
        Self {
            tool: installed.tool.to_owned(),
            version: installed.version.clone(),
            path: installed.program.display().to_string(),
        }
    }
}

/// Says for each kind of server whether its programs are there. Those of SQL Server are needed by few, so
/// their absence is no fault.
pub(super) fn findings(installed: &[Installed]) -> Vec<Finding> {
    let has = |tool: &str| installed.iter().any(|one| one.tool == tool);
    let mut findings = Vec::new();
    for (kind, needed, mend) in NEEDED {
        let missing: Vec<&str> = needed.into_iter().filter(|tool| !has(tool)).collect();
        findings.push(if missing.is_empty() {
            Finding::ok(kind, needed.join(", "))
        } else {
            Finding::fail(kind, format!("missing: {}", missing.join(", ")), mend)
        });
    }
    let kind = "client program for SQL Server and Azure SQL";
    findings.push(if has("sqlcmd") {
        Finding::ok(kind, "sqlcmd")
    } else {
        Finding::warn(kind, "sqlcmd is missing", "install sqlcmd if there are such servers; others need none")
    });
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Health;
    use super::*;

    fn installed(tools: &[&'static str]) -> Vec<Installed> {
        let one = |tool: &&'static str| Installed {
            tool,
            version: "15.18".to_owned(),
            program: format!("/usr/bin/{tool}").into(),
        };
        tools.iter().map(one).collect()
    }

    #[test]
    fn what_is_missing_is_said_for_each_kind_of_server() {
        let states = |tools: &[&'static str]| {
            findings(&installed(tools)).iter().map(|finding| finding.status).collect::<Vec<_>>()
        };
        assert_eq!(states(&["psql", "pg_dump", "mysql"]), [Health::Fail, Health::Ok, Health::Warn]);
        let all = ["mysql", "mysqldump", "psql", "pg_dump", "sqlcmd"];
        assert_eq!(states(&all), [Health::Ok; 3]);
        assert_eq!(findings(&installed(&["mysql"]))[0].found, "missing: mysqldump");
    }
}
