//! Backup policies in requests. Pure.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use shared::models::{BackupPolicy, Tier, TierConfig, TimeOfDay, slug, time_zone};

use crate::error::ApiError;
use crate::json::{Given, Members, require};

/// The longest description, in characters.
const LONGEST: usize = 1000;

/// The members of a body that describes a policy.
#[derive(Debug, Clone)]
pub(crate) struct PolicyFields {
    name: Option<String>,
    description: Given<String>,
    time_zone: Option<Tz>,
    hourly: Option<TierConfig>,
    daily: Option<TierConfig>,
    weekly: Option<TierConfig>,
    monthly: Option<TierConfig>,
    yearly: Option<TierConfig>,
}

impl PolicyFields {
    /// Reads the members that are there, each by its own rule.
    pub(crate) fn read(body: &Members) -> Result<Self, ApiError> {
        Ok(Self {
            name: body.label("name", 100)?,
            description: body.prose("description", LONGEST)?,
            time_zone: zone(body)?,
            hourly: tier(body, Tier::Hourly)?,
            daily: tier(body, Tier::Daily)?,
            weekly: tier(body, Tier::Weekly)?,
            monthly: tier(body, Tier::Monthly)?,
            yearly: tier(body, Tier::Yearly)?,
        })
    }

    /// Makes a new policy; its id follows from its name, and tiers that are absent are off.
    pub(crate) fn create(self, now: DateTime<Utc>) -> Result<BackupPolicy, ApiError> {
        require(&[("name", self.name.is_some())])?;
        let name = self.name.ok_or(ApiError::Internal("a required member was not checked"))?;
        Ok(BackupPolicy {
            id: slug(&name),
            name,
            description: self.description.value(),
            is_system: false,
            time_zone: self.time_zone.unwrap_or(Tz::UTC),
            hourly: self.hourly.unwrap_or_default(),
            daily: self.daily.unwrap_or_default(),
            weekly: self.weekly.unwrap_or_default(),
            monthly: self.monthly.unwrap_or_default(),
            yearly: self.yearly.unwrap_or_default(),
            created_at: now,
            updated_at: now,
        })
    }

    /// Changes a policy: absent members keep what is there, a tier that is given replaces the whole one.
    pub(crate) fn update(self, current: BackupPolicy, now: DateTime<Utc>) -> Result<BackupPolicy, ApiError> {
        let name = self.name.unwrap_or_else(|| current.name.clone());
        if current.is_system && name != current.name {
            return Err(ApiError::field("name", "cannot be changed: every installation has this policy"));
        }
        Ok(BackupPolicy {
            name,
            description: self.description.or_keep(current.description),
            time_zone: self.time_zone.unwrap_or(current.time_zone),
            hourly: self.hourly.unwrap_or(current.hourly),
            daily: self.daily.unwrap_or(current.daily),
            weekly: self.weekly.unwrap_or(current.weekly),
            monthly: self.monthly.unwrap_or(current.monthly),
            yearly: self.yearly.unwrap_or(current.yearly),
            updated_at: now,
            ..current
        })
    }
}

fn zone(body: &Members) -> Result<Option<Tz>, ApiError> {
    let text = body.text("time_zone")?.not_null("time_zone")?;
    text.map(|text| time_zone(text).map_err(|error| ApiError::field("time_zone", error))).transpose()
}

fn tier(body: &Members, tier: Tier) -> Result<Option<TierConfig>, ApiError> {
    let name = tier.as_str();
    let members = body.object(name)?.not_null(name)?;
    members
        .map(|members| config(&members).map(|config| config.of(tier)))
        .transpose()
        .map_err(|error| error.inside(name))
}

/// Reads a tier; what is absent has its default.
fn config(members: &Members) -> Result<TierConfig, ApiError> {
    let default = TierConfig::default();
    let time: Option<TimeOfDay> = members.parsed("time")?.not_null("time")?;
    let keep_count: Given<u32> = members.number("keep_count", 0..=10_000)?;
    let within = |name, least: u8, most: u8, default: u8| {
        members.number(name, least..=most)?.not_null(name).map(|number| number.unwrap_or(default))
    };
    Ok(TierConfig {
        enabled: members.flag("enabled")?.unwrap_or(default.enabled),
        keep_count: keep_count.not_null("keep_count")?.unwrap_or(default.keep_count),
        // The web application sends `null` for tiers that have no interval.
        interval_hours: members.number("interval_hours", 1..=12)?.value().unwrap_or(default.interval_hours),
        time: time.unwrap_or(default.time),
        day_of_week: within("day_of_week", 0, 6, default.day_of_week)?,
        day_of_month: within("day_of_month", 1, 28, default.day_of_month)?,
        month: within("month", 1, 12, default.month)?,
    })
}
