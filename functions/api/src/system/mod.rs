//! The service itself: does it live, which is it, and how it is with everything that it keeps.

pub(crate) mod alerts;
pub(crate) mod health;
pub(crate) mod status;
pub(crate) mod storage_stats;
pub(crate) mod version;
pub(crate) mod vnet_status;
