//! Storage that fails in every way while real backups run, and whole days of an installation in which
//! everything dies.

#![expect(clippy::unwrap_used, reason = "tests")]

mod chaos;
mod faults;
mod proxy;
