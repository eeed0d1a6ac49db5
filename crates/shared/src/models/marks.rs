//! What was noted about a backup after it was made.

use chrono::{DateTime, Utc};

/// What was noted about a backup after it was made. Each note is written by itself, so that whoever
/// writes one does not undo another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    /// Somebody wants it kept: nobody deletes it until that is taken back.
    pub pinned: Option<Pin>,
    /// When it was last proved that it can be restored.
    pub verified_at: Option<DateTime<Utc>>,
    /// When somebody began to delete it. From then on its blob may be gone.
    pub deletion_begun_at: Option<DateTime<Utc>>,
    /// The last time that storage refused to delete it.
    pub deletion_refused: Option<Refusal>,
}

/// Somebody's wish that a backup stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Since when.
    pub at: DateTime<Utc>,
    /// Whose; an e-mail.
    pub by: String,
}

/// Why a backup could not be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// When.
    pub at: DateTime<Utc>,
    /// Why, for people.
    pub reason: String,
}
