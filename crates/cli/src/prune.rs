//! `dilux prune`: retention, now. Works on storage directly, so it needs no app to run.

use std::io;
use std::process::ExitCode;

use shared::clock::Clock;
use shared::models::Database;
use shared::prune::{self, Decided, Outcome, Pruned};

use crate::ending::print;
use crate::stored::{self, StoredError};
use crate::text::{cut, on_one_line, table};

const EXAMPLES: &str = "\
Examples:
  dilux prune --dry-run                  what the next run would delete, and why
  dilux prune --dry-run --all            and why the others stay
  dilux prune --dry-run --database shop  only of \"shop\"
  dilux prune                            delete it now

Only one run goes on at a time, this one or that of the processor's timer. Pinned backups, the newest \
of a database and the newest that was proved to be restorable always stay.";

/// The longest display name that is shown whole, in characters.
const NAME: usize = 40;

/// The command line of `dilux prune`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// Only show what would be deleted
    #[arg(long)]
    dry_run: bool,
    /// Only of this database: its id, or its name if no other one has the same
    #[arg(long, value_name = "DATABASE", requires = "dry_run")]
    database: Option<String>,
    /// Show what stays too
    #[arg(long, requires = "dry_run")]
    all: bool,
}

/// Why nothing was pruned.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PruneError {
    /// Storage cannot be used.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// The outcome could not be written.
    #[error("the outcome could not be printed")]
    Print(#[from] io::Error),
}

/// Prunes, or shows what would be pruned.
pub(crate) async fn run(options: Options) -> Result<ExitCode, PruneError> {
    let (_, storage) = stored::open()?;
    let clock = Clock::system();
    if !options.dry_run {
        let outcome = prune::run(&storage, &clock).await.map_err(StoredError::from)?;
        let (text, code) = told(outcome);
        print(&text)?;
        return Ok(code);
    }
    let wanted = match &options.database {
        Some(wanted) => Some(stored::database_id(&storage, wanted).await?),
        None => None,
    };
    let mut decided = prune::preview(&storage, clock.now()).await.map_err(StoredError::from)?;
    decided.retain(|(database, _)| wanted.as_ref().is_none_or(|wanted| database.id == *wanted));
    print(&drawn(&decided, options.all))?;
    Ok(ExitCode::SUCCESS)
}

fn told(outcome: Outcome) -> (String, ExitCode) {
    let counts = |pruned: Pruned| {
        let Pruned { databases, deleted, kept, refused, failed, paused } = pruned;
        format!(
            "{databases} databases: {deleted} backups deleted, {kept} kept, {refused} protected, {failed} \
             failed; {paused} databases paused because their backups fail\n"
        )
    };
    match outcome {
        Outcome::Done(pruned) if pruned.failed == 0 => (counts(pruned), ExitCode::SUCCESS),
        Outcome::Done(pruned) => (counts(pruned), ExitCode::FAILURE),
        Outcome::Stopped(pruned) => {
            (format!("another run has taken over after {}", counts(pruned)), ExitCode::FAILURE)
        }
        Outcome::Busy => ("another run is going on; nothing was done\n".to_owned(), ExitCode::FAILURE),
    }
}

/// Draws what is decided, the databases by name.
fn drawn(decided: &[(Database, Vec<Decided>)], all: bool) -> String {
    let headings = ["DATABASE", "BACKUP", "CREATED (UTC)", "TIER", "DECISION", "WHY"];
    let mut rows = vec![headings.map(str::to_owned)];
    let mut databases: Vec<_> = decided.iter().collect();
    databases.sort_by_cached_key(|(database, _)| (database.name.to_lowercase(), database.id.clone()));
    let mut deleted = 0;
    for (database, decided) in databases {
        for Decided { record, verdict } in decided {
            deleted += usize::from(verdict.is_delete());
            if verdict.is_delete() || all {
                rows.push([
                    cut(&on_one_line(&database.name), NAME),
                    record.id.to_string(),
                    record.created_at.format("%Y-%m-%d %H:%M:%S").to_string(),
                    record.tier.map_or_else(|| "-".to_owned(), |tier| tier.to_string()),
                    if verdict.is_delete() { "delete" } else { "keep" }.to_owned(),
                    verdict.reason(),
                ]);
            }
        }
    }
    let drawn = if rows.len() > 1 { table(&rows) } else { String::new() };
    format!("{drawn}{deleted} backups would be deleted\n")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::collections::BTreeMap;

    use chrono::{DateTime, TimeDelta, Utc};
    use shared::models::{
        BackupStatus, Credentials, DatabaseType, DumpOptions, Endpoint, Login, PolicyChoice, Tier, Tls,
        system_policies,
    };
    use shared::retention::{Record, Rules, retention};

    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-03-04T02:00:00Z".parse().unwrap()
    }

    fn database() -> Database {
        Database {
            id: "shop".parse().unwrap(),
            name: "Tea\u{1b}[2J shop".to_owned(),
            database_type: DatabaseType::Mysql,
            endpoint: Endpoint { host: "db".parse().unwrap(), port: 3306, tls: Tls::default() },
            database_name: "shop".parse().unwrap(),
            engine_id: None,
            credentials: Credentials::Own(Login::default()),
            policy: PolicyChoice { own: None, from_engine: false },
            enabled: true,
            schedule: None,
            retention_days: None,
            backup_destination: None,
            compression: true,
            options: DumpOptions::default(),
            tags: BTreeMap::new(),
            created_at: now(),
            updated_at: now(),
            created_by: None,
        }
    }

    #[test]
    fn a_dry_run_says_what_would_go_and_why() {
        let mut policy = system_policies(now()).remove(0);
        policy.daily.keep_count = 1;
        let record = |days: i64| Record {
            id: format!("b{days}").parse().unwrap(),
            tier: Some(Tier::Daily),
            status: BackupStatus::Completed,
            created_at: now() - TimeDelta::days(days),
            has_blob: true,
            is_pinned: days == 3,
            is_verified: false,
            is_being_deleted: false,
        };
        let records: Vec<Record> = (1..=3).map(record).collect();
        let decisions = retention(&Rules::new(&policy, None, 30), &records, now());
        let decided = records.into_iter().zip(decisions);
        let decided =
            decided.map(|(record, decision)| Decided { record, verdict: decision.verdict }).collect();
        let decided = [(database(), decided)];
        insta::assert_snapshot!(drawn(&decided, true), @"
        DATABASE      BACKUP  CREATED (UTC)        TIER   DECISION  WHY
        Tea [2J shop  b1      2026-03-03 02:00:00  daily  keep      the newest backup of the database
        Tea [2J shop  b2      2026-03-02 02:00:00  daily  delete    the daily tier keeps 1, and there are as many newer ones
        Tea [2J shop  b3      2026-03-01 02:00:00  daily  keep      pinned
        1 backups would be deleted
        ");
        insta::assert_snapshot!(drawn(&decided, false), @"
        DATABASE      BACKUP  CREATED (UTC)        TIER   DECISION  WHY
        Tea [2J shop  b2      2026-03-02 02:00:00  daily  delete    the daily tier keeps 1, and there are as many newer ones
        1 backups would be deleted
        ");
        assert_eq!(drawn(&[(database(), Vec::new())], true), "0 backups would be deleted\n");
    }
}
