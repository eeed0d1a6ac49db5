//! Nouns as rows: one conversion each way per noun, and nobody else knows the property names.
//!
//! The formats are a contract with earlier versions of the product, whose rows must be read for
//! ever: a missing text is stored as `""` and a missing number as `0`, instants are texts in UTC
//! without a zone, and properties that are not known here are left alone by merging.

pub(crate) mod access_request;
mod audit;
mod backup;
pub(crate) mod database;
pub(crate) mod engine;
mod history_key;
pub(crate) mod policy;
mod read;
pub(crate) mod restore;
pub(crate) mod settings;
#[cfg(test)]
mod tests;
pub(crate) mod user;

pub(crate) use backup::{
    COMMIT_BEGUN_AT, artifact, cancelled as backup_cancelled, claimed as backup_claimed, deletion_begun,
    deletion_refused, heartbeat as backup_heartbeat, marks, pin, planned_blob, verified,
};
pub(crate) use history_key::{audit_month_key, history_key, history_key_bound, id_in, instant_in};
pub(crate) use read::{Reader, date_time, parse_date_time};

use super::table::{Entity, Properties};

/// The error of a row that cannot be read. Lists skip such a row, log it and count it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("row {key} cannot be read: {property}: {problem}")]
pub struct UnreadableRow {
    /// The row's keys.
    pub key: String,
    /// The property at fault.
    pub property: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

/// A noun that is stored as a row.
pub(crate) trait Row: Sized {
    /// What of the row is not in its properties, when it is written.
    fn entity(&self) -> Entity;

    /// Reads the noun.
    fn from_entity(entity: &Entity) -> Result<Self, UnreadableRow>;
}

/// Collects properties.
fn properties<const N: usize>(list: [(&str, super::table::Value); N]) -> Properties {
    list.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
