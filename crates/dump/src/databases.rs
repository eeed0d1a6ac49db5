//! Whole databases on a server: makes them, drops them, and puts a loaded one in the place of another.
//!
//! What must stay true: putting one in the place of another changes nothing, or all of it, as far as the
//! server can; where it cannot (the code of MySQL and MariaDB), what was taken away is put back.

use std::process::Stdio;
use std::time::Duration;

use shared::models::DatabaseType;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};

use crate::classify::failure;
use crate::definers::Definers;
use crate::error::DumpError;
use crate::process::{Ending, Invocation, Running};
use crate::remarks::Remarks;
use crate::server::{Server, identify, name_from_hex};
use crate::sqlserver;
use crate::statements::{self, CONTENTS_QUERY, Contents, Texts};
use crate::target::{Limits, Target};
use crate::tools::{Tool, Tools};
use crate::version::Version;
use crate::{mysql, postgresql, process};

/// The most code of a database that is held in memory while its tables are exchanged.
const MOST_CODE: u64 = 64 * 1024 * 1024;

/// How often a database is tried to be renamed from which others are being disconnected.
const TRIES: u32 = 5;

/// Makes an empty database; with `like`, one that stores texts in the way of that database.
///
/// Fails when there is one of this name.
pub async fn create_database(
    tools: &Tools,
    target: &Target,
    like: Option<&str>,
    limits: &Limits,
) -> Result<(), DumpError> {
    target.check_database()?;
    let server = Session::open(tools, target, limits).await?;
    let texts = match like {
        Some(like) => Texts::read(&server.ask(&statements::texts_query(target.kind, like)).await?),
        None => None,
    };
    server.run(&statements::create(target.kind, &target.database, texts.as_ref())).await
}

/// Drops a database, whoever is connected to it: a client that was killed leaves its last statement at work
/// on the server.
pub async fn drop_database(tools: &Tools, target: &Target, limits: &Limits) -> Result<(), DumpError> {
    target.check_database()?;
    let server = Session::open(tools, target, limits).await?;
    server.disconnect(&target.database).await;
    server.run(&statements::drop(target.kind, &target.database)).await
}

/// Gives a database another name, which MySQL cannot; fails when there is one of that name.
pub async fn rename_database(
    tools: &Tools,
    target: &Target,
    to: &str,
    limits: &Limits,
) -> Result<(), DumpError> {
    target.check_database()?;
    let Some(statement) = statements::rename(target.kind, &target.database, to) else {
        return Err(DumpError::Unsupported { kind: target.kind });
    };
    let server = Session::open(tools, target, limits).await?;
    server.run(&statement).await
}

/// Puts the database `loaded` in the place of the target's, which is moved to `aside` and then dropped.
///
/// Until it succeeds, the target's database is what it was. The remarks tell what was not taken over.
pub async fn exchange_databases(
    tools: &Tools,
    target: &Target,
    loaded: &str,
    aside: &str,
    limits: &Limits,
    remarks: &Remarks,
) -> Result<(), DumpError> {
    target.check_database()?;
    let server = Session::open(tools, target, limits).await?;
    match target.kind {
        DatabaseType::Mysql => server.exchange_contents(loaded, aside, remarks).await,
        DatabaseType::Postgresql => server.rename(loaded, aside, remarks).await,
        DatabaseType::Sqlserver | DatabaseType::AzureSql => {
            server.rename_by_turns(loaded, aside, remarks).await
        }
    }
}

/// Lets everybody into the target's database again, which an exchange that broke off may have left to one
/// session at a time. Only SQL Server has such a mode; elsewhere nothing happens.
pub async fn let_everybody_in(tools: &Tools, target: &Target, limits: &Limits) -> Result<(), DumpError> {
    if !target.kind.is_sql_server() {
        return Ok(());
    }
    target.check_database()?;
    let server = Session::open(tools, target, limits).await?;
    if server.is_azure() {
        return Ok(());
    }
    server.run(&statements::single_user(&target.database, false)).await
}

/// A server that can be told what to do.
struct Session<'a> {
    tools: &'a Tools,
    /// The database that this is about.
    target: &'a Target,
    limits: &'a Limits,
    client: Tool,
    version: Version,
}

impl<'a> Session<'a> {
    async fn open(tools: &'a Tools, target: &'a Target, limits: &'a Limits) -> Result<Self, DumpError> {
        let server = Target { database: String::new(), ..target.clone() };
        let Server { client, version, .. } = identify(tools, &server, limits).await?;
        Ok(Self { tools, target, limits, client, version })
    }

    /// Azure knows no mode in which one session at a time is let in.
    fn is_azure(&self) -> bool {
        self.version.text.contains("Azure")
    }

    /// Returns the target with another database, or with none.
    fn at(&self, database: &str) -> Target {
        Target { database: database.to_owned(), ..self.target.clone() }
    }

    /// Runs statements outside of any database.
    async fn run(&self, statements: &str) -> Result<(), DumpError> {
        self.ask(statements).await.map(drop)
    }

    /// Asks something outside of any database.
    async fn ask(&self, query: &str) -> Result<String, DumpError> {
        self.ask_at("", query).await
    }

    /// Asks something within a database.
    async fn ask_at(&self, database: &str, query: &str) -> Result<String, DumpError> {
        let target = self.at(database);
        if target.kind.is_sql_server() {
            let statements = [query.to_owned()];
            let lines =
                sqlserver::execute(self.tools, &self.client, &target, self.limits, &statements).await?;
            let answer = lines.iter().find_map(|line| line.strip_prefix("~T|"));
            return Ok(answer.unwrap_or_default().to_owned());
        }
        let invocation = match target.kind {
            DatabaseType::Mysql => mysql::query(&self.client, &target, self.limits, query),
            DatabaseType::Postgresql | DatabaseType::Sqlserver | DatabaseType::AzureSql => {
                postgresql::query(&self.client, &target, self.limits, query)
            }
        };
        let output = process::output(self.tools, invocation, self.limits.deadline).await?;
        if output.ending == Ending::SUCCESS {
            return Ok(output.stdout);
        }
        Err(failure(&target, self.client.name, output.ending, &output.said))
    }

    /// Ends all sessions in a database, as far as the user may; the others keep it from being dropped.
    async fn disconnect(&self, database: &str) {
        let ended = match self.target.kind {
            DatabaseType::Mysql => self.kill_sessions(database).await,
            DatabaseType::Postgresql => self.run(&statements::disconnect(database)).await,
            // Azure drops a database that is in use.
            DatabaseType::Sqlserver | DatabaseType::AzureSql if self.is_azure() => Ok(()),
            DatabaseType::Sqlserver | DatabaseType::AzureSql => {
                self.run(&statements::single_user(database, true)).await
            }
        };
        if let Err(error) = ended {
            tracing::info!(%error, "the sessions in a database could not be ended");
        }
    }

    async fn kill_sessions(&self, database: &str) -> Result<(), DumpError> {
        let sessions = self.ask(&statements::sessions_query(database)).await?;
        for session in sessions.lines().filter_map(|line| line.trim().parse::<u64>().ok()) {
            // One that has ended in the meantime is an error to the server, and fine.
            if let Err(error) = self.run(&format!("KILL {session}")).await {
                tracing::info!(%error, session, "a session could not be ended");
            }
        }
        Ok(())
    }

    /// Renames both databases of PostgreSQL in one transaction, and drops the old one.
    async fn rename(&self, loaded: &str, aside: &str, remarks: &Remarks) -> Result<(), DumpError> {
        let name = &self.target.database;
        self.take_over_owner(loaded, remarks).await?;
        let exchange = statements::exchange(name, loaded, aside);
        let mut tries = 1;
        while let Err(error) = self.run(&exchange).await {
            // Somebody was quicker to connect again.
            let in_use = error.to_string().contains("is being accessed by other users");
            if !in_use || tries == TRIES {
                return Err(error);
            }
            tries += 1;
            sleep(Duration::from_secs(1)).await;
        }
        if let Err(error) = self.run(&statements::drop(self.target.kind, aside)).await {
            remarks.warn(format!(
                "the old database is still there as \"{aside}\", since it could not be dropped: {error}"
            ));
        }
        Ok(())
    }

    /// Renames two databases of SQL Server one after the other, which it cannot do at once, and drops the old
    /// one. When the second cannot be renamed, the first one gets its name back.
    async fn rename_by_turns(&self, loaded: &str, aside: &str, remarks: &Remarks) -> Result<(), DumpError> {
        let (kind, name) = (self.target.kind, self.target.database.as_str());
        let renamed = |from, to| statements::rename(kind, from, to).unwrap_or_default();
        // There, a database that is in use is renamed, or the attempt fails.
        let is_azure = self.is_azure();
        if !is_azure {
            self.run(&statements::single_user(name, true)).await?;
        }
        if let Err(error) = self.run(&renamed(name, aside)).await {
            self.let_in(name, is_azure, remarks).await;
            return Err(error);
        }
        if let Err(error) = self.run(&renamed(loaded, name)).await {
            match self.run(&renamed(aside, name)).await {
                Ok(()) => self.let_in(name, is_azure, remarks).await,
                Err(back) => remarks.warn(format!(
                    "the old database is now called \"{aside}\", and could not be given its name back: {back}"
                )),
            }
            return Err(error);
        }
        remarks.warn(
            "the settings of the database itself, such as its recovery model and compatibility level, are those of \
             a new one",
        );
        if let Err(error) = self.run(&statements::drop(kind, aside)).await {
            remarks.warn(format!(
                "the old database is still there as \"{aside}\", since it could not be dropped: {error}"
            ));
        }
        Ok(())
    }

    /// Lets everybody into a database of SQL Server again that keeps its place.
    async fn let_in(&self, name: &str, is_azure: bool, remarks: &Remarks) {
        if !is_azure && let Err(error) = self.run(&statements::single_user(name, false)).await {
            remarks.warn(format!(
                "\"{name}\" lets in one session at a time, until somebody says ALTER DATABASE … SET MULTI_USER: \
                 {error}"
            ));
        }
    }

    /// Gives the loaded database the owner of the old one, and tells what else belongs to a database and
    /// not to what is in it.
    async fn take_over_owner(&self, loaded: &str, remarks: &Remarks) -> Result<(), DumpError> {
        let name = statements::text(&self.target.database);
        let answer = self
            .ask(&format!(
                "SELECT encode(convert_to(pg_get_userbyid(datdba)::text, 'UTF8'), 'hex'), datacl IS NOT NULL, \
                 EXISTS (SELECT FROM pg_db_role_setting WHERE setdatabase = d.oid) \
                 FROM pg_database d WHERE datname = {name}"
            ))
            .await?;
        let mut words = answer.trim().split('|');
        if let Some(owner) = words.next().and_then(name_from_hex) {
            let quoted = |name: &str| statements::quoted(DatabaseType::Postgresql, name);
            let statement = format!("ALTER DATABASE {} OWNER TO {}", quoted(loaded), quoted(&owner));
            if let Err(error) = self.run(&statement).await {
                remarks.warn(format!(
                    "the database now belongs to the user of the restore, not to \"{owner}\": {error}"
                ));
            }
        }
        if words.next() == Some("t") {
            remarks.warn("the privileges on the database itself (GRANT … ON DATABASE) were not taken over");
        }
        if words.next() == Some("t") {
            remarks.warn("the settings of the database (ALTER DATABASE … SET) were not taken over");
        }
        Ok(())
    }

    /// Exchanges what is in two databases of MySQL or MariaDB: the tables by one statement; triggers, views,
    /// routines and events, which cannot be moved, by taking them away and making them again.
    async fn exchange_contents(&self, loaded: &str, aside: &str, remarks: &Remarks) -> Result<(), DumpError> {
        let name = self.target.database.as_str();
        let (old, new) = (self.contents(name).await?, self.contents(loaded).await?);
        let (old_code, new_code) = (self.code(name, &old).await?, self.code(loaded, &new).await?);
        self.run(&statements::create(self.target.kind, aside, None)).await?;
        let exchanged =
            self.exchange_tables((loaded, &new, &new_code), (aside, &old, &old_code), remarks).await;
        if exchanged.is_err() {
            self.drop_if_empty(aside).await;
            return exchanged;
        }
        // The loaded one first, and the old data last: as long as both are there, whoever finds them knows
        // that the exchange is not over.
        for leftover in [loaded, aside] {
            if let Err(error) = self.run(&statements::drop(self.target.kind, leftover)).await {
                remarks.warn(format!(
                    "the database \"{leftover}\" is left over, since it could not be dropped: {error}"
                ));
            }
        }
        Ok(())
    }

    /// Moves the old tables aside and the new ones in, and makes the new code; undoes that when it fails.
    async fn exchange_tables(
        &self,
        (loaded, new, new_code): (&str, &Contents, &Code),
        (aside, old, old_code): (&str, &Contents, &Code),
        remarks: &Remarks,
    ) -> Result<(), DumpError> {
        let name = self.target.database.as_str();
        self.script(loaded, new.drop_code().as_bytes()).await?;
        // From here on the old database is touched.
        let moved = statements::move_tables(&[(name, &old.tables, aside), (loaded, &new.tables, name)]);
        let exchanged = async {
            self.script(name, old.drop_code().as_bytes()).await?;
            self.script(name, moved.unwrap_or_default().as_bytes()).await
        };
        if let Err(error) = exchanged.await {
            self.put_back(name, old_code, remarks).await;
            return Err(error);
        }
        // Code is made in a database like the one that it was in. The old one's settings stay.
        let differs = new_code.alters_database || new_code.texts != old_code.texts;
        let (before, after) =
            if differs { (new_code.alter(), old_code.alter()) } else { (String::new(), String::new()) };
        let made = async {
            self.script(name, before.as_bytes()).await?;
            self.load_code(name, new_code).await?;
            self.script(name, after.as_bytes()).await
        };
        if let Err(error) = made.await {
            let back = statements::move_tables(&[(name, &new.tables, loaded), (aside, &old.tables, name)]);
            let undone = async {
                self.script(name, self.contents(name).await?.drop_code().as_bytes()).await?;
                self.script(name, back.unwrap_or_default().as_bytes()).await?;
                self.script(name, after.as_bytes()).await
            };
            match undone.await {
                Ok(()) => self.put_back(name, old_code, remarks).await,
                Err(undo) => {
                    remarks.warn(format!("the old tables could not be moved back from \"{aside}\": {undo}"));
                }
            }
            return Err(error);
        }
        Ok(())
    }

    /// Drops the database that was made for the old tables, unless something is in it. A client that died
    /// tells nothing of what its last statement did: the old data may be there.
    async fn drop_if_empty(&self, aside: &str) {
        if let Ok(contents) = self.contents(aside).await
            && contents.tables.is_empty()
            && let Err(error) = self.run(&statements::drop(self.target.kind, aside)).await
        {
            tracing::warn!(%error, "an empty database is left over");
        }
    }

    /// Lists what is in a database of MySQL or MariaDB.
    async fn contents(&self, database: &str) -> Result<Contents, DumpError> {
        let answer = self.ask_at(database, CONTENTS_QUERY).await?;
        Contents::read(&answer, name_from_hex).ok_or(DumpError::Truncated {
            tool: self.client.name,
            problem: "its list of what is in a database is not understood",
        })
    }

    /// Dumps the code of a database of MySQL or MariaDB: everything but tables, which may use each other in
    /// any order, except that views use routines.
    async fn code(&self, database: &str, contents: &Contents) -> Result<Code, DumpError> {
        let target = self.at(database);
        let server = identify(self.tools, &target, self.limits).await?;
        let tool = self.tools.mysqldump(server.version.flavour).await?;
        let texts = Texts::read(&self.ask(&statements::texts_query(self.target.kind, database)).await?);
        let routines = self.captured(mysql::code(&tool, &target, self.limits)).await?;
        let (routines, alters_database) = Definers::unnamed(routines, &server.version);
        let views = match mysql::views(&tool, &target, self.limits, &contents.views) {
            Some(invocation) => self.captured(invocation).await?,
            None => Vec::new(),
        };
        Ok(Code { routines, views, texts, alters_database })
    }

    /// Runs a program and returns what it wrote.
    async fn captured(&self, invocation: Invocation) -> Result<Vec<u8>, DumpError> {
        let local = |source| DumpError::Local { doing: "reading from a database tool", source };
        let tool = invocation.tool;
        let run = async {
            let mut running = Running::start(self.tools, &invocation, Stdio::null(), Stdio::piped()).await?;
            let mut bytes = Vec::new();
            if let Some(stdout) = running.stdout.take() {
                stdout.take(MOST_CODE).read_to_end(&mut bytes).await.map_err(local)?;
            }
            if bytes.len() as u64 >= MOST_CODE {
                return Err(DumpError::ToolDefect {
                    tool,
                    reason: "its triggers, views and routines are larger than 64 MiB",
                });
            }
            let ending = running.ended().await?;
            let said = running.said().await;
            if ending == Ending::SUCCESS { Ok(bytes) } else { Err(failure(self.target, tool, ending, &said)) }
        };
        timeout(self.limits.deadline, run)
            .await
            .unwrap_or(Err(DumpError::Timeout { tool, after: self.limits.deadline }))
    }

    /// Runs statements from a text of any length, up to the first error.
    async fn script(&self, database: &str, text: &[u8]) -> Result<(), DumpError> {
        if text.is_empty() {
            return Ok(());
        }
        let target = self.at(database);
        let invocation = mysql::load(&self.client, &target, self.limits);
        let tool = invocation.tool;
        let run = async {
            let mut running = Running::start(self.tools, &invocation, Stdio::piped(), Stdio::null()).await?;
            if let Some(mut stdin) = running.stdin.take() {
                // A client that ends early tells why by its status.
                let _ = stdin.write_all(text).await;
            }
            let ending = running.ended().await?;
            let said = running.said().await;
            if ending == Ending::SUCCESS { Ok(()) } else { Err(failure(&target, tool, ending, &said)) }
        };
        timeout(self.limits.deadline, run)
            .await
            .unwrap_or(Err(DumpError::Timeout { tool, after: self.limits.deadline }))
    }

    async fn load_code(&self, database: &str, code: &Code) -> Result<(), DumpError> {
        self.script(database, &code.routines).await?;
        self.script(database, &code.views).await
    }

    /// Makes the code again that was taken away from a database which keeps its tables.
    async fn put_back(&self, database: &str, code: &Code, remarks: &Remarks) {
        let cleared = async {
            self.script(database, self.contents(database).await?.drop_code().as_bytes()).await?;
            self.load_code(database, code).await
        };
        if let Err(error) = cleared.await {
            remarks.warn(format!(
                "the tables of \"{database}\" are as they were, but its triggers, views and routines could not \
                 all be made again: {error}"
            ));
        }
    }
}

/// The code of a database of MySQL or MariaDB.
struct Code {
    routines: Vec<u8>,
    views: Vec<u8>,
    /// How its database stores texts, which is noted with each piece of code.
    texts: Option<Texts>,
    /// Whether some of it was made while that was otherwise, so that the database is altered on the way.
    alters_database: bool,
}

impl Code {
    /// Writes the statement that makes a database store texts as that of the code did.
    fn alter(&self) -> String {
        self.texts.as_ref().map(statements::alter_texts).unwrap_or_default()
    }
}
