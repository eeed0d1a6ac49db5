//! What becomes of a backup, and why. The texts are for the log and the audit.

use std::fmt;

use crate::models::Tier;

/// What becomes of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It stays.
    Keep(KeepReason),
    /// It goes: the blob first, then the record.
    Delete(DeleteReason),
}

/// Why a backup stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepReason {
    /// It is the newest of its database that can be restored.
    Newest,
    /// It is the newest of its database that was proved to be restorable.
    NewestVerified,
    /// Somebody wants it kept.
    Pinned,
    /// It would go, but the last backups of its database failed.
    FailureStreak {
        /// How many of them, in a row.
        failures: usize,
    },
    /// It is one of the newest of its tier.
    WithinCount {
        /// The tier.
        tier: Tier,
        /// Its place, the newest being 1.
        rank: u32,
        /// How many stay.
        keep_count: u32,
    },
    /// Its tier has no limit.
    NoLimit {
        /// The tier.
        tier: Tier,
    },
    /// It has no tier and is young enough.
    Young {
        /// For how many days such backups stay.
        days: u16,
    },
    /// It is not finished.
    Unfinished,
    /// It failed, or was stopped, not long ago.
    FailedRecently {
        /// For how many days such records stay.
        days: u16,
    },
    /// It is called completed, but there is no artifact.
    NothingStored,
}

/// Why a backup goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteReason {
    /// There are enough newer ones of its tier.
    BeyondCount {
        /// The tier.
        tier: Tier,
        /// How many stay.
        keep_count: u32,
    },
    /// Its deletion had begun and was not ended.
    Begun,
    /// It has no tier and is too old.
    TooOld {
        /// For how many days such backups stay.
        days: u16,
    },
    /// It failed, or was stopped, long ago.
    FailedLongAgo {
        /// For how many days such records stay.
        days: u16,
    },
}

impl Verdict {
    /// Tells whether the backup goes.
    pub fn is_delete(&self) -> bool {
        matches!(self, Self::Delete(_))
    }

    /// Says why, without saying what.
    pub fn reason(&self) -> String {
        match self {
            Self::Keep(reason) => reason.to_string(),
            Self::Delete(reason) => reason.to_string(),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep(reason) => write!(f, "kept: {reason}"),
            Self::Delete(reason) => write!(f, "deleted: {reason}"),
        }
    }
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("the newest backup of the database"),
            Self::NewestVerified => f.write_str("the newest backup that was proved to be restorable"),
            Self::Pinned => f.write_str("pinned"),
            Self::FailureStreak { failures } => {
                write!(f, "nothing is pruned while backups fail, and the last {failures} did")
            }
            Self::WithinCount { tier, rank, keep_count } => {
                write!(f, "place {rank} of {keep_count} in the {tier} tier")
            }
            Self::NoLimit { tier } => write!(f, "the {tier} tier has no limit"),
            Self::Young { days } => write!(f, "without a tier and not older than {days} days"),
            Self::Unfinished => f.write_str("not finished"),
            Self::FailedRecently { days } => write!(f, "failed or stopped not more than {days} days ago"),
            Self::NothingStored => f.write_str("completed without an artifact, which needs a look"),
        }
    }
}

impl fmt::Display for DeleteReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeyondCount { tier, keep_count } => {
                write!(f, "the {tier} tier keeps {keep_count}, and there are as many newer ones")
            }
            Self::Begun => f.write_str("its deletion had begun and was not ended"),
            Self::TooOld { days } => write!(f, "without a tier and older than {days} days"),
            Self::FailedLongAgo { days } => write!(f, "failed or stopped more than {days} days ago"),
        }
    }
}
