//! Backups as answers show them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::models::{
    Backup, BackupId, BackupState, BackupStatus, Consistency, DatabaseId, DatabaseType, EngineId, Globals,
    JobId, Marks, Tier, TriggeredBy, Warnings,
};

/// A record of the history as answers show it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct BackupView {
    pub id: BackupId,
    pub job_id: JobId,
    pub database_id: DatabaseId,
    pub database_name: String,
    pub database_type: DatabaseType,
    /// The engine that the database has today; left out when it has none.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineOfBackup>,
    pub status: BackupStatus,
    pub started_at: Option<DateTime<Utc>>,
    pub completed_at: Option<DateTime<Utc>>,
    pub duration_seconds: Option<f64>,
    pub blob_name: Option<String>,
    pub blob_url: Option<String>,
    pub file_size_bytes: Option<u64>,
    pub file_format: Option<String>,
    pub error_message: Option<String>,
    pub error_details: Option<String>,
    pub retry_count: u32,
    pub triggered_by: TriggeredBy,
    pub tier: Option<Tier>,
    pub created_at: DateTime<Utc>,
    /// How far a running backup has come; left out in every other state.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressView>,
    /// To which moment the rows belong; left out where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Consistency>,
    /// What the backup does not hold, or holds with a reserve; left out when there is nothing to say.
    #[serde(skip_serializing_if = "Warnings::is_empty")]
    pub warnings: Warnings,
    /// What is stored beside the dump; left out where that was not asked for.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub globals: Option<GlobalsView>,
    #[serde(flatten)]
    pub marks: MarksView,
}

/// The roles of a server, stored beside a dump.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct GlobalsView {
    #[serde(rename = "globals_blob_name")]
    pub blob_name: String,
    #[serde(rename = "globals_size_bytes")]
    pub bytes: u64,
    #[serde(rename = "globals_sha256")]
    pub sha256: String,
}

impl From<Globals> for GlobalsView {
    fn from(Globals { blob_name, bytes, sha256 }: Globals) -> Self {
        Self { blob_name, bytes, sha256 }
    }
}

/// What was noted about a backup after it was made; what was not is left out.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct MarksView {
    /// Since when somebody wants it kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned_at: Option<DateTime<Utc>>,
    /// Who does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned_by: Option<String>,
    /// When it was last proved that it can be restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<DateTime<Utc>>,
    /// The last time that storage refused to delete it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_refused_at: Option<DateTime<Utc>>,
    /// Why it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_refused: Option<String>,
}

impl From<Marks> for MarksView {
    fn from(marks: Marks) -> Self {
        let (pinned_at, pinned_by) = marks.pinned.map(|pin| (pin.at, pin.by)).unzip();
        let (deletion_refused_at, deletion_refused) =
            marks.deletion_refused.map(|refusal| (refusal.at, refusal.reason)).unzip();
        Self { pinned_at, pinned_by, verified_at: marks.verified_at, deletion_refused_at, deletion_refused }
    }
}

/// The engine of a backup's database.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct EngineOfBackup {
    pub engine_id: EngineId,
    /// `null` when the engine does not exist any more.
    pub engine_name: Option<String>,
}

/// How far a running backup has come.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct ProgressView {
    /// Bytes written by the dump tool.
    pub bytes_dumped: u64,
    /// Bytes taken by storage, after compression.
    pub bytes_uploaded: u64,
    /// The last sign of life of its processor.
    pub heartbeat_at: Option<DateTime<Utc>>,
}

impl BackupView {
    /// Shows a record together with the engine that its database has today.
    pub(crate) fn new(backup: Backup, engine: Option<EngineOfBackup>) -> Self {
        let run = backup.run();
        let failure = backup.failure().cloned();
        let reason = backup.reason().map(str::to_owned);
        let artifact = backup.artifact().cloned();
        Self {
            status: backup.status(),
            progress: progress(&backup.state),
            id: backup.id,
            job_id: backup.job_id,
            database_id: backup.database_id,
            database_name: backup.database_name,
            database_type: backup.database_type,
            engine,
            started_at: run.started_at,
            completed_at: run.finished_at,
            duration_seconds: run.seconds,
            blob_url: artifact.as_ref().and_then(|artifact| artifact.blob_url.clone()),
            file_size_bytes: artifact.as_ref().and_then(|artifact| artifact.bytes),
            file_format: artifact.as_ref().and_then(|artifact| artifact.format.clone()),
            consistency: artifact.as_ref().and_then(|artifact| artifact.consistency),
            warnings: artifact.as_ref().map(|artifact| artifact.warnings.clone()).unwrap_or_default(),
            globals: artifact.as_ref().and_then(|artifact| artifact.globals.clone()).map(GlobalsView::from),
            blob_name: artifact.map(|artifact| artifact.blob_name),
            error_details: failure.as_ref().and_then(|failure| failure.class.clone()),
            error_message: failure.map(|failure| failure.message).or(reason),
            retry_count: backup.retry_count,
            triggered_by: backup.triggered_by,
            tier: backup.tier,
            created_at: backup.created_at,
            marks: backup.marks.into(),
        }
    }
}

fn progress(state: &BackupState) -> Option<ProgressView> {
    match state {
        BackupState::InProgress(attempt) => Some(ProgressView {
            bytes_dumped: attempt.progress.dumped_bytes,
            bytes_uploaded: attempt.progress.uploaded_bytes,
            heartbeat_at: attempt.heartbeat_at,
        }),
        BackupState::Pending { .. }
        | BackupState::Completed { .. }
        | BackupState::Failed { .. }
        | BackupState::Cancelled { .. } => None,
    }
}
