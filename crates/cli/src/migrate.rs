//! `dilux migrate`: brings what earlier systems have stored into the form that this one works with.
//!
//! What must stay true: without `--apply` nothing is written; with it, everything may run meanwhile, and
//! it can be killed and started again at any time.

use std::io;
use std::process::ExitCode;

use shared::clock::Clock;
use shared::config::Config;
use shared::secrets::{OpenError, Rotated, Secrets, Survey};
use shared::storage::{LeftAlone, Rebuilt, Storage, TakenOver};

use crate::ending::print;
use crate::progress::ProgressLine;
use crate::stored::{self, StoredError};
use crate::text::on_one_line;

const EXAMPLES: &str = "\
Examples:
  dilux migrate           says what there is to do, and changes nothing
  dilux migrate --apply   does it; the apps may run meanwhile

Rows of the history whose key has no time, or another one, get the key of today. Engines move out of the table \
of databases into their own. Passwords in plain text move to the secret store, if one is set up. The index \
leads from ids, jobs and blob names to rows, and holds the counts of past days. It can be killed and started \
again at any time; what is left alone is named with the reason.";

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
    /// The secret store cannot be set up.
    #[error(transparent)]
    Secrets(#[from] OpenError),
    /// The result could not be written.
    #[error("the result could not be printed")]
    Print(#[from] io::Error),
}

/// What was done, or is to be done.
#[derive(Debug, Default)]
struct Outcome {
    applied: bool,
    history: TakenOver,
    engines: TakenOver,
    secrets: Survey,
    /// What came of moving passwords; `None` where there is no place to move them to, or nothing was to
    /// be written.
    rotated: Option<Rotated>,
    has_store: bool,
    was_indexed: bool,
    index: Rebuilt,
    unreadable: Vec<LeftAlone>,
}

/// Migrates, or says what there is to do.
pub(crate) async fn run(options: Options) -> Result<ExitCode, MigrateError> {
    let (config, storage) = stored::open()?;
    let outcome = migrate(options.apply, &config, &storage).await?;
    print(&report(&outcome))?;
    let failed = outcome.rotated.is_some_and(|rotated| !rotated.failed.is_empty());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn migrate(apply: bool, config: &Config, storage: &Storage) -> Result<Outcome, MigrateError> {
    let secrets = Secrets::open(config)?;
    let mut line = ProgressLine::begin();
    // A first look, so that the line can say how much there is.
    let looking = |so_far: &TakenOver| line.show(|| format!("looking at the history: {} rows", so_far.seen));
    let planned = storage.backups.take_over(false, looking).await.map_err(StoredError::from)?;
    let to_move = planned.moved;
    let history = if apply && to_move > 0 {
        let moving = |so_far: &TakenOver| line.show(|| moved_line(so_far.moved, to_move));
        storage.backups.take_over(true, moving).await.map_err(StoredError::from)?
    } else {
        planned
    };
    let engines = storage.engines.take_over(apply).await.map_err(StoredError::from)?;
    let survey = secrets.survey(storage).await.map_err(StoredError::from)?;
    let rotated = if apply && secrets.is_set_up() {
        Some(secrets.rotate(storage).await.map_err(StoredError::from)?)
    } else {
        None
    };
    let was_indexed = storage.backups.is_indexed().await.map_err(StoredError::from)?;
    let indexing = |so_far: Rebuilt| {
        line.show(|| {
            format!("index of the history: {} backups, {} without entries", so_far.rows, so_far.missing)
        });
    };
    let now = Clock::system().now();
    let index = storage.backups.rebuild_index(apply, now, indexing).await.map_err(StoredError::from)?;
    let unreadable = storage.unreadable_configuration().await.map_err(StoredError::from)?;
    Ok(Outcome {
        applied: apply,
        history,
        engines,
        secrets: survey,
        rotated,
        has_store: secrets.is_set_up(),
        was_indexed,
        index,
        unreadable,
    })
}

/// Says how far the history has come, as a bar and in numbers.
fn moved_line(moved: u64, of: u64) -> String {
    const WIDTH: u64 = 30;
    let filled = usize::try_from((moved.min(of) * WIDTH).checked_div(of).unwrap_or(WIDTH)).unwrap_or(0);
    format!("history: [{:<30}] {moved} of {of} rows moved", "#".repeat(filled))
}

fn report(outcome: &Outcome) -> String {
    let (moved, to_be) = if outcome.applied { ("moved", "") } else { ("to be moved", "to be ") };
    let mut lines = vec![
        format!("Rows of the history: {} seen, {} {moved}.", outcome.history.seen, outcome.history.moved),
        format!(
            "Engines in the table of databases: {}, {} {moved}.",
            outcome.engines.seen, outcome.engines.moved
        ),
        secrets_line(outcome),
    ];
    let Rebuilt { rows, missing } = outcome.index;
    lines.push(if outcome.applied {
        format!("Index of the history: {rows} backups seen, {missing} indexed, days counted.")
    } else {
        format!("Index of the history: {rows} backups, {missing} {to_be}indexed.")
    });
    let failures = outcome.rotated.iter().flat_map(|rotated| &rotated.failed);
    lines.extend(failures.map(|failure| format!("Not moved: the password of {}", on_one_line(failure))));

    let mut left: Vec<&LeftAlone> = [&outcome.history.left, &outcome.engines.left]
        .into_iter()
        .chain([&outcome.secrets.out_of_reach, &outcome.unreadable])
        .flatten()
        .collect();
    left.sort();
    left.dedup();
    if !left.is_empty() {
        lines.push(format!("Left alone: {}", left.len()));
        lines.extend(
            left.iter().map(|left| format!("  {}: {}", on_one_line(&left.row), on_one_line(&left.why))),
        );
    }
    if !outcome.applied {
        lines.push(if is_done(outcome) {
            "There is nothing to do.".to_owned()
        } else {
            "Nothing was changed; --apply does it.".to_owned()
        });
    }
    lines.push(String::new());
    lines.join("\n")
}

fn secrets_line(outcome: &Outcome) -> String {
    let to_move = &outcome.secrets.to_move;
    match &outcome.rotated {
        Some(rotated) => {
            format!("Passwords: {} moved, {} in place already.", rotated.moved, rotated.settled)
        }
        None if to_move.is_empty() => "Passwords: all in place.".to_owned(),
        None if outcome.has_store => format!("Passwords: {} to be moved.", to_move.len()),
        None => format!(
            "Passwords: {} in plain text, and there is no secret store to move them to: set SECRETS_KEY, or \
             KEY_VAULT_NAME with ENVIRONMENT=production, and run this again.\n  {}",
            to_move.len(),
            to_move.iter().map(|what| on_one_line(what)).collect::<Vec<_>>().join("\n  ")
        ),
    }
}

fn is_done(outcome: &Outcome) -> bool {
    outcome.history.moved == 0
        && outcome.engines.moved == 0
        && (outcome.secrets.to_move.is_empty() || !outcome.has_store)
        && outcome.index.missing == 0
        && outcome.was_indexed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(applied: bool) -> Outcome {
        let left = |row: &str, why: &str| LeftAlone { row: row.to_owned(), why: why.to_owned() };
        Outcome {
            applied,
            history: TakenOver {
                seen: 9,
                moved: 5,
                left: vec![left("backup history (d, r)", "status: \u{1b}")],
            },
            engines: TakenOver { seen: 2, moved: 1, left: vec![left("engine (engine, e)", "host: missing")] },
            secrets: Survey { to_move: vec!["the engine A\nB (e-1)".to_owned()], out_of_reach: Vec::new() },
            index: Rebuilt { rows: 9, missing: 4 },
            unreadable: vec![left("engine (engine, e)", "host: missing")],
            ..Outcome::default()
        }
    }

    #[test]
    fn the_report_says_what_is_to_be_done_and_names_what_is_left_alone() {
        insta::assert_snapshot!(report(&outcome(false)), @"
        Rows of the history: 9 seen, 5 to be moved.
        Engines in the table of databases: 2, 1 to be moved.
        Passwords: 1 in plain text, and there is no secret store to move them to: set SECRETS_KEY, or KEY_VAULT_NAME with ENVIRONMENT=production, and run this again.
          the engine A B (e-1)
        Index of the history: 9 backups, 4 to be indexed.
        Left alone: 2
          backup history (d, r): status:
          engine (engine, e): host: missing
        Nothing was changed; --apply does it.
        ");
    }

    #[test]
    fn the_report_says_what_was_done() {
        let failed = vec!["the engine A (e-1): no".to_owned()];
        let done = Outcome { rotated: Some(Rotated { moved: 1, settled: 2, failed }), ..outcome(true) };
        insta::assert_snapshot!(report(&done), @"
        Rows of the history: 9 seen, 5 moved.
        Engines in the table of databases: 2, 1 moved.
        Passwords: 1 moved, 2 in place already.
        Index of the history: 9 backups seen, 4 indexed, days counted.
        Not moved: the password of the engine A (e-1): no
        Left alone: 2
          backup history (d, r): status:
          engine (engine, e): host: missing
        ");
        let nothing = report(&Outcome { was_indexed: true, ..Outcome::default() });
        assert!(nothing.ends_with("There is nothing to do.\n"), "{nothing}");
    }

    #[test]
    fn the_bar_fills() {
        let bars = [moved_line(0, 4), moved_line(2, 4), moved_line(4, 4), moved_line(0, 0)].join("\n");
        insta::assert_snapshot!(bars, @"
        history: [                              ] 0 of 4 rows moved
        history: [###############               ] 2 of 4 rows moved
        history: [##############################] 4 of 4 rows moved
        history: [##############################] 0 of 0 rows moved
        ");
    }
}
