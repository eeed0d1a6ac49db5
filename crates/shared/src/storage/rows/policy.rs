//! Policies as rows. Only the members that mean something in a tier have a column.

use chrono_tz::Tz;

use super::super::table::{Entity, Key, Value};
use super::database::text;
use super::read::{Reader, date_time};
use super::{Row, UnreadableRow, properties};
use crate::models::{BackupPolicy, InvalidId, TierConfig, TimeOfDay};

/// The partition of all policies.
pub(crate) const PARTITION: &str = "backup_policy";

impl Row for BackupPolicy {
    fn entity(&self) -> Entity {
        let keep = |tier: &TierConfig| Value::Int32(i32::try_from(tier.keep_count).unwrap_or(i32::MAX));
        let small = |value: u8| Value::Int32(value.into());
        Entity::new(
            Key::new(PARTITION, self.id.as_str()),
            properties([
                ("name", self.name.as_str().into()),
                ("description", text(self.description.as_ref())),
                ("is_system", self.is_system.into()),
                ("time_zone", self.time_zone.name().into()),
                ("hourly_enabled", self.hourly.enabled.into()),
                ("hourly_keep_count", keep(&self.hourly)),
                ("hourly_interval_hours", small(self.hourly.interval_hours)),
                ("daily_enabled", self.daily.enabled.into()),
                ("daily_keep_count", keep(&self.daily)),
                ("daily_time", self.daily.time.to_string().into()),
                ("weekly_enabled", self.weekly.enabled.into()),
                ("weekly_keep_count", keep(&self.weekly)),
                ("weekly_day_of_week", small(self.weekly.day_of_week)),
                ("weekly_time", self.weekly.time.to_string().into()),
                ("monthly_enabled", self.monthly.enabled.into()),
                ("monthly_keep_count", keep(&self.monthly)),
                ("monthly_day_of_month", small(self.monthly.day_of_month)),
                ("monthly_time", self.monthly.time.to_string().into()),
                ("yearly_enabled", self.yearly.enabled.into()),
                ("yearly_keep_count", keep(&self.yearly)),
                ("yearly_month", small(self.yearly.month)),
                ("yearly_day_of_month", small(self.yearly.day_of_month)),
                ("yearly_time", self.yearly.time.to_string().into()),
                ("created_at", date_time(self.created_at)),
                ("updated_at", date_time(self.updated_at)),
            ]),
        )
    }

    fn from_entity(entity: &Entity) -> Result<Self, UnreadableRow> {
        let row = Reader(entity);
        let created_at = row.made_at();
        let tier = |enabled, keep| TierConfig {
            enabled: row.flag(enabled, false),
            keep_count: row.number(keep).filter(|count| *count <= 10_000).unwrap_or(0),
            ..TierConfig::default()
        };
        let small = |property, least: u8, most: u8| {
            row.number(property).filter(|value| (least..=most).contains(value)).unwrap_or(least)
        };
        Ok(Self {
            id: entity
                .key
                .row
                .parse()
                .map_err(|error: InvalidId| row.unreadable("RowKey", error.to_string()))?,
            name: row.required("name")?.to_owned(),
            description: row.owned("description"),
            is_system: row.flag("is_system", false),
            time_zone: zone(&row),
            hourly: TierConfig {
                interval_hours: small("hourly_interval_hours", 1, 12),
                ..tier("hourly_enabled", "hourly_keep_count")
            },
            daily: TierConfig {
                time: time(&row, "daily_time", 2),
                ..tier("daily_enabled", "daily_keep_count")
            },
            weekly: TierConfig {
                day_of_week: small("weekly_day_of_week", 0, 6),
                time: time(&row, "weekly_time", 3),
                ..tier("weekly_enabled", "weekly_keep_count")
            },
            monthly: TierConfig {
                day_of_month: small("monthly_day_of_month", 1, 28),
                time: time(&row, "monthly_time", 4),
                ..tier("monthly_enabled", "monthly_keep_count")
            },
            yearly: TierConfig {
                month: small("yearly_month", 1, 12),
                day_of_month: small("yearly_day_of_month", 1, 28),
                time: time(&row, "yearly_time", 5),
                ..tier("yearly_enabled", "yearly_keep_count")
            },
            created_at,
            updated_at: row.instant("updated_at").unwrap_or(created_at),
        })
    }
}

/// Reads the zone; a missing one, as in rows of earlier versions, or an unusable one reads as UTC.
fn zone(row: &Reader<'_>) -> Tz {
    let stored = row.parse_optional("time_zone").unwrap_or_else(|error| {
        tracing::warn!(%error, "the stored time zone is not used; UTC is");
        None
    });
    stored.unwrap_or(Tz::UTC)
}

/// Reads a time; a missing or unusable one reads as the tier's usual hour.
fn time(row: &Reader<'_>, property: &'static str, usual_hour: u8) -> TimeOfDay {
    row.parse_optional(property)
        .unwrap_or_else(|error| {
            tracing::warn!(%error, "the stored time is not used; {usual_hour:02}:00 is");
            None
        })
        .unwrap_or(TimeOfDay::hour(usual_hour))
}
