//! `GET /backups/download`: a short-lived address from which a browser can fetch one file.
//!
//! What must stay true: an address is made only for a file that exists and that the product knows,
//! it permits reading that one file, and it ends.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use shared::config::Environment;
use shared::models::{AuditAction, AuditEvent, AuditResource, Backup, EngineId};
use shared::storage::{BlobAddress, SignError};
use storage_account::BlobReadSas;
use url::Url;

use crate::actor::Caller;
use crate::error::{ApiError, sentence};
use crate::query::Query;
use crate::state::{AppState, Now};

/// How long an address works when nobody says, in hours.
const DEFAULT_HOURS: usize = 1;
/// The longest time that an address may work, in hours. Whoever has the address may read the file.
const MOST_HOURS: usize = 24;
/// The longest name that the service takes, in characters.
const LONGEST_NAME: usize = 1024;

// Not Debug: whoever has the address may read the file.
#[derive(Serialize)]
pub(crate) struct Answer {
    download_url: String,
    blob_name: String,
    expires_in_hours: usize,
}

/// Makes an address that permits reading one file for some hours.
pub(crate) async fn download(
    State(state): State<AppState>,
    caller: Caller,
    Now(now): Now,
    query: Query,
) -> Result<Json<Answer>, ApiError> {
    let name = blob_name(&query)?;
    let hours = query.within("expiry_hours", 1..=MOST_HOURS)?.unwrap_or(DEFAULT_HOURS);
    let record = record(&state, name).await?;
    let blob = match record.as_ref().and_then(Backup::artifact) {
        Some(artifact) => state.storage.locate(artifact),
        None => BlobAddress::new(state.storage.default_container(), name),
    };
    if state.storage.blobs.properties(&blob).await?.is_none() {
        return Err(ApiError::NotFound(format!("The backup file {name}")));
    }
    let file_name = name.rsplit('/').next().unwrap_or(name);
    let expires_at = now + TimeDelta::hours(i64::try_from(hours).unwrap_or(1));
    let sas = BlobReadSas {
        container: &blob.container,
        blob: &blob.name,
        expires_at,
        https_only: state.config.environment == Environment::Production,
        file_name: Some(file_name),
    };
    let download_url = sign(&state, &sas, now).await?;
    let event = downloaded(&state, name, file_name, record.as_ref(), hours).await?;
    state.storage.audit.record(&caller.actor, event, now).await;
    Ok(Json(Answer {
        download_url: download_url.into(),
        blob_name: name.to_owned(),
        expires_in_hours: hours,
    }))
}

/// Reads the name of the file.
pub(crate) fn blob_name(query: &Query) -> Result<&str, ApiError> {
    check_name(query.text("blob_name").ok_or_else(|| ApiError::field("blob_name", "is required"))?)
}

/// Refuses a name that is none, or that an address would resolve to another file.
pub(crate) fn check_name(name: &str) -> Result<&str, ApiError> {
    let bad = name.is_empty()
        || name.chars().count() > LONGEST_NAME
        || name.contains('\\')
        || name.chars().any(char::is_control)
        || name.starts_with('/')
        || name.ends_with(['/', '.'])
        || name.contains("..")
        || name.split('/').any(|part| part == ".");
    if bad { Err(ApiError::field("blob_name", "is not the name of a backup file")) } else { Ok(name) }
}

/// Finds the newest record that names the file.
async fn record(state: &AppState, name: &str) -> Result<Option<Backup>, ApiError> {
    Ok(state.storage.backups.of_blob(name).await?.into_iter().next())
}

async fn sign(state: &AppState, sas: &BlobReadSas<'_>, now: DateTime<Utc>) -> Result<Url, ApiError> {
    let url = state.storage.signer.sign(sas, now).await.map_err(|error| match error {
        SignError::NoKey => ApiError::NotReady(sentence(&error.to_string())),
        SignError::Unusable => ApiError::Internal("the key for download addresses cannot be used"),
        SignError::Storage(error) => error.into(),
    })?;
    match &state.config.names.public_url {
        None => Ok(url),
        Some(public) => moved(url, public).ok_or(ApiError::Internal("STORAGE_PUBLIC_URL cannot be used")),
    }
}

/// Replaces scheme and authority; path and signature stay.
fn moved(mut url: Url, public: &Url) -> Option<Url> {
    url.set_scheme(public.scheme()).ok()?;
    url.set_host(public.host_str()).ok()?;
    url.set_port(public.port()).ok()?;
    Some(url)
}

async fn downloaded(
    state: &AppState,
    name: &str,
    file_name: &str,
    record: Option<&Backup>,
    hours: usize,
) -> Result<AuditEvent, ApiError> {
    let database = match record {
        Some(backup) => state.storage.databases.get(&backup.database_id).await?,
        None => None,
    };
    let engine_id = database.and_then(|database| database.value.engine_id);
    let alias = record.map(|backup| backup.database_name.as_str());
    let event = AuditEvent::new(
        AuditAction::BackupDownloaded,
        AuditResource::Backup,
        name,
        alias.unwrap_or(file_name),
    );
    Ok(event
        .with("blob_name", name)
        .with("file_name", file_name)
        .with("database_type", record.map(|backup| backup.database_type.as_str()))
        .with("database_id", record.map(|backup| backup.database_id.as_str()))
        .with("database_alias", alias)
        .with("engine_id", engine_id.as_ref().map(EngineId::as_str))
        .with("expiry_hours", hours))
}
