//! The sample databases as the product sees them: configured once over the api, backed up at each start.

use std::time::{Duration, Instant};

use secrecy::SecretString;

use super::error::UpError;
use super::report::Outcome;
use super::rest::{Database, Rest};

/// The account that owns everything on a sample server.
pub(super) const ADMIN_USER: &str = "dilux_admin";
/// The account that backups are taken with. It may read everything, and nothing else.
pub(super) const BACKUP_USER: &str = "dilux_backup";
/// What the sample database is called on its server.
pub(super) const SAMPLE_DATABASE: &str = "shop";

const POLL: Duration = Duration::from_millis(400);
/// How long a backup may take, its retries with their pauses included.
const LIMIT: Duration = Duration::from_mins(15);

/// A sample database on a server that runs.
#[derive(Debug)]
pub(super) struct Sample {
    /// Display name of the server.
    pub(super) server: &'static str,
    /// Display name of the database.
    pub(super) name: &'static str,
    /// The type, as the api spells it.
    pub(super) kind: &'static str,
    pub(super) port: u16,
    pub(super) password: SecretString,
}

/// Configures the samples where they are not configured yet, asks for a backup of each and waits for all.
pub(super) async fn back_up(rest: &Rest, samples: &[Sample]) -> Result<Vec<Outcome>, UpError> {
    let mut jobs = Vec::new();
    for sample in samples {
        let engine = rest.engine(sample).await?;
        let database = rest.database(sample, &engine).await?;
        let job = rest.trigger(&database).await?;
        println!("dilux: asked for a backup of {}", sample.name);
        jobs.push((sample.name, database, job));
    }
    let mut outcomes = Vec::new();
    for (name, database, job) in &jobs {
        outcomes.push(follow(rest, name, database, job).await?);
    }
    Ok(outcomes)
}

/// Waits for the end of a job and tells of each new state on the way.
async fn follow(rest: &Rest, name: &'static str, database: &Database, job: &str) -> Result<Outcome, UpError> {
    let start = Instant::now();
    let mut shown = String::new();
    loop {
        let backup = rest.backup(database, job).await?;
        let status = backup.as_ref().map_or("unknown", |backup| &backup.status);
        if status != shown {
            println!("dilux: {name}: {}", status.replace('_', " "));
            status.clone_into(&mut shown);
        }
        let is_over = matches!(status, "completed" | "failed" | "cancelled");
        if is_over || start.elapsed() > LIMIT {
            return Ok(Outcome::of(name, backup));
        }
        tokio::time::sleep(POLL).await;
    }
}
