//! Backups: the record of the history, and the job that asks for one.

use chrono::{DateTime, Utc};

use super::{
    BackupId, BackupStatus, Consistency, ContainerName, Database, DatabaseId, DatabaseType, JobId, Marks,
    Tier, TriggeredBy, Warnings,
};

/// A record of the backup history.
#[derive(Debug, Clone, PartialEq)]
pub struct Backup {
    /// Identifies the record.
    pub id: BackupId,
    /// The job that it belongs to.
    pub job_id: JobId,
    /// The database, by its configuration.
    pub database_id: DatabaseId,
    /// The database's display name at the time.
    pub database_name: String,
    /// What the database is.
    pub database_type: DatabaseType,
    /// Who asked.
    pub triggered_by: TriggeredBy,
    /// The tier; `None` for manual ones and those by a database's own schedule.
    pub tier: Option<Tier>,
    /// When the record was made. Decides its keys and never changes.
    pub created_at: DateTime<Utc>,
    /// Retries so far; 0 for the first attempt.
    pub retry_count: u32,
    /// Where it stands.
    pub state: BackupState,
    /// What was noted about it since.
    pub marks: Marks,
}

/// Where a backup stands, with what is known in that state.
#[derive(Debug, Clone, PartialEq)]
pub enum BackupState {
    /// Queued. After an attempt that failed but will be repeated, `last_failure` says why.
    Pending {
        /// Why the attempt before failed.
        last_failure: Option<Failure>,
    },
    /// A processor works on it.
    InProgress(Attempt),
    /// The artifact is stored.
    Completed {
        /// When the dump began and ended.
        run: Run,
        /// What was stored; missing only in damaged rows of earlier systems.
        artifact: Option<Artifact>,
    },
    /// Given up.
    Failed {
        /// When the last attempt began and ended.
        run: Run,
        /// Why.
        failure: Failure,
    },
    /// Stopped: by a person, or because its database is not configured any more.
    Cancelled {
        /// When it began and was stopped.
        run: Run,
        /// Why, where nobody has asked for just this.
        reason: Option<String>,
    },
}

/// A running attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attempt {
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// The last sign of life of its processor.
    pub heartbeat_at: Option<DateTime<Utc>>,
    /// The blob that it will commit.
    pub planned: Option<PlannedBlob>,
    /// How far it has come.
    pub progress: DumpProgress,
}

/// How far a running attempt has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DumpProgress {
    /// Bytes that the dump tool has written.
    pub dumped_bytes: u64,
    /// Bytes that storage has taken, after compression.
    pub uploaded_bytes: u64,
}

/// The place that an attempt has chosen for its artifact. Kept in the record before the upload, so
/// that an artifact whose completion was not recorded is found again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedBlob {
    /// The container.
    pub container: ContainerName,
    /// The blob's name.
    pub name: String,
}

/// The span of time of an ended backup.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Run {
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// How long it took, in seconds.
    pub seconds: Option<f64>,
}

impl Run {
    /// Makes the span between two instants; a clock that went back counts as no time at all.
    pub fn between(started_at: DateTime<Utc>, finished_at: DateTime<Utc>) -> Self {
        let span = (finished_at - started_at).to_std().unwrap_or_default();
        Self {
            started_at: Some(started_at),
            finished_at: Some(finished_at),
            seconds: Some((span.as_secs_f64() * 1000.0).round() / 1000.0),
        }
    }
}

/// A stored dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The blob's name.
    pub blob_name: String,
    /// Its plain address, without a signature.
    pub blob_url: Option<String>,
    /// Its container; `None` in rows of earlier systems, where the address or the default tells.
    pub container: Option<ContainerName>,
    /// Its size in bytes.
    pub bytes: Option<u64>,
    /// Its format, such as `sql.gz`.
    pub format: Option<String>,
    /// SHA-256 of the blob in hexadecimal.
    pub sha256: Option<String>,
    /// To which moment its rows belong, where the dump could tell.
    pub consistency: Option<Consistency>,
    /// What it does not hold, or holds with a reserve.
    pub warnings: Warnings,
    /// The roles of the server, where they were wanted.
    pub globals: Option<Globals>,
}

/// The roles and their settings of a PostgreSQL server, stored beside a dump and in the same container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Globals {
    /// The blob's name.
    pub blob_name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256 of the blob in hexadecimal.
    pub sha256: String,
}

impl Globals {
    /// Returns the name of the dump that a blob of this name would belong to, if it can be such a blob.
    pub fn dump_of(blob_name: &str) -> Option<String> {
        let (before, after) = blob_name.rsplit_once(".globals.")?;
        Some(format!("{before}.{after}")).filter(|dump| Self::beside(dump) == blob_name)
    }

    /// Returns the name of the blob that belongs to the one of a dump: `….sql.gz` has `….globals.sql.gz`.
    pub fn beside(blob_name: &str) -> String {
        let file = blob_name.rfind('/').map_or(0, |slash| slash + 1);
        let dot = blob_name[file..].find('.').map_or(blob_name.len(), |dot| file + dot);
        format!("{}.globals{}", &blob_name[..dot], &blob_name[dot..])
    }
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What happened, to what, and what to do next; without secrets.
    pub message: String,
    /// The class of the error, for machines.
    pub class: Option<String>,
}

/// The longest message of a failure that is kept, in bytes; a property of a row holds 64 KiB.
const LONGEST_FAILURE: usize = 8 * 1024;

impl Failure {
    /// Makes a failure; a longer message than 8 KiB is cut.
    pub fn new(class: impl Into<String>, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > LONGEST_FAILURE {
            let mut end = LONGEST_FAILURE - "…".len();
            while !message.is_char_boundary(end) {
                end -= 1;
            }
            message.truncate(end);
            message.push('…');
        }
        Self { message, class: Some(class.into()) }
    }
}

impl Backup {
    /// Returns the state's name.
    pub fn status(&self) -> BackupStatus {
        match &self.state {
            BackupState::Pending { .. } => BackupStatus::Pending,
            BackupState::InProgress(_) => BackupStatus::InProgress,
            BackupState::Completed { .. } => BackupStatus::Completed,
            BackupState::Failed { .. } => BackupStatus::Failed,
            BackupState::Cancelled { .. } => BackupStatus::Cancelled,
        }
    }

    /// Tells whether nothing more will happen to it.
    pub fn is_finished(&self) -> bool {
        match self.state {
            BackupState::Pending { .. } | BackupState::InProgress(_) => false,
            BackupState::Completed { .. } | BackupState::Failed { .. } | BackupState::Cancelled { .. } => {
                true
            }
        }
    }

    /// Returns what was stored, if it is complete.
    pub fn artifact(&self) -> Option<&Artifact> {
        match &self.state {
            BackupState::Completed { artifact, .. } => artifact.as_ref(),
            BackupState::Pending { .. }
            | BackupState::InProgress(_)
            | BackupState::Failed { .. }
            | BackupState::Cancelled { .. } => None,
        }
    }

    /// Returns why the last attempt failed, if one did.
    pub fn failure(&self) -> Option<&Failure> {
        match &self.state {
            BackupState::Pending { last_failure } => last_failure.as_ref(),
            BackupState::Failed { failure, .. } => Some(failure),
            BackupState::InProgress(_) | BackupState::Completed { .. } | BackupState::Cancelled { .. } => {
                None
            }
        }
    }

    /// Returns why it was cancelled, where nobody has asked for just this.
    pub fn reason(&self) -> Option<&str> {
        match &self.state {
            BackupState::Cancelled { reason, .. } => reason.as_deref(),
            BackupState::Pending { .. }
            | BackupState::InProgress(_)
            | BackupState::Completed { .. }
            | BackupState::Failed { .. } => None,
        }
    }

    /// Returns when it began and ended, as far as that is known.
    pub fn run(&self) -> Run {
        match &self.state {
            BackupState::Pending { .. } => Run::default(),
            BackupState::InProgress(attempt) => Run { started_at: attempt.started_at, ..Run::default() },
            BackupState::Completed { run, .. }
            | BackupState::Failed { run, .. }
            | BackupState::Cancelled { run, .. } => run.clone(),
        }
    }
}

/// A wish for one backup, as it travels through the queue.
///
/// Connection data are for information only: a processor takes them from the configuration as it is
/// when the job runs. There is never a secret in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupJob {
    /// Identifies the wish, however often it is delivered.
    pub id: JobId,
    /// The record that was made for it; `None` in messages of earlier systems.
    pub backup_id: Option<BackupId>,
    /// The database.
    pub database_id: DatabaseId,
    /// Its display name.
    pub database_name: String,
    /// What it is.
    pub database_type: DatabaseType,
    /// Its server's host.
    pub host: String,
    /// Its server's port.
    pub port: u16,
    /// Its name on the server.
    pub target_database: String,
    /// The account.
    pub username: String,
    /// Whether the dump is compressed.
    pub compression: bool,
    /// Its own container.
    pub backup_destination: Option<String>,
    /// Who asked.
    pub triggered_by: TriggeredBy,
    /// The tier.
    pub tier: Option<Tier>,
    /// When the wish was made; equals the record's.
    pub created_at: DateTime<Utc>,
    /// The slot that is served.
    pub scheduled_at: Option<DateTime<Utc>>,
}

impl BackupJob {
    /// Makes a job for a database as it is configured now.
    pub fn new(database: &Database, cause: Cause, ids: (JobId, BackupId), created_at: DateTime<Utc>) -> Self {
        let username = database.own_login().and_then(|login| login.username.as_ref());
        Self {
            id: ids.0,
            backup_id: Some(ids.1),
            database_id: database.id.clone(),
            database_name: database.name.clone(),
            database_type: database.database_type,
            host: database.endpoint.host.to_string(),
            port: database.endpoint.port,
            target_database: database.database_name.to_string(),
            username: username.map(ToString::to_string).unwrap_or_default(),
            compression: database.compression,
            backup_destination: database.backup_destination.as_ref().map(ToString::to_string),
            triggered_by: cause.triggered_by(),
            tier: cause.tier(),
            created_at,
            scheduled_at: cause.slot(),
        }
    }

    /// Makes the pending record that stands for the job until it runs.
    ///
    /// A message of an earlier system names no record: its id is then derived from the job's, so
    /// that a message that comes twice finds the same record.
    pub fn record(&self) -> Backup {
        Backup {
            id: self.backup_id.clone().unwrap_or_else(|| BackupId::derived(&["backup", self.id.as_str()])),
            job_id: self.id.clone(),
            database_id: self.database_id.clone(),
            database_name: self.database_name.clone(),
            database_type: self.database_type,
            triggered_by: self.triggered_by,
            tier: self.tier,
            created_at: self.created_at,
            retry_count: 0,
            state: BackupState::Pending { last_failure: None },
            marks: Marks::default(),
        }
    }
}

/// Why a job is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A person asked.
    Manual,
    /// A lane of the schedule is due.
    Scheduled {
        /// Which lane.
        lane: Lane,
        /// Its slot.
        slot: DateTime<Utc>,
    },
}

impl Cause {
    fn triggered_by(self) -> TriggeredBy {
        match self {
            Self::Manual => TriggeredBy::Manual,
            Self::Scheduled { .. } => TriggeredBy::Scheduler,
        }
    }

    fn tier(self) -> Option<Tier> {
        match self {
            Self::Scheduled { lane: Lane::Tier(tier), .. } => Some(tier),
            Self::Scheduled { lane: Lane::Schedule, .. } | Self::Manual => None,
        }
    }

    fn slot(self) -> Option<DateTime<Utc>> {
        match self {
            Self::Manual => None,
            Self::Scheduled { slot, .. } => Some(slot),
        }
    }
}

/// One of the independent rows of slots that a database may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// A tier of its policy.
    Tier(Tier),
    /// Its own schedule.
    Schedule,
}

impl Lane {
    /// Returns the lane's name: the tier's, or `schedule`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tier(tier) => tier.as_str(),
            Self::Schedule => "schedule",
        }
    }
}
