//! Restores: asked for, checked beforehand, watched and stopped.

pub(crate) mod cancel;
pub(crate) mod check;
pub(crate) mod create;
pub(crate) mod get;
pub(crate) mod list;
mod source;
