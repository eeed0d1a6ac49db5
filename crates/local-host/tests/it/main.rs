//! Hosts with a real handler and a real storage emulator.

#![expect(clippy::unwrap_used, reason = "a test whose parts do not come up has to fail")]

mod http;
mod process;
mod queue;
mod support;
mod timer;
