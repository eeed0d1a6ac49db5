//! A database as a stream of bytes.
//!
//! What must stay true: the stream ends without an error only if the tool ended with status 0 and the
//! closing line of the dump was the last thing it wrote. Memory is bounded: the tool waits while nobody
//! reads. Dropping the stream kills the tool.

use std::fmt;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::stream;
use futures::{Stream, StreamExt};
use shared::models::{Consistency, DatabaseType, DumpOptions};
use tokio::io::AsyncReadExt;
use tokio::process::ChildStdout;
use tokio::time::{Instant, sleep_until};

use crate::classify::failure;
use crate::closing::Closing;
use crate::error::DumpError;
use crate::mysql::{self, LeftOut};
use crate::origin::Origin;
use crate::postgresql;
use crate::process::{Ending, Invocation, Running};
use crate::remarks::Remarks;
use crate::server::{extension_schemas, extensions, identify, rights, survey, tables};
use crate::sqlserver;
use crate::target::{Limits, Target};
use crate::tools::{Tool, Tools};

/// A piece is handed on when it has this size; small enough to be taken along while the next one is read.
const PIECE: usize = 64 * 1024;

/// The room for a piece: what is read after the size above was almost reached has to fit.
const ROOM: usize = 2 * PIECE;

/// The buffer of the pipe in the kernel. With the default of 64 KiB the tool would stand still at each
/// pause of the reader.
const PIPE: usize = 1024 * 1024;

/// Dumps a database.
///
/// The server is asked for its version first, with the client program of its kind: a wrong password or an
/// unknown database is known before the first byte, and the dump program is chosen to fit the server. The
/// limits count from this call.
pub async fn dump(tools: &Tools, target: &Target, limits: &Limits) -> Result<Dump, DumpError> {
    dump_with(tools, target, &DumpOptions::default(), limits).await
}

/// Dumps what the options say of a database; as [`dump`].
pub async fn dump_with(
    tools: &Tools,
    target: &Target,
    options: &DumpOptions,
    limits: &Limits,
) -> Result<Dump, DumpError> {
    target.check_database()?;
    if matches!(target.kind, DatabaseType::Sqlserver | DatabaseType::AzureSql) {
        return sqlserver::dump(tools, target, options, limits).await;
    }
    let deadline = Instant::now() + limits.deadline;
    let server = identify(tools, target, limits).await?;
    let remarks = Remarks::default();
    let mut origin = Origin { server_version: Some(server.version.text.clone()), ..Origin::default() };
    let mut prelude = String::new();
    let (tool, invocation) = match target.kind {
        DatabaseType::Mysql => {
            let tool = tools.mysqldump(server.version.flavour).await?;
            let survey = survey(tools, target, limits).await?;
            survey.remark(&remarks, survey.keeps_history(&tool, &server.version));
            if let Some(rights) = rights(tools, target, limits, &server.version).await {
                rights.remark(&target.database, &server.version, &remarks);
            }
            let chooses = !options.exclude_tables.is_empty() || !options.exclude_table_data.is_empty();
            let names = if chooses { tables(tools, target, limits).await? } else { Vec::new() };
            let left_out = LeftOut::among(&names, options);
            let invocation = mysql::dump(&tool, target, limits, &server.version, survey, &left_out)?;
            (tool, invocation)
        }
        DatabaseType::Postgresql => {
            let tool = tools.pg_dump(&server.version).await?;
            origin.extensions = extensions(tools, target, limits).await?;
            let has_extensions = !origin.extensions.is_empty();
            let invocation = postgresql::dump(&tool, target, limits, options, has_extensions);
            if has_extensions && !options.include_schemas.is_empty() {
                let schemas = extension_schemas(tools, target, limits).await?;
                prelude = postgresql::prelude(&schemas, options);
            }
            remarks.set_consistency(Consistency::Snapshot);
            (tool, invocation)
        }
        DatabaseType::Sqlserver | DatabaseType::AzureSql => {
            return Err(DumpError::Unsupported { kind: target.kind });
        }
    };
    let described = Described { server_version: server.version.text, origin, remarks, prelude };
    start(tools, target, limits, deadline, &tool, &invocation, described).await
}

/// Dumps the roles of a PostgreSQL server, with their settings and memberships, and with the hashes of their
/// passwords if these are wanted; as [`dump`].
pub async fn dump_globals(
    tools: &Tools,
    target: &Target,
    with_passwords: bool,
    limits: &Limits,
) -> Result<Dump, DumpError> {
    if target.kind != DatabaseType::Postgresql {
        return Err(DumpError::Unsupported { kind: target.kind });
    }
    let deadline = Instant::now() + limits.deadline;
    let server = identify(tools, target, limits).await?;
    let tool = tools.pg_dumpall(&server.version).await?;
    let invocation = postgresql::globals(&tool, target, limits, with_passwords);
    let origin = Origin { server_version: Some(server.version.text.clone()), ..Origin::default() };
    let described = Described {
        server_version: server.version.text,
        origin,
        remarks: Remarks::default(),
        prelude: String::new(),
    };
    start(tools, target, limits, deadline, &tool, &invocation, described).await
}

/// What is known of a dump before its first byte.
struct Described {
    server_version: String,
    origin: Origin,
    remarks: Remarks,
    /// What comes before that byte.
    prelude: String,
}

/// Starts the program that writes a dump.
async fn start(
    tools: &Tools,
    target: &Target,
    limits: &Limits,
    deadline: Instant,
    tool: &Tool,
    invocation: &Invocation,
    described: Described,
) -> Result<Dump, DumpError> {
    let Described { server_version, origin, remarks, prelude } = described;
    let mut running = Running::start(tools, invocation, Stdio::null(), Stdio::piped()).await?;
    let Some(stdout) = running.stdout.take() else {
        return Err(DumpError::Truncated { tool: tool.name, problem: "its output was not connected" });
    };
    // A smaller buffer is slower and nothing else.
    let _ = rustix::pipe::fcntl_setpipe_size(&stdout, PIPE);
    let run = Run {
        running,
        stdout,
        target: target.clone(),
        tool: tool.name,
        limits: *limits,
        deadline,
        end: Closing::default(),
        began: false,
        prelude,
        remarks: remarks.clone(),
    };
    Ok(Dump {
        tool: format!("{} {}", tool.name, tool.version),
        server_version,
        origin,
        remarks,
        pieces: Box::pin(stream::unfold(Some(run), step).fuse()),
    })
}

/// The bytes of a dump, while the tool writes them.
pub struct Dump {
    tool: String,
    server_version: String,
    origin: Origin,
    remarks: Remarks,
    pieces: Pin<Box<dyn Stream<Item = Result<Bytes, DumpError>> + Send>>,
}

impl Dump {
    /// Makes a dump of what an adapter streams.
    pub(crate) fn new(
        tool: String,
        server_version: String,
        remarks: Remarks,
        pieces: Pin<Box<dyn Stream<Item = Result<Bytes, DumpError>> + Send>>,
    ) -> Self {
        let origin = Origin { server_version: Some(server_version.clone()), ..Origin::default() };
        Self { tool, server_version, origin, remarks, pieces }
    }

    /// Returns the name and the version of the program that writes the dump.
    pub fn tool(&self) -> &str {
        &self.tool
    }

    /// Returns the version of the server in its own words.
    pub fn server_version(&self) -> &str {
        &self.server_version
    }

    /// Returns what has to be known to tell whether the dump will load elsewhere.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Returns a view on what has to be known about the dump; it is whole when the stream has ended well.
    pub fn remarks(&self) -> Remarks {
        self.remarks.clone()
    }
}

impl Stream for Dump {
    type Item = Result<Bytes, DumpError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.pieces.as_mut().poll_next(context)
    }
}

impl fmt::Debug for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dump")
            .field("tool", &self.tool)
            .field("server_version", &self.server_version)
            .finish_non_exhaustive()
    }
}

struct Run {
    running: Running,
    stdout: ChildStdout,
    target: Target,
    tool: &'static str,
    limits: Limits,
    deadline: Instant,
    end: Closing,
    began: bool,
    prelude: String,
    remarks: Remarks,
}

/// Takes the next piece from a run; after an error, or after the end, there is no run any more.
async fn step(run: Option<Run>) -> Option<(Result<Bytes, DumpError>, Option<Run>)> {
    let mut run = run?;
    match run.next().await {
        Ok(piece) if piece.is_empty() => match run.verdict().await {
            Ok(()) => None,
            Err(error) => Some((Err(error), None)),
        },
        Ok(piece) => {
            let prelude = std::mem::take(&mut run.prelude);
            let piece = if prelude.is_empty() { piece } else { [prelude.as_bytes(), &piece].concat().into() };
            run.end.push(&piece);
            run.began = true;
            Some((Ok(piece), Some(run)))
        }
        Err(error) => Some((Err(error), None)),
    }
}

impl Run {
    /// Reads the next piece; an empty one is the end of the output.
    async fn next(&mut self) -> Result<Bytes, DumpError> {
        let mut piece = BytesMut::with_capacity(ROOM);
        let mut ended = false;
        let until = sleep_until(patience(self.deadline, self.limits));
        tokio::pin!(until);
        while piece.len() < PIECE {
            tokio::select! {
                biased;
                read = self.stdout.read_buf(&mut piece) => match read {
                    Ok(0) => break,
                    Ok(_) => until.as_mut().reset(patience(self.deadline, self.limits)),
                    Err(source) => {
                        return Err(DumpError::Local { doing: "reading from a database tool", source });
                    }
                },
                () = &mut until => return Err(self.too_long()),
                // What the tool has written before its end is still in the pipe. A process that it has
                // left behind would keep the pipe open; waiting for the end kills such processes.
                result = self.running.ended(), if !ended => {
                    result?;
                    ended = true;
                }
            }
        }
        Ok(piece.freeze())
    }

    /// Decides, after the end of the output, whether the dump is whole.
    async fn verdict(&mut self) -> Result<(), DumpError> {
        let until = patience(self.deadline, self.limits);
        let ending = tokio::select! {
            ending = self.running.ended() => ending?,
            () = sleep_until(until) => return Err(self.too_long()),
        };
        let said = self.running.said().await;
        if ending != Ending::SUCCESS {
            return Err(failure(&self.target, self.tool, ending, &said));
        }
        if !self.began {
            return Err(DumpError::Truncated { tool: self.tool, problem: "it wrote nothing" });
        }
        if !self.end.is_closed(self.target.kind) {
            return Err(DumpError::Truncated { tool: self.tool, problem: "the closing line is missing" });
        }
        if !said.is_empty() {
            tracing::warn!(tool = self.tool, said = said.shown(), "the dump is complete, with a warning");
            self.remarks.warn(format!("{} said: {}", self.tool, said.shown()));
        }
        Ok(())
    }

    /// Kills the tool and says which limit has passed.
    fn too_long(&mut self) -> DumpError {
        self.running.kill();
        if Instant::now() >= self.deadline {
            DumpError::Timeout { tool: self.tool, after: self.limits.deadline }
        } else {
            DumpError::Stalled { tool: self.tool, after: self.limits.stall }
        }
    }
}

/// Returns the moment until which the next byte has to come.
fn patience(deadline: Instant, limits: Limits) -> Instant {
    deadline.min(Instant::now() + limits.stall)
}
