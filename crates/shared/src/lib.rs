//! The nouns of dilux-backup and where they live.
//!
//! Everything here is free of HTTP servers and child processes: models, storage, audit, clock,
//! configuration, and the pure decisions about schedules and retention.

pub mod clock;
pub mod config;
pub mod connection;
pub mod connection_string;
pub mod effective_policy;
pub mod identity;
pub mod models;
pub mod networks;
pub mod overdue;
pub mod prune;
pub mod retention;
pub mod schedule;
pub mod secrets;
pub mod storage;
pub mod targets;
