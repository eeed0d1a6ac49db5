//! The service itself: does it live, and which is it.

pub(crate) mod health;
pub(crate) mod version;
pub(crate) mod vnet_status;
