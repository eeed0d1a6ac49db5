//! Which backups of a database stay and which go: a pure decision, with the reason for each.
//!
//! What must stay true:
//!
//! - The newest completed backup of a database stays, whatever the policy says, and so does the newest
//!   one that was proved to be restorable.
//! - What somebody has pinned stays.
//! - While the backups of a database fail, none of its older ones goes.
//! - A backup that somebody still works on stays.
//! - A decision depends on the rules, the records and the time alone. Deciding again after the
//!   deletions of a decision were carried out deletes nothing more.

mod rules;
mod verdict;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::models::{Backup, BackupId, BackupStatus, Tier};

pub use rules::Rules;
pub use verdict::{DeleteReason, KeepReason, Verdict};

/// After how many days the record of a backup that failed or was stopped goes.
pub const FAILED_DAYS: u16 = 90;

/// After how many failures in a row nothing is pruned: then the newest backups may be all that is left
/// of a database for longer than the policy thought.
pub const FAILURE_STREAK: usize = 3;

/// What a decision needs to know of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a mark of its own, and any of them go together")]
pub struct Record {
    /// Identifies the backup.
    pub id: BackupId,
    /// Its tier; `None` for manual ones and those by a schedule.
    pub tier: Option<Tier>,
    /// Where it stands.
    pub status: BackupStatus,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Whether it has an artifact.
    pub has_blob: bool,
    /// Whether somebody wants it kept.
    pub is_pinned: bool,
    /// Whether it was proved to be restorable.
    pub is_verified: bool,
    /// Whether its deletion has begun: its file may be gone already, so nothing may rely on it.
    pub is_being_deleted: bool,
}

impl From<&Backup> for Record {
    fn from(backup: &Backup) -> Self {
        Self {
            id: backup.id.clone(),
            tier: backup.tier,
            status: backup.status(),
            created_at: backup.created_at,
            has_blob: backup.artifact().is_some(),
            is_pinned: backup.marks.pinned.is_some(),
            is_verified: backup.marks.verified_at.is_some(),
            is_being_deleted: backup.marks.deletion_begun_at.is_some(),
        }
    }
}

/// What becomes of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The backup.
    pub id: BackupId,
    /// What becomes of it, and why.
    pub verdict: Verdict,
}

/// Decides, for all backups of one database, which stay and which go, in the order of the records.
///
/// All records of the database must be given: what is left out cannot be counted.
pub fn retention(rules: &Rules, records: &[Record], now: DateTime<Utc>) -> Vec<Decision> {
    let mut order: Vec<usize> = (0..records.len()).filter(|&at| is_restorable(&records[at])).collect();
    // Equally old ones in the order of their ids, so that the same ones go whatever the order.
    order.sort_by_key(|&at| Reverse((records[at].created_at, &records[at].id)));
    let newest = order.first().copied();
    let newest_verified = order.iter().copied().find(|&at| records[at].is_verified);
    let failures = failures_in_a_row(records, now);
    let mut ranks = BTreeMap::new();
    let mut counts: BTreeMap<Option<Tier>, u32> = BTreeMap::new();
    for at in order {
        let count = counts.entry(records[at].tier).or_default();
        *count = count.saturating_add(1);
        ranks.insert(at, *count);
    }
    let verdict = |(at, record): (usize, &Record)| Decision {
        id: record.id.clone(),
        verdict: match ranks.get(&at) {
            Some(_) if newest == Some(at) => Verdict::Keep(KeepReason::Newest),
            Some(_) if record.is_pinned => Verdict::Keep(KeepReason::Pinned),
            Some(_) if newest_verified == Some(at) => Verdict::Keep(KeepReason::NewestVerified),
            Some(rank) => match restorable(rules, record, *rank, now) {
                Verdict::Delete(_) if failures >= FAILURE_STREAK => {
                    Verdict::Keep(KeepReason::FailureStreak { failures })
                }
                verdict @ (Verdict::Keep(_) | Verdict::Delete(_)) => verdict,
            },
            None => other(record, now),
        },
    };
    records.iter().enumerate().map(verdict).collect()
}

fn is_restorable(record: &Record) -> bool {
    record.status == BackupStatus::Completed && record.has_blob && !record.is_being_deleted
}

/// Counts the failures since the last backup that ended well, of whatever tier. Those that go by their
/// age do not count, so that it does not matter when they go.
fn failures_in_a_row(records: &[Record], now: DateTime<Utc>) -> usize {
    let newest_good = records
        .iter()
        .filter(|record| record.status == BackupStatus::Completed)
        .map(|record| (record.created_at, &record.id))
        .max();
    let since = |record: &&Record| newest_good.is_none_or(|good| (record.created_at, &record.id) > good);
    let failed =
        |record: &&Record| record.status == BackupStatus::Failed && !is_older(record, FAILED_DAYS, now);
    records.iter().filter(failed).filter(since).count()
}

/// Judges a completed backup that is the `rank`th newest of its tier, counted from 1.
fn restorable(rules: &Rules, record: &Record, rank: u32, now: DateTime<Utc>) -> Verdict {
    match record.tier {
        None => {
            let days = rules.untiered_days();
            if is_older(record, days, now) {
                Verdict::Delete(DeleteReason::TooOld { days })
            } else {
                Verdict::Keep(KeepReason::Young { days })
            }
        }
        Some(tier) => match rules.keep_count(tier) {
            0 => Verdict::Keep(KeepReason::NoLimit { tier }),
            keep_count if rank > keep_count => {
                Verdict::Delete(DeleteReason::BeyondCount { tier, keep_count })
            }
            keep_count => Verdict::Keep(KeepReason::WithinCount { tier, rank, keep_count }),
        },
    }
}

/// Judges a record that holds nothing to restore.
fn other(record: &Record, now: DateTime<Utc>) -> Verdict {
    match record.status {
        BackupStatus::Pending | BackupStatus::InProgress => Verdict::Keep(KeepReason::Unfinished),
        BackupStatus::Completed if record.is_being_deleted && !record.is_pinned => {
            Verdict::Delete(DeleteReason::Begun)
        }
        // Damaged: a person has to look.
        BackupStatus::Completed => Verdict::Keep(KeepReason::NothingStored),
        BackupStatus::Failed | BackupStatus::Cancelled => {
            if is_older(record, FAILED_DAYS, now) {
                Verdict::Delete(DeleteReason::FailedLongAgo { days: FAILED_DAYS })
            } else {
                Verdict::Keep(KeepReason::FailedRecently { days: FAILED_DAYS })
            }
        }
    }
}

fn is_older(record: &Record, days: u16, now: DateTime<Utc>) -> bool {
    now.signed_duration_since(record.created_at) > TimeDelta::days(days.into())
}

#[cfg(test)]
mod tests;
