//! Restores: a backup that is loaded into a database.

use chrono::{DateTime, TimeDelta, Utc};

use super::kinds::names;
use super::{
    BackupId, BackupStatus, ClaimId, ContainerName, DatabaseName, DatabaseType, Endpoint, EngineId, Failure,
    RestoreId, Run, StoredSecret, UserName, Warnings,
};

names! {
    /// What becomes of a database that is there under the name.
    RestoreMode, "restore mode" {
        /// The database is made; one that is there is refused.
        New = "new",
        /// The database takes the place of the one that is there.
        Replace = "replace",
    }
}

names! {
    /// How far a restore has come.
    RestorePhase, "restore phase" {
        /// It waits for a processor.
        Waiting = "waiting",
        /// It is found out whether it can work.
        Checking = "checking",
        /// The whole backup is read and proved; nothing is written.
        Verifying = "verifying",
        /// The backup is loaded, beside what is there.
        Loading = "loading",
        /// The loaded database takes its place.
        Exchanging = "exchanging",
        /// It has ended.
        Ended = "ended",
    }
}

impl RestorePhase {
    /// Tells whether something may have been written, so that the restore is never repeated by itself.
    pub const fn may_have_written(self) -> bool {
        match self {
            Self::Waiting | Self::Checking | Self::Verifying => false,
            Self::Loading | Self::Exchanging | Self::Ended => true,
        }
    }
}

names! {
    /// What came of a question before a restore.
    CheckResult, "check result" {
        /// Nothing stands in the way.
        Ok = "ok",
        /// It may fail, or lose something.
        Warn = "warn",
        /// It cannot work.
        Fail = "fail",
    }
}

/// The answer to one question before a restore.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Check {
    /// What was asked.
    pub name: &'static str,
    /// What came of it.
    pub result: CheckResult,
    /// Why, for people.
    pub message: String,
}

/// On which server a backup is to be loaded.
#[derive(Debug, Clone)]
pub enum Place {
    /// A configured engine, with its credentials as they are when the restore runs.
    Engine(EngineId),
    /// Any server, with credentials of its own. They are kept until the restore has ended, in the place
    /// of all secrets; a message never has them.
    Server {
        /// Where it listens.
        endpoint: Endpoint,
        /// The account.
        username: UserName,
        /// Its password.
        password: StoredSecret,
    },
}

/// How much of a backup has been read and loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RestoreProgress {
    /// The bytes of the blob that were read in this phase.
    pub read_bytes: u64,
    /// The bytes of SQL that were read or loaded in this phase.
    pub sql_bytes: u64,
}

/// One restore.
#[derive(Debug, Clone)]
pub struct Restore {
    /// Identifies it.
    pub id: RestoreId,
    /// The backup.
    pub backup_id: BackupId,
    /// What the backup is of; the server must be of the same kind.
    pub database_type: DatabaseType,
    /// The container of the backup's blob.
    pub container: ContainerName,
    /// The backup's blob.
    pub blob_name: String,
    /// The size of the blob, as recorded.
    pub blob_bytes: Option<u64>,
    /// The digest of the blob, as recorded.
    pub sha256: Option<String>,
    /// The server.
    pub place: Place,
    /// The name of the database there.
    pub database: DatabaseName,
    /// What becomes of one that is there.
    pub mode: RestoreMode,
    /// Whether a half-made database is left for looking at it.
    pub keep_failed: bool,
    /// Who asked.
    pub requested_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When the message that stands for it was last sent; `None` until that is known.
    pub sent_at: Option<DateTime<Utc>>,
    /// Where it stands.
    pub status: BackupStatus,
    /// How far it has come; that of its end stays readable in `failed_in`.
    pub phase: RestorePhase,
    /// In which phase it failed or was cancelled.
    pub failed_in: Option<RestorePhase>,
    /// Whether somebody wants it to stop.
    pub cancel_requested: bool,
    /// Who works on it.
    pub claim: Option<ClaimId>,
    /// The last sign of life.
    pub heartbeat_at: Option<DateTime<Utc>>,
    /// How much of the present phase is done.
    pub progress: RestoreProgress,
    /// The database into which it is loaded, while it is not in its place.
    pub work_database: Option<DatabaseName>,
    /// Whether that database was made by this restore, and not by somebody else under the same name.
    pub has_made: bool,
    /// When it began and ended.
    pub run: Run,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// At which line of the dump.
    pub failed_line: Option<u64>,
    /// What of the dump was left out or changed on the way, since the target does not take it.
    pub adapted: Warnings,
    /// What has to be known about the outcome.
    pub warnings: Warnings,
}

/// How long a restore may wait for its message to be noted as sent.
const UNSENT: TimeDelta = TimeDelta::minutes(5);

/// How long a restore waits in the queue before its message is taken for lost.
const LONG_SENT: TimeDelta = TimeDelta::days(1);

/// How long a running restore may show no life before its message is taken for lost. The host delivers
/// the message of a processor that died far sooner.
const SILENT: TimeDelta = TimeDelta::hours(1);

impl Restore {
    /// Tells whether its message must be sent again, because it was never sent or is taken for lost. One
    /// that comes twice has its effect once. What is as far ahead of the time as behind it was written by a
    /// clock that was wrong.
    pub fn waits_in_vain(&self, now: DateTime<Utc>) -> bool {
        match self.status {
            BackupStatus::Pending => match self.sent_at {
                None => (now - self.created_at).abs() >= UNSENT,
                Some(at) => (now - at).abs() >= LONG_SENT,
            },
            BackupStatus::InProgress => {
                let last = self.heartbeat_at.max(self.sent_at).unwrap_or(self.created_at);
                (now - last).abs() >= SILENT
            }
            BackupStatus::Completed | BackupStatus::Failed | BackupStatus::Cancelled => false,
        }
    }

    /// Tells whether nothing more will happen to it.
    pub fn is_finished(&self) -> bool {
        match self.status {
            BackupStatus::Pending | BackupStatus::InProgress => false,
            BackupStatus::Completed | BackupStatus::Failed | BackupStatus::Cancelled => true,
        }
    }

    /// Returns the name of the database that is loaded beside the one that is there.
    pub fn beside(&self) -> String {
        self.own_name("restore")
    }

    /// Returns the name under which the old database waits to be dropped.
    pub fn aside(&self) -> String {
        self.own_name("old")
    }

    /// Makes a name that nobody else uses, and that tells where it comes from.
    fn own_name(&self, what: &str) -> String {
        let id: String = self.id.as_str().chars().filter(char::is_ascii_alphanumeric).take(12).collect();
        format!("dilux_{what}_{}", id.to_ascii_lowercase())
    }
}
