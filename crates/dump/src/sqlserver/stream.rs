//! The dump: three runs of the tool, and a stream of statements out of them.

use bytes::Bytes;
use futures::stream;
use shared::models::{Consistency, DumpOptions};
use tokio::time::Instant;

use super::catalog::{self, Catalog, Reader};
use super::command::OnError;
use super::data::{Bad, Writer};
use super::literal::Script;
use super::plan::{self, Choices, NotExportable, Plan};
use super::probe::{self, Capabilities};
use super::run::Session;
use super::version;
use crate::error::DumpError;
use crate::remarks::Remarks;
use crate::stream::Dump;
use crate::target::{Limits, Target};
use crate::tools::{Tool, Tools};

/// A piece of the stream is handed on when it has this size.
const PIECE: usize = 128 * 1024;

/// The statement that would make the next dump consistent.
const SWITCH_ON: &str = "ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION ON";

/// Dumps a database.
pub(crate) async fn dump(
    tools: &Tools,
    target: &Target,
    options: &DumpOptions,
    limits: &Limits,
) -> Result<Dump, DumpError> {
    let choices = Choices::from(options);
    let deadline = Instant::now() + limits.deadline;
    let tool = tools.sqlcmd(target.proof).await?;
    let runner = Runner { tools, tool: &tool, target, limits, deadline };
    let caps = runner.probe().await?;
    let (mut catalog, untold) = runner.catalog(&caps, choices).await?;
    catalog.leave_out(options);
    if !caps.microsoft {
        catalog.leave_default_collations();
    }
    let mut plan = plan::plan(&catalog, &caps, choices).map_err(|NotExportable(reason)| {
        DumpError::NotExportable { database: target.database.clone(), reason }
    })?;
    plan.warnings
        .extend(untold.iter().map(|kind| format!("the server could not tell everything of the kind {kind}")));
    let whole = caps.snapshot && !plan.tables.iter().any(|table| table.outside_snapshot);
    let consistency = if whole { Consistency::Snapshot } else { Consistency::PerTable };
    if !caps.snapshot {
        plan.warnings.push(format!(
            "the rows of each table are of the moment at which it was read; for one moment for all: {SWITCH_ON}"
        ));
    }
    let remarks = Remarks::default();
    remarks.set_consistency(consistency);
    refuse_if_strict(target, choices, &plan.warnings)?;
    for warning in &plan.warnings {
        remarks.warn(warning.as_str());
    }
    let session = runner.start(&questions(&catalog, &plan, &caps), OnError::Stop).await?;
    let head = plan::head(&catalog, &caps, consistency.as_str(), &plan.warnings);
    let description = format!("{} {}", tool.name, tool.version);
    let server_version = version(&caps.version).text;
    let run = Run { session, target: target.clone(), catalog, plan, caps, choices, remarks: remarks.clone() };
    Ok(Dump::new(description, server_version, remarks, pieces(run, head)))
}

/// Makes the error of a dump that would leave something out and must not.
fn refuse_if_strict(target: &Target, choices: Choices, warnings: &[String]) -> Result<(), DumpError> {
    match warnings {
        [first, rest @ ..] if choices.strict => Err(DumpError::NotExportable {
            database: target.database.clone(),
            reason: if rest.is_empty() {
                first.clone()
            } else {
                format!("{first} (and {} more such things)", rest.len())
            },
        }),
        _ => Ok(()),
    }
}

/// What all runs share.
struct Runner<'a> {
    tools: &'a Tools,
    tool: &'a Tool,
    target: &'a Target,
    limits: &'a Limits,
    deadline: Instant,
}

impl Runner<'_> {
    async fn start(&self, script: &str, on_error: OnError) -> Result<Session, DumpError> {
        let Self { tools, tool, target, limits, deadline } = self;
        Session::start(tools, tool, target, limits, *deadline, script.to_owned(), on_error).await
    }

    /// Finds out what the server can do.
    async fn probe(&self) -> Result<Capabilities, DumpError> {
        let mut session = self.start(&probe::script(), OnError::GoOn).await?;
        let mut lines = Vec::new();
        while let Some(line) = session.line().await? {
            lines.push(line);
        }
        match probe::read(lines.iter().map(String::as_str)) {
            Ok(caps) => Ok(caps),
            Err(probe::Unfit::NoEnd) => Err(session.failure().await),
            Err(unfit) => Err(session.truncated(unfit.problem())),
        }
    }

    /// Reads all catalogs; returns the kinds of things that the server could not tell as well.
    async fn catalog(
        &self,
        caps: &Capabilities,
        choices: Choices,
    ) -> Result<(Catalog, Vec<&'static str>), DumpError> {
        // A look-alike may have a catalog and still not be able to tell what is in it.
        let on_error = if caps.microsoft { OnError::Stop } else { OnError::GoOn };
        let (script, kinds) = catalog::script(caps, choices.permissions);
        let mut session = self.start(&script, on_error).await?;
        let mut reader = Reader::new(caps);
        while let Some(line) = session.line().await? {
            if let Err(unreadable) = reader.push(&line) {
                tracing::warn!(kind = unreadable.0, "a catalog's answer cannot be read");
                return Err(session.blame("an answer of the catalogs cannot be read").await);
            }
        }
        if caps.microsoft {
            session.verdict("reading the catalogs:").await?;
        }
        match reader.finish(&kinds) {
            Some(read) => Ok(read),
            None => Err(session.failure().await),
        }
    }
}

/// Writes the script that asks for all rows, in one transaction where that is one moment.
fn questions(catalog: &Catalog, plan: &Plan, caps: &Capabilities) -> String {
    let mut script = Script::default();
    script.batch(&caps.prologue());
    if caps.snapshot {
        script.batch("SET TRANSACTION ISOLATION LEVEL SNAPSHOT");
        script.batch("BEGIN TRANSACTION");
    }
    if catalog.fingerprint.is_some() {
        script.batch(&catalog::fingerprint(caps));
    }
    let inside = plan.tables.iter().filter(|table| !table.outside_snapshot).count();
    for (number, table) in plan.tables.iter().enumerate() {
        if caps.snapshot && number == inside {
            script.batch("COMMIT TRANSACTION");
            script.batch("SET TRANSACTION ISOLATION LEVEL READ COMMITTED");
        }
        table.ask(&mut script, number, caps);
    }
    if caps.snapshot && inside == plan.tables.len() {
        script.batch("COMMIT TRANSACTION");
    }
    script.batch("SELECT '~Z'");
    script.into_text()
}

/// A dump under way.
struct Run {
    session: Session,
    target: Target,
    catalog: Catalog,
    plan: Plan,
    caps: Capabilities,
    choices: Choices,
    remarks: Remarks,
}

type Pieces = std::pin::Pin<Box<dyn futures::Stream<Item = Result<Bytes, DumpError>> + Send>>;

/// Makes the stream: the statements before the rows, the rows, and what comes after them.
fn pieces(run: Run, head: String) -> Pieces {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(2);
    let work = async move { run.all(head, sender).await };
    Box::pin(stream::unfold(State::Working { work: Box::pin(work), receiver }, step))
}

type Work = std::pin::Pin<Box<dyn Future<Output = Result<(), DumpError>> + Send>>;

/// Where the stream stands. The work is driven by whoever reads the stream, and dropped with it.
enum State {
    Working { work: Work, receiver: tokio::sync::mpsc::Receiver<Bytes> },
    Draining { receiver: tokio::sync::mpsc::Receiver<Bytes>, end: Result<(), DumpError> },
    Ended,
}

async fn step(state: State) -> Option<(Result<Bytes, DumpError>, State)> {
    let (mut receiver, end) = match state {
        State::Working { mut work, mut receiver } => {
            tokio::select! {
                biased;
                Some(piece) = receiver.recv() => {
                    return Some((Ok(piece), State::Working { work, receiver }));
                }
                end = &mut work => (receiver, end),
            }
        }
        State::Draining { receiver, end } => (receiver, end),
        State::Ended => return None,
    };
    match (receiver.try_recv(), end) {
        (Ok(piece), end) => Some((Ok(piece), State::Draining { receiver, end })),
        (Err(_), Ok(())) => None,
        (Err(_), Err(error)) => Some((Err(error), State::Ended)),
    }
}

impl Run {
    async fn all(mut self, head: String, sender: tokio::sync::mpsc::Sender<Bytes>) -> Result<(), DumpError> {
        // Nobody waits for the pieces any more when this fails; the work is dropped then as well.
        let send = async |text: String| drop(sender.send(Bytes::from(text)).await);
        send(head).await;
        send(std::mem::take(&mut self.plan.before)).await;
        let tables = std::mem::take(&mut self.plan.tables);
        let mut writer = Writer::new(&tables, &self.caps);
        let mut script = Script::default();
        let mut ended = false;
        while let Some(line) = self.session.line().await? {
            if line == "~Z" {
                ended = true;
            } else if let Some(fingerprint) = line.strip_prefix("~F|") {
                if self.catalog.fingerprint.as_deref() != Some(fingerprint) {
                    self.session.kill();
                    return Err(DumpError::Changed { database: self.target.database.clone() });
                }
            } else if let Err(bad) = writer.push(&mut script, &line) {
                return Err(self.blame(&tables, &bad).await);
            }
            if script.len() >= PIECE {
                send(script.take()).await;
            }
        }
        let doing = writer.current().filter(|_| !writer.is_complete());
        let doing = doing.map_or_else(String::new, |table| format!("reading the table {}:", table.full_name));
        if let Some(said) = self.session.verdict(&doing).await? {
            tracing::warn!(said, "the dump is complete, with a warning");
            self.remarks.warn(format!("sqlcmd said: {said}"));
        }
        if !ended || !writer.is_complete() {
            return Err(self.session.truncated("the last table is missing"));
        }
        let done = std::mem::take(&mut writer.done);
        drop(writer);
        self.plan.tables = tables;
        let mut late = Vec::new();
        let after = plan::after(&self.catalog, &self.plan, &done, &self.caps, self.choices, &mut late);
        refuse_if_strict(&self.target, self.choices, &late)?;
        for warning in &late {
            self.remarks.warn(warning.as_str());
        }
        send(script.take()).await;
        let mut notes = Script::default();
        for warning in &late {
            notes.comment(&format!("warning: {warning}"));
        }
        send(after + &notes.into_text()).await;
        send(plan::closing()).await;
        Ok(())
    }

    /// Makes the error of an answer that is not what was asked for. A tool that is dying may have left half
    /// a line, and what it says about that is the better reason.
    async fn blame(&mut self, tables: &[super::data::DataTable], bad: &Bad) -> DumpError {
        let name = |table: usize| tables.get(table).map_or("", |table| table.full_name.as_str()).to_owned();
        match *bad {
            Bad::Count { table, counted, received } => {
                self.session.kill();
                DumpError::RowsMissing { table: name(table), counted, received }
            }
            Bad::Line { table } => {
                if let Some(table) = table {
                    tracing::warn!(table = name(table), "a row is not in the form that was asked for");
                }
                self.session.blame("a row is not in the form that was asked for").await
            }
        }
    }
}
