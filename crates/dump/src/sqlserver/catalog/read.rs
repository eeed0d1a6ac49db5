//! Reading the answers of the catalogs. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::super::probe::Capabilities;
use super::super::transfer::{FIELD, Malformed, content};
use super::{
    AliasType, Catalog, Check, Column, Computed, ConstraintState, DatabaseInfo, DefaultConstraint,
    ExtendedProperty, ForeignKey, Identity, Index, IndexColumn, Module, Object, ObjectId, PartitionFunction,
    PartitionScheme, Permission, Principal, Schema, Sequence, SpatialIndex, Synonym, Table, TableType,
    Trigger, TypeUse, XmlCollection, XmlIndex,
};

/// The answers that a dump cannot do without.
const ESSENTIAL: &[&str] =
    &["schema", "object", "table", "column", "identity", "computed", "index", "indexcolumn", "module"];

/// Collects the answers.
pub(crate) struct Reader<'a> {
    caps: &'a Capabilities,
    catalog: Catalog,
    /// How many answers of each kind have come.
    received: BTreeMap<String, u64>,
    /// The kinds whose answers have all come.
    answered: BTreeSet<String>,
    ended: bool,
}

/// An answer that is not in its form; the kind of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable(pub String);

impl<'a> Reader<'a> {
    pub(crate) fn new(caps: &'a Capabilities) -> Self {
        Self {
            caps,
            catalog: Catalog::default(),
            received: BTreeMap::new(),
            answered: BTreeSet::new(),
            ended: false,
        }
    }

    /// Takes one line.
    pub(crate) fn push(&mut self, line: &str) -> Result<(), Unreadable> {
        if line == "~Z" {
            self.ended = true;
            return Ok(());
        }
        if let Some((kind, counted)) = line.strip_prefix("~K|").and_then(|rest| rest.split_once(FIELD)) {
            let received = self.received.get(kind).copied().unwrap_or(0);
            if counted.parse() == Ok(received) {
                self.answered.insert(kind.to_owned());
            }
            return Ok(());
        }
        if let Some(fingerprint) = line.strip_prefix("~F|") {
            self.catalog.fingerprint = Some(fingerprint.to_owned());
            return Ok(());
        }
        let Some((kind, fields)) = line.strip_prefix("~C|").and_then(|rest| rest.split_once(FIELD)) else {
            return Err(Unreadable(line.chars().take(20).collect()));
        };
        *self.received.entry(kind.to_owned()).or_default() += 1;
        let mut fields = Fields { fields: fields.split(FIELD), caps: self.caps };
        self.answer(kind, &mut fields)
            .and_then(|()| if fields.fields.next().is_none() { Ok(()) } else { Err(Malformed) })
            .map_err(|Malformed| Unreadable(kind.to_owned()))
    }

    /// Returns the catalog, if all answers have come that a dump cannot do without, and the kinds of the
    /// others.
    pub(crate) fn finish(self, kinds: &[&'static str]) -> Option<(Catalog, Vec<&'static str>)> {
        let missing: Vec<_> = kinds.iter().copied().filter(|kind| !self.answered.contains(*kind)).collect();
        let complete = self.ended && !missing.iter().any(|kind| ESSENTIAL.contains(kind));
        complete.then_some((self.catalog, missing))
    }

    #[expect(clippy::too_many_lines, reason = "a list of forms")]
    fn answer(&mut self, kind: &str, fields: &mut Fields<'_>) -> Result<(), Malformed> {
        let catalog = &mut self.catalog;
        match kind {
            "database" => {
                catalog.database = DatabaseInfo { name: fields.text()?, collation: fields.maybe_text()? };
            }
            "schema" => catalog.schemas.push(Schema { name: fields.text()?, owner: fields.maybe_text()? }),
            "object" => {
                let id = fields.number()?;
                let object = Object {
                    schema: fields.schema()?,
                    name: fields.text()?,
                    kind: fields.text()?,
                    parent: fields.number()?,
                };
                catalog.objects.insert(id, object);
            }
            "table" => catalog.tables.push(Table {
                id: fields.number()?,
                schema: fields.schema()?,
                name: fields.text()?,
                memory_optimized: fields.flag()?,
                temporal: fields.number_or(0)?,
                history: fields.maybe_number()?,
                external: fields.flag()?,
                files: fields.flag()?,
                graph: fields.number_or(0)? > 0,
                without_rows: false,
                period: None,
            }),
            "column" => {
                let object = fields.number()?;
                let column = Column {
                    id: fields.number()?,
                    name: fields.text()?,
                    of: fields.type_use()?,
                    nullable: fields.flag()?,
                    collation: fields.maybe_text()?,
                    sparse: fields.flag()?,
                    sparse_set: fields.flag()?,
                    row_guid: fields.flag()?,
                    hidden: fields.flag()?,
                    encrypted: fields.flag()?,
                    identity: None,
                    computed: None,
                    mask: None,
                };
                catalog.columns.entry(object).or_default().push(column);
            }
            "identity" => {
                let (object, column) = (fields.number()?, fields.number()?);
                let identity = Identity {
                    seed: fields.raw_or("1")?,
                    increment: fields.raw_or("1")?,
                    last: fields.maybe_raw()?,
                    not_for_replication: fields.flag()?,
                };
                change_column(catalog, object, column, |column| column.identity = Some(identity));
            }
            "computed" => {
                let (object, column) = (fields.number()?, fields.number()?);
                let computed = Computed { definition: fields.text()?, persisted: fields.flag()? };
                change_column(catalog, object, column, |column| column.computed = Some(computed));
            }
            "mask" => {
                let (object, column) = (fields.number()?, fields.number()?);
                let mask = fields.maybe_text()?;
                change_column(catalog, object, column, |column| column.mask = mask);
            }
            "period" => {
                let (object, period) = (fields.number()?, (fields.number()?, fields.number()?));
                if let Some(table) = catalog.tables.iter_mut().find(|table| table.id == object) {
                    table.period = Some(period);
                }
            }
            "type" => catalog.types.push(AliasType {
                of: fields.type_use()?,
                nullable: fields.flag()?,
                assembly: fields.flag()?,
            }),
            "tabletype" => catalog.table_types.push(TableType {
                object: fields.number()?,
                schema: fields.schema()?,
                name: fields.text()?,
            }),
            "default" => catalog.defaults.push(DefaultConstraint {
                table: fields.number()?,
                column: fields.number()?,
                name: fields.text()?,
                system_named: fields.flag()?,
                definition: fields.text()?,
            }),
            "check" => catalog.checks.push(Check {
                table: fields.number()?,
                name: fields.text()?,
                system_named: fields.flag()?,
                definition: fields.text()?,
                state: fields.state()?,
            }),
            _ => return self.further_answer(kind, fields),
        }
        Ok(())
    }

    #[expect(clippy::too_many_lines, reason = "a list of forms")]
    fn further_answer(&mut self, kind: &str, fields: &mut Fields<'_>) -> Result<(), Malformed> {
        let catalog = &mut self.catalog;
        match kind {
            "index" => catalog.indexes.push(Index {
                table: fields.number()?,
                id: fields.number()?,
                name: fields.maybe_text()?.unwrap_or_default(),
                kind: fields.number()?,
                unique: fields.flag()?,
                primary_key: fields.flag()?,
                unique_constraint: fields.flag()?,
                system_named: fields.flag()?,
                filter: fields.maybe_text()?,
                fill_factor: fields.number_or(0)?,
                padded: fields.flag()?,
                ignore_duplicates: fields.flag()?,
                disabled: fields.flag()?,
                row_locks: fields.number_or(1)? != 0,
                page_locks: fields.number_or(1)? != 0,
                partition_scheme: fields.maybe_text()?,
                compression: fields.number_or(0)?,
                columns: Vec::new(),
                xml: None,
                spatial: None,
            }),
            "indexcolumn" => {
                let (object, index) = (fields.number()?, fields.number()?);
                let column = IndexColumn {
                    name: fields.text()?,
                    key: fields.number_or(0)?,
                    descending: fields.flag()?,
                    included: fields.flag()?,
                    partition: fields.number_or(0)?,
                };
                change_index(catalog, object, index, |index| index.columns.push(column));
            }
            "xmlindex" => {
                let (object, index) = (fields.number()?, fields.number()?);
                let xml = XmlIndex {
                    secondary: fields.maybe_text()?.map(|text| text.trim().to_owned()),
                    using: fields.maybe_number()?,
                };
                change_index(catalog, object, index, |index| index.xml = Some(xml));
            }
            "spatialindex" => {
                let (object, index) = (fields.number()?, fields.number()?);
                let scheme = fields.text()?;
                let corners = [fields.float()?, fields.float()?, fields.float()?, fields.float()?];
                let grids =
                    [fields.maybe_text()?, fields.maybe_text()?, fields.maybe_text()?, fields.maybe_text()?];
                let spatial = SpatialIndex {
                    scheme,
                    bounding_box: all(corners),
                    grids: all(grids),
                    cells: fields.maybe_number()?,
                };
                change_index(catalog, object, index, |index| index.spatial = Some(spatial));
            }
            "foreignkey" => catalog.foreign_keys.push(ForeignKey {
                id: fields.number()?,
                table: fields.number()?,
                referenced: fields.number()?,
                name: fields.text()?,
                system_named: fields.flag()?,
                on_delete: fields.number_or(0)?,
                on_update: fields.number_or(0)?,
                state: fields.state()?,
                columns: Vec::new(),
            }),
            "foreignkeycolumn" => {
                let id = fields.number()?;
                let columns = (fields.text()?, fields.text()?);
                if let Some(key) = catalog.foreign_keys.iter_mut().find(|key| key.id == id) {
                    key.columns.push(columns);
                }
            }
            "module" => catalog.modules.push(Module {
                id: fields.number()?,
                definition: fields.maybe_text()?,
                ansi_nulls: fields.number_or(1)? != 0,
                quoted_identifier: fields.number_or(1)? != 0,
            }),
            "trigger" => {
                let (id, name) = (fields.number()?, fields.text()?);
                let (class, parent) = (fields.number_or(1)?, fields.number_or(0)?);
                let parent = (class == 1).then_some(parent);
                catalog.triggers.push(Trigger { id, name, parent, disabled: fields.flag()? });
            }
            "dependency" => catalog.dependencies.push((fields.number()?, fields.number()?)),
            "sequence" => catalog.sequences.push(Sequence {
                schema: fields.schema()?,
                name: fields.text()?,
                of: fields.type_use()?,
                start: fields.raw()?,
                increment: fields.raw()?,
                minimum: fields.raw()?,
                maximum: fields.raw()?,
                cycles: fields.flag()?,
                cached: fields.flag()?,
                cache_size: fields.maybe_number()?,
                current: fields.raw()?,
                used: fields.maybe_number()?.map(|used| used != 0),
            }),
            "synonym" => catalog.synonyms.push(Synonym {
                schema: fields.schema()?,
                name: fields.text()?,
                target: fields.text()?,
            }),
            "partitionfunction" => catalog.partition_functions.push(PartitionFunction {
                id: fields.number()?,
                name: fields.text()?,
                of: fields.type_use()?,
                right: fields.flag()?,
                values: Vec::new(),
            }),
            "partitionvalue" => {
                let (id, value) = (fields.number()?, fields.next()?.to_owned());
                if let Some(function) = catalog.partition_functions.iter_mut().find(|known| known.id == id) {
                    function.values.push(value);
                }
            }
            "partitionscheme" => catalog
                .partition_schemes
                .push(PartitionScheme { name: fields.text()?, function: fields.number()? }),
            "xmlschema" => catalog.xml_collections.push(XmlCollection {
                schema: fields.schema()?,
                name: fields.text()?,
                definition: fields.maybe_text()?,
            }),
            "property" => catalog.properties.push(ExtendedProperty {
                class: fields.number()?,
                major: fields.number()?,
                minor: fields.number()?,
                name: fields.text()?,
                value: fields.next()?.to_owned(),
            }),
            "principal" => catalog.principals.push(Principal {
                id: fields.number()?,
                name: fields.text()?,
                kind: fields.text()?,
                default_schema: fields.maybe_text()?,
                owner: fields.maybe_text()?,
                login: fields.maybe_text()?,
                authentication: fields.number_or(1)?,
            }),
            "member" => catalog.members.push((fields.text()?, fields.text()?)),
            "permission" => catalog.permissions.push(Permission {
                class: fields.number()?,
                major: fields.number()?,
                minor: fields.number()?,
                grantee: fields.text()?,
                state: fields.text()?,
                right: fields.text()?,
                schema: fields.maybe_text()?,
                name: fields.maybe_text()?,
            }),
            "count" => catalog.counts.push((fields.raw()?, fields.number()?)),
            _ => return Err(Malformed),
        }
        Ok(())
    }
}

fn change_column(catalog: &mut Catalog, object: ObjectId, id: i64, change: impl FnOnce(&mut Column)) {
    let column = catalog.columns.get_mut(&object).and_then(|all| all.iter_mut().find(|c| c.id == id));
    if let Some(column) = column {
        change(column);
    }
}

fn change_index(catalog: &mut Catalog, table: ObjectId, id: i64, change: impl FnOnce(&mut Index)) {
    // They come in the order of their tables, so that the search from the end is short.
    let index = catalog.indexes.iter_mut().rev().find(|index| index.table == table && index.id == id);
    if let Some(index) = index {
        change(index);
    }
}

fn all(texts: [Option<String>; 4]) -> Option<[String; 4]> {
    let [a, b, c, d] = texts;
    Some([a?, b?, c?, d?])
}

/// The fields of one answer.
struct Fields<'a> {
    fields: std::str::Split<'a, char>,
    caps: &'a Capabilities,
}

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<&'a str, Malformed> {
        self.fields.next().ok_or(Malformed)
    }

    fn maybe_text(&mut self) -> Result<Option<String>, Malformed> {
        let Some(content) = content(self.next()?)? else { return Ok(None) };
        let units = self.caps.text.read(content).ok_or(Malformed)?;
        // A name with half a surrogate pair cannot be written down; it is found by its replacement later,
        // which does not exist, and so fails by name.
        Ok(Some(String::from_utf16_lossy(&units)))
    }

    fn text(&mut self) -> Result<String, Malformed> {
        self.maybe_text()?.ok_or(Malformed)
    }

    /// The name of a schema; a look-alike may not tell it.
    fn schema(&mut self) -> Result<String, Malformed> {
        Ok(self.maybe_text()?.unwrap_or_else(|| "dbo".to_owned()))
    }

    /// Plain characters that the server has made, such as digits.
    fn maybe_raw(&mut self) -> Result<Option<String>, Malformed> {
        Ok(content(self.next()?)?.map(|text| text.trim().to_owned()))
    }

    fn raw(&mut self) -> Result<String, Malformed> {
        self.maybe_raw()?.ok_or(Malformed)
    }

    fn raw_or(&mut self, absent: &str) -> Result<String, Malformed> {
        Ok(self.maybe_raw()?.unwrap_or_else(|| absent.to_owned()))
    }

    fn maybe_number(&mut self) -> Result<Option<i64>, Malformed> {
        self.maybe_raw()?
            .map(|text| match text.as_str() {
                "t" | "true" => Ok(1),
                "f" | "false" => Ok(0),
                digits => digits.parse().map_err(|_| Malformed),
            })
            .transpose()
    }

    fn number(&mut self) -> Result<i64, Malformed> {
        self.maybe_number()?.ok_or(Malformed)
    }

    fn number_or(&mut self, absent: i64) -> Result<i64, Malformed> {
        Ok(self.maybe_number()?.unwrap_or(absent))
    }

    fn flag(&mut self) -> Result<bool, Malformed> {
        Ok(self.number_or(0)? != 0)
    }

    fn float(&mut self) -> Result<Option<String>, Malformed> {
        let Some(content) = content(self.next()?)? else { return Ok(None) };
        self.caps.float.literal(content).map(Some).ok_or(Malformed)
    }

    fn state(&mut self) -> Result<ConstraintState, Malformed> {
        Ok(ConstraintState {
            disabled: self.flag()?,
            not_trusted: self.flag()?,
            not_for_replication: self.flag()?,
        })
    }

    fn type_use(&mut self) -> Result<TypeUse, Malformed> {
        let user_schema = self.maybe_text()?;
        let (name, base) = (self.text()?, self.text()?.to_lowercase());
        let (max_length, precision, scale) = (self.number_or(0)?, self.number_or(0)?, self.number_or(0)?);
        let xml_collection = self.maybe_text()?.zip(self.maybe_text()?);
        let xml_document = self.flag()?;
        Ok(TypeUse { user_schema, name, base, max_length, precision, scale, xml_collection, xml_document })
    }
}
