//! Tests of claims: who may work, who must wait, and what a crash or a lost answer leaves behind.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod holders;
mod interleavings;
mod lost_answers;
mod outcomes;
pub(super) mod world;
