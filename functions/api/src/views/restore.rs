//! Restores as answers show them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::models::{
    BackupId, BackupStatus, DatabaseName, DatabaseType, EngineId, Host, Place, Restore, RestoreId,
    RestoreMode, RestorePhase, UserName, Warnings,
};

/// A restore as answers show it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RestoreView {
    pub id: RestoreId,
    pub backup_id: BackupId,
    pub database_type: DatabaseType,
    pub blob_name: String,
    pub target_engine_id: Option<EngineId>,
    pub host: Option<Host>,
    pub port: Option<u16>,
    pub username: Option<UserName>,
    pub database_name: DatabaseName,
    pub mode: RestoreMode,
    pub keep_failed: bool,
    pub status: BackupStatus,
    pub phase: RestorePhase,
    pub progress: ProgressView,
    pub cancel_requested: bool,
    pub requested_by: String,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub completed_at: Option<DateTime<Utc>>,
    pub duration_seconds: Option<f64>,
    pub failed_in: Option<RestorePhase>,
    pub error_message: Option<String>,
    pub error_details: Option<String>,
    /// The line of the dump at which the client stopped, where it named one.
    pub failed_line: Option<u64>,
    /// What of the dump was left out or changed, since the target does not take it.
    pub adapted: Warnings,
    pub warnings: Warnings,
}

/// How far the present phase has come.
#[expect(clippy::struct_field_names, reason = "they are the names in answers, where the unit has to be told")]
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ProgressView {
    pub read_bytes: u64,
    pub total_bytes: Option<u64>,
    pub sql_bytes: u64,
}

impl From<Restore> for RestoreView {
    fn from(restore: Restore) -> Self {
        let (engine, server) = match restore.place {
            Place::Engine(id) => (Some(id), None),
            Place::Server { endpoint, username, .. } => (None, Some((endpoint, username))),
        };
        Self {
            target_engine_id: engine,
            host: server.as_ref().map(|(endpoint, _)| endpoint.host.clone()),
            port: server.as_ref().map(|(endpoint, _)| endpoint.port),
            username: server.map(|(_, username)| username),
            id: restore.id,
            backup_id: restore.backup_id,
            database_type: restore.database_type,
            blob_name: restore.blob_name,
            database_name: restore.database,
            mode: restore.mode,
            keep_failed: restore.keep_failed,
            status: restore.status,
            phase: restore.phase,
            progress: ProgressView {
                read_bytes: restore.progress.read_bytes,
                total_bytes: restore.blob_bytes,
                sql_bytes: restore.progress.sql_bytes,
            },
            cancel_requested: restore.cancel_requested,
            requested_by: restore.requested_by,
            created_at: restore.created_at,
            started_at: restore.run.started_at,
            completed_at: restore.run.finished_at,
            duration_seconds: restore.run.seconds,
            failed_in: restore.failed_in,
            error_details: restore.failure.as_ref().and_then(|failure| failure.class.clone()),
            error_message: restore.failure.map(|failure| failure.message),
            failed_line: restore.failed_line,
            adapted: restore.adapted,
            warnings: restore.warnings,
        }
    }
}
