//! `PUT /settings`: changes the settings of the installation.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Map, Value, json};
use shared::models::{AppSettings, AuditAction, AuditEvent, AuditResource};
use shared::storage::StorageErrorKind;

use crate::actor::Caller;
use crate::error::ApiError;
use crate::json::Members;
use crate::requests::settings::SettingsFields;
use crate::state::{AppState, Now};
use crate::views::settings::SettingsView;

/// How often a change is made again on what somebody else has left. The web application sends a request
/// at each key stroke, so that a few of them meet.
const ATTEMPTS: usize = 5;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    message: &'static str,
    settings: SettingsView,
}

/// Changes the members that the body has; what leaves everything as it is stores and records nothing.
pub(crate) async fn update(
    State(state): State<AppState>,
    caller: Caller,
    Now(now): Now,
    body: Members,
) -> Result<Json<Answer>, ApiError> {
    let fields = SettingsFields::read(&body)?;
    for _ in 0..ATTEMPTS {
        let (current, etag) = state.storage.settings.read(now).await?;
        let Some(changed) = fields.update(&current, now) else {
            let settings = SettingsView::from(current);
            return Ok(Json(Answer { message: "The settings are as they were.", settings }));
        };
        match state.storage.settings.store(&changed, etag.as_ref()).await {
            Err(error)
                if matches!(error.kind(), StorageErrorKind::Changed | StorageErrorKind::AlreadyExists) => {}
            Err(error) => return Err(error.into()),
            Ok(()) => {
                state.storage.audit.record(&caller.actor, updated(&current, &changed), now).await;
                let settings = SettingsView::from(changed);
                return Ok(Json(Answer { message: "The settings are changed.", settings }));
            }
        }
    }
    Err(ApiError::Conflict(
        "Somebody else keeps changing the settings; load them again and repeat.".to_owned(),
    ))
}

fn updated(before: &AppSettings, after: &AppSettings) -> AuditEvent {
    let members = |settings: &AppSettings| -> [(&str, Value); 4] {
        [
            ("dark_mode", settings.dark_mode.into()),
            ("default_retention_days", settings.default_retention_days.into()),
            ("default_compression", settings.default_compression.into()),
            ("access_requests_enabled", settings.access_requests_enabled.into()),
        ]
    };
    let changes: Map<String, Value> = members(before)
        .into_iter()
        .zip(members(after))
        .filter(|(before, after)| before != after)
        .map(|((name, from), (_, to))| (name.to_owned(), json!({"from": from, "to": to})))
        .collect();
    let (id, name) = ("app-settings", "Application Settings");
    AuditEvent::new(AuditAction::SettingsUpdated, AuditResource::Settings, id, name).with("changes", changes)
}
