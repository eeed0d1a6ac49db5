//! The JSON in which invocations reach a handler, and the rules by which its answers are read.

pub(crate) mod answer;
pub(crate) mod http;
pub(crate) mod payload;
