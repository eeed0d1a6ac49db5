//! The settings of the installation.

pub(crate) mod get;
pub(crate) mod update;
