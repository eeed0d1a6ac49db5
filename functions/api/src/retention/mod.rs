//! Retention, as it would be carried out.

pub(crate) mod preview;
