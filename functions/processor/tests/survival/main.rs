//! Jobs and restores whose processor dies between any two effects, whose message comes twice or to somebody
//! else while the work goes on, and damaged rows.

#![expect(clippy::unwrap_used, reason = "tests")]

mod backups;
mod restores;
mod rows;
mod world;
