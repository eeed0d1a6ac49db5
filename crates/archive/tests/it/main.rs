//! The way into a blob and back, with a store in memory.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod damage;
mod faults;
mod round_trip;
mod subject;
