//! The settings as answers show them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::models::AppSettings;

/// The settings as answers show them.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SettingsView {
    pub dark_mode: bool,
    pub default_retention_days: u16,
    pub default_compression: bool,
    pub access_requests_enabled: bool,
    pub updated_at: DateTime<Utc>,
}

impl From<AppSettings> for SettingsView {
    fn from(settings: AppSettings) -> Self {
        Self {
            dark_mode: settings.dark_mode,
            default_retention_days: settings.default_retention_days,
            default_compression: settings.default_compression,
            access_requests_enabled: settings.access_requests_enabled,
            updated_at: settings.updated_at,
        }
    }
}
