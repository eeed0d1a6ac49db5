//! The API as a client sees it, on storage in memory; and the program as the host starts it.

#![expect(clippy::unwrap_used, reason = "tests")]

mod any_body;
mod audit;
mod backups;
mod connection;
mod databases;
mod delete;
mod directory;
mod document;
mod dump_options;
mod edge;
mod engines;
mod engines_change;
mod figures;
mod history;
mod import;
mod log;
mod networks;
mod pins;
mod policies;
mod process;
mod protection;
mod restores;
mod retention;
mod router;
mod schedule;
mod secrets;
mod settings;
mod sign_in;
mod support;
mod survival;
mod system;
mod taken_over;
mod trigger;
mod trust;
mod update;
mod users;
mod validation;
mod versions;
