//! The statements that make a database again. Pure: from the catalog to texts.

mod code;
mod constraints;
mod indexes;
mod others;
mod security;
mod tables;
mod types;

pub(crate) use code::{database_triggers, first_objects, is_native, last_objects};
pub(crate) use constraints::constraints;
pub(crate) use indexes::later_indexes;
pub(crate) use others::{extended_properties, first_others, periods, sequence_values};
pub(crate) use security::{principals, rights, told};
pub(crate) use tables::{is_carried, table_name};
pub(crate) use types::is_large;
