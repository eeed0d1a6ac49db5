//! What the end-to-end tests stand on: real servers, real tools and real processes.
//!
//! A part that is missing fails the test that needs it, with a text that says how to get it; nothing
//! is skipped.

pub mod api;
pub mod azurite;
pub mod identity;
pub mod processes;
pub mod servers;
pub mod stack;
pub mod tls;
pub mod vault;
