//! Will this backup load on that server, and if not, why: found out before anything is written.

use shared::models::{Check, CheckResult, DatabaseType, RestoreMode};

use crate::error::DumpError;
use crate::mysql::NAMING_OTHERS;
use crate::origin::Origin;
use crate::server::{Server, discover, identify, name_from_hex, question};
use crate::sqlserver;
use crate::target::{Limits, Target};
use crate::tools::Tools;
use crate::version::Version;

/// What is to be loaded where.
#[derive(Debug, Clone)]
pub struct Plan<'a> {
    /// What the backup is of.
    pub backup: DatabaseType,
    /// Where it comes from.
    pub origin: &'a Origin,
    /// Where it is to go; with the name that the database will have.
    pub target: &'a Target,
    /// What becomes of a database that is there.
    pub mode: RestoreMode,
}

/// The extensions that a server of PostgreSQL could make.
const EXTENSIONS: &str = "SELECT name FROM pg_available_extensions";

/// Whether the user may make databases, and whether it may do everything.
const POSTGRESQL_RIGHTS: &str =
    "SELECT rolsuper OR rolcreatedb, rolsuper FROM pg_roles WHERE rolname = current_user";

/// The databases, and which of them the user owns.
const OWNED: &str = "SELECT encode(convert_to(datname::text, 'UTF8'), 'hex'), pg_has_role(datdba, 'MEMBER') \
    FROM pg_database";

/// The rights of the user on the whole server.
const MYSQL_RIGHTS: &str = "SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES \
    WHERE GRANTEE = CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''')";

/// Asks everything that can be known beforehand. When one of the answers is `fail`, the restore cannot work.
pub async fn preflight(tools: &Tools, plan: &Plan<'_>, limits: &Limits) -> Vec<Check> {
    let target = plan.target;
    if !plan.backup.fits(target.kind) {
        let message =
            format!("a backup of a {} database cannot be loaded into a {} server", plan.backup, target.kind);
        return vec![check("type", CheckResult::Fail, message)];
    }
    let both = if target.kind == plan.backup {
        format!("both are {}", target.kind)
    } else {
        format!("a backup of {} can be loaded into {}", plan.backup, target.kind)
    };
    let mut checks = vec![check("type", CheckResult::Ok, both)];
    if target.kind.is_system_database(&target.database) {
        let message =
            format!("\"{}\" is a database of the server's own; choose another name", target.database);
        checks.push(check("name", CheckResult::Fail, message));
        return checks;
    }
    let server = Target { database: String::new(), ..target.clone() };
    let found = match identify(tools, &server, limits).await {
        Ok(found) => found,
        Err(error) => {
            let name = if matches!(error, DumpError::ToolNotFound { .. }) { "client" } else { "connection" };
            checks.push(check(name, CheckResult::Fail, error.to_string()));
            return checks;
        }
    };
    checks.push(check("connection", CheckResult::Ok, format!("the server's version is {}", found.version)));
    checks.push(client(tools, plan, &found).await);
    checks.push(version(plan.origin, plan.backup, &found.version));
    checks.push(name(tools, plan, limits).await);
    match target.kind {
        DatabaseType::Postgresql => {
            checks.push(extensions(tools, plan, limits).await);
            checks.push(postgresql_rights(tools, plan, limits).await);
        }
        DatabaseType::Mysql => checks.push(mysql_rights(tools, target, limits).await),
        DatabaseType::Sqlserver | DatabaseType::AzureSql => {}
    }
    checks.push(size(plan.origin));
    checks
}

fn check(name: &'static str, result: CheckResult, message: impl Into<String>) -> Check {
    Check { name, result, message: message.into() }
}

/// Makes the answer to a question that could not be asked.
fn unknown(name: &'static str, error: &DumpError) -> Check {
    check(name, CheckResult::Warn, format!("it could not be found out: {error}"))
}

/// Finds the programs that load.
async fn client(tools: &Tools, plan: &Plan<'_>, server: &Server) -> Check {
    let found = match plan.target.kind {
        DatabaseType::Postgresql => tools.psql(&server.version).await,
        DatabaseType::Mysql | DatabaseType::Sqlserver | DatabaseType::AzureSql => Ok(server.client.clone()),
    };
    match found {
        Ok(tool) if tool.version.flavour == server.version.flavour || plan.target.kind.is_sql_server() => {
            check("client", CheckResult::Ok, format!("{} {} loads it", tool.name, tool.version))
        }
        Ok(tool) => check(
            "client",
            CheckResult::Warn,
            format!("{} {} is not made for this server; it usually works", tool.name, tool.version),
        ),
        Err(error) => check("client", CheckResult::Fail, error.to_string()),
    }
}

/// Compares the servers. Loading into an older one is tried, since it often works and harms nothing.
fn version(origin: &Origin, kind: DatabaseType, server: &Version) -> Check {
    let Some(text) = &origin.server_version else {
        return check(
            "version",
            CheckResult::Warn,
            "the backup does not tell from which version of the server it is",
        );
    };
    let from = match kind {
        DatabaseType::Postgresql => Version::of_postgresql_server(text),
        DatabaseType::Mysql => Version::of_mysql_server(text),
        DatabaseType::Sqlserver | DatabaseType::AzureSql => sqlserver::version(text),
    };
    let between = format!("the backup is from {from}, the server is {server}");
    if from.flavour != server.flavour {
        let message =
            format!("{between}: the one does not know all character sets, types and statements of the other");
        return check("version", CheckResult::Warn, message);
    }
    if kind.is_sql_server() && (from.text.contains("Azure") || server.text.contains("Azure")) {
        let message = format!("{between}: the numbers of Azure SQL say nothing of what it knows");
        return check("version", CheckResult::Ok, message);
    }
    let parts = if kind == DatabaseType::Mysql { 2 } else { 1 };
    if server.numbers[..parts] < from.numbers[..parts] {
        let message = format!("{between}, which is older: it may not know all that the backup holds");
        return check("version", CheckResult::Warn, message);
    }
    check("version", CheckResult::Ok, between)
}

/// Looks whether there is a database of the name.
async fn name(tools: &Tools, plan: &Plan<'_>, limits: &Limits) -> Check {
    let name = &plan.target.database;
    match (discover(tools, plan.target, limits).await, plan.mode) {
        (Err(error), _) => unknown("name", &error),
        (Ok(names), RestoreMode::New) if names.contains(name) => check(
            "name",
            CheckResult::Fail,
            format!("the server has a database \"{name}\" already; choose another name, or the mode replace"),
        ),
        (Ok(names), RestoreMode::Replace) if !names.contains(name) => check(
            "name",
            CheckResult::Fail,
            format!("the server has no database \"{name}\" that could be replaced; use the mode new"),
        ),
        (Ok(_), RestoreMode::New) => check("name", CheckResult::Ok, format!("the name \"{name}\" is free")),
        (Ok(_), RestoreMode::Replace) => {
            check("name", CheckResult::Ok, format!("the database \"{name}\" will be replaced"))
        }
    }
}

async fn extensions(tools: &Tools, plan: &Plan<'_>, limits: &Limits) -> Check {
    let needed = &plan.origin.extensions;
    if needed.is_empty() {
        return check("extensions", CheckResult::Ok, "the backup names none");
    }
    match question(tools, plan.target, limits, EXTENSIONS).await {
        Err(error) => unknown("extensions", &error),
        Ok(answer) => {
            let there: Vec<&str> = answer.lines().collect();
            let missing: Vec<&str> =
                needed.iter().map(String::as_str).filter(|name| !there.contains(name)).collect();
            if missing.is_empty() {
                check("extensions", CheckResult::Ok, format!("the server has {}", needed.join(", ")))
            } else {
                let message = format!("the server lacks {}; install it there", missing.join(", "));
                check("extensions", CheckResult::Fail, message)
            }
        }
    }
}

async fn postgresql_rights(tools: &Tools, plan: &Plan<'_>, limits: &Limits) -> Check {
    let answers = async {
        let rights = question(tools, plan.target, limits, POSTGRESQL_RIGHTS).await?;
        Ok::<_, DumpError>((rights, question(tools, plan.target, limits, OWNED).await?))
    };
    let (rights, owned) = match answers.await {
        Ok(answers) => answers,
        Err(error) => return unknown("privileges", &error),
    };
    let (may_create, may_all) =
        rights.trim().split_once('|').map_or((false, false), |(a, b)| (a == "t", b == "t"));
    let owns = owned.lines().any(|line| {
        line.split_once('|').is_some_and(|(hex, owns)| {
            owns == "t" && name_from_hex(hex).as_ref() == Some(&plan.target.database)
        })
    });
    let username = &plan.target.username;
    if !may_create {
        let message = format!("{username} may not make databases; grant it: ALTER ROLE … CREATEDB");
        return check("privileges", CheckResult::Fail, message);
    }
    if plan.mode == RestoreMode::Replace && !may_all && !owns {
        let message =
            format!("{username} does not own \"{}\", so it cannot be replaced", plan.target.database);
        return check("privileges", CheckResult::Fail, message);
    }
    if !may_all && !plan.origin.extensions.is_empty() {
        let message = format!("{username} is no superuser, and some extensions can be made only by one");
        return check("privileges", CheckResult::Warn, message);
    }
    check("privileges", CheckResult::Ok, format!("{username} may make databases"))
}

async fn mysql_rights(tools: &Tools, target: &Target, limits: &Limits) -> Check {
    let answer = match question(tools, target, limits, MYSQL_RIGHTS).await {
        Ok(answer) => answer,
        Err(error) => return unknown("privileges", &error),
    };
    let rights: Vec<&str> = answer.lines().collect();
    let missing: Vec<&str> = ["CREATE", "DROP", "ALTER", "INSERT", "TRIGGER"]
        .into_iter()
        .filter(|right| !rights.contains(right))
        .collect();
    if !missing.is_empty() {
        let message = format!(
            "{} does not have {} on the whole server; with rights on single databases only, the restore may fail",
            target.username,
            missing.join(", ")
        );
        return check("privileges", CheckResult::Warn, message);
    }
    if !NAMING_OTHERS.iter().any(|right| rights.contains(right)) {
        let message =
            "without SUPER or SET USER, views and routines of other definers will belong to this user";
        return check("privileges", CheckResult::Warn, message);
    }
    check(
        "privileges",
        CheckResult::Ok,
        format!("{} may make databases and all that is in them", target.username),
    )
}

/// No server tells over its own protocol how much room it has.
fn size(origin: &Origin) -> Check {
    match origin.dumped_bytes {
        Some(bytes) => check(
            "size",
            CheckResult::Ok,
            format!(
                "the backup holds {bytes} bytes of SQL; whether the server has room for them it does not tell"
            ),
        ),
        None => check("size", CheckResult::Warn, "the backup does not tell how large it is"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::Flavour;

    fn result(from: Option<&str>, server: &Version) -> CheckResult {
        let origin = Origin { server_version: from.map(str::to_owned), ..Origin::default() };
        let kind = if server.flavour == Flavour::Postgresql {
            DatabaseType::Postgresql
        } else {
            DatabaseType::Mysql
        };
        version(&origin, kind, server).result
    }

    #[test]
    fn versions_are_compared_within_a_make() {
        let postgresql = Version::of_postgresql_server("15.18 (Debian)");
        assert_eq!(result(Some("15.2"), &postgresql), CheckResult::Ok);
        assert_eq!(result(Some("14.9"), &postgresql), CheckResult::Ok);
        assert_eq!(result(Some("17.1"), &postgresql), CheckResult::Warn);
        assert_eq!(result(None, &postgresql), CheckResult::Warn);
        let origin = Origin { server_version: Some("15.18 (Debian)".to_owned()), ..Origin::default() };
        let older = version(&origin, DatabaseType::Postgresql, &Version::of_postgresql_server("14.9"));
        assert_eq!(older.result, CheckResult::Warn);
        insta::assert_snapshot!(older.message, @"the backup is from 15.18 (Debian), the server is 14.9, which is older: it may not know all that the backup holds");
        let mariadb = Version::of_mysql_server("10.11.19-MariaDB");
        assert_eq!(result(Some("10.6.1-MariaDB"), &mariadb), CheckResult::Ok);
        assert_eq!(result(Some("11.4.1-MariaDB"), &mariadb), CheckResult::Warn);
        assert_eq!(result(Some("8.0.36"), &mariadb), CheckResult::Warn);
    }
}
