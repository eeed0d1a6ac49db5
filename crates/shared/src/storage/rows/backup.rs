//! Records of the backup history as rows.

use chrono::{DateTime, Utc};

use super::super::table::{Entity, Properties, Value};
use super::database::text;
use super::history_key::{history_key, id_in};
use super::read::{Reader, date_time};
use super::{Row, UnreadableRow, properties};
use crate::models::{
    Artifact, Attempt, Backup, BackupState, BackupStatus, DumpProgress, Failure, Globals, InvalidId, Marks,
    Pin, PlannedBlob, Refusal, Run, TriggeredBy, Warnings,
};

impl Row for Backup {
    fn entity(&self) -> Entity {
        let run = self.run();
        let (artifact, failure) = (self.artifact(), self.failure());
        let (heartbeat, planned, progress) = match &self.state {
            BackupState::InProgress(attempt) => {
                (attempt.heartbeat_at, attempt.planned.as_ref(), attempt.progress)
            }
            BackupState::Pending { .. }
            | BackupState::Completed { .. }
            | BackupState::Failed { .. }
            | BackupState::Cancelled { .. } => (None, None, DumpProgress::default()),
        };
        let container = artifact.and_then(|a| a.container.as_ref());
        let bytes = artifact.and_then(|artifact| artifact.bytes).unwrap_or(0);
        let mut entity = Entity::new(
            history_key(self.created_at, self.id.as_str()),
            properties([
                ("job_id", self.job_id.as_str().into()),
                ("database_id", self.database_id.as_str().into()),
                ("database_name", self.database_name.as_str().into()),
                ("database_type", self.database_type.as_str().into()),
                ("status", self.status().as_str().into()),
                ("started_at", instant(run.started_at)),
                ("completed_at", instant(run.finished_at)),
                ("duration_seconds", Value::Double(run.seconds.unwrap_or(0.0))),
                ("blob_name", text(artifact.map(|artifact| &artifact.blob_name))),
                ("blob_url", text(artifact.and_then(|artifact| artifact.blob_url.as_ref()))),
                ("container_name", text(container)),
                ("file_size_bytes", size(bytes)),
                ("file_format", text(artifact.and_then(|artifact| artifact.format.as_ref()))),
                ("sha256", text(artifact.and_then(|artifact| artifact.sha256.as_ref()))),
                ("consistency", text(artifact.and_then(|artifact| artifact.consistency.as_ref()))),
                ("warnings", warnings_text(artifact.map(|artifact| &artifact.warnings)).into()),
                (
                    "error_message",
                    failure.map(|failure| failure.message.as_str()).or(self.reason()).unwrap_or("").into(),
                ),
                ("error_details", text(failure.and_then(|failure| failure.class.as_ref()))),
                ("retry_count", Value::Int32(i32::try_from(self.retry_count).unwrap_or(i32::MAX))),
                ("triggered_by", self.triggered_by.as_str().into()),
                ("tier", text(self.tier.as_ref())),
                ("created_at", date_time(self.created_at)),
                ("heartbeat_at", instant(heartbeat)),
                ("planned_container_name", text(planned.map(|planned| &planned.container))),
                ("planned_blob_name", text(planned.map(|planned| &planned.name))),
                ("bytes_dumped", size(progress.dumped_bytes)),
                ("bytes_uploaded", size(progress.uploaded_bytes)),
            ]),
        );
        if let Some(globals) = artifact.and_then(|artifact| artifact.globals.as_ref()) {
            entity.properties.extend(properties([
                ("globals_blob_name", globals.blob_name.as_str().into()),
                ("globals_size_bytes", size(globals.bytes)),
                ("globals_sha256", globals.sha256.as_str().into()),
            ]));
        }
        entity
    }

    fn from_entity(entity: &Entity) -> Result<Self, UnreadableRow> {
        let row = Reader(entity);
        let status: BackupStatus = row.parse("status")?;
        Ok(Self {
            id: id_in(&entity.key.row)
                .parse()
                .map_err(|error: InvalidId| row.unreadable("RowKey", error.to_string()))?,
            job_id: row.parse("job_id")?,
            database_id: row.parse("database_id")?,
            database_name: row.owned("database_name").unwrap_or_default(),
            database_type: row.parse("database_type")?,
            // Earlier systems had further words for people's doing; what is not manual is scheduled.
            triggered_by: row.parse("triggered_by").unwrap_or(TriggeredBy::Scheduler),
            tier: row.parse_optional("tier")?,
            created_at: row.required_instant("created_at")?,
            retry_count: row.number("retry_count").unwrap_or(0),
            state: state(&row, status)?,
            marks: marks(&row),
        })
    }
}

/// Reads what was noted since. It is written by itself, never together with the rest.
pub(crate) fn marks(row: &Reader<'_>) -> Marks {
    let by = |property| row.owned(property).unwrap_or_default();
    Marks {
        pinned: row.instant("pinned_at").map(|at| Pin { at, by: by("pinned_by") }),
        verified_at: row.instant("verified_at"),
        deletion_begun_at: row.instant("deletion_begun_at"),
        deletion_refused: row
            .instant("deletion_refused_at")
            .map(|at| Refusal { at, reason: by("deletion_refused") }),
    }
}

/// The properties of a pin, or of none.
pub(crate) fn pin(pin: Option<&Pin>) -> Properties {
    properties([("pinned_at", instant(pin.map(|pin| pin.at))), ("pinned_by", text(pin.map(|pin| &pin.by)))])
}

/// The properties of a proof that a backup can be restored.
pub(crate) fn verified(at: DateTime<Utc>) -> Properties {
    properties([("verified_at", date_time(at))])
}

/// The properties of a deletion that begins.
pub(crate) fn deletion_begun(at: DateTime<Utc>) -> Properties {
    properties([("deletion_begun_at", date_time(at))])
}

/// The properties of a deletion that was refused, and has thereby ended.
pub(crate) fn deletion_refused(refusal: &Refusal) -> Properties {
    properties([
        ("deletion_begun_at", instant(None)),
        ("deletion_refused_at", date_time(refusal.at)),
        ("deletion_refused", refusal.reason.as_str().into()),
    ])
}

/// The properties that a claim changes.
pub(crate) fn claimed(now: DateTime<Utc>, retry_count: u32, planned: Option<&PlannedBlob>) -> Properties {
    properties([
        ("status", BackupStatus::InProgress.as_str().into()),
        ("started_at", date_time(now)),
        ("heartbeat_at", date_time(now)),
        ("retry_count", Value::Int32(i32::try_from(retry_count).unwrap_or(i32::MAX))),
        ("planned_container_name", text(planned.map(|planned| &planned.container))),
        ("planned_blob_name", text(planned.map(|planned| &planned.name))),
        ("bytes_dumped", size(0)),
        ("bytes_uploaded", size(0)),
        (COMMIT_BEGUN_AT, "".into()),
    ])
}

/// When the attempt that runs began to commit its artifact; empty before that.
pub(crate) const COMMIT_BEGUN_AT: &str = "commit_begun_at";

/// The properties that a cancellation changes.
pub(crate) fn cancelled(run: &Run, reason: Option<&str>) -> Properties {
    properties([
        ("status", BackupStatus::Cancelled.as_str().into()),
        ("completed_at", instant(run.finished_at)),
        ("duration_seconds", Value::Double(run.seconds.unwrap_or(0.0))),
        ("error_message", reason.unwrap_or("").into()),
        ("error_details", "".into()),
    ])
}

/// The properties that a sign of life changes.
pub(crate) fn heartbeat(now: DateTime<Utc>, progress: DumpProgress) -> Properties {
    properties([
        ("heartbeat_at", date_time(now)),
        ("bytes_dumped", size(progress.dumped_bytes)),
        ("bytes_uploaded", size(progress.uploaded_bytes)),
    ])
}

/// Renders a number of bytes; 32 bits would end at 2 GiB.
fn size(bytes: u64) -> Value {
    Value::Int64(i64::try_from(bytes).unwrap_or(i64::MAX))
}

fn state(row: &Reader<'_>, status: BackupStatus) -> Result<BackupState, UnreadableRow> {
    let run = Run {
        started_at: row.instant("started_at"),
        finished_at: row.instant("completed_at"),
        seconds: row.instant("completed_at").and_then(|_| row.fraction("duration_seconds")),
    };
    let failure = || {
        let message = row.owned("error_message")?;
        Some(Failure { message, class: row.owned("error_details") })
    };
    Ok(match status {
        BackupStatus::Pending => BackupState::Pending { last_failure: failure() },
        BackupStatus::InProgress => BackupState::InProgress(Attempt {
            started_at: run.started_at,
            heartbeat_at: row.instant("heartbeat_at"),
            planned: planned(row)?,
            progress: DumpProgress {
                dumped_bytes: row.number("bytes_dumped").unwrap_or(0),
                uploaded_bytes: row.number("bytes_uploaded").unwrap_or(0),
            },
        }),
        BackupStatus::Completed => BackupState::Completed { run, artifact: artifact(row)? },
        BackupStatus::Failed => {
            let unknown = || Failure { message: "The reason was not recorded.".to_owned(), class: None };
            BackupState::Failed { run, failure: failure().unwrap_or_else(unknown) }
        }
        BackupStatus::Cancelled => BackupState::Cancelled { run, reason: row.owned("error_message") },
    })
}

/// Returns the blob that the last attempt had chosen, whatever the state of the record is now.
pub(crate) fn planned_blob(entity: &Entity) -> Option<PlannedBlob> {
    planned(&Reader(entity)).ok().flatten()
}

fn planned(row: &Reader<'_>) -> Result<Option<PlannedBlob>, UnreadableRow> {
    let container = row.parse_optional("planned_container_name")?;
    let name = row.owned("planned_blob_name");
    Ok(container.zip(name).map(|(container, name)| PlannedBlob { container, name }))
}

/// Reads what was stored.
pub(crate) fn artifact(row: &Reader<'_>) -> Result<Option<Artifact>, UnreadableRow> {
    let Some(blob_name) = row.owned("blob_name") else { return Ok(None) };
    Ok(Some(Artifact {
        blob_name,
        blob_url: row.owned("blob_url"),
        container: row.parse_optional("container_name")?,
        bytes: row.number("file_size_bytes").filter(|bytes| *bytes > 0),
        format: row.owned("file_format"),
        sha256: row.owned("sha256"),
        // For people only: what cannot be read does not cost the record.
        consistency: row.parse("consistency").ok(),
        warnings: row.text("warnings").map(warnings).unwrap_or_default(),
        globals: row.owned("globals_blob_name").map(|blob_name| Globals {
            blob_name,
            bytes: row.number("globals_size_bytes").unwrap_or(0),
            sha256: row.owned("globals_sha256").unwrap_or_default(),
        }),
    }))
}

/// Renders warnings as a JSON list of texts; none at all as nothing.
fn warnings_text(warnings: Option<&Warnings>) -> String {
    warnings
        .filter(|warnings| !warnings.is_empty())
        .map(|warnings| serde_json::json!(warnings).to_string())
        .unwrap_or_default()
}

/// Reads warnings; a text that is no JSON list is a warning by itself.
fn warnings(text: &str) -> Warnings {
    match serde_json::from_str::<Vec<String>>(text) {
        Ok(texts) => texts.iter().collect(),
        Err(_) => std::iter::once(text).collect(),
    }
}

fn instant(at: Option<DateTime<Utc>>) -> Value {
    at.map_or_else(|| "".into(), date_time)
}
