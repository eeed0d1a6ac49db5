//! Settings in requests. Pure.

use chrono::{DateTime, Utc};
use shared::models::AppSettings;

use crate::error::ApiError;
use crate::json::Members;

/// The members of a body that changes settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SettingsFields {
    dark_mode: Option<bool>,
    default_retention_days: Option<u16>,
    default_compression: Option<bool>,
    access_requests_enabled: Option<bool>,
}

impl SettingsFields {
    /// Reads the members that are there, each by its own rule.
    pub(crate) fn read(body: &Members) -> Result<Self, ApiError> {
        let days = body.number("default_retention_days", 1..=365)?;
        Ok(Self {
            dark_mode: body.flag("dark_mode")?,
            default_retention_days: days.not_null("default_retention_days")?,
            default_compression: body.flag("default_compression")?,
            access_requests_enabled: body.flag("access_requests_enabled")?,
        })
    }

    /// Changes settings; `None` when that leaves them as they are.
    pub(crate) fn update(self, current: &AppSettings, now: DateTime<Utc>) -> Option<AppSettings> {
        let changed = AppSettings {
            dark_mode: self.dark_mode.unwrap_or(current.dark_mode),
            default_retention_days: self.default_retention_days.unwrap_or(current.default_retention_days),
            default_compression: self.default_compression.unwrap_or(current.default_compression),
            access_requests_enabled: self.access_requests_enabled.unwrap_or(current.access_requests_enabled),
            updated_at: current.updated_at,
        };
        (changed != *current).then_some(AppSettings { updated_at: now, ..changed })
    }
}
