//! Tables and table types, without what comes after the rows.

use std::fmt::Write as _;

use super::super::catalog::{Catalog, Column, Index, ObjectId, Table};
use super::super::literal::{full_name, name};
use super::indexes::{key_columns, options};
use super::types::type_text;

/// Tells whether a column's values are in the dump: those that the server makes by itself are not, and
/// those that nobody but the clients can read cannot be.
pub(crate) fn is_carried(column: &Column) -> bool {
    column.computed.is_none() && !column.sparse_set && !column.encrypted && !is_row_version(column)
}

/// Returns a table's name for statements.
pub(crate) fn table_name(table: &Table) -> String {
    full_name(&table.schema, &table.name)
}

fn is_row_version(column: &Column) -> bool {
    matches!(column.of.base.as_str(), "timestamp" | "rowversion")
}

/// Writes the statement that makes a table, with the key that orders its rows.
///
/// The period of a table with a history is declared when the rows are there: its columns are ordinary ones
/// until then, so that they take the very values they had.
pub(super) fn table(catalog: &Catalog, table: &Table) -> String {
    let mut parts: Vec<String> =
        catalog.columns_of(table.id).iter().map(|column| format!("    {}", declared(column))).collect();
    parts.extend(
        indexes_of(catalog, table.id)
            .filter(|index| is_first_key(index))
            .map(|index| format!("    {}", key_constraint(index, true))),
    );
    let mut statement = format!("CREATE TABLE {} (\n{}\n)", table_name(table), parts.join(",\n"));
    let storage = indexes_of(catalog, table.id).find(|index| matches!(index.kind, 0 | 1));
    if let Some(index) = storage {
        // With a clustered index in it, the table lies where the index lies.
        if !is_first_key(index) {
            statement.push_str(&partition(index));
        }
        if index.kind == 0 && index.compression > 0 {
            let _ = write!(statement, "\nWITH (DATA_COMPRESSION = {})", compression(index.compression));
        }
    }
    statement
}

/// Returns the indexes of a table, the heap included.
pub(super) fn indexes_of(catalog: &Catalog, table: ObjectId) -> impl Iterator<Item = &Index> {
    catalog.indexes.iter().filter(move |index| index.table == table)
}

/// Tells whether an index is the key constraint that orders the rows of its table.
pub(super) fn is_first_key(index: &Index) -> bool {
    index.kind == 1 && (index.primary_key || index.unique_constraint)
}

/// Writes a key constraint, with its name unless it is one of a type.
pub(super) fn key_constraint(index: &Index, named: bool) -> String {
    let kind = if index.primary_key { "PRIMARY KEY" } else { "UNIQUE" };
    let order = if index.kind == 1 { "CLUSTERED" } else { "NONCLUSTERED" };
    let columns = key_columns(index);
    if named && !index.name.is_empty() {
        format!(
            "CONSTRAINT {} {kind} {order} ({columns}){}{}",
            name(&index.name),
            options(index),
            partition(index)
        )
    } else {
        format!("{kind} {order} ({columns}){}", options(index))
    }
}

/// Writes where the parts of a partitioned table or index lie.
pub(super) fn partition(index: &Index) -> String {
    let column = index.columns.iter().find(|column| column.partition > 0);
    match (&index.partition_scheme, column) {
        (Some(scheme), Some(column)) => format!(" ON {} ({})", name(scheme), name(&column.name)),
        _ => String::new(),
    }
}

pub(super) fn compression(code: i64) -> &'static str {
    match code {
        1 => "ROW",
        2 => "PAGE",
        4 => "COLUMNSTORE_ARCHIVE",
        _ => "NONE",
    }
}

fn declared(column: &Column) -> String {
    let mut text = name(&column.name);
    if let Some(computed) = &column.computed {
        let _ = write!(text, " AS {}", computed.definition);
        if computed.persisted {
            text.push_str(if column.nullable { " PERSISTED" } else { " PERSISTED NOT NULL" });
        }
        return text;
    }
    if column.sparse_set {
        text.push_str(" xml COLUMN_SET FOR ALL_SPARSE_COLUMNS");
        return text;
    }
    let _ = write!(text, " {}", type_text(&column.of));
    if let Some(collation) = &column.collation
        && column.of.user_schema.is_none()
    {
        let _ = write!(text, " COLLATE {collation}");
    }
    if column.sparse {
        text.push_str(" SPARSE");
    }
    if let Some(identity) = &column.identity {
        let _ = write!(text, " IDENTITY({},{})", identity.seed, identity.increment);
        if identity.not_for_replication {
            text.push_str(" NOT FOR REPLICATION");
        }
    }
    text.push_str(if column.nullable || column.encrypted { " NULL" } else { " NOT NULL" });
    if column.row_guid {
        text.push_str(" ROWGUIDCOL");
    }
    text
}

/// Writes the statement that makes a table type; all that belongs to it is declared with it.
pub(super) fn table_type(catalog: &Catalog, object: ObjectId, schema: &str, type_name: &str) -> String {
    let columns = catalog.columns_of(object).iter().map(|column| {
        let default =
            catalog.defaults.iter().find(|known| known.table == object && known.column == column.id);
        let default = default.map_or_else(String::new, |known| format!(" DEFAULT {}", known.definition));
        format!("    {}{default}", declared(column))
    });
    let keys = indexes_of(catalog, object)
        .filter(|index| index.primary_key || index.unique_constraint)
        .map(|index| format!("    {}", key_constraint(index, false)));
    let checks = catalog.checks.iter().filter(|check| check.table == object);
    let checks = checks.map(|check| format!("    CHECK {}", check.definition));
    let parts: Vec<String> = columns.chain(keys).chain(checks).collect();
    format!("CREATE TYPE {} AS TABLE (\n{}\n)", full_name(schema, type_name), parts.join(",\n"))
}

/// Writes the statements that hide columns, when their rows are there.
pub(super) fn masks(catalog: &Catalog, table: &Table) -> Vec<String> {
    catalog
        .columns_of(table.id)
        .iter()
        .filter_map(|column| {
            // The function is an expression of the server's own; as a text it goes between quotes.
            let mask = column.mask.as_ref()?.replace('\'', "''");
            Some(format!(
                "ALTER TABLE {} ALTER COLUMN {} ADD MASKED WITH (FUNCTION = '{mask}')",
                table_name(table),
                name(&column.name)
            ))
        })
        .collect()
}
