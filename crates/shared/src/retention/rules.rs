//! The numbers that decide about the backups of one database.

use std::collections::BTreeMap;

use crate::models::{BackupPolicy, Tier};

/// How many backups of each tier stay, and for how long those without a tier do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    keep_counts: BTreeMap<Tier, u32>,
    untiered_days: u16,
}

impl Rules {
    /// Takes the rules from the policy of a database, from its own limit of days, and from the
    /// installation's where it has none.
    ///
    /// Tiers that are switched off keep their count: what they made before is still trimmed to it.
    pub fn new(policy: &BackupPolicy, database_days: Option<u16>, default_days: u16) -> Self {
        Self {
            keep_counts: policy.tiers().map(|(tier, config)| (tier, config.keep_count)).collect(),
            untiered_days: database_days.unwrap_or(default_days),
        }
    }

    /// Returns how many completed backups of a tier stay; 0 keeps them all.
    pub fn keep_count(&self, tier: Tier) -> u32 {
        self.keep_counts.get(&tier).copied().unwrap_or(0)
    }

    /// Returns for how many days backups without a tier stay.
    pub fn untiered_days(&self) -> u16 {
        self.untiered_days
    }
}
