//! What requests hold, turned into the domain. Every error names its field.

pub(crate) mod connection_test;
pub(crate) mod database;
pub(crate) mod dump_options;
pub(crate) mod engine;
pub(crate) mod import;
pub(crate) mod policy;
pub(crate) mod restore;
pub(crate) mod settings;
pub(crate) mod tls;
pub(crate) mod user;
