//! A stream of bytes as a database: loads a dump through the client of the server.
//!
//! What must stay true: the load stops at the first error; PostgreSQL keeps nothing of a load that did not
//! succeed; the client is killed, never just left without input, when the input breaks off, because it would
//! take the end of its input for the end of the dump and commit.

use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::pin::pin;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use shared::models::DatabaseType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::classify::{Cause, cause, failure};
use crate::definers::Definers;
use crate::error::{DumpError, RestoreError, TargetState};
use crate::mysql;
use crate::neutralise::Neutraliser;
use crate::postgresql;
use crate::process::{Ending, Invocation, Running};
use crate::redact::Said;
use crate::script::{Reader, Script};
use crate::server::{Server, accounts, identify, is_empty};
use crate::sqlserver::{self, Guard, Watch};
use crate::target::{Limits, Target};
use crate::tools::Tools;

/// What a restore has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The size of the dump that was loaded, in bytes.
    pub bytes: u64,
    /// The version of the server in its own words.
    pub server_version: String,
    /// What of the dump was left out or changed on the way, since the target does not take it.
    pub adapted: Vec<String>,
    /// The time it took, from the call to the client's end.
    pub elapsed: Duration,
}

/// Loads a dump into a database, which has to be there.
///
/// What the dump holds replaces what is there under the same names. An empty database is the sure target:
/// PostgreSQL refuses to replace partitions with keys, or anything that other objects depend on.
///
/// `progress` is called with the number of bytes that the client has taken so far. The stall limit counts
/// while bytes wait, for the input or for the client; when all bytes are taken, the server may work until
/// the deadline, since it builds its last indexes then.
pub async fn restore<S, E>(
    tools: &Tools,
    target: &Target,
    input: S,
    limits: &Limits,
    mut progress: impl FnMut(u64) + Send,
) -> Result<Restored, RestoreError>
where
    S: Stream<Item = Result<Bytes, E>> + Send,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    target.check_database()?;
    let began = Instant::now();
    let server = identify(tools, target, limits).await?;
    let (invocation, reader) = load(tools, target, limits, &server).await?;
    let output = if is_sql_server(target.kind) { Stdio::piped() } else { Stdio::null() };
    let mut running = Running::start(tools, &invocation, Stdio::piped(), output).await?;
    let mut load = Load {
        stdin: running.stdin.take(),
        printed: running.stdout.take().map(|output| tokio::spawn(end_of(output))),
        running,
        watch: Arc::default(),
        guard: is_sql_server(target.kind).then(Guard::default),
        target,
        tool: invocation.tool,
        limits,
        deadline: began + limits.deadline,
    };
    let mut neutraliser = Neutraliser::new(target.kind, server.version.major());
    let mut definers = match target.kind {
        DatabaseType::Mysql => Some(Definers::new(accounts(tools, target, limits).await, &server.version)),
        DatabaseType::Postgresql | DatabaseType::Sqlserver | DatabaseType::AzureSql => None,
    };
    let mut script = match reader {
        Some(reader) => Some(Script::new(reader, is_empty(tools, target, limits).await)),
        None => None,
    };
    let mut input = pin!(input);
    let mut bytes = 0;
    while let Some(piece) = load.waiting(input.next()).await? {
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => {
                load.running.kill();
                return Err(RestoreError::Input { state: state(target), source: error.into() });
            }
        };
        bytes += piece.len() as u64;
        let pieces = match (&mut definers, &mut script) {
            (Some(definers), _) => definers.push(&piece),
            (None, Some(script)) => script.push(&piece),
            (None, None) => vec![piece],
        };
        load.refuse(script.as_ref().and_then(Script::refused))?;
        for piece in pieces.iter().flat_map(|piece| neutraliser.push(piece)) {
            load.look_at(&piece)?;
            load.write(&piece).await?;
        }
        progress(bytes);
    }
    let mut rest = script.as_mut().map(Script::finish).unwrap_or_default();
    rest.extend(definers.as_mut().map(Definers::finish));
    load.refuse(script.as_ref().and_then(Script::refused))?;
    for piece in rest.iter().flat_map(|piece| neutraliser.push(piece)) {
        load.write(&piece).await?;
    }
    let Some(end) = neutraliser.finish() else {
        load.running.kill();
        return Err(RestoreError::Truncated { state: state(target) });
    };
    load.look_at(&end)?;
    load.write(&end).await?;
    if is_sql_server(target.kind) {
        load.look_at(sqlserver::LAST_BATCH)?;
        load.write(sqlserver::LAST_BATCH).await?;
    }
    load.stdin = None;
    load.verdict().await?;
    let told = definers.as_ref().map(Definers::told).unwrap_or_default();
    let script_told = script.as_ref().map(Script::told).unwrap_or_default();
    let adapted = neutraliser.told().chain(told).chain(script_told).collect();
    Ok(Restored { bytes, adapted, server_version: server.version.text, elapsed: began.elapsed() })
}

/// Builds the command for the server that was found; for PostgreSQL, with how the client reads.
async fn load(
    tools: &Tools,
    target: &Target,
    limits: &Limits,
    server: &Server,
) -> Result<(Invocation, Option<Reader>), DumpError> {
    match target.kind {
        DatabaseType::Mysql => Ok((mysql::load(&server.client, target, limits), None)),
        DatabaseType::Postgresql => {
            let psql = tools.psql(&server.version).await?;
            let guard = psql.version.knows_restrict().then(unguessable);
            let reader =
                Reader { is_unguarded: guard.is_none(), knows_bodies: psql.version.is_at_least(14, 0, 0) };
            Ok((postgresql::load(&psql, target, limits, guard.as_deref()), Some(reader)))
        }
        DatabaseType::Sqlserver | DatabaseType::AzureSql => {
            Ok((sqlserver::load(&server.client, target, limits), None))
        }
    }
}

/// A client that is being fed.
struct Load<'a> {
    running: Running,
    stdin: Option<ChildStdin>,
    /// The end of what the client prints, where that counts.
    printed: Option<JoinHandle<Vec<u8>>>,
    watch: Arc<Watch>,
    guard: Option<Guard>,
    target: &'a Target,
    tool: &'static str,
    limits: &'a Limits,
    deadline: Instant,
}

impl Load<'_> {
    /// Waits for the input, the client's end or a limit, whatever comes first.
    async fn waiting<T>(&mut self, input: impl Future<Output = T>) -> Result<T, RestoreError> {
        let lost = self.lost();
        let patience = self.deadline.min(Instant::now() + self.limits.stall);
        tokio::select! {
            biased;
            value = input => Ok(value),
            ending = self.running.ended() => Err(self.ended_early(ending?).await),
            () = sleep_until(patience) => Err(self.too_long()),
            () = lost => Err(self.connection_lost()),
        }
    }

    /// Refuses what the client would take for a command of its own, where it cannot be told not to.
    fn look_at(&mut self, piece: &[u8]) -> Result<(), RestoreError> {
        let found = self.guard.as_mut().and_then(|guard| guard.push(piece));
        self.refuse(found)
    }

    /// Ends a load that would come to a command of the client's own in this line.
    fn refuse(&mut self, found: Option<u64>) -> Result<(), RestoreError> {
        let Some(line) = found else { return Ok(()) };
        self.running.kill();
        Err(RestoreError::Refused {
            client: self.tool,
            line: Some(line),
            detail: format!(
                "there is a command of {}'s own in the backup, which none of ours has",
                self.tool
            ),
            state: state(self.target),
        })
    }

    /// Gives bytes to the client.
    async fn write(&mut self, piece: &[u8]) -> Result<(), RestoreError> {
        let lost = self.lost();
        let patience = self.deadline.min(Instant::now() + self.limits.stall);
        let Some(stdin) = &mut self.stdin else { return Ok(()) };
        let written = tokio::select! {
            biased;
            written = stdin.write_all(piece) => written,
            () = sleep_until(patience) => return Err(self.too_long()),
            () = lost => return Err(self.connection_lost()),
        };
        match written {
            Ok(()) => Ok(()),
            // The client has closed its input, because it is ending; why, it tells by its status.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                let ending = self.ending().await?;
                Err(self.ended_early(ending).await)
            }
            Err(source) => {
                self.running.kill();
                Err(DumpError::Local { doing: "writing to a database tool", source }.into())
            }
        }
    }

    /// Decides, after the whole dump was given to the client.
    async fn verdict(&mut self) -> Result<(), RestoreError> {
        let ending = self.ending().await?;
        if ending == Ending::SUCCESS && self.came_to_the_end().await {
            let said = self.running.said().await;
            if !said.is_empty() {
                tracing::info!(
                    tool = self.tool,
                    said = said.shown(),
                    "the restore is complete, with remarks"
                );
            }
            return Ok(());
        }
        Err(self.ended_early(ending).await)
    }

    /// Waits for the client's end until the deadline.
    async fn ending(&mut self) -> Result<Ending, RestoreError> {
        let lost = self.lost();
        tokio::select! {
            ending = self.running.ended() => Ok(ending?),
            () = sleep_until(self.deadline) => Err(self.too_long()),
            () = lost => Err(self.connection_lost()),
        }
    }

    /// Makes the error of a client that did not load the whole dump.
    async fn ended_early(&mut self, ending: Ending) -> RestoreError {
        let said = self.running.said().await;
        verdict_on(self.target, self.tool, ending, &said)
    }

    /// Tells whether the client has come to the end of its input, as far as that can be told.
    async fn came_to_the_end(&mut self) -> bool {
        match self.printed.take() {
            Some(printed) => printed.await.is_ok_and(|printed| sqlserver::came_to_last_batch(&printed)),
            None => true,
        }
    }

    /// Waits until a client that would wait for ever has lost its connection.
    fn lost(&self) -> impl Future<Output = ()> + use<> {
        let process = self.running.id().filter(|_| is_sql_server(self.target.kind));
        let watch = Arc::clone(&self.watch);
        async move { watch.lost(process).await }
    }

    fn connection_lost(&mut self) -> RestoreError {
        self.running.kill();
        sqlserver::connection_lost(self.target).into()
    }

    /// Kills the client and says which limit has passed.
    fn too_long(&mut self) -> RestoreError {
        self.running.kill();
        let error = if Instant::now() >= self.deadline {
            DumpError::Timeout { tool: self.tool, after: self.limits.deadline }
        } else {
            DumpError::Stalled { tool: self.tool, after: self.limits.stall }
        };
        error.into()
    }
}

/// Tells a statement that the server refused from a server that went away.
fn verdict_on(target: &Target, tool: &'static str, ending: Ending, said: &Said) -> RestoreError {
    let line = line_of_error(target.kind, said.raw());
    // This one names no line of the dump; before the first statement, it has connected once already.
    let by_statement = is_sql_server(target.kind) && !said.is_empty();
    let gone = matches!(cause(target.kind, said.raw()), Some(Cause::Connection));
    match ending {
        Ending::Exited(status) if status == 0 || ((line.is_some() || by_statement) && !gone) => {
            let shown = said.shown();
            // The clients of MySQL repeat the statement, rows and all, before they say what is wrong.
            let detail = shown.rfind("\nERROR ").map_or(shown.as_str(), |at| &shown[at..]).trim().to_owned();
            RestoreError::Refused { client: tool, line, detail, state: state(target) }
        }
        Ending::Exited(_) | Ending::Killed(_) => failure(target, tool, ending, said).into(),
    }
}

/// Reads the line number from what the clients say: `ERROR 1064 (42000) at line 12: …` and
/// `psql:<stdin>:12: ERROR: …`.
fn line_of_error(kind: DatabaseType, said: &str) -> Option<u64> {
    let (before, end) = match kind {
        DatabaseType::Mysql => (" at line ", ':'),
        DatabaseType::Postgresql => ("psql:<stdin>:", ':'),
        DatabaseType::Sqlserver | DatabaseType::AzureSql => return None,
    };
    let error = match kind {
        DatabaseType::Postgresql => {
            said.lines().find(|line| line.starts_with(before) && line.contains("ERROR"))?
        }
        DatabaseType::Mysql | DatabaseType::Sqlserver | DatabaseType::AzureSql => {
            said.lines().find(|line| line.starts_with("ERROR"))?
        }
    };
    error.split_once(before)?.1.split(end).next()?.trim().parse().ok()
}

/// Returns what is left of a load that stopped.
fn state(target: &Target) -> TargetState {
    match target.kind {
        DatabaseType::Postgresql => TargetState::Unchanged,
        DatabaseType::Mysql | DatabaseType::Sqlserver | DatabaseType::AzureSql => TargetState::PartlyFilled,
    }
}

fn is_sql_server(kind: DatabaseType) -> bool {
    matches!(kind, DatabaseType::Sqlserver | DatabaseType::AzureSql)
}

/// Reads what a client prints and returns the end of it.
async fn end_of(mut output: ChildStdout) -> Vec<u8> {
    let mut end = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = output.read(&mut piece).await {
        end.extend_from_slice(&piece[..length]);
        end.drain(..end.len().saturating_sub(piece.len()));
    }
    end
}

/// Makes a word that nobody who wrote a dump can have known.
fn unguessable() -> String {
    // The standard library seeds these from the operating system.
    format!("{:016x}{:016x}", RandomState::new().hash_one(0), RandomState::new().hash_one(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_from_both_clients() {
        let mysql = "ERROR 1064 (42000) at line 12: You have an error in your SQL syntax; near 'x' at line 1";
        assert_eq!(line_of_error(DatabaseType::Mysql, mysql), Some(12));
        let psql = "psql:<stdin>:3: NOTICE:  x\npsql:<stdin>:47: ERROR:  relation \"t\" already exists";
        assert_eq!(line_of_error(DatabaseType::Postgresql, psql), Some(47));
        assert_eq!(line_of_error(DatabaseType::Mysql, "ERROR 1045 (28000): Access denied"), None);
        assert_eq!(line_of_error(DatabaseType::Postgresql, "psql: error: could not"), None);
    }

    #[test]
    fn guards_differ() {
        assert_ne!(unguessable(), unguessable());
        assert_eq!(unguessable().len(), 32);
    }
}
