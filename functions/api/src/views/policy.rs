//! Backup policies as answers show them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::models::{BackupPolicy, PolicyId, TierConfig};

/// A policy as answers show it. All tiers are always there, with all their members.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PolicyView {
    pub id: PolicyId,
    pub name: String,
    pub description: Option<String>,
    pub is_system: bool,
    pub time_zone: &'static str,
    pub hourly: TierView,
    pub daily: TierView,
    pub weekly: TierView,
    pub monthly: TierView,
    pub yearly: TierView,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A tier as answers show it, members without a meaning in it included.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TierView {
    pub enabled: bool,
    pub keep_count: u32,
    pub interval_hours: u8,
    pub time: String,
    pub day_of_week: u8,
    pub day_of_month: u8,
    pub month: u8,
}

impl From<&BackupPolicy> for PolicyView {
    fn from(policy: &BackupPolicy) -> Self {
        Self {
            id: policy.id.clone(),
            name: policy.name.clone(),
            description: policy.description.clone(),
            is_system: policy.is_system,
            time_zone: policy.time_zone.name(),
            hourly: policy.hourly.into(),
            daily: policy.daily.into(),
            weekly: policy.weekly.into(),
            monthly: policy.monthly.into(),
            yearly: policy.yearly.into(),
            created_at: policy.created_at,
            updated_at: policy.updated_at,
        }
    }
}

impl From<TierConfig> for TierView {
    fn from(tier: TierConfig) -> Self {
        Self {
            enabled: tier.enabled,
            keep_count: tier.keep_count,
            interval_hours: tier.interval_hours,
            time: tier.time.to_string(),
            day_of_week: tier.day_of_week,
            day_of_month: tier.day_of_month,
            month: tier.month,
        }
    }
}
