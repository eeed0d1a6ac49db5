//! The audit log, for administrators.

pub(crate) mod list;
pub(crate) mod names;
pub(crate) mod stats;
