//! What a script holds, in its order. Pure: from the catalog to the parts before and after the rows.

use shared::models::DumpOptions;

use super::CLOSING;
use super::catalog::Catalog;
use super::data::{DataTable, Done, LARGE_TABLE, UnknownType, reseed};
use super::ddl;
use super::literal::Script;
use super::probe::Capabilities;

/// What of a database is dumped beside tables, code and rows, and how much may be missing from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choices {
    /// Users, roles and permissions.
    pub permissions: bool,
    /// Whatever would be left out makes the dump fail.
    pub strict: bool,
}

impl From<&DumpOptions> for Choices {
    fn from(options: &DumpOptions) -> Self {
        Self { permissions: !options.leave_out_permissions, strict: options.strict }
    }
}

/// The parts of a script that are known before the rows come.
pub(crate) struct Plan {
    pub tables: Vec<DataTable>,
    /// The statements before the rows.
    pub before: String,
    /// What is left out, or kept with a reserve.
    pub warnings: Vec<String>,
}

/// Why a database cannot be dumped at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotExportable(pub String);

impl From<UnknownType> for NotExportable {
    fn from(unknown: UnknownType) -> Self {
        Self(format!(
            "the column {} of the table {} is of the type {}, whose values cannot be written down",
            unknown.column, unknown.table, unknown.of
        ))
    }
}

/// Makes the plan.
pub(crate) fn plan(catalog: &Catalog, caps: &Capabilities, choices: Choices) -> Result<Plan, NotExportable> {
    for table in &catalog.tables {
        let kind = match (table.graph, table.files) {
            (true, _) => "a graph table",
            (_, true) => "a file table",
            _ => continue,
        };
        return Err(NotExportable(format!(
            "{} is {kind}, whose rows cannot be inserted as they are",
            ddl::table_name(table)
        )));
    }
    let mut tables: Vec<DataTable> = catalog
        .tables
        .iter()
        .filter(|table| !table.external && !table.without_rows)
        .map(|table| DataTable::new(catalog, table, caps))
        .collect::<Result<_, _>>()?;
    // They cannot be read in a snapshot, and come when it is over.
    tables.sort_by_key(|table| table.outside_snapshot);
    let mut warnings = left_out(catalog, caps);
    if caps.snapshot && tables.iter().any(|table| table.outside_snapshot) {
        warnings.push("the rows of memory-optimised tables are of a later moment than all others".to_owned());
    }
    let mut script = Script::default();
    for setting in &caps.settings {
        script.batch(setting);
    }
    if choices.permissions && caps.try_catch {
        warnings.extend(ddl::principals(catalog, &mut script));
    } else if choices.permissions {
        warnings.push("users, roles and permissions are left out: the server cannot catch errors".to_owned());
    }
    ddl::first_others(catalog, &mut script, caps);
    ddl::first_objects(catalog, &mut script, !caps.microsoft);
    if tables.iter().any(DataTable::has_large) {
        script.batch(LARGE_TABLE);
    }
    Ok(Plan { tables, before: script.into_text(), warnings })
}

/// Writes the head of a script: what it is, how to load it, and what is not in it.
pub(crate) fn head(catalog: &Catalog, caps: &Capabilities, consistency: &str, warnings: &[String]) -> String {
    let mut script = Script::default();
    script.comment("dilux-backup: a database of SQL Server or Azure SQL as T-SQL");
    script.comment(&format!("database: {}", catalog.database.name));
    if let Some(collation) = &catalog.database.collation {
        script.comment(&format!("collation: {collation}"));
    }
    script.comment(&format!("server: {}", caps.version));
    script.comment(&format!("consistency: {consistency}"));
    script.comment("load it into an empty database: sqlcmd -S … -d … -b -x -I -r1 -i this-file");
    for warning in warnings {
        script.comment(&format!("warning: {warning}"));
    }
    script.into_text()
}

/// Writes what comes after the rows, closing line excluded; adds to the warnings what turns out to be left
/// out.
pub(crate) fn after(
    catalog: &Catalog,
    plan: &Plan,
    done: &[Done],
    caps: &Capabilities,
    choices: Choices,
    warnings: &mut Vec<String>,
) -> String {
    let mut script = Script::default();
    if plan.tables.iter().any(DataTable::has_large) {
        script.batch("DROP TABLE #dilux_large");
    }
    ddl::later_indexes(catalog, &mut script);
    ddl::constraints(catalog, &mut script);
    ddl::periods(catalog, &mut script);
    ddl::last_objects(catalog, &mut script);
    let properties = ddl::extended_properties(catalog, &mut script, caps);
    if properties > 0 {
        warnings.push(format!("{properties} extended properties belong to what is not carried over"));
    }
    ddl::sequence_values(catalog, &mut script);
    reseed(&plan.tables, done, &mut script, caps);
    if choices.permissions && caps.try_catch {
        let rights = ddl::rights(catalog, &mut script);
        if rights > 0 {
            warnings.push(format!(
                "{rights} permissions on other things than schemas, objects, columns, types, users and the database are left out"
            ));
        }
    }
    // They may forbid what comes before.
    ddl::database_triggers(catalog, &mut script);
    for (table, done) in plan.tables.iter().zip(done) {
        script.comment(&format!("rows: {} {}", done.rows, table.full_name));
    }
    script.into_text()
}

/// Returns the closing line.
pub(crate) fn closing() -> String {
    format!("{CLOSING}\n")
}

/// Lists what is known from the catalog to be missing.
fn left_out(catalog: &Catalog, caps: &Capabilities) -> Vec<String> {
    let mut warnings = Vec::new();
    let named = |id: i64| {
        catalog
            .objects
            .get(&id)
            .map_or_else(|| "of the database".to_owned(), |o| super::literal::full_name(&o.schema, &o.name))
    };
    for right in ["VIEW DEFINITION", "SELECT", "UNMASK"] {
        let needed =
            right != "UNMASK" || catalog.columns.values().flatten().any(|column| column.mask.is_some());
        if needed && caps.rights.get(right) == Some(&false) {
            warnings.push(format!(
                "the user has no right {right} on the database: what it cannot see is missing"
            ));
        }
    }
    for module in catalog.modules.iter().filter(|module| module.definition.is_none()) {
        warnings.push(format!("the text of {} is encrypted or hidden: it is left out", named(module.id)));
    }
    for module in catalog.modules.iter().filter(|module| ddl::is_native(module)) {
        warnings.push(format!(
            "{} is compiled for memory-optimised tables, which come back as ordinary ones: it is left out",
            named(module.id)
        ));
    }
    for module in &catalog.modules {
        let Some((definition, object)) = module.definition.as_ref().zip(catalog.objects.get(&module.id))
        else {
            continue;
        };
        let found = definition.to_lowercase().contains(&object.name.replace(']', "]]").to_lowercase());
        if !found {
            warnings.push(format!(
                "{} was renamed after it was made: it comes back under the name in its text",
                named(module.id)
            ));
        }
    }
    for object in catalog.objects.values() {
        let kind = match object.kind.as_str() {
            "PC" | "FS" | "FT" | "AF" | "TA" | "X" => "is code of an assembly",
            "R" => "is a rule",
            "D" if object.parent == 0 => "is a default object",
            "RF" => "is a filter of replication",
            _ => continue,
        };
        warnings.push(format!("{}.{} {kind}: it is left out", object.schema, object.name));
    }
    for table in &catalog.tables {
        let name = ddl::table_name(table);
        if table.external {
            warnings.push(format!("{name} is an external table: it is left out"));
        }
        if table.memory_optimized {
            warnings.push(format!("{name} is memory-optimised: it comes back as an ordinary table"));
        }
        for column in catalog.columns_of(table.id).iter().filter(|column| column.encrypted) {
            warnings.push(format!(
                "the column {} of {name} is always encrypted: it comes back empty and in plain text",
                super::literal::name(&column.name)
            ));
        }
    }
    for of in catalog.types.iter().filter(|of| of.assembly) {
        warnings.push(format!("the type {} is one of an assembly: it is left out", of.of.name));
    }
    for collection in catalog.xml_collections.iter().filter(|collection| collection.definition.is_none()) {
        warnings.push(format!("the XML schema collection {} cannot be read", collection.name));
    }
    if catalog.partition_schemes.iter().any(|_| true) {
        warnings.push("the parts of partitioned tables come back in one filegroup".to_owned());
    }
    for (what, count) in catalog.counts.iter().filter(|(_, count)| *count > 0) {
        warnings.push(match what.as_str() {
            "row-level security policies" => format!(
                "{count} row-level security policies are enabled and left out; rows that they hide from the user are missing"
            ),
            "columns of file streams" | "ledger tables" => format!("{count} {what} come back as ordinary ones"),
            what => format!("{count} {what} are left out"),
        });
    }
    warnings
}
