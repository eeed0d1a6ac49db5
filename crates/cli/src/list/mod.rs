//! `dilux list`: what there is to restore, and what is configured. Reads storage directly, so it works
//! without the api.

mod rows;

use std::io;
use std::process::ExitCode;

use shared::models::{BackupStatus, ContainerName};
use shared::storage::{BackupFilter, Storage};

use crate::ending::print;
use crate::stored::{self, StoredError};

const EXAMPLES: &str = "\
Examples:
  dilux list                                     the latest backups, newest first
  dilux list --database shop --status completed  what can be restored of \"shop\"
  dilux list --limit 1000 --json                 as JSON, with blob names and addresses
  dilux list --databases                         the configured databases
  dilux list --stored                            what is in storage, also when all records are lost

Storage is found as by the apps: by STORAGE_CONNECTION_STRING, or by STORAGE_ACCOUNT_NAME with \
STORAGE_BLOB_ENDPOINT, STORAGE_QUEUE_ENDPOINT and STORAGE_TABLE_ENDPOINT; without any of them it is \
the emulator on this machine.";

/// The command line of `dilux list`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// Only backups of this database: its id, or its name if no other one has the same
    #[arg(long, value_name = "DATABASE", conflicts_with = "databases")]
    database: Option<String>,
    /// Only backups with this status
    #[arg(
        long,
        value_name = "STATUS",
        conflicts_with = "databases",
        help = "Only backups that are pending, in_progress, completed, failed or cancelled"
    )]
    status: Option<BackupStatus>,
    /// At most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// List the configured databases instead of backups
    #[arg(long)]
    databases: bool,
    /// List the blobs of a container instead of records, which may be lost
    #[arg(long, conflicts_with_all = ["database", "status", "databases", "json"])]
    stored: bool,
    /// The container for --stored; the default one otherwise
    #[arg(long, value_name = "NAME", requires = "stored")]
    container: Option<ContainerName>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListError {
    /// Storage cannot be read.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// The list could not be written.
    #[error("the list could not be printed")]
    Print(#[from] io::Error),
}

/// Prints the list.
pub(crate) async fn run(options: Options) -> Result<ExitCode, ListError> {
    let (_, storage) = stored::open()?;
    let Listing { text, note } = if options.stored {
        blobs(&storage, &options).await?
    } else if options.databases {
        databases(&storage, &options).await?
    } else {
        backups(&storage, &options).await?
    };
    print(&text)?;
    if let Some(note) = note {
        eprintln!("dilux: {note}");
    }
    Ok(ExitCode::SUCCESS)
}

/// What goes to standard output, and what is said about it.
#[derive(Debug)]
struct Listing {
    text: String,
    note: Option<String>,
}

async fn backups(storage: &Storage, options: &Options) -> Result<Listing, StoredError> {
    let mut filter =
        BackupFilter { statuses: options.status.into_iter().collect(), ..BackupFilter::default() };
    if let Some(wanted) = &options.database {
        filter.databases = Some(vec![stored::database_id(storage, wanted).await?]);
    }
    let mut found = storage.backups.list(&filter).await?;
    let note = note(found.len(), options.limit, "backups");
    found.truncate(usize::try_from(options.limit).unwrap_or(usize::MAX));
    let text = if options.json { rows::backups_json(&found) } else { rows::backups_table(&found) };
    Ok(Listing { text, note })
}

/// Lists what is stored, by the names of the blobs, in which the time comes last.
async fn blobs(storage: &Storage, options: &Options) -> Result<Listing, StoredError> {
    let container = options.container.as_ref().map_or(storage.default_container(), ContainerName::as_str);
    let mut found = Vec::new();
    let mut marker = None;
    loop {
        let page = storage.blobs.list(container, "", marker.as_deref(), 5000).await?;
        found.extend(page.blobs);
        marker = page.marker;
        if marker.is_none() {
            break;
        }
    }
    found.sort_by_key(|blob| std::cmp::Reverse(blob.properties.created_at));
    let note = note(found.len(), options.limit, "stored backups");
    found.truncate(usize::try_from(options.limit).unwrap_or(usize::MAX));
    Ok(Listing { text: rows::blobs_table(&found), note })
}

async fn databases(storage: &Storage, options: &Options) -> Result<Listing, StoredError> {
    let mut found = storage.databases.list().await?;
    found.sort_by_cached_key(|database| (database.name.to_lowercase(), database.id.clone()));
    let note = note(found.len(), options.limit, "databases");
    found.truncate(usize::try_from(options.limit).unwrap_or(usize::MAX));
    let text = if options.json { rows::databases_json(&found) } else { rows::databases_table(&found) };
    Ok(Listing { text, note })
}

/// Says what a list does not show by itself: that it is empty, or that it was cut.
fn note(count: usize, limit: u32, what: &str) -> Option<String> {
    match (count, u32::try_from(count).unwrap_or(u32::MAX)) {
        (0, _) => Some(format!("there are no {what} that match")),
        (count, all) if all > limit => {
            Some(format!("{limit} of {count} {what} are shown; --limit {count} shows all"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use chrono::{DateTime, Utc};
    use clap::{Args as _, Command, FromArgMatches as _};
    use shared::config::{Config, Source};
    use shared::models::{
        Artifact, Backup, BackupId, BackupState, DatabaseId, DatabaseType, Failure, JobId, Marks, Run, Tier,
        TriggeredBy, Warnings,
    };

    use super::*;

    fn options(arguments: &[&str]) -> Options {
        let command = Options::augment_args(Command::new("list").no_binary_name(true));
        Options::from_arg_matches(&command.get_matches_from(arguments)).unwrap()
    }

    fn at(time: &str) -> DateTime<Utc> {
        format!("2025-12-05T{time}Z").parse().unwrap()
    }

    fn backup(id: &str, database: &str, name: &str, time: &str, state: BackupState) -> Backup {
        Backup {
            id: id.parse::<BackupId>().unwrap(),
            job_id: "job".parse::<JobId>().unwrap(),
            database_id: database.parse::<DatabaseId>().unwrap(),
            database_name: name.to_owned(),
            database_type: DatabaseType::Mysql,
            triggered_by: TriggeredBy::Scheduler,
            tier: Some(Tier::Daily),
            created_at: at(time),
            retry_count: 0,
            marks: Marks::default(),
            state,
        }
    }

    async fn history() -> Storage {
        let (storage, _) = Storage::memory(&Config::read(&Source::of(&[])).unwrap());
        let run = Run::between(at("10:00:00"), at("10:00:02.345"));
        let artifact = Artifact {
            blob_name: "mysql/db-1/20251205_100000.sql.gz".to_owned(),
            blob_url: None,
            container: None,
            bytes: Some(1_572_864),
            format: Some("sql.gz".to_owned()),
            sha256: None,
            consistency: None,
            warnings: Warnings::default(),
            globals: None,
        };
        let failure = Failure::new("ConnectionFailed", "the connection failed;\n\u{1b}[31mcheck the server");
        for backup in [
            backup(
                "one",
                "db-1",
                "Tea shop",
                "10:00:00",
                BackupState::Completed { run: run.clone(), artifact: Some(artifact) },
            ),
            backup("two", "db-1", "Tea shop", "11:00:00", BackupState::Failed { run, failure }),
            backup("three", "db-2", "Bücher", "12:00:00", BackupState::Pending { last_failure: None }),
        ] {
            storage.backups.insert(&backup).await.unwrap();
        }
        storage
    }

    #[tokio::test]
    async fn backups_are_listed_newest_first() {
        let listing = backups(&history().await, &options(&[])).await.unwrap();
        insta::assert_snapshot!(listing.text, @r"
        BACKUP  CREATED (UTC)        DATABASE  TYPE   TIER   STATUS     SIZE     SECONDS
        three   2025-12-05 12:00:00  Bücher    mysql  daily  pending    -        -
        two     2025-12-05 11:00:00  Tea shop  mysql  daily  failed     -        2.3      the connection failed;  [31mcheck the server
        one     2025-12-05 10:00:00  Tea shop  mysql  daily  completed  1.50 MB  2.3
        ");
        assert_eq!(listing.note, None);
    }

    #[tokio::test]
    async fn databases_that_were_removed_are_still_known_by_name() {
        let storage = history().await;
        let listing =
            backups(&storage, &options(&["--database", "tea SHOP", "--status", "completed"])).await.unwrap();
        assert_eq!(listing.text.lines().count(), 2, "{}", listing.text);
        let error = backups(&storage, &options(&["--database", "tea"])).await.unwrap_err();
        insta::assert_snapshot!(error, @r#"no database has the id or the name "tea"; there are: Bücher, Tea shop"#);
    }

    #[tokio::test]
    async fn a_list_that_was_cut_says_so() {
        let listing = backups(&history().await, &options(&["--limit", "1"])).await.unwrap();
        assert_eq!(listing.text.lines().count(), 2);
        insta::assert_snapshot!(listing.note.unwrap(), @"1 of 3 backups are shown; --limit 3 shows all");
    }

    #[tokio::test]
    async fn json_has_the_members_of_the_api() {
        let listing = backups(&history().await, &options(&["--json", "--database", "db-1"])).await.unwrap();
        insta::assert_snapshot!(listing.text, @r#"
        [
        {"blob_name":null,"blob_url":null,"completed_at":"2025-12-05T10:00:02.345Z","created_at":"2025-12-05T11:00:00Z","database_id":"db-1","database_name":"Tea shop","database_type":"mysql","duration_seconds":2.345,"error_details":"ConnectionFailed","error_message":"the connection failed;\n\u001b[31mcheck the server","file_format":null,"file_size_bytes":null,"id":"two","job_id":"job","retry_count":0,"started_at":"2025-12-05T10:00:00Z","status":"failed","tier":"daily","triggered_by":"scheduler"},
        {"blob_name":"mysql/db-1/20251205_100000.sql.gz","blob_url":null,"completed_at":"2025-12-05T10:00:02.345Z","created_at":"2025-12-05T10:00:00Z","database_id":"db-1","database_name":"Tea shop","database_type":"mysql","duration_seconds":2.345,"error_details":null,"error_message":null,"file_format":"sql.gz","file_size_bytes":1572864,"id":"one","job_id":"job","retry_count":0,"started_at":"2025-12-05T10:00:00Z","status":"completed","tier":"daily","triggered_by":"scheduler"}
        ]
        "#);
    }

    #[tokio::test]
    async fn nothing_to_list_is_no_error() {
        let (storage, _) = Storage::memory(&Config::read(&Source::of(&[])).unwrap());
        let listing = databases(&storage, &options(&["--databases", "--json"])).await.unwrap();
        assert_eq!(listing.text, "[]\n");
        insta::assert_snapshot!(listing.note.unwrap(), @"there are no databases that match");
    }
}
