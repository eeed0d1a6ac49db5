//! What answers hold: one module per noun. No view has a member that could hold a secret.

pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod database;
pub(crate) mod engine;
pub(crate) mod policy;
pub(crate) mod restore;
pub(crate) mod settings;
pub(crate) mod user;
