//! The settings as a row.

use super::super::table::{Entity, Key, Value};
use super::read::{Reader, date_time};
use super::{Row, UnreadableRow, properties};
use crate::models::AppSettings;

/// The one key of the settings.
pub(crate) fn key() -> Key {
    Key::new("settings", "app")
}

impl Row for AppSettings {
    fn entity(&self) -> Entity {
        Entity::new(
            key(),
            properties([
                ("dark_mode", self.dark_mode.into()),
                ("default_retention_days", Value::Int32(self.default_retention_days.into())),
                ("default_compression", self.default_compression.into()),
                ("access_requests_enabled", self.access_requests_enabled.into()),
                ("updated_at", date_time(self.updated_at)),
            ]),
        )
    }

    /// Reads the settings; a value that cannot be read or is out of range reads as another, so that one bad
    /// number never locks everybody out of the page on which it could be mended. Days that cannot be read
    /// are as many as there can be: nothing is deleted too early for a reason that nobody has given.
    fn from_entity(entity: &Entity) -> Result<Self, UnreadableRow> {
        let row = Reader(entity);
        let days: Option<u16> = row.number("default_retention_days").filter(|days| (1..=365).contains(days));
        let otherwise = if entity.properties.contains_key("default_retention_days") { 365 } else { 30 };
        if days.is_none() {
            tracing::warn!(
                "the stored default_retention_days cannot be used; {otherwise} days count instead"
            );
        }
        Ok(Self {
            dark_mode: row.flag("dark_mode", false),
            default_retention_days: days.unwrap_or(otherwise),
            default_compression: row.flag("default_compression", true),
            access_requests_enabled: row.flag("access_requests_enabled", true),
            updated_at: row.instant("updated_at").unwrap_or_default(),
        })
    }
}
