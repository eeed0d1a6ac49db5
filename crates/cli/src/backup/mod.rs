//! `dilux backup`: asks the api for a backup and follows it to its end.
//!
//! What must stay true: the backup does not depend on this program. Whatever ends the following, Ctrl-C or
//! an api that stops answering, the message says that the backup goes on.

mod api;
mod follow;

use std::io;
use std::process::ExitCode;

use shared::models::BackupStatus;

use crate::choose::{ChooseError, choose};
use crate::ending::{ControlC, interrupted, print, wrong_usage};
use crate::text::{on_one_line, size};
use api::{Api, ApiError, ApiOptions, Asked, Database, Record};

const EXAMPLES: &str = "\
Examples:
  dilux backup shop                  back up the database called \"shop\" and follow the backup
  dilux backup shop --no-wait        only ask for it, and print the id of the job
  dilux backup shop --json           print the record of the backup as JSON when it has ended
  DILUX_API=https://backup.example.com/api DILUX_TOKEN=… dilux backup shop

The exit code is 0 when the backup is complete, 1 when it failed, 130 after Ctrl-C. Ctrl-C ends \
the following, not the backup.";

/// The command line of `dilux backup`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// The database: its id, or its name if no other one has the same
    database: String,
    /// Only ask for the backup, do not follow it
    #[arg(long)]
    no_wait: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiOptions,
}

/// Why there is no backup, or why nobody knows.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    /// The command line or a variable is wrong, or the api could not be asked.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The name does not say which database is meant.
    #[error(transparent)]
    Choose(#[from] ChooseError),
    /// Following failed.
    #[error(
        "the backup goes on as job {job}, but it could not be followed to its end; \
         `dilux list --database {database}` shows how it ended"
    )]
    Lost {
        /// The job.
        job: String,
        /// The id of the database.
        database: String,
        /// What happened.
        #[source]
        source: ApiError,
    },
    /// The backup was given up.
    #[error("the backup of \"{database}\" failed: {reason}")]
    Failed {
        /// The name of the database.
        database: String,
        /// What the record says.
        reason: String,
    },
    /// Somebody stopped the backup.
    #[error("the backup of \"{0}\" was cancelled; nothing was stored")]
    Cancelled(String),
    /// The result could not be printed.
    #[error("the result could not be printed")]
    Print(#[from] io::Error),
}

/// Asks for a backup and, unless told otherwise, waits until it is complete.
pub(crate) async fn run(options: Options) -> Result<ExitCode, BackupError> {
    match back_up(&options).await {
        Err(BackupError::Api(error)) if error.is_usage() => Ok(wrong_usage(&error)),
        other => other,
    }
}

async fn back_up(options: &Options) -> Result<ExitCode, BackupError> {
    let api = Api::new(&options.api)?;
    let databases = api.databases().await?;
    let database =
        choose("database", &options.database, &databases, |database| (&database.id, &database.name))?;
    let asked = api.back_up(&database.id).await?;
    if options.no_wait {
        print(&queued(&asked, options.json))?;
        return Ok(ExitCode::SUCCESS);
    }
    // Before a word of it is said: whoever reads that the job is queued may press it.
    let mut control_c = ControlC::listen();
    eprintln!("dilux: {} (job {})", on_one_line(&asked.message), on_one_line(&asked.job_id));
    let record = tokio::select! {
        record = follow::to_the_end(&api, &database.id, &asked.job_id) => record,
        () = control_c.pressed() => return Ok(interrupted(&format!(
            "not followed any more; the backup goes on as job {}, `dilux list --database {}` shows how it ends",
            on_one_line(&asked.job_id),
            database.id,
        ))),
    };
    let record = record.map_err(|source| BackupError::Lost {
        job: on_one_line(&asked.job_id),
        database: database.id.clone(),
        source,
    })?;
    report(database, &record, options.json)
}

/// Prints how it ended.
fn report(database: &Database, record: &Record, json: bool) -> Result<ExitCode, BackupError> {
    if json {
        print(&format!("{}\n", record.json))?;
    }
    let name = on_one_line(&database.name);
    match record.status {
        BackupStatus::Completed => {
            if !json {
                print(&completed(record))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        BackupStatus::Cancelled => Err(BackupError::Cancelled(name)),
        BackupStatus::Failed | BackupStatus::Pending | BackupStatus::InProgress => {
            let reason = record.view.error_message.as_deref().map(on_one_line);
            let reason =
                reason.unwrap_or_else(|| "its record gives no reason, see the processor's log".to_owned());
            Err(BackupError::Failed { database: name, reason })
        }
    }
}

/// Says what was stored.
fn completed(record: &Record) -> String {
    let view = &record.view;
    let parts = [
        view.blob_name.as_deref().map(on_one_line),
        view.file_size_bytes.map(size),
        view.duration_seconds.map(|seconds| format!("{seconds:.1} s")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("completed  {}\n", parts.join("  "))
}

/// Says that the job is queued.
fn queued(asked: &Asked, json: bool) -> String {
    if json {
        let text = serde_json::json!({ "job_id": asked.job_id, "message": asked.message });
        format!("{text}\n")
    } else {
        format!("queued  {}\n", on_one_line(&asked.job_id))
    }
}
