//! How many backups there are of which kind, day by day: what answers totals, and where a page begins,
//! without reading the history.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::NaiveDate;

use super::BackupFilter;
use crate::models::{Backup, BackupStatus, DatabaseId, DatabaseType, TriggeredBy};

/// What backups that are counted together have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// The UTC day on which they were made. It is that of their partition, but for rows of earlier
    /// systems that took it from local time.
    pub day: NaiveDate,
    /// The database.
    pub database_id: DatabaseId,
    /// What it is.
    pub database_type: DatabaseType,
    /// Where they stand.
    pub status: BackupStatus,
    /// Who asked for them.
    pub triggered_by: TriggeredBy,
}

/// A number of backups and the size of their artifacts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

/// The backups of one partition, or of several, counted.
pub(super) type Tallies = BTreeMap<Group, Tally>;

impl Tally {
    /// Adds another one.
    pub fn add(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

impl Group {
    pub(super) fn of(backup: &Backup) -> Self {
        Self {
            day: backup.created_at.date_naive(),
            database_id: backup.database_id.clone(),
            database_type: backup.database_type,
            status: backup.status(),
            triggered_by: backup.triggered_by,
        }
    }

    /// Tells whether a filter wants these backups. Of its times only the days count.
    pub(super) fn matches(&self, filter: &BackupFilter) -> bool {
        filter.databases.as_ref().is_none_or(|databases| databases.contains(&self.database_id))
            && (filter.statuses.is_empty() || filter.statuses.contains(&self.status))
            && filter.triggered_by.is_none_or(|by| self.triggered_by == by)
            && filter.database_type.is_none_or(|kind| self.database_type == kind)
            && filter.from.is_none_or(|from| self.day >= from.date_naive())
            && filter.before.is_none_or(|before| {
                self.day < before.date_naive() || (self.day == before.date_naive() && !is_midnight(before))
            })
    }
}

fn is_midnight(at: chrono::DateTime<chrono::Utc>) -> bool {
    at.time() == chrono::NaiveTime::MIN
}

/// Counts one more backup.
pub(super) fn count(tallies: &mut Tallies, backup: &Backup) {
    let bytes = backup.artifact().and_then(|artifact| artifact.bytes).unwrap_or(0);
    tallies.entry(Group::of(backup)).or_default().add(Tally { count: 1, bytes });
}

/// Renders counts as one line for each group.
pub(super) fn to_text(tallies: &Tallies) -> String {
    let mut text = String::new();
    for (group, Tally { count, bytes }) in tallies {
        let Group { day, database_id, database_type, status, triggered_by } = group;
        let _ = writeln!(
            text,
            "{day} {database_id} {} {} {} {count} {bytes}",
            database_type.as_str(),
            status.as_str(),
            triggered_by.as_str()
        );
    }
    text
}

/// Reads what [`to_text`] has written; `None` when it is anything else, be it of a later version.
pub(super) fn from_text(text: &str) -> Option<Tallies> {
    let line = |line: &str| {
        let parts: Vec<&str> = line.split(' ').collect();
        let [day, database_id, database_type, status, triggered_by, count, bytes] = parts[..] else {
            return None;
        };
        let group = Group {
            day: day.parse().ok()?,
            database_id: database_id.parse().ok()?,
            database_type: database_type.parse().ok()?,
            status: status.parse().ok()?,
            triggered_by: triggered_by.parse().ok()?,
        };
        Some((group, Tally { count: count.parse().ok()?, bytes: bytes.parse().ok()? }))
    };
    text.lines().map(line).collect()
}
