//! The backup history and the files.

pub(crate) mod cancel;
pub(crate) mod delete;
pub(crate) mod download;
pub(crate) mod files;
pub(crate) mod list;
pub(crate) mod pin;
