//! `dilux migrate`: brings what earlier systems have stored into the form that this one works with.
//!
//! What must stay true: without `--apply` nothing is written; with it, everything may run meanwhile, and
//! it can be killed and started again at any time.

use std::io;
use std::process::ExitCode;

use shared::clock::Clock;
use shared::storage::Rebuilt;

use crate::ending::print;
use crate::progress::ProgressLine;
use crate::stored::{self, StoredError};

const EXAMPLES: &str = "\
Examples:
  dilux migrate           says what there is to do, and changes nothing
  dilux migrate --apply   does it; the apps may run meanwhile

The index of the history leads from ids, jobs and blob names to rows, and holds the counts of past days. \
Rows that an earlier system has left are found without it, but by a search.";

/// The command line of `dilux migrate`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// Write; without it, only say what would be written
    #[arg(long)]
    apply: bool,
}

/// Why it did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MigrateError {
    /// Storage cannot be used.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// The result could not be written.
    #[error("the result could not be printed")]
    Print(#[from] io::Error),
}

/// Migrates, or says what there is to do.
pub(crate) async fn run(options: Options) -> Result<ExitCode, MigrateError> {
    let (_, storage) = stored::open()?;
    let mut line = ProgressLine::begin();
    let progress = |so_far: Rebuilt| {
        line.show(|| {
            format!("index of the history: {} backups, {} without entries", so_far.rows, so_far.missing)
        });
    };
    let indexed = storage.backups.is_indexed().await.map_err(StoredError::from)?;
    let now = Clock::system().now();
    let rebuilt =
        storage.backups.rebuild_index(options.apply, now, progress).await.map_err(StoredError::from)?;
    drop(line);
    print(&index_line(options.apply, indexed, rebuilt))?;
    Ok(ExitCode::SUCCESS)
}

/// Says what was done about the index, or is to be done.
fn index_line(apply: bool, indexed: bool, Rebuilt { rows, missing }: Rebuilt) -> String {
    match (apply, missing, indexed) {
        (true, ..) => {
            format!("Index of the history: {rows} backups seen, {missing} indexed, days counted.\n")
        }
        (false, 0, true) => format!("Index of the history: {rows} backups, nothing to do.\n"),
        (false, ..) => format!(
            "Index of the history: {rows} backups, {missing} to be indexed.\nNothing was changed; --apply does it.\n"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_says_what_was_done_and_what_is_to_be_done() {
        let rebuilt = Rebuilt { rows: 3, missing: 2 };
        let none = Rebuilt { rows: 3, missing: 0 };
        let lines = [
            index_line(false, false, rebuilt),
            index_line(true, false, rebuilt),
            index_line(false, true, none),
            index_line(false, false, none),
        ];
        insta::assert_snapshot!(lines.concat(), @"
        Index of the history: 3 backups, 2 to be indexed.
        Nothing was changed; --apply does it.
        Index of the history: 3 backups seen, 2 indexed, days counted.
        Index of the history: 3 backups, nothing to do.
        Index of the history: 3 backups, 0 to be indexed.
        Nothing was changed; --apply does it.
        ");
    }
}
