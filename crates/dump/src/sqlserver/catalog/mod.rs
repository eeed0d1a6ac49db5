//! What a database consists of, as its catalogs tell it.

mod queries;
mod read;

use std::collections::BTreeMap;

use shared::models::{DumpOptions, NamePattern};

pub(crate) use queries::{fingerprint, script};
pub(crate) use read::Reader;

/// An object's number in its database.
pub(crate) type ObjectId = i64;

/// Everything in a database but its rows.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Catalog {
    pub database: DatabaseInfo,
    pub schemas: Vec<Schema>,
    pub objects: BTreeMap<ObjectId, Object>,
    pub types: Vec<AliasType>,
    pub table_types: Vec<TableType>,
    pub tables: Vec<Table>,
    /// The columns of tables, table types, views and functions with rows.
    pub columns: BTreeMap<ObjectId, Vec<Column>>,
    pub defaults: Vec<DefaultConstraint>,
    pub indexes: Vec<Index>,
    pub checks: Vec<Check>,
    pub foreign_keys: Vec<ForeignKey>,
    pub modules: Vec<Module>,
    pub triggers: Vec<Trigger>,
    pub dependencies: Vec<(ObjectId, ObjectId)>,
    pub sequences: Vec<Sequence>,
    pub synonyms: Vec<Synonym>,
    pub partition_functions: Vec<PartitionFunction>,
    pub partition_schemes: Vec<PartitionScheme>,
    pub xml_collections: Vec<XmlCollection>,
    pub properties: Vec<ExtendedProperty>,
    pub principals: Vec<Principal>,
    pub members: Vec<(String, String)>,
    pub permissions: Vec<Permission>,
    /// How many there are of the kinds that are only counted.
    pub counts: Vec<(String, i64)>,
    /// Tells whether something was changed since.
    pub fingerprint: Option<String>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct DatabaseInfo {
    pub name: String,
    pub collation: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schema {
    pub name: String,
    pub owner: Option<String>,
}

/// An object of any type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub schema: String,
    pub name: String,
    /// The catalog's code, such as `U`.
    pub kind: String,
    pub parent: ObjectId,
}

#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the catalog has them")]
pub(crate) struct Table {
    pub id: ObjectId,
    pub schema: String,
    pub name: String,
    pub memory_optimized: bool,
    /// 2 for a table with a history, 1 for the history itself.
    pub temporal: i64,
    pub history: Option<ObjectId>,
    pub external: bool,
    pub files: bool,
    pub graph: bool,
    /// Its rows are not wanted.
    pub without_rows: bool,
    /// The columns that hold the period of a row: begin and end.
    pub period: Option<(i64, i64)>,
}

/// A type as a column, a parameter or an alias uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TypeUse {
    /// The schema of a type that the user has made.
    pub user_schema: Option<String>,
    pub name: String,
    /// The system's type behind it.
    pub base: String,
    pub max_length: i64,
    pub precision: i64,
    pub scale: i64,
    pub xml_collection: Option<(String, String)>,
    pub xml_document: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the catalog has them")]
pub(crate) struct Column {
    pub id: i64,
    pub name: String,
    pub of: TypeUse,
    pub nullable: bool,
    pub collation: Option<String>,
    pub sparse: bool,
    pub sparse_set: bool,
    pub row_guid: bool,
    pub hidden: bool,
    pub encrypted: bool,
    pub identity: Option<Identity>,
    pub computed: Option<Computed>,
    pub mask: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub seed: String,
    pub increment: String,
    pub last: Option<String>,
    pub not_for_replication: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Computed {
    pub definition: String,
    pub persisted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DefaultConstraint {
    pub table: ObjectId,
    pub column: i64,
    pub name: String,
    pub system_named: bool,
    pub definition: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the catalog has them")]
pub(crate) struct Index {
    pub table: ObjectId,
    pub id: i64,
    pub name: String,
    /// The catalog's number: 0 heap, 1 clustered, 2 not clustered, 3 XML, 4 spatial, 5 and 6 columnstore,
    /// 7 hash.
    pub kind: i64,
    pub unique: bool,
    pub primary_key: bool,
    pub unique_constraint: bool,
    pub system_named: bool,
    pub filter: Option<String>,
    pub fill_factor: i64,
    pub padded: bool,
    pub ignore_duplicates: bool,
    pub disabled: bool,
    pub row_locks: bool,
    pub page_locks: bool,
    pub partition_scheme: Option<String>,
    /// 1 for rows, 2 for pages.
    pub compression: i64,
    pub columns: Vec<IndexColumn>,
    pub xml: Option<XmlIndex>,
    pub spatial: Option<SpatialIndex>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexColumn {
    pub name: String,
    pub key: i64,
    pub descending: bool,
    pub included: bool,
    pub partition: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct XmlIndex {
    /// `P`, `V` or `R` for a secondary index.
    pub secondary: Option<String>,
    pub using: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SpatialIndex {
    pub scheme: String,
    /// xmin, ymin, xmax, ymax.
    pub bounding_box: Option<[String; 4]>,
    pub grids: Option<[String; 4]>,
    pub cells: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    pub table: ObjectId,
    pub name: String,
    pub system_named: bool,
    pub definition: String,
    pub state: ConstraintState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConstraintState {
    pub disabled: bool,
    pub not_trusted: bool,
    pub not_for_replication: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForeignKey {
    pub id: ObjectId,
    pub table: ObjectId,
    pub referenced: ObjectId,
    pub name: String,
    pub system_named: bool,
    pub on_delete: i64,
    pub on_update: i64,
    pub state: ConstraintState,
    pub columns: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Module {
    pub id: ObjectId,
    /// `None` when it is encrypted.
    pub definition: Option<String>,
    pub ansi_nulls: bool,
    pub quoted_identifier: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trigger {
    pub id: ObjectId,
    pub name: String,
    /// `None` for a trigger of the database.
    pub parent: Option<ObjectId>,
    pub disabled: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AliasType {
    pub of: TypeUse,
    pub nullable: bool,
    pub assembly: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableType {
    pub object: ObjectId,
    pub schema: String,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sequence {
    pub schema: String,
    pub name: String,
    pub of: TypeUse,
    pub start: String,
    pub increment: String,
    pub minimum: String,
    pub maximum: String,
    pub cycles: bool,
    pub cached: bool,
    pub cache_size: Option<i64>,
    pub current: String,
    /// Whether a value was taken, where the server can tell.
    pub used: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Synonym {
    pub schema: String,
    pub name: String,
    pub target: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartitionFunction {
    pub id: i64,
    pub name: String,
    pub of: TypeUse,
    pub right: bool,
    /// The boundaries as fields with their types.
    pub values: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartitionScheme {
    pub name: String,
    pub function: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct XmlCollection {
    pub schema: String,
    pub name: String,
    pub definition: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExtendedProperty {
    pub class: i64,
    pub major: i64,
    pub minor: i64,
    pub name: String,
    /// A field of any type.
    pub value: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Principal {
    pub id: i64,
    pub name: String,
    /// The catalog's code: `S`, `U`, `G`, `R`, `A`, `E`, `X`, `C`, `K`.
    pub kind: String,
    pub default_schema: Option<String>,
    pub owner: Option<String>,
    pub login: Option<String>,
    /// 0 none, 1 of the instance, 2 of the database, 3 Windows, 4 external.
    pub authentication: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Permission {
    pub class: i64,
    pub major: i64,
    pub minor: i64,
    pub grantee: String,
    /// `GRANT`, `GRANT_WITH_GRANT_OPTION` or `DENY`.
    pub state: String,
    pub right: String,
    /// The schema of a type that this is about.
    pub schema: Option<String>,
    /// The name of a schema or type that this is about.
    pub name: Option<String>,
}

impl Catalog {
    /// Takes out the tables and views that are not wanted, with all that belongs to them, and notes the
    /// tables whose rows are not.
    pub(crate) fn leave_out(&mut self, options: &DumpOptions) {
        let among = |patterns: &[NamePattern], schema: &str, name: &str| {
            patterns
                .iter()
                .any(|pattern| pattern.matches(name) || pattern.matches(&format!("{schema}.{name}")))
        };
        self.objects.retain(|_, object| {
            !matches!(object.kind.as_str(), "U" | "V")
                || !among(&options.exclude_tables, &object.schema, &object.name)
        });
        let objects = &self.objects;
        self.tables.retain(|table| objects.contains_key(&table.id));
        self.modules
            .retain(|module| objects.contains_key(&module.id) || !self.columns.contains_key(&module.id));
        self.triggers.retain(|trigger| trigger.parent.is_none_or(|parent| objects.contains_key(&parent)));
        for table in &mut self.tables {
            table.without_rows = among(&options.exclude_table_data, &table.schema, &table.name);
        }
    }

    /// Takes out the collations that are those of the database: a look-alike may call its own by a name that
    /// it does not take.
    pub(crate) fn leave_default_collations(&mut self) {
        let Some(default) = self.database.collation.clone() else { return };
        for column in self.columns.values_mut().flatten() {
            column.collation = column.collation.take().filter(|own| !own.eq_ignore_ascii_case(&default));
        }
    }

    /// Returns the columns of an object, in their order.
    pub(crate) fn columns_of(&self, object: ObjectId) -> &[Column] {
        self.columns.get(&object).map_or(&[], Vec::as_slice)
    }

    /// Returns a column's name.
    pub(crate) fn column_name(&self, object: ObjectId, column: i64) -> Option<&str> {
        self.columns_of(object).iter().find(|known| known.id == column).map(|column| column.name.as_str())
    }
}
