//! Database servers, which the API calls engines.

mod apply;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod discover;
mod discovery;
pub(crate) mod get;
pub(crate) mod import;
pub(crate) mod list;
pub(crate) mod test;
pub(crate) mod update;
