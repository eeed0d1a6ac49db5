//! SQL Server, Azure SQL and what speaks their language, by way of `sqlcmd`.
//!
//! There is no dump program for these servers that keeps everything and runs here, so that this module is
//! one: it asks the catalogs what there is, writes the statements that make it again, and streams the rows
//! between them. Three runs of the tool: questions about what the server can do, the catalogs, and the rows
//! in one transaction, which begins with the question whether the catalogs are still the same. What must
//! stay true:
//!
//! - The closing line is written only when all rows of all tables have come, as many as the server counts
//!   in the same transaction, and the tool has ended well.
//! - Nothing is left out silently: it is in the remarks, and in the head of the script.
//! - Texts from the database are syntax nowhere: not in our questions, not in the script.
//! - Memory grows with the number of tables, never with their rows.

mod catalog;
mod command;
mod connection;
mod data;
mod ddl;
#[cfg(test)]
mod golden;
mod guard;
mod literal;
mod plan;
mod probe;
mod run;
mod stream;
mod transfer;
mod value;

use std::time::{Duration, Instant as Clock};

use tokio::time::Instant;

use self::command::OnError;
use self::literal::Script;
use self::run::Session;
use self::transfer::TextForm;
use crate::error::DumpError;
use crate::target::{Limits, Target};
use crate::tools::{Tool, Tools};
use crate::version::{Flavour, Version};

pub(crate) use self::command::load;
pub(crate) use self::connection::Watch;
pub(crate) use self::guard::Guard;
pub(crate) use self::literal::text;
pub(crate) use self::run::connection_lost;
pub(crate) use self::stream::dump;

/// The closing line of a script.
pub(crate) const CLOSING: &str = "-- dilux-backup: the dump is complete";

/// The batch that is added to a dump when it is loaded. One of the two programs ends with 0 when it is
/// interrupted; only one that has come to this batch prints its answer.
pub(crate) const LAST_BATCH: &[u8] = b"\nSELECT '~Z'\nGO\n";

/// Tells whether the answer to the last batch is in what was printed.
pub(crate) fn came_to_last_batch(printed: &[u8]) -> bool {
    printed.split(|byte| *byte == b'\n').any(|line| line.trim_ascii() == b"~Z")
}

/// What a server said when it was asked for its version.
pub(crate) struct Identified {
    pub version: Version,
    pub client: Tool,
    pub latency: Duration,
}

/// Asks a server for its version.
pub(crate) async fn identify(
    tools: &Tools,
    target: &Target,
    limits: &Limits,
    limit: Duration,
) -> Result<Identified, DumpError> {
    let client = tools.sqlcmd(target.proof).await?;
    let began = Clock::now();
    let lines = ask(tools, &client, target, limits, limit, probe::version_script()).await?;
    let text = lines.iter().find_map(|line| line.strip_prefix("~V|")).unwrap_or_default();
    Ok(Identified { version: version(text), client, latency: began.elapsed() })
}

/// Lists the databases of a server.
pub(crate) async fn discover(
    tools: &Tools,
    target: &Target,
    limits: &Limits,
    limit: Duration,
) -> Result<Vec<String>, DumpError> {
    let client = tools.sqlcmd(target.proof).await?;
    let lines = ask(tools, &client, target, limits, limit, probe::databases_script()).await?;
    let names = lines.iter().filter_map(|line| line.strip_prefix("~D|"));
    Ok(names.filter_map(|name| String::from_utf16(&TextForm::Escaped.read(name)?).ok()).collect())
}

/// Runs statements, each as a batch of its own, up to the first error; returns the lines that they answer.
pub(crate) async fn execute(
    tools: &Tools,
    client: &Tool,
    target: &Target,
    limits: &Limits,
    statements: &[String],
) -> Result<Vec<String>, DumpError> {
    let mut script = Script::default();
    script.batch("SET NOCOUNT ON");
    for statement in statements {
        script.batch(statement);
    }
    script.batch("SELECT '~Z'");
    ask(tools, client, target, limits, limits.deadline, script.into_text()).await
}

/// Reads what a server calls itself.
pub(crate) fn version(text: &str) -> Version {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let release = text.split(" - ").nth(1).unwrap_or_default();
    let mut numbers = [0; 3];
    for (number, part) in numbers.iter_mut().zip(release.split(|c: char| !c.is_ascii_digit())) {
        *number = part.parse().unwrap_or(0);
    }
    Version { flavour: Flavour::Unknown, numbers, text }
}

/// Runs a short script whose errors end it, and returns the lines of its answer.
async fn ask(
    tools: &Tools,
    client: &Tool,
    target: &Target,
    limits: &Limits,
    limit: Duration,
    script: String,
) -> Result<Vec<String>, DumpError> {
    let deadline = Instant::now() + limit;
    let limits = Limits { deadline: limit, ..*limits };
    let mut session = Session::start(tools, client, target, &limits, deadline, script, OnError::Stop).await?;
    let mut lines = Vec::new();
    while let Some(line) = session.line().await? {
        lines.push(line);
    }
    session.verdict("").await?;
    if lines.last().map(String::as_str) != Some("~Z") {
        return Err(session.truncated("the end of the answer is missing"));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_servers_call_themselves() {
        let read = |text: &str| version(text).numbers;
        assert_eq!(read("Microsoft SQL Server 2022 (RTM) - 16.0.1000.6 (X64) Oct 8 2022"), [16, 0, 1000]);
        assert_eq!(read("Microsoft SQL Azure (RTM) - 12.0.2000.8 Jul  3 2024"), [12, 0, 2000]);
        assert_eq!(read("something else"), [0, 0, 0]);
    }
}
