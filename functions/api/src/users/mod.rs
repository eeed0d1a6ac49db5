//! Users, the calling one among them.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod me;
pub(crate) mod preferences;
pub(crate) mod update;
