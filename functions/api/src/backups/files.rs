//! `GET /backups/files`: the files of the default container.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::storage::Blob;

use crate::error::ApiError;
use crate::query::Query;
use crate::state::AppState;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    files: Vec<File>,
    count: usize,
}

#[derive(Debug, Serialize)]
struct File {
    name: String,
    size: u64,
    created_at: Option<DateTime<Utc>>,
    last_modified: Option<DateTime<Utc>>,
    content_type: Option<String>,
}

/// Lists files whose names begin with a text, in the order of their names.
pub(crate) async fn files(State(state): State<AppState>, query: Query) -> Result<Json<Answer>, ApiError> {
    let prefix = query.text("prefix").unwrap_or_default();
    if prefix.chars().count() > 1024 || prefix.chars().any(char::is_control) {
        return Err(ApiError::field("prefix", "must be at most 1024 characters, without control characters"));
    }
    let limit = query.clamped("limit", 1..=5000)?.unwrap_or(100);
    let container = state.storage.default_container();
    let mut files: Vec<File> = Vec::new();
    let mut marker: Option<String> = None;
    // The service may answer with fewer than asked for and still have more.
    loop {
        let wanted = u32::try_from(limit - files.len()).unwrap_or(5000);
        let page = state.storage.blobs.list(container, prefix, marker.as_deref(), wanted).await?;
        files.extend(page.blobs.into_iter().map(File::from));
        marker = page.marker;
        if marker.is_none() || files.len() >= limit {
            break;
        }
    }
    files.truncate(limit);
    Ok(Json(Answer { count: files.len(), files }))
}

impl From<Blob> for File {
    fn from(blob: Blob) -> Self {
        Self {
            name: blob.name,
            size: blob.properties.bytes,
            created_at: blob.properties.created_at,
            last_modified: blob.properties.last_modified,
            content_type: blob.properties.content_type,
        }
    }
}
