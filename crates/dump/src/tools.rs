//! Where the client programs are, and what they are.
//!
//! Programs are looked up anew for each run, since one may be installed while we live; only what a file
//! says about its version is remembered, as long as the file stays the same.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use shared::connection::Proof;
use shared::targets::TargetRule;

use crate::bundled;
use crate::error::DumpError;
use crate::process::{self, Invocation};
use crate::version::{Flavour, Version, pick_mysql, pick_pg_dump, pick_psql};

/// Where a deployed Functions app keeps programs of its own.
const DEPLOYED: &str = "/home/site/wwwroot/tools/bin";

/// Where Debian and Ubuntu put each major version of PostgreSQL, side by side.
const DEBIAN_POSTGRESQL: &str = "/usr/lib/postgresql";

/// Where programs are when nobody set `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is missing where no `sqlcmd` takes tokens.
const TOKEN_SQLCMD: &str =
    "a sqlcmd that signs in with a token (go-sqlcmd from 1.11 on, or Microsoft's older one from 17.8 on)";

/// A program that does not say its version within this time is treated as one of unknown version.
const VERSION_LIMIT: Duration = Duration::from_secs(10);

/// The client programs of this machine.
#[derive(Debug, Clone)]
pub struct Tools {
    search: Vec<PathBuf>,
    launcher: Option<PathBuf>,
    targets: Option<TargetRule>,
    versions: Arc<Mutex<HashMap<ProgramFile, Version>>>,
}

impl Tools {
    /// Looks for programs in these folders only, the first one first.
    pub fn new(search: Vec<PathBuf>) -> Self {
        Self { search, launcher: None, targets: None, versions: Arc::default() }
    }

    /// Looks where programs usually are: the folder of a deployed app, `tools/bin` beside this program,
    /// Debian's folders of PostgreSQL (newest first), then `PATH`.
    pub fn standard() -> Self {
        let beside =
            env::current_exe().ok().and_then(|program| Some(program.parent()?.join("tools").join("bin")));
        let mut search: Vec<PathBuf> =
            std::iter::once(PathBuf::from(DEPLOYED)).chain(beside).map(bundled::executable).collect();
        search.extend(debian_postgresql(Path::new(DEBIAN_POSTGRESQL)));
        // A relative entry would run whatever lies in the working folder.
        search.extend(env::split_paths(&path_variable()).filter(|folder| folder.is_absolute()));
        Self::new(search)
    }

    /// Looks in one more folder, before all others.
    #[must_use]
    pub fn with_preferred(mut self, folder: PathBuf) -> Self {
        self.search.insert(0, folder);
        self
    }

    /// Starts each program through a launcher, so that it dies with this process even when this
    /// process is killed.
    ///
    /// `program` is a binary that calls [`crate::launcher::run_if_asked`] first in its `main`; usually
    /// `std::env::current_exe()`.
    #[must_use]
    pub fn with_launcher(mut self, program: PathBuf) -> Self {
        self.launcher = Some(program);
        self
    }

    /// Connects to no hosts but those that an installation allows, and looks every name up before. To be
    /// called by every program that connects on somebody else's word.
    #[must_use]
    pub fn with_targets(mut self, rule: TargetRule) -> Self {
        self.targets = Some(rule);
        self
    }

    /// Returns which hosts may be connected to; any, where nobody has said.
    pub(crate) fn targets(&self) -> Option<&TargetRule> {
        self.targets.as_ref()
    }

    /// Returns the launcher, if there is one.
    pub(crate) fn launcher(&self) -> Option<&Path> {
        self.launcher.as_deref()
    }

    /// Lists the client programs that are installed, in the order in which they are looked at.
    pub async fn installed(&self) -> Vec<Installed> {
        let mut installed = Vec::new();
        for (tool, names, package) in KNOWN {
            // What is not there is no error here.
            for found in self.find(tool, names, package).await.unwrap_or_default() {
                let Tool { program, version, .. } = found;
                installed.push(Installed { tool, version: version.to_string(), program });
            }
        }
        installed
    }

    /// Finds the clients for MySQL and MariaDB servers, one of each flavour, in the order of the search.
    pub(crate) async fn mysql(&self) -> Result<Vec<Tool>, DumpError> {
        let mut found: Vec<Tool> = Vec::new();
        for tool in self.find("mysql", &["mysql", "mariadb"], MYSQL_PACKAGE).await? {
            if !found.iter().any(|known| known.version.flavour == tool.version.flavour) {
                found.push(tool);
            }
        }
        Ok(found)
    }

    /// Finds the dump program for a MySQL or MariaDB server.
    pub(crate) async fn mysqldump(&self, server: Flavour) -> Result<Tool, DumpError> {
        let found = self.find("mysqldump", &["mysqldump", "mariadb-dump"], MYSQL_PACKAGE).await?;
        let picked = pick_mysql(&versions(&found), server);
        self.picked(found, picked, "mysqldump", MYSQL_PACKAGE)
    }

    /// Finds any client for PostgreSQL servers.
    pub(crate) async fn any_psql(&self) -> Result<Tool, DumpError> {
        let found = self.find("psql", &["psql"], POSTGRESQL_PACKAGE).await?;
        self.picked(found, Some(0), "psql", POSTGRESQL_PACKAGE)
    }

    /// Finds the client that fits a PostgreSQL server best.
    pub(crate) async fn psql(&self, server: &Version) -> Result<Tool, DumpError> {
        let found = self.find("psql", &["psql"], POSTGRESQL_PACKAGE).await?;
        let picked = pick_psql(&versions(&found), server);
        self.picked(found, picked, "psql", POSTGRESQL_PACKAGE)
    }

    /// Finds the dump program for a PostgreSQL server.
    pub(crate) async fn pg_dump(&self, server: &Version) -> Result<Tool, DumpError> {
        self.dumper(server, "pg_dump", &["pg_dump"]).await
    }

    /// Finds the program that dumps the roles of a PostgreSQL server.
    pub(crate) async fn pg_dumpall(&self, server: &Version) -> Result<Tool, DumpError> {
        self.dumper(server, "pg_dumpall", &["pg_dumpall"]).await
    }

    /// Finds one of PostgreSQL's programs that refuse servers that are newer than they are.
    async fn dumper(
        &self,
        server: &Version,
        tool: &'static str,
        names: &[&'static str],
    ) -> Result<Tool, DumpError> {
        let found = self.find(tool, names, POSTGRESQL_PACKAGE).await?;
        let versions = versions(&found);
        let Some(picked) = pick_pg_dump(&versions, server) else {
            let newest = versions.iter().max_by_key(|version| version.numbers);
            return Err(DumpError::VersionMismatch {
                tool: newest.map_or_else(|| tool.to_owned(), |version| format!("{tool} {version}")),
                server: server.text.clone(),
            });
        };
        self.picked(found, Some(picked), tool, POSTGRESQL_PACKAGE)
    }

    /// Finds a `sqlcmd` that can sign in with what there is.
    pub(crate) async fn sqlcmd(&self, proof: Proof) -> Result<Tool, DumpError> {
        let found = self.find("sqlcmd", &["sqlcmd"], SQLCMD_PACKAGE).await?;
        let fits = |tool: &Tool| match proof {
            Proof::Password => true,
            Proof::Token => tool.version.takes_tokens(),
        };
        let picked =
            found.iter().position(fits).ok_or_else(|| self.not_found(TOKEN_SQLCMD, SQLCMD_PACKAGE))?;
        self.picked(found, Some(picked), "sqlcmd", SQLCMD_PACKAGE)
    }

    /// Finds every program with one of the names, each file once, with its version.
    async fn find(
        &self,
        tool: &'static str,
        names: &[&'static str],
        package: &'static str,
    ) -> Result<Vec<Tool>, DumpError> {
        let mut found: Vec<(PathBuf, PathBuf)> = Vec::new();
        for program in self.search.iter().flat_map(|folder| names.iter().map(|name| folder.join(name))) {
            if !is_executable(&program) {
                continue;
            }
            // Two names of one file are one program. What runs is the name, not the file behind it:
            // Debian's wrapper for PostgreSQL goes by the name that it was called with.
            let file = fs::canonicalize(&program).unwrap_or_else(|_| program.clone());
            if !found.iter().any(|(_, known)| *known == file) {
                found.push((program, file));
            }
        }
        if found.is_empty() {
            return Err(self.not_found(tool, package));
        }
        let mut tools = Vec::new();
        for (program, _) in found {
            let version = self.version(tool, &program).await;
            tools.push(Tool { name: tool, program, version });
        }
        Ok(tools)
    }

    /// Asks a program for its version, unless the same file was asked before.
    async fn version(&self, tool: &'static str, program: &Path) -> Version {
        let changed = fs::metadata(program).and_then(|file| file.modified()).ok();
        let key = (program.to_owned(), changed);
        let known = self.versions.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(version) = known {
            return version;
        }
        let ask = async |option: &str| {
            process::output(self, Invocation::new(tool, program).args([option]), VERSION_LIMIT).await
        };
        let asked = match ask("--version").await {
            // The older one of the two programs of this name does not know the question.
            Ok(output) if tool == "sqlcmd" => match Version::of_sqlcmd(&output.stdout) {
                version if version.flavour == Flavour::Unknown => {
                    ask("-?").await.map(|output| Version::of_sqlcmd(&output.stdout))
                }
                version => Ok(version),
            },
            Ok(output) => Ok(Version::of_program(&output.stdout)),
            Err(error) => Err(error),
        };
        let version = match asked {
            Ok(version) => version,
            Err(error) => {
                tracing::warn!(program = %program.display(), %error, "a client program does not tell its version");
                // Not remembered: the reason may be gone at the next run.
                return Version::of_program("");
            }
        };
        self.versions.lock().unwrap_or_else(PoisonError::into_inner).insert(key, version.clone());
        version
    }

    fn picked(
        &self,
        mut found: Vec<Tool>,
        picked: Option<usize>,
        tool: &'static str,
        package: &'static str,
    ) -> Result<Tool, DumpError> {
        match picked {
            Some(index) if index < found.len() => Ok(found.swap_remove(index)),
            Some(_) | None => Err(self.not_found(tool, package)),
        }
    }

    fn not_found(&self, tool: &'static str, package: &'static str) -> DumpError {
        let searched = self.search.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>();
        DumpError::ToolNotFound { tool, package, searched: searched.join(", ") }
    }
}

/// A client program that was found.
#[derive(Debug, Clone)]
pub(crate) struct Tool {
    /// The name it goes by in messages.
    pub name: &'static str,
    /// Where it is.
    pub program: PathBuf,
    /// What it says about itself.
    pub version: Version,
}

/// A client program that is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The name it goes by in messages.
    pub tool: &'static str,
    /// The release, in its own words.
    pub version: String,
    /// Where it is.
    pub program: PathBuf,
}

/// The client programs that are used: their names in messages, the names of their files, and what they
/// come with.
const KNOWN: [(&str, &[&str], &str); 5] = [
    ("mysql", &["mysql", "mariadb"], MYSQL_PACKAGE),
    ("mysqldump", &["mysqldump", "mariadb-dump"], MYSQL_PACKAGE),
    ("psql", &["psql"], POSTGRESQL_PACKAGE),
    ("pg_dump", &["pg_dump"], POSTGRESQL_PACKAGE),
    ("sqlcmd", &["sqlcmd"], SQLCMD_PACKAGE),
];

/// A file and when it was last changed.
type ProgramFile = (PathBuf, Option<SystemTime>);

const MYSQL_PACKAGE: &str = "the client programs of MySQL or MariaDB (default-mysql-client)";
const SQLCMD_PACKAGE: &str = "Microsoft's sqlcmd (go-sqlcmd, or mssql-tools18)";
const POSTGRESQL_PACKAGE: &str = "the client programs of PostgreSQL (postgresql-client)";

/// Returns `PATH`, or what it usually is.
#[expect(
    clippy::disallowed_methods,
    reason = "PATH says where this machine keeps its programs; it configures nothing of ours"
)]
pub(crate) fn path_variable() -> std::ffi::OsString {
    env::var_os("PATH").filter(|path| !path.is_empty()).unwrap_or_else(|| DEFAULT_PATH.into())
}

fn versions(found: &[Tool]) -> Vec<Version> {
    found.iter().map(|tool| tool.version.clone()).collect()
}

/// Returns Debian's `bin` folders of each major version, newest first.
fn debian_postgresql(root: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(root) else { return Vec::new() };
    let mut majors: Vec<(u32, PathBuf)> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name();
            let major = name.to_str()?.split('.').next()?.parse().ok()?;
            Some((major, entry.path().join("bin")))
        })
        .collect();
    majors.sort();
    majors.into_iter().rev().map(|(_, folder)| folder).collect()
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
    #![expect(clippy::disallowed_methods, reason = "scripts are written by a child process, and dated")]

    use super::*;

    /// Installs a program by another process: a file that this process has open for writing, and that a
    /// test beside this one hands on to its own child, could not be started.
    fn install(folder: &Path, name: &str, version: &str) {
        fs::create_dir_all(folder).unwrap();
        let script = r#"printf '#!/bin/sh\necho "%s"\n' "$2" >"$1" && chmod 755 "$1""#;
        let status = std::process::Command::new("sh")
            .args(["-c", script, "install"])
            .arg(folder.join(name))
            .arg(version)
            .status();
        assert!(status.unwrap().success());
    }

    #[test]
    fn newer_majors_of_debian_come_first() {
        let root = tempfile::tempdir().unwrap();
        for major in ["9.6", "15", "17", "common"] {
            fs::create_dir(root.path().join(major)).unwrap();
        }
        let found: Vec<_> = debian_postgresql(root.path())
            .iter()
            .map(|folder| folder.strip_prefix(root.path()).unwrap().display().to_string())
            .collect();
        assert_eq!(found, ["17/bin", "15/bin", "9.6/bin"]);
    }

    #[tokio::test]
    async fn a_missing_program_is_named_with_the_folders_and_the_package() {
        let empty = tempfile::tempdir().unwrap();
        fs::write(empty.path().join("psql"), "not executable").unwrap();
        let tools = Tools::new(vec![empty.path().to_owned()]);
        let error = tools.any_psql().await.unwrap_err();
        assert!(error.is_permanent());
        let text = error.to_string();
        assert!(text.contains("psql was not found in "), "{text}");
        assert!(text.contains("postgresql-client"), "{text}");
    }

    #[tokio::test]
    async fn an_older_pg_dump_is_refused_with_both_versions() {
        let root = tempfile::tempdir().unwrap();
        install(&root.path().join("14"), "pg_dump", "pg_dump (PostgreSQL) 14.12");
        install(&root.path().join("15"), "pg_dump", "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)");
        let tools = Tools::new(vec![root.path().join("14"), root.path().join("15")]);
        let error = tools.pg_dump(&Version::of_postgresql_server("17.2")).await.unwrap_err();
        insta::assert_snapshot!(error, @"pg_dump 15.18 is older than the server, which is PostgreSQL 17.2: it would refuse to dump it; install the client programs of that version or a newer one");
        let fitting = tools.pg_dump(&Version::of_postgresql_server("14.1")).await.unwrap();
        assert_eq!(fitting.program, root.path().join("14/pg_dump"));
    }

    #[tokio::test]
    async fn the_dump_program_of_the_servers_flavour_is_taken() {
        let root = tempfile::tempdir().unwrap();
        let (one, two) = (root.path().join("one"), root.path().join("two"));
        install(
            &one,
            "mysqldump",
            "mysqldump  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)",
        );
        install(&two, "mariadb-dump", "mariadb-dump from 11.4.5-MariaDB, client 10.19 for linux (x86_64)");
        let tools = Tools::new(vec![one.clone(), two.clone()]);
        assert_eq!(tools.mysqldump(Flavour::Mariadb).await.unwrap().program, two.join("mariadb-dump"));
        assert_eq!(tools.mysqldump(Flavour::Mysql).await.unwrap().program, one.join("mysqldump"));
    }

    #[tokio::test]
    async fn all_programs_that_are_installed_are_listed() {
        let root = tempfile::tempdir().unwrap();
        let (old, new) = (root.path().join("14"), root.path().join("17"));
        install(&old, "pg_dump", "pg_dump (PostgreSQL) 14.12");
        install(&new, "pg_dump", "pg_dump (PostgreSQL) 17.2");
        install(&old, "mariadb", "mariadb from 11.4.5-MariaDB, client 10.19 for linux (x86_64)");
        let installed = Tools::new(vec![new, old]).installed().await;
        let lines: Vec<_> = installed.iter().map(|one| format!("{} {}", one.tool, one.version)).collect();
        assert_eq!(lines, ["mysql 11.4.5-MariaDB", "pg_dump 17.2", "pg_dump 14.12"]);
    }

    #[tokio::test]
    async fn a_replaced_program_is_asked_again() {
        let root = tempfile::tempdir().unwrap();
        install(root.path(), "pg_dump", "pg_dump (PostgreSQL) 14.12");
        let tools = Tools::new(vec![root.path().to_owned()]);
        let server = Version::of_postgresql_server("14.0");
        assert_eq!(tools.pg_dump(&server).await.unwrap().version.major(), 14);
        install(root.path(), "pg_dump", "pg_dump (PostgreSQL) 16.1");
        let later = SystemTime::now() + Duration::from_secs(5);
        fs::File::open(root.path().join("pg_dump")).unwrap().set_modified(later).unwrap();
        assert_eq!(tools.pg_dump(&server).await.unwrap().version.major(), 16);
    }
}
