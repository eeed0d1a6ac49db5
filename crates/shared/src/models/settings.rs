//! Settings that administrators change while the service runs.

use chrono::{DateTime, Utc};

/// The settings of the installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppSettings {
    /// Left from an earlier version; the preference of each user decides.
    pub dark_mode: bool,
    /// Age limit in days (1 to 365) for backups without a tier.
    pub default_retention_days: u16,
    /// Whether new databases are compressed when the request does not say.
    pub default_compression: bool,
    /// Whether strangers of the own directory may ask for access.
    pub access_requests_enabled: bool,
    /// When they last changed.
    pub updated_at: DateTime<Utc>,
}

impl AppSettings {
    /// Returns what holds where nothing is stored yet.
    pub fn defaults(retention_days: u16, now: DateTime<Utc>) -> Self {
        Self {
            dark_mode: false,
            default_retention_days: retention_days,
            default_compression: true,
            access_requests_enabled: true,
            updated_at: now,
        }
    }
}
