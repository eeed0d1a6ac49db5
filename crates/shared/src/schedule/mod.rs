//! What is due: pure decisions from schedules, what has been served, and the time.
//!
//! Everything is counted in *slots*, the instants that a schedule names, never in time that has gone
//! by since something ran. What must stay true:
//!
//! - A slot is served once, however often and however late somebody asks.
//! - Of several slots that were missed, the latest is served, once; the others are dropped.
//! - Nothing here reads a clock, storage or the environment: the time is an argument.

mod cron;
mod due;
mod fields;
mod overdue;
#[cfg(test)]
mod sweep;
mod tiers;
mod wall;
mod words;

pub use cron::Schedule;
pub use due::{BELIEVED_AHEAD, Due, Plan, Recorded, due, lanes, next_slots, next_slots_of};
pub use fields::{FieldProblem, InvalidSchedule};
pub use overdue::{GRACE, Wanted, wanted};
pub use tiers::slot;
pub use words::words;
