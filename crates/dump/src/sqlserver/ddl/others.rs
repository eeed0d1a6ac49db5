//! Types, sequences, synonyms, partitions, extended properties, periods.

use std::fmt::Write as _;

use super::super::catalog::{Catalog, ExtendedProperty, Table};
use super::super::literal::{Script, full_name, name, text};
use super::super::probe::Capabilities;
use super::super::value::{Form, push_variant_value};
use super::security::told;
use super::tables::{table_name, table_type};
use super::types::type_text;

/// The schemas that every database has.
const OWN_SCHEMAS: &[&str] = &[
    "dbo",
    "guest",
    "information_schema",
    "sys",
    "db_owner",
    "db_accessadmin",
    "db_securityadmin",
    "db_ddladmin",
    "db_backupoperator",
    "db_datareader",
    "db_datawriter",
    "db_denydatareader",
    "db_denydatawriter",
];

/// Tells whether a schema has to be made.
pub(super) fn is_own_schema(schema: &str) -> bool {
    OWN_SCHEMAS.iter().any(|known| known.eq_ignore_ascii_case(schema))
}

/// Adds what tables and code stand on.
pub(crate) fn first_others(catalog: &Catalog, script: &mut Script, caps: &Capabilities) {
    for schema in catalog.schemas.iter().filter(|schema| !is_own_schema(&schema.name)) {
        script.batch(&format!("CREATE SCHEMA {}", name(&schema.name)));
    }
    for function in &catalog.partition_functions {
        let values: Vec<String> = function
            .values
            .iter()
            .filter_map(|field| {
                let mut value = String::new();
                push_variant_value(&mut value, field.strip_prefix('=')?, caps).ok()?;
                Some(value)
            })
            .collect();
        script.batch(&format!(
            "CREATE PARTITION FUNCTION {} ({}) AS RANGE {} FOR VALUES ({})",
            name(&function.name),
            type_text(&function.of),
            if function.right { "RIGHT" } else { "LEFT" },
            values.join(", ")
        ));
    }
    for scheme in &catalog.partition_schemes {
        let function = catalog.partition_functions.iter().find(|function| function.id == scheme.function);
        if let Some(function) = function {
            script.batch(&format!(
                "CREATE PARTITION SCHEME {} AS PARTITION {} ALL TO ([PRIMARY])",
                name(&scheme.name),
                name(&function.name)
            ));
        }
    }
    for collection in &catalog.xml_collections {
        if let Some(definition) = &collection.definition {
            // The statement takes a constant or a variable; a long text is a sum.
            script.batch(&format!(
                "DECLARE @schema nvarchar(max) = {};\nCREATE XML SCHEMA COLLECTION {} AS @schema",
                text(definition),
                full_name(&collection.schema, &collection.name)
            ));
        }
    }
    for alias in catalog.types.iter().filter(|alias| !alias.assembly) {
        let base = super::super::catalog::TypeUse {
            user_schema: None,
            name: alias.of.base.clone(),
            ..alias.of.clone()
        };
        script.batch(&format!(
            "CREATE TYPE {} FROM {}{}",
            full_name(alias.of.user_schema.as_deref().unwrap_or("dbo"), &alias.of.name),
            type_text(&base),
            if alias.nullable { "" } else { " NOT NULL" }
        ));
    }
    for sequence in &catalog.sequences {
        script.batch(&sequence_statement(sequence));
    }
    for of in &catalog.table_types {
        script.batch(&table_type(catalog, of.object, &of.schema, &of.name));
    }
    for synonym in &catalog.synonyms {
        // The target is kept as it was written, quoted or not.
        script.batch(&format!(
            "CREATE SYNONYM {} FOR {}",
            full_name(&synonym.schema, &synonym.name),
            synonym.target
        ));
    }
}

fn sequence_statement(sequence: &super::super::catalog::Sequence) -> String {
    let mut statement = format!(
        "CREATE SEQUENCE {} AS {} START WITH {} INCREMENT BY {} MINVALUE {} MAXVALUE {} {}",
        full_name(&sequence.schema, &sequence.name),
        type_text(&sequence.of),
        sequence.start,
        sequence.increment,
        sequence.minimum,
        sequence.maximum,
        if sequence.cycles { "CYCLE" } else { "NO CYCLE" },
    );
    match (sequence.cached, sequence.cache_size) {
        (false, _) => statement.push_str(" NO CACHE"),
        (true, Some(size)) if size > 0 => {
            let _ = write!(statement, " CACHE {size}");
        }
        (true, _) => {}
    }
    statement
}

/// Adds the next values of sequences. A server that cannot tell whether the present value was taken is
/// taken to have taken it: a number is then left out, but none comes twice.
pub(crate) fn sequence_values(catalog: &Catalog, script: &mut Script) {
    for sequence in &catalog.sequences {
        let (Ok(current), Ok(increment)) =
            (sequence.current.parse::<i128>(), sequence.increment.parse::<i128>())
        else {
            continue;
        };
        let (Ok(low), Ok(high)) = (sequence.minimum.parse::<i128>(), sequence.maximum.parse::<i128>()) else {
            continue;
        };
        if sequence.used == Some(false) {
            continue;
        }
        let mut next = current + increment;
        if next > high || next < low {
            if !sequence.cycles {
                // It is used up; it stays so.
                continue;
            }
            next = if increment > 0 { low } else { high };
        }
        script.batch(&format!(
            "ALTER SEQUENCE {} RESTART WITH {next}",
            full_name(&sequence.schema, &sequence.name)
        ));
    }
}

/// Adds the periods and the histories of tables, when all rows are there.
pub(crate) fn periods(catalog: &Catalog, script: &mut Script) {
    for table in &catalog.tables {
        let Some((start, end)) = table.period else { continue };
        let names = (catalog.column_name(table.id, start), catalog.column_name(table.id, end));
        let (Some(start_name), Some(end_name)) = names else { continue };
        script.batch(&format!(
            "ALTER TABLE {} ADD PERIOD FOR SYSTEM_TIME ({}, {})",
            table_name(table),
            name(start_name),
            name(end_name)
        ));
        for column in catalog.columns_of(table.id).iter().filter(|column| column.hidden) {
            script.batch(&format!(
                "ALTER TABLE {} ALTER COLUMN {} ADD HIDDEN",
                table_name(table),
                name(&column.name)
            ));
        }
        let history = |history: &&Table| Some(history.id) == table.history;
        if let Some(history) = catalog.tables.iter().find(history).filter(|_| table.temporal == 2) {
            script.batch(&format!(
                "ALTER TABLE {} SET (SYSTEM_VERSIONING = ON (HISTORY_TABLE = {}, DATA_CONSISTENCY_CHECK = ON))",
                table_name(table),
                table_name(history)
            ));
        }
    }
}

/// Adds extended properties; returns how many belong to kinds of things that are not carried over.
pub(crate) fn extended_properties(catalog: &Catalog, script: &mut Script, caps: &Capabilities) -> usize {
    let mut left_out = 0;
    for property in &catalog.properties {
        if property.name.starts_with("microsoft_database_tools_support") {
            continue;
        }
        let mut value = String::new();
        let written = Form::Variant.push_literal(&mut value, &property.value, caps);
        let Some(levels) = levels(catalog, property).filter(|_| written.is_ok()) else {
            left_out += 1;
            continue;
        };
        // The procedure takes constants and variables only.
        let mut declared =
            format!("DECLARE @value sql_variant = {value}, @name nvarchar(128) = {}", text(&property.name));
        let mut call = "EXEC sys.sp_addextendedproperty @name = @name, @value = @value".to_owned();
        for (at, (kind, named)) in levels.iter().enumerate() {
            let _ = write!(declared, ", @level{at} nvarchar(128) = {}", text(named));
            let _ = write!(call, ", @level{at}type = '{kind}', @level{at}name = @level{at}");
        }
        let sql = format!("{declared};\n{call};");
        if caps.microsoft {
            script.batch(&sql);
        } else if caps.try_catch {
            told(script, &sql);
        } else {
            left_out += 1;
        }
    }
    left_out
}

/// Returns the path to what a property belongs to.
fn levels(catalog: &Catalog, property: &ExtendedProperty) -> Option<Vec<(&'static str, String)>> {
    let schema = |name: &str| ("SCHEMA", name.to_owned());
    match property.class {
        0 => Some(Vec::new()),
        1 | 7 => {
            let object = catalog.objects.get(&property.major)?;
            if property.class == 7 {
                let index = catalog
                    .indexes
                    .iter()
                    .find(|index| index.table == property.major && index.id == property.minor)?;
                let kind = if object.kind == "V" { "VIEW" } else { "TABLE" };
                return Some(vec![
                    schema(&object.schema),
                    (kind, object.name.clone()),
                    ("INDEX", index.name.clone()),
                ]);
            }
            let parent = catalog.objects.get(&object.parent);
            let mut path = vec![schema(&object.schema)];
            match (object.kind.as_str(), parent) {
                ("TR", Some(parent)) => {
                    path.push((if parent.kind == "V" { "VIEW" } else { "TABLE" }, parent.name.clone()));
                    path.push(("TRIGGER", object.name.clone()));
                }
                ("PK" | "UQ" | "C" | "F" | "D", Some(parent)) => {
                    path.push(("TABLE", parent.name.clone()));
                    path.push(("CONSTRAINT", object.name.clone()));
                }
                (kind, _) => {
                    let kind = match kind {
                        "U" => "TABLE",
                        "V" => "VIEW",
                        "P" => "PROCEDURE",
                        "FN" | "IF" | "TF" => "FUNCTION",
                        "SN" => "SYNONYM",
                        "SO" => "SEQUENCE",
                        _ => return None,
                    };
                    path.push((kind, object.name.clone()));
                    if property.minor > 0 {
                        let column = catalog.column_name(property.major, property.minor)?;
                        path.push(("COLUMN", column.to_owned()));
                    }
                }
            }
            Some(path)
        }
        _ => None,
    }
}
