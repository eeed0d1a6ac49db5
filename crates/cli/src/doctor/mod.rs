//! `dilux doctor`: looks at everything that backups need, and says what is wrong and how to mend it.
//!
//! Changes nothing: what is missing in storage, the apps make when they start.

mod checks;
mod tools;

use std::process::ExitCode;
use std::time::Duration;

use dump::Tools;
use serde::Serialize;
use shared::clock::Clock;
use shared::config::Config;

use crate::ending::print;
use crate::stored::StoredError;
use crate::text::{on_one_line, table};
use crate::with_causes;

const EXAMPLES: &str = "\
Examples:
  dilux doctor          with the variables of the apps in the environment
  dilux doctor --json   the same for programs

Exit code: 0 when nothing is wrong, or only what deserves a look; 1 when something is.";

/// How long one look may take.
const LIMIT: Duration = Duration::from_secs(30);

/// The command line of `dilux doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// How well something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Health {
    /// As it should be.
    Ok,
    /// It works, and deserves a look.
    Warn,
    /// It does not work.
    Fail,
}

/// What was found about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    status: Health,
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, status: Health::Ok, found: found.into(), mend: None }
    }

    fn warn(check: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, status: Health::Warn, found: found.into(), mend: Some(mend.into()) }
    }

    fn fail(check: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, status: Health::Fail, found: found.into(), mend: Some(mend.into()) }
    }
}

/// Looks, reports, and says by the exit code whether something is wrong.
pub(crate) async fn run(options: Options) -> std::io::Result<ExitCode> {
    let tools = Tools::standard().with_launcher(std::env::current_exe()?);
    let installed = tools.installed().await;
    let mut findings = Vec::new();
    match crate::stored::open() {
        Err(error) => findings.push(unusable(&error)),
        Ok((config, storage)) => {
            findings.push(configuration(&config));
            findings.extend(checks::storage(&config, &storage, Clock::system().now(), LIMIT).await);
            findings.push(checks::secrets(&config, LIMIT).await);
            findings.push(checks::clock(&config, &Clock::system(), LIMIT).await);
        }
    }
    findings.extend(tools::findings(&installed));
    let is_well = findings.iter().all(|finding| finding.status != Health::Fail);
    let programs: Vec<_> = installed.iter().map(tools::Program::from).collect();
    if options.json {
        let document = serde_json::json!({ "ok": is_well, "checks": findings, "tools": programs });
        print(&format!("{document:#}\n"))?;
    } else {
        print(&report(&findings, &programs))?;
    }
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn unusable(error: &StoredError) -> Finding {
    Finding::fail(
        "configuration",
        with_causes(error),
        "correct the variable that is named; docs/CONFIGURATION.md has them all. Storage was not looked at",
    )
}

fn configuration(config: &Config) -> Finding {
    Finding::ok("configuration", format!("usable; ENVIRONMENT is {}", checks::environment(config)))
}

fn report(findings: &[Finding], programs: &[tools::Program]) -> String {
    let mut lines = Vec::new();
    for finding in findings {
        let mark = match finding.status {
            Health::Ok => "ok  ",
            Health::Warn => "warn",
            Health::Fail => "FAIL",
        };
        lines.push(format!("{mark}  {}: {}\n", finding.check, on_one_line(&finding.found)));
        lines.extend(finding.mend.iter().map(|mend| format!("      mend: {}\n", on_one_line(mend))));
    }
    if !programs.is_empty() {
        let mut rows = vec![["TOOL", "VERSION", "PROGRAM"].map(str::to_owned)];
        rows.extend(programs.iter().map(tools::Program::row));
        lines.push("\n".to_owned());
        lines.push(table(&rows));
    }
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_what_is_wrong_and_how_to_mend_it() {
        let findings = [
            Finding::ok("tables", "they answer"),
            Finding::warn("queue", "120 messages wait", "start more processors"),
            Finding::fail("blobs", "no\nanswer", "start it"),
        ];
        insta::assert_snapshot!(report(&findings, &[]), @"
        ok    tables: they answer
        warn  queue: 120 messages wait
              mend: start more processors
        FAIL  blobs: no answer
              mend: start it
        ");
        insta::assert_snapshot!(serde_json::to_string(&findings[2]).unwrap_or_default(), @r#"{"check":"blobs","status":"fail","found":"no\nanswer","mend":"start it"}"#);
    }
}
