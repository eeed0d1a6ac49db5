//! The main job on real parts: databases are backed up into storage and come back, whatever dies.

#![expect(clippy::unwrap_used, reason = "tests")]

mod cancel;
mod failures;
mod hygiene;
mod keyless;
mod kills;
mod main_job;
mod memory;
mod places;
mod plain_tools;
mod public_samples;
mod random_kills;
mod restore;
mod restore_kills;
mod take_over;
