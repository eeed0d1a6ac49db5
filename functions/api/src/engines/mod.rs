//! Database servers, which the API calls engines.

pub(crate) mod create;
pub(crate) mod discover;
mod discovery;
pub(crate) mod get;
pub(crate) mod list;
