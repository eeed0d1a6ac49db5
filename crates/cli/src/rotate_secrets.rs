//! `dilux rotate-secrets`: moves every stored password to where the settings say that passwords are kept.

use std::io;
use std::process::ExitCode;

use shared::clock::Clock;
use shared::secrets::{ForgetError, OpenError, Orphans, Rotated, Secrets};
use shared::storage::StorageError;

use crate::ending::print;
use crate::stored::{self, StoredError};
use crate::text::on_one_line;

const EXAMPLES: &str = "\
To change the key that seals passwords in the configuration:
  1. make a key:            openssl rand -base64 32
  2. in all three apps, set SECRETS_KEY to the new key and SECRETS_KEY_PREVIOUS to the present one
  3. with the same two variables and those of the storage account:  dilux rotate-secrets
  4. when it reports no failure, remove SECRETS_KEY_PREVIOUS from the apps

It also moves passwords that an earlier system kept in plain text, and with KEY_VAULT_NAME and \
ENVIRONMENT=production all of them into that vault. It can be stopped and started again at any time.

With a vault it then names the secrets there that no database, server or restore has any more, as a program \
leaves them that is killed while it deletes one. Those of restores that have ended are deleted. Look at the \
others before you use --remove-orphans: in a vault that another installation or people use too, they may be \
theirs. What was deleted can be recovered for as long as the vault keeps it.";

/// The command line of `dilux rotate-secrets`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// Delete the secrets of the vault that nothing has any more, and not only name them
    #[arg(long)]
    remove_orphans: bool,
}

/// Why nothing was moved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RotateError {
    /// Storage cannot be used.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// Storage failed on the way.
    #[error("the configuration cannot be read")]
    Storage(#[from] StorageError),
    /// The store cannot be set up.
    #[error(transparent)]
    Secrets(#[from] OpenError),
    /// The vault, or what names its secrets, could not be looked through.
    #[error("the secrets were moved, but the key vault could not be looked through")]
    Orphans(#[source] ForgetError),
    /// There is no place to move to.
    #[error(
        "there is no secret store to move passwords to; set SECRETS_KEY, or KEY_VAULT_NAME with ENVIRONMENT=production"
    )]
    NoStore,
    /// The outcome could not be written.
    #[error("the outcome could not be printed")]
    Print(#[from] io::Error),
}

/// Moves them and prints what came of it; fails when one could not be moved.
pub(crate) async fn run(options: Options) -> Result<ExitCode, RotateError> {
    let (config, storage) = stored::open()?;
    let secrets = Secrets::open(&config)?;
    if !secrets.is_set_up() {
        return Err(RotateError::NoStore);
    }
    let rotated = secrets.rotate(&storage).await?;
    print(&shown(&rotated))?;
    let orphans = secrets.sweep(&storage, options.remove_orphans, Clock::system().now()).await;
    let orphans = orphans.map_err(RotateError::Orphans)?.unwrap_or_default();
    print(&shown_orphans(&orphans))?;
    let all_done = rotated.failed.is_empty() && orphans.failed.is_empty();
    Ok(if all_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn shown_orphans(orphans: &Orphans) -> String {
    let mut lines: Vec<String> =
        orphans.removed.iter().map(|name| format!("deleted, nothing has it any more: {name}")).collect();
    lines.extend(orphans.found.iter().map(|orphan| {
        let day = orphan.written_at.date_naive();
        format!("nothing has it any more: {}, written {day}; --remove-orphans deletes it", orphan.name)
    }));
    lines.extend(orphans.failed.iter().map(|failure| format!("not deleted: {}", on_one_line(failure))));
    lines.into_iter().map(|line| line + "\n").collect()
}

fn shown(rotated: &Rotated) -> String {
    let mut lines = vec![format!("moved {}, in place already {}", rotated.moved, rotated.settled)];
    lines.extend(rotated.failed.iter().map(|failure| format!("not moved: {}", on_one_line(failure))));
    if !rotated.failed.is_empty() {
        lines.push("keep SECRETS_KEY_PREVIOUS until these are settled".to_owned());
    }
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use shared::secrets::Orphan;

    use super::*;

    #[test]
    fn failures_are_listed_and_the_old_key_is_kept() {
        let rotated = Rotated { moved: 2, settled: 1, failed: vec!["the engine A\nB (e-1): no".to_owned()] };
        insta::assert_snapshot!(shown(&rotated), @r"
        moved 2, in place already 1
        not moved: the engine A B (e-1): no
        keep SECRETS_KEY_PREVIOUS until these are settled
        ");
    }

    #[test]
    fn orphans_are_named_with_their_age() {
        let orphans = Orphans {
            found: vec![Orphan { name: "database-d-1".to_owned(), written_at: DateTime::UNIX_EPOCH }],
            removed: vec!["restore-r-1".to_owned()],
            failed: vec!["engine-e-1: the key vault\nrefuses".to_owned()],
        };
        insta::assert_snapshot!(shown_orphans(&orphans), @r"
        deleted, nothing has it any more: restore-r-1
        nothing has it any more: database-d-1, written 1970-01-01; --remove-orphans deletes it
        not deleted: engine-e-1: the key vault refuses
        ");
        assert_eq!(shown_orphans(&Orphans::default()), "");
    }
}
