//! Tests of the rows: nouns go there and back, rows look as promised, and old rows are read.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod golden;
mod legacy_configurations;
mod legacy_records;
mod nouns;
mod round_trip;

use serde_json::Value as Json;

use super::{Row, UnreadableRow};
use crate::storage::wire;

/// Reads a noun from a row as the service answers it.
fn read<T: Row>(row: &Json) -> Result<T, UnreadableRow> {
    T::from_entity(&wire::read_entity(row.to_string().as_bytes()).unwrap())
}

/// Renders a noun as the JSON that goes to the service, one property a line.
fn written(noun: &impl Row) -> String {
    let json = wire::entity(&noun.entity());
    let lines: Vec<String> =
        json.as_object().unwrap().iter().map(|(name, value)| format!("{name} = {value}")).collect();
    lines.join("\n")
}

/// Returns a row with some of its properties changed.
#[expect(clippy::needless_pass_by_value, reason = "rows and changes are written in place")]
fn with(mut row: Json, changes: Json) -> Json {
    for (name, value) in changes.as_object().unwrap() {
        row[name] = value.clone();
    }
    row
}
