//! Defaults, foreign keys and checks: what is declared when the rows are there.

use std::fmt::Write as _;

use super::super::catalog::{Catalog, ConstraintState, ForeignKey};
use super::super::literal::{Script, full_name, name};
use super::tables::masks;

/// Adds defaults, masks, foreign keys and checks of all tables.
pub(crate) fn constraints(catalog: &Catalog, script: &mut Script) {
    for default in &catalog.defaults {
        let Some(table) = table_of(catalog, default.table) else { continue };
        let Some(column) = catalog.column_name(default.table, default.column) else { continue };
        script.batch(&format!(
            "ALTER TABLE {table} ADD CONSTRAINT {} DEFAULT {} FOR {}",
            name(&default.name),
            default.definition,
            name(column)
        ));
    }
    for table in &catalog.tables {
        for mask in masks(catalog, table) {
            script.batch(&mask);
        }
    }
    for key in &catalog.foreign_keys {
        let Some(table) = table_of(catalog, key.table) else { continue };
        let Some(statement) = foreign_key(catalog, key, &table) else { continue };
        script.batch(&statement);
        disable(script, &table, &key.name, key.state);
    }
    for check in &catalog.checks {
        let Some(table) = table_of(catalog, check.table) else { continue };
        script.batch(&format!(
            "ALTER TABLE {table} {}ADD CONSTRAINT {} CHECK {}{}",
            trust(check.state),
            name(&check.name),
            replication(check.state),
            check.definition
        ));
        disable(script, &table, &check.name, check.state);
    }
}

fn foreign_key(catalog: &Catalog, key: &ForeignKey, table: &str) -> Option<String> {
    let referenced = table_of(catalog, key.referenced)?;
    let columns = |of: fn(&(String, String)) -> &String| {
        key.columns.iter().map(|pair| name(of(pair))).collect::<Vec<_>>().join(", ")
    };
    let mut text = format!(
        "ALTER TABLE {table} {}ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {referenced} ({})",
        trust(key.state),
        name(&key.name),
        columns(|pair| &pair.0),
        columns(|pair| &pair.1)
    );
    for (event, action) in [("DELETE", key.on_delete), ("UPDATE", key.on_update)] {
        let action = match action {
            1 => "CASCADE",
            2 => "SET NULL",
            3 => "SET DEFAULT",
            _ => continue,
        };
        let _ = write!(text, " ON {event} {action}");
    }
    if key.state.not_for_replication {
        text.push_str(" NOT FOR REPLICATION");
    }
    Some(text)
}

/// A constraint that was not checked against all rows may not hold for them.
fn trust(state: ConstraintState) -> &'static str {
    if state.not_trusted { "WITH NOCHECK " } else { "" }
}

fn replication(state: ConstraintState) -> &'static str {
    if state.not_for_replication { "NOT FOR REPLICATION " } else { "" }
}

fn disable(script: &mut Script, table: &str, constraint: &str, state: ConstraintState) {
    if state.disabled {
        script.batch(&format!("ALTER TABLE {table} NOCHECK CONSTRAINT {}", name(constraint)));
    }
}

fn table_of(catalog: &Catalog, id: i64) -> Option<String> {
    let table = catalog.tables.iter().find(|table| table.id == id)?;
    Some(full_name(&table.schema, &table.name))
}
