//! Backup policies: when backups of each tier are made, and how many of them stay.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use uuid::Uuid;

use super::{InvalidText, PolicyId, Tier, TierConfig, TimeOfDay};

/// A backup policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupPolicy {
    /// Identifies it for ever, also after its name was changed.
    pub id: PolicyId,
    /// The name for people, 1 to 100 characters.
    pub name: String,
    /// What it is meant for.
    pub description: Option<String>,
    /// Whether it is one of the three that every installation has.
    pub is_system: bool,
    /// The zone that the times and days of its tiers are read in.
    pub time_zone: Tz,
    /// Every few hours.
    pub hourly: TierConfig,
    /// Every day.
    pub daily: TierConfig,
    /// Every week.
    pub weekly: TierConfig,
    /// Every month.
    pub monthly: TierConfig,
    /// Every year.
    pub yearly: TierConfig,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl BackupPolicy {
    /// Returns one of its tiers.
    pub fn tier(&self, tier: Tier) -> &TierConfig {
        match tier {
            Tier::Hourly => &self.hourly,
            Tier::Daily => &self.daily,
            Tier::Weekly => &self.weekly,
            Tier::Monthly => &self.monthly,
            Tier::Yearly => &self.yearly,
        }
    }

    /// Returns all five tiers, the highest (yearly) first.
    pub fn tiers(&self) -> impl Iterator<Item = (Tier, &TierConfig)> {
        Tier::ALL.iter().rev().map(|tier| (*tier, self.tier(*tier)))
    }

    /// Sums up what stays, such as `12h/7d/4w/2m/1y`; tiers that are switched off or have no limit
    /// are left out.
    pub fn summary(&self) -> String {
        let letters = ["h", "d", "w", "m", "y"];
        let counts: Vec<_> = Tier::ALL
            .iter()
            .zip(letters)
            .map(|(tier, letter)| (self.tier(*tier), letter))
            .filter(|(tier, _)| tier.enabled && tier.keep_count > 0)
            .map(|(tier, letter)| format!("{}{letter}", tier.keep_count))
            .collect();
        if counts.is_empty() { "No retention".to_owned() } else { counts.join("/") }
    }
}

/// Reads the name of a policy: 1 to 100 characters, without the spaces at its ends.
pub fn policy_name(text: &str) -> Result<String, InvalidText> {
    let name = text.trim();
    if (1..=100).contains(&name.chars().count()) {
        Ok(name.to_owned())
    } else {
        Err(InvalidText("must be 1 to 100 characters"))
    }
}

/// Reads the time zone of a policy: a name of the IANA database.
pub fn time_zone(text: &str) -> Result<Tz, InvalidText> {
    text.trim()
        .parse()
        .map_err(|_| InvalidText("must be the IANA name of a time zone, such as UTC or Europe/Berlin"))
}

/// Derives the id of a new policy from its name: lower case, with a hyphen for each run of other
/// characters than `a-z0-9`.
///
/// A name in another script leaves nothing of that; its id is `policy-` and eight hexadecimal digits
/// that depend on the name, so that the same name gives the same id here too.
pub fn slug(name: &str) -> PolicyId {
    let lower = name.to_lowercase();
    let words = lower.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit()));
    let slug = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-");
    // Only an empty slug, or that of a name beyond its limit, is no id.
    slug.parse().or_else(|_| nameless(name).parse()).unwrap_or_else(|_| PolicyId::derived(&[name]))
}

fn nameless(name: &str) -> String {
    let digits = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.trim().as_bytes()).simple().to_string();
    format!("policy-{}", digits.chars().take(8).collect::<String>())
}

/// The id of the policy that holds where none, or none that exists, is chosen.
pub const DEFAULT_POLICY: &str = "production-standard";

/// Builds the three policies that every installation has, as they are when nobody has changed them.
pub fn system_policies(now: DateTime<Utc>) -> Vec<BackupPolicy> {
    let kept = [
        (
            "Production Critical",
            "All five tiers and the longest history, for data that must not be lost",
            [24, 15, 8, 4, 2],
        ),
        ("Production Standard", "All five tiers with a balanced history; the default", [12, 7, 4, 2, 1]),
        ("Development", "Few backups, for test systems", [0, 7, 2, 0, 0]),
    ];
    kept.map(|(name, description, keep_counts)| {
        let [hourly, daily, weekly, monthly, yearly] = standard_tiers(keep_counts);
        BackupPolicy {
            id: slug(name),
            name: name.to_owned(),
            description: Some(description.to_owned()),
            is_system: true,
            time_zone: Tz::UTC,
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
            created_at: now,
            updated_at: now,
        }
    })
    .into()
}

/// The tiers of the system policies: at 02:00, 03:00, 04:00 and 05:00, so that a day on which all of
/// them run has one dump per hour. Nothing to keep is a tier that is off, with the default members.
fn standard_tiers(keep_counts: [u32; 5]) -> [TierConfig; 5] {
    let times = [2, 2, 3, 4, 5].map(TimeOfDay::hour);
    std::array::from_fn(|tier| match keep_counts[tier] {
        0 => TierConfig::default(),
        keep_count => TierConfig { enabled: true, keep_count, time: times[tier], ..TierConfig::default() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_from_names() {
        let names =
            ["Production Critical", "  Gold -- 24x7! ", "ÄRZTE & Co", "a", "東京", "大阪", "東京 ", ""];
        let slugs: Vec<_> = names.iter().map(|name| format!("{name:?} {}", slug(name))).collect();
        insta::assert_snapshot!(slugs.join("\n"), @r#"
        "Production Critical" production-critical
        "  Gold -- 24x7! " gold-24x7
        "ÄRZTE & Co" rzte-co
        "a" a
        "東京" policy-34e68054
        "大阪" policy-56423b7b
        "東京 " policy-34e68054
        "" policy-0a68eb57
        "#);
        assert_eq!(slug(&"x".repeat(100)).as_str().len(), 100);
    }

    #[test]
    fn names_have_bounds() {
        assert!(policy_name(" ").is_err());
        assert!(policy_name(&"x".repeat(101)).is_err());
        assert_eq!(policy_name(&format!(" {} ", "é".repeat(100))), Ok("é".repeat(100)));
    }

    #[test]
    fn a_time_zone_has_a_name() {
        assert_eq!(time_zone(" Europe/Berlin "), Ok(Tz::Europe__Berlin));
        for bad in ["", "Berlin", "+01:00", "europe/berlin"] {
            assert!(time_zone(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_system_policies_are_exactly_these() {
        let shown = system_policies(DateTime::UNIX_EPOCH).into_iter().map(|policy| {
            let tiers = policy.tiers().map(|(tier, config)| format!("  {tier}: {config:?}\n"));
            let head = format!("{} | {} | system {}", policy.id, policy.name, policy.is_system);
            format!("{head} | {}\n{}", policy.summary(), tiers.collect::<String>())
        });
        insta::assert_snapshot!(shown.collect::<String>(), @"
        production-critical | Production Critical | system true | 24h/15d/8w/4m/2y
          yearly: TierConfig { enabled: true, keep_count: 2, interval_hours: 1, time: TimeOfDay { hour: 5, minute: 0 }, day_of_week: 0, day_of_month: 1, month: 1 }
          monthly: TierConfig { enabled: true, keep_count: 4, interval_hours: 1, time: TimeOfDay { hour: 4, minute: 0 }, day_of_week: 0, day_of_month: 1, month: 1 }
          weekly: TierConfig { enabled: true, keep_count: 8, interval_hours: 1, time: TimeOfDay { hour: 3, minute: 0 }, day_of_week: 0, day_of_month: 1, month: 1 }
          daily: TierConfig { enabled: true, keep_count: 15, interval_hours: 1, time: TimeOfDay { hour: 2, minute: 0 }, day_of_week: 0, day_of_month: 1, month: 1 }
          hourly: TierConfig { enabled: true, keep_count: 24, interval_hours: 1, time: TimeOfDay { hour: 2, minute: 0 }, day_of_week: 0, day_of_month: 1, month: 1 }
        production-standard | Production Standard | system true | 12h/7d/4w/2m/1y
          yearly: TierConfig { enabled: true, keep_count: 1, interval_hours: 1, time: TimeOfDay { hour: 5, minute: 0 }, day_of_week: 0, day_of_month: 1, month: 1 }
          monthly: TierConfig { enabled: true, keep_count: 2, interval_hours: 1, time: TimeOfDay { hour: 4, minute: 0 }, day_of_week: 0, day_of_month: 1, month: 1 }
          weekly: TierConfig { enabled: true, keep_count: 4, interval_hours: 1, time: TimeOfDay { hour: 3, minute: 0 }, day_of_week: 0, day_of_month: 1, month: 1 }
          daily: TierConfig { enabled: true, keep_count: 7, interval_hours: 1, time: TimeOfDay { hour: 2, minute: 0 }, day_of_week: 0, day_of_month: 1, month: 1 }
          hourly: TierConfig { enabled: true, keep_count: 12, interval_hours: 1, time: TimeOfDay { hour: 2, minute: 0 }, day_of_week: 0, day_of_month: 1, month: 1 }
        development | Development | system true | 7d/2w
          yearly: TierConfig { enabled: false, keep_count: 0, interval_hours: 1, time: TimeOfDay { hour: 2, minute: 0 }, day_of_week: 0, day_of_month: 1, month: 1 }
          monthly: TierConfig { enabled: false, keep_count: 0, interval_hours: 1, time: TimeOfDay { hour: 2, minute: 0 }, day_of_week: 0, day_of_month: 1, month: 1 }
          weekly: TierConfig { enabled: true, keep_count: 2, interval_hours: 1, time: TimeOfDay { hour: 3, minute: 0 }, day_of_week: 0, day_of_month: 1, month: 1 }
          daily: TierConfig { enabled: true, keep_count: 7, interval_hours: 1, time: TimeOfDay { hour: 2, minute: 0 }, day_of_week: 0, day_of_month: 1, month: 1 }
          hourly: TierConfig { enabled: false, keep_count: 0, interval_hours: 1, time: TimeOfDay { hour: 2, minute: 0 }, day_of_week: 0, day_of_month: 1, month: 1 }
        ");
        assert!(
            system_policies(DateTime::UNIX_EPOCH).iter().any(|policy| policy.id.as_str() == DEFAULT_POLICY)
        );
    }

    #[test]
    fn a_tier_without_a_limit_is_not_in_the_summary() {
        let mut policy = system_policies(DateTime::UNIX_EPOCH).remove(0);
        policy.daily = TierConfig { enabled: true, ..TierConfig::default() };
        policy.weekly = TierConfig { keep_count: 3, ..TierConfig::default() };
        assert_eq!(policy.summary(), "24h/4m/2y");
        for tier in [&mut policy.hourly, &mut policy.monthly, &mut policy.yearly] {
            *tier = TierConfig::default();
        }
        assert_eq!(policy.summary(), "No retention");
    }
}
