//! Databases that are backed up.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod schedule;
pub(crate) mod stats;
pub(crate) mod test_connection;
pub(crate) mod trigger;
pub(crate) mod update;
