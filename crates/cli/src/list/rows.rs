//! Backups and databases as rows of a table for people, and as JSON for programs. Pure.

use serde_json::{Value, json};
use shared::models::{Backup, Database};
use shared::storage::Blob;

use crate::text::{cut, on_one_line, size, table};

/// The longest display name that is shown whole, in characters.
const NAME: usize = 40;

/// The longest reason of a failure that is shown whole, in characters.
const REASON: usize = 80;

/// Draws backups.
pub(super) fn backups_table(backups: &[Backup]) -> String {
    if backups.is_empty() {
        return String::new();
    }
    let headings = ["BACKUP", "CREATED (UTC)", "DATABASE", "TYPE", "TIER", "STATUS", "SIZE", "SECONDS", ""];
    let mut rows = vec![headings.map(str::to_owned)];
    rows.extend(backups.iter().map(|backup| {
        let bytes = backup.artifact().and_then(|artifact| artifact.bytes);
        [
            backup.id.to_string(),
            backup.created_at.format("%Y-%m-%d %H:%M:%S").to_string(),
            cut(&on_one_line(&backup.database_name), NAME),
            backup.database_type.to_string(),
            backup.tier.map_or_else(|| backup.triggered_by.to_string(), |tier| tier.to_string()),
            backup.status().to_string(),
            bytes.map_or_else(absent, size),
            backup.run().seconds.map_or_else(absent, |seconds| format!("{seconds:.1}")),
            backup.failure().map(|failure| cut(&on_one_line(&failure.message), REASON)).unwrap_or_default(),
        ]
    }));
    table(&rows)
}

/// Draws stored blobs, with what they say of themselves.
pub(super) fn blobs_table(blobs: &[Blob]) -> String {
    if blobs.is_empty() {
        return String::new();
    }
    let headings = ["BLOB", "STORED (UTC)", "DATABASE", "SIZE"];
    let mut rows = vec![headings.map(str::to_owned)];
    rows.extend(blobs.iter().map(|blob| {
        let properties = &blob.properties;
        let created = properties.created_at.map(|at| at.format("%Y-%m-%d %H:%M:%S").to_string());
        let database = properties.metadata.get("database_name");
        [
            on_one_line(&blob.name),
            created.unwrap_or_else(absent),
            database.map_or_else(absent, |name| cut(&on_one_line(name), NAME)),
            size(properties.bytes),
        ]
    }));
    table(&rows)
}

/// Writes backups as a JSON array, each with the members that it has in the api.
pub(super) fn backups_json(backups: &[Backup]) -> String {
    lines(backups.iter().map(|backup| {
        let (run, artifact, failure) = (backup.run(), backup.artifact(), backup.failure());
        let mut members = json!({
            "id": backup.id,
            "job_id": backup.job_id,
            "database_id": backup.database_id,
            "database_name": backup.database_name,
            "database_type": backup.database_type,
            "status": backup.status(),
            "started_at": run.started_at,
            "completed_at": run.finished_at,
            "duration_seconds": run.seconds,
            "blob_name": artifact.map(|artifact| &artifact.blob_name),
            "blob_url": artifact.and_then(|artifact| artifact.blob_url.as_ref()),
            "file_size_bytes": artifact.and_then(|artifact| artifact.bytes),
            "file_format": artifact.and_then(|artifact| artifact.format.as_ref()),
            "error_message": failure.map(|failure| &failure.message),
            "error_details": failure.and_then(|failure| failure.class.as_ref()),
            "retry_count": backup.retry_count,
            "triggered_by": backup.triggered_by,
            "tier": backup.tier,
            "created_at": backup.created_at,
        });
        // As in the api, these are left out when there is nothing to say.
        if let Some(consistency) = artifact.and_then(|artifact| artifact.consistency) {
            members["consistency"] = json!(consistency);
        }
        if let Some(artifact) = artifact.filter(|artifact| !artifact.warnings.is_empty()) {
            members["warnings"] = json!(artifact.warnings);
        }
        if let Some(globals) = artifact.and_then(|artifact| artifact.globals.as_ref()) {
            members["globals_blob_name"] = json!(globals.blob_name);
            members["globals_size_bytes"] = json!(globals.bytes);
            members["globals_sha256"] = json!(globals.sha256);
        }
        members
    }))
}

/// Draws configured databases.
pub(super) fn databases_table(databases: &[Database]) -> String {
    if databases.is_empty() {
        return String::new();
    }
    let headings = ["ID", "NAME", "TYPE", "SERVER", "DATABASE", "ENABLED", "RUNS BY"];
    let mut rows = vec![headings.map(str::to_owned)];
    rows.extend(databases.iter().map(|database| {
        [
            database.id.to_string(),
            cut(&on_one_line(&database.name), NAME),
            database.database_type.to_string(),
            format!("{}:{}", database.endpoint.host, database.endpoint.port),
            database.database_name.to_string(),
            if database.enabled { "yes" } else { "no" }.to_owned(),
            runs_by(database),
        ]
    }));
    table(&rows)
}

/// Writes configured databases as a JSON array, each with the members that it has in the api. What a
/// database is signed in with is left out.
pub(super) fn databases_json(databases: &[Database]) -> String {
    lines(databases.iter().map(|database| {
        json!({
            "id": database.id,
            "name": database.name,
            "database_type": database.database_type,
            "engine_id": database.engine_id,
            "host": database.endpoint.host,
            "port": database.endpoint.port,
            "database_name": database.database_name,
            "policy_id": database.policy.own,
            "use_engine_policy": database.policy.from_engine,
            "enabled": database.enabled,
            "schedule": database.schedule.as_ref().map(shared::schedule::Schedule::as_str),
            "retention_days": database.retention_days,
            "backup_destination": database.backup_destination,
            "compression": database.compression,
            "tags": database.tags,
            "created_at": database.created_at,
            "updated_at": database.updated_at,
        })
    }))
}

/// Says what decides when a database is backed up.
fn runs_by(database: &Database) -> String {
    match (&database.schedule, &database.policy.own) {
        (Some(schedule), _) => schedule.as_str().to_owned(),
        (None, Some(policy)) if !database.policy.from_engine => policy.to_string(),
        (None, _) => "the engine's policy".to_owned(),
    }
}

/// Writes a JSON array with one element on each line.
fn lines(values: impl Iterator<Item = Value>) -> String {
    let values: Vec<String> = values.map(|value| value.to_string()).collect();
    if values.is_empty() { "[]\n".to_owned() } else { format!("[\n{}\n]\n", values.join(",\n")) }
}

fn absent() -> String {
    "-".to_owned()
}
