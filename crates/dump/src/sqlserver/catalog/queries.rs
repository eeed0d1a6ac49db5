//! The questions to the catalogs. Pure.
//!
//! Each answer is one line of fields. What a server does not have, as the probe has found, is not asked
//! for: whole catalogs are left out, single columns are replaced by what their absence means. Types are
//! found by name, since numbers differ between servers.

use std::fmt::Write as _;

use super::super::literal;
use super::super::probe::Capabilities;
use super::super::transfer::{field, row};
use super::super::value::Form;

/// Writes the script that reads all catalogs.
///
/// Returns the kinds of answers as well: an answer that a server could not give to its end is known by its
/// kind.
pub(crate) fn script(caps: &Capabilities, with_permissions: bool) -> (String, Vec<&'static str>) {
    let mut asker = Asker { caps, script: String::new(), kinds: Vec::new() };
    asker.script.push_str(&caps.prologue());
    asker.script.push_str("\nGO\n");
    asker.structure();
    asker.constraints();
    asker.code();
    asker.others();
    if with_permissions {
        asker.security();
    }
    asker.counts();
    asker.script.push_str(&fingerprint(caps));
    asker.script.push_str("\nGO\nSELECT '~Z'\nGO\n");
    (asker.script, asker.kinds)
}

/// Writes the question whose answer changes when something in the database is made, changed or dropped.
pub(crate) fn fingerprint(caps: &Capabilities) -> String {
    // Elsewhere, the moment of the last change may be anything.
    let changed =
        if caps.microsoft { "ISNULL(CONVERT(varchar(40), MAX(o.modify_date), 126), '')" } else { "''" };
    format!(
        "SELECT '~F|' + {changed} + '/' + CONVERT(varchar(40), COUNT_BIG(*)) + '/' + \
         ISNULL(CONVERT(varchar(40), SUM(CAST(o.object_id AS decimal(38,0)))), '') + '/' + \
         (SELECT CONVERT(varchar(40), COUNT_BIG(*)) FROM sys.columns AS c JOIN sys.tables AS t ON t.object_id = c.object_id) \
         FROM sys.objects AS o WHERE o.type IN ('U', 'V', 'P', 'FN', 'IF', 'TF', 'TR', 'F', 'C', 'D', 'PK', 'UQ')"
    )
}

struct Asker<'a> {
    caps: &'a Capabilities,
    script: String,
    kinds: Vec<&'static str>,
}

impl Asker<'_> {
    fn ask(&mut self, kind: &'static str, fields: &[String], from: &str) {
        self.kinds.push(kind);
        // The count proves that the answer is whole: an error of one question does not end the script on
        // servers that are not Microsoft's.
        let all = from.rsplit_once(" ORDER BY ").map_or(from, |(all, _)| all);
        let _ = write!(
            self.script,
            "SELECT '~C|{kind}|' + {}\nFROM {from};\nGO\n\
             SELECT '~K|{kind}|' + CONVERT(varchar(20), COUNT_BIG(*)) FROM {all};\nGO\n",
            row(fields)
        );
    }

    /// A text.
    fn text(&self, of: &str) -> String {
        field(&self.caps.text.expression(of))
    }

    /// A column of a catalog that may not be there.
    fn column<'a>(
        &self,
        catalog: &str,
        alias: &str,
        column: &str,
        absent: &'a str,
    ) -> std::borrow::Cow<'a, str> {
        if self.caps.has(&format!("{catalog}.{column}")) {
            format!("{alias}.{column}").into()
        } else {
            absent.into()
        }
    }

    /// Makes a condition that leaves out what the server has brought along.
    fn not_shipped(&self, alias: &str) -> String {
        if self.caps.has("sys.tables.is_ms_shipped") {
            format!("{alias}.is_ms_shipped = 0")
        } else {
            "1 = 1".to_owned()
        }
    }

    /// The six fields of a type, from a catalog whose rows have these columns.
    fn type_fields(&self, alias: &str, xml: bool) -> Vec<String> {
        let (collection, document) =
            if xml && self.caps.has("sys.columns.xml_collection_id") && self.has_xml() {
                (
                    [self.text("xs.name"), self.text("xc.name")],
                    number(&self.column("sys.columns", alias, "is_xml_document", "0")),
                )
            } else {
                (["'-'".to_owned(), "'-'".to_owned()], "'=0'".to_owned())
            };
        let mut fields = vec![
            format!("CASE WHEN ty.is_user_defined = 1 THEN {} ELSE '-' END", self.text("tys.name")),
            self.text("ty.name"),
            // The types that are made in the server's own assembly have no system type behind them.
            self.text("ISNULL(bt.name, ty.name)"),
            number(&format!("{alias}.max_length")),
            number(&format!("{alias}.precision")),
            number(&format!("{alias}.scale")),
        ];
        fields.extend(collection);
        fields.push(document);
        fields
    }

    fn has_xml(&self) -> bool {
        self.caps.has("sys.xml_schema_collections.xml_collection_id")
    }

    /// The joins that the fields of a type need.
    fn type_joins(&self, alias: &str, xml: bool) -> String {
        let mut joins = format!(
            "JOIN sys.types AS ty ON ty.user_type_id = {alias}.user_type_id \
             LEFT JOIN sys.schemas AS tys ON tys.schema_id = ty.schema_id \
             LEFT JOIN sys.types AS bt ON bt.user_type_id = {alias}.system_type_id AND bt.system_type_id = {alias}.system_type_id"
        );
        if xml && self.caps.has("sys.columns.xml_collection_id") && self.has_xml() {
            let _ = write!(
                joins,
                " LEFT JOIN sys.xml_schema_collections AS xc ON xc.xml_collection_id = {alias}.xml_collection_id AND xc.xml_collection_id > 1 \
                 LEFT JOIN sys.schemas AS xs ON xs.schema_id = xc.schema_id"
            );
        }
        joins
    }

    fn structure(&mut self) {
        let collation = "CAST(DATABASEPROPERTYEX(DB_NAME(), 'Collation') AS nvarchar(128))";
        let _ = write!(
            self.script,
            "SELECT '~C|database|' + {}\nGO\n",
            row(&[self.text("DB_NAME()"), self.text(collation)])
        );
        if self.caps.has("sys.database_principals.default_schema_name") {
            let fields = [self.text("s.name"), self.text("p.name")];
            self.ask(
                "schema",
                &fields,
                "sys.schemas AS s LEFT JOIN sys.database_principals AS p ON p.principal_id = s.principal_id ORDER BY s.name",
            );
        } else {
            let fields = [self.text("s.name"), "'-'".to_owned()];
            self.ask("schema", &fields, "sys.schemas AS s ORDER BY s.name");
        }
        let fields = [
            number("o.object_id"),
            self.text("s.name"),
            self.text("o.name"),
            self.text("RTRIM(o.type)"),
            number(&format!("ISNULL({}, 0)", self.column("sys.objects", "o", "parent_object_id", "NULL"))),
        ];
        let from = format!(
            "sys.objects AS o LEFT JOIN sys.schemas AS s ON s.schema_id = o.schema_id WHERE {} ORDER BY o.object_id",
            self.not_shipped("o")
        );
        self.ask("object", &fields, &from);
        let column = |name, absent| self.column("sys.tables", "t", name, absent);
        let fields = [
            number("t.object_id"),
            self.text("s.name"),
            self.text("t.name"),
            number(&column("is_memory_optimized", "0")),
            number(&column("temporal_type", "0")),
            number(&column("history_table_id", "NULL")),
            number(&column("is_external", "0")),
            number(&column("is_filetable", "0")),
            number(&format!("{} + {}", as_int(&column("is_node", "0")), as_int(&column("is_edge", "0")))),
        ];
        let from = format!(
            "sys.tables AS t LEFT JOIN sys.schemas AS s ON s.schema_id = t.schema_id WHERE {} ORDER BY s.name, t.name",
            self.not_shipped("t")
        );
        self.ask("table", &fields, &from);
        self.columns();
        self.types();
    }

    fn columns(&mut self) {
        let column = |name, absent| self.column("sys.columns", "c", name, absent);
        let mut fields = vec![number("c.object_id"), number("c.column_id"), self.text("c.name")];
        fields.extend(self.type_fields("c", true));
        fields.extend([
            number("c.is_nullable"),
            self.text(&column("collation_name", "CAST(NULL AS nvarchar(10))")),
            number(&column("is_sparse", "0")),
            number(&column("is_column_set", "0")),
            number(&column("is_rowguidcol", "0")),
            number(&column("is_hidden", "0")),
            number(&format!("CASE WHEN {} IS NULL THEN 0 ELSE 1 END", column("encryption_type", "NULL"))),
        ]);
        let from =
            format!("sys.columns AS c {} ORDER BY c.object_id, c.column_id", self.type_joins("c", true));
        self.ask("column", &fields, &from);

        let column = |name, absent| self.column("sys.identity_columns", "c", name, absent);
        let fields = [
            number("c.object_id"),
            number("c.column_id"),
            number(&column("seed_value", "1")),
            number(&column("increment_value", "1")),
            number(&column("last_value", "NULL")),
            number(&column("is_not_for_replication", "0")),
        ];
        if self.caps.has("sys.identity_columns.column_id") {
            self.ask("identity", &fields, "sys.identity_columns AS c ORDER BY c.object_id");
        }
        if self.caps.has("sys.computed_columns.is_persisted") {
            let fields = [
                number("c.object_id"),
                number("c.column_id"),
                self.text("c.definition"),
                number("c.is_persisted"),
            ];
            self.ask("computed", &fields, "sys.computed_columns AS c ORDER BY c.object_id, c.column_id");
        }
        if self.caps.has("sys.masked_columns.masking_function") {
            let fields = [number("c.object_id"), number("c.column_id"), self.text("c.masking_function")];
            self.ask(
                "mask",
                &fields,
                "sys.masked_columns AS c WHERE c.is_masked = 1 ORDER BY c.object_id, c.column_id",
            );
        }
        if self.caps.has("sys.periods.start_column_id") {
            let fields = [number("p.object_id"), number("p.start_column_id"), number("p.end_column_id")];
            self.ask("period", &fields, "sys.periods AS p ORDER BY p.object_id");
        }
    }

    fn types(&mut self) {
        let user_types = self.caps.has("sys.types.is_table_type");
        let mut fields = self.type_fields("ty", false);
        fields.extend([
            number("ty.is_nullable"),
            number(&self.column("sys.types", "ty", "is_assembly_type", "0")),
        ]);
        let kept = if user_types {
            "ty.is_user_defined = 1 AND ty.is_table_type = 0"
        } else {
            "ty.is_user_defined = 1"
        };
        let from = format!(
            "sys.types AS ty LEFT JOIN sys.schemas AS tys ON tys.schema_id = ty.schema_id \
             LEFT JOIN sys.types AS bt ON bt.user_type_id = ty.system_type_id AND bt.system_type_id = ty.system_type_id \
             WHERE {kept} ORDER BY tys.name, ty.name"
        );
        self.ask("type", &fields, &from);
        if self.caps.has("sys.table_types.type_table_object_id") {
            let fields = [number("t.type_table_object_id"), self.text("s.name"), self.text("t.name")];
            self.ask(
                "tabletype",
                &fields,
                "sys.table_types AS t LEFT JOIN sys.schemas AS s ON s.schema_id = t.schema_id ORDER BY s.name, t.name",
            );
        }
    }

    fn constraints(&mut self) {
        if self.caps.has("sys.default_constraints.definition") {
            let fields = [
                number("d.parent_object_id"),
                number("d.parent_column_id"),
                self.text("d.name"),
                number(&self.column("sys.default_constraints", "d", "is_system_named", "0")),
                self.text("d.definition"),
            ];
            self.ask(
                "default",
                &fields,
                "sys.default_constraints AS d ORDER BY d.parent_object_id, d.parent_column_id",
            );
        }
        self.indexes();
        if self.caps.has("sys.check_constraints.definition") {
            self.checks();
        }
        if self.caps.has("sys.foreign_key_columns.constraint_object_id") {
            self.foreign_keys();
        }
    }

    fn checks(&mut self) {
        let column = |name, absent| self.column("sys.check_constraints", "c", name, absent);
        let fields = [
            number("c.parent_object_id"),
            self.text("c.name"),
            number(&column("is_system_named", "0")),
            self.text("c.definition"),
            number(&column("is_disabled", "0")),
            number(&column("is_not_trusted", "0")),
            number(&column("is_not_for_replication", "0")),
        ];
        self.ask("check", &fields, "sys.check_constraints AS c ORDER BY c.parent_object_id, c.name");
    }

    fn foreign_keys(&mut self) {
        let column = |name, absent| self.column("sys.foreign_keys", "f", name, absent);
        let fields = [
            number("f.object_id"),
            number("f.parent_object_id"),
            number("f.referenced_object_id"),
            self.text("f.name"),
            number(&column("is_system_named", "0")),
            number(&column("delete_referential_action", "0")),
            number(&column("update_referential_action", "0")),
            number(&column("is_disabled", "0")),
            number(&column("is_not_trusted", "0")),
            number(&column("is_not_for_replication", "0")),
        ];
        self.ask("foreignkey", &fields, "sys.foreign_keys AS f ORDER BY f.parent_object_id, f.name");
        let fields = [number("k.constraint_object_id"), self.text("pc.name"), self.text("rc.name")];
        self.ask(
            "foreignkeycolumn",
            &fields,
            "sys.foreign_key_columns AS k \
             JOIN sys.columns AS pc ON pc.object_id = k.parent_object_id AND pc.column_id = k.parent_column_id \
             JOIN sys.columns AS rc ON rc.object_id = k.referenced_object_id AND rc.column_id = k.referenced_column_id \
             ORDER BY k.constraint_object_id, k.constraint_column_id",
        );
    }

    fn indexes(&mut self) {
        let column = |name, absent| self.column("sys.indexes", "i", name, absent);
        let partitioned =
            self.caps.has("sys.partition_schemes.function_id") && self.caps.has("sys.indexes.data_space_id");
        let named = self.caps.has("sys.key_constraints.is_system_named");
        let compressed = self.caps.has("sys.partitions.data_compression");
        let fields = [
            number("i.object_id"),
            number("i.index_id"),
            self.text("i.name"),
            number("i.type"),
            number("i.is_unique"),
            number("i.is_primary_key"),
            number(&column("is_unique_constraint", "0")),
            if named { number("ISNULL(k.is_system_named, 0)") } else { "'=0'".to_owned() },
            self.text(&column("filter_definition", "CAST(NULL AS nvarchar(10))")),
            number(&column("fill_factor", "0")),
            number(&column("is_padded", "0")),
            number(&column("ignore_dup_key", "0")),
            number(&column("is_disabled", "0")),
            number(&column("allow_row_locks", "1")),
            number(&column("allow_page_locks", "1")),
            if partitioned { self.text("ps.name") } else { "'-'".to_owned() },
            if compressed {
                number(
                    "(SELECT CASE WHEN MIN(p.data_compression) = MAX(p.data_compression) THEN MAX(p.data_compression) ELSE 0 END \
                        FROM sys.partitions AS p WHERE p.object_id = i.object_id AND p.index_id = i.index_id)",
                )
            } else {
                "'=0'".to_owned()
            },
        ];
        let mut from = "sys.indexes AS i".to_owned();
        if named {
            from.push_str(" LEFT JOIN sys.key_constraints AS k ON k.parent_object_id = i.object_id AND k.unique_index_id = i.index_id");
        }
        if partitioned {
            from.push_str(" LEFT JOIN sys.partition_schemes AS ps ON ps.data_space_id = i.data_space_id");
        }
        if self.caps.has("sys.indexes.is_hypothetical") {
            from.push_str(" WHERE i.is_hypothetical = 0");
        }
        from.push_str(" ORDER BY i.object_id, i.index_id");
        self.ask("index", &fields, &from);
        let column = |name, absent| self.column("sys.index_columns", "x", name, absent);
        let fields = [
            number("x.object_id"),
            number("x.index_id"),
            self.text("c.name"),
            number("x.key_ordinal"),
            number(&column("is_descending_key", "0")),
            number(&column("is_included_column", "0")),
            number(&column("partition_ordinal", "0")),
        ];
        self.ask(
            "indexcolumn",
            &fields,
            "sys.index_columns AS x JOIN sys.columns AS c ON c.object_id = x.object_id AND c.column_id = x.column_id \
             ORDER BY x.object_id, x.index_id, x.key_ordinal, x.index_column_id",
        );
        if self.caps.has("sys.xml_indexes.secondary_type") {
            let fields = [
                number("x.object_id"),
                number("x.index_id"),
                self.text("x.secondary_type"),
                number("x.using_xml_index_id"),
            ];
            self.ask("xmlindex", &fields, "sys.xml_indexes AS x ORDER BY x.object_id, x.index_id");
        }
        if self.caps.has("sys.spatial_index_tessellations.bounding_box_xmin") {
            let fields = [
                number("t.object_id"),
                number("t.index_id"),
                self.text("t.tessellation_scheme"),
                Form::Float.field("t.bounding_box_xmin", self.caps),
                Form::Float.field("t.bounding_box_ymin", self.caps),
                Form::Float.field("t.bounding_box_xmax", self.caps),
                Form::Float.field("t.bounding_box_ymax", self.caps),
                self.text("t.level_1_grid_desc"),
                self.text("t.level_2_grid_desc"),
                self.text("t.level_3_grid_desc"),
                self.text("t.level_4_grid_desc"),
                number("t.cells_per_object"),
            ];
            self.ask(
                "spatialindex",
                &fields,
                "sys.spatial_index_tessellations AS t ORDER BY t.object_id, t.index_id",
            );
        }
    }

    fn code(&mut self) {
        let flag = |name| {
            if self.caps.has("sys.sql_modules.uses_ansi_nulls") {
                format!("m.{name}")
            } else {
                "1".to_owned()
            }
        };
        let fields = [
            number("m.object_id"),
            self.text("m.definition"),
            number(&flag("uses_ansi_nulls")),
            number(&flag("uses_quoted_identifier")),
        ];
        self.ask("module", &fields, "sys.sql_modules AS m ORDER BY m.object_id");
        if self.caps.has("sys.triggers.parent_id") {
            let column = |name, absent| self.column("sys.triggers", "t", name, absent);
            let fields = [
                number("t.object_id"),
                self.text("t.name"),
                number(&column("parent_class", "1")),
                number("t.parent_id"),
                number(&column("is_disabled", "0")),
            ];
            let shipped = column("is_ms_shipped", "0");
            let from = format!("sys.triggers AS t WHERE {shipped} = 0 ORDER BY t.object_id");
            self.ask("trigger", &fields, &from);
        }
        if self.caps.has("sys.sql_expression_dependencies.referenced_id") {
            let fields = [number("d.referencing_id"), number("d.referenced_id")];
            self.ask(
                "dependency",
                &fields,
                "(SELECT DISTINCT referencing_id, referenced_id FROM sys.sql_expression_dependencies \
                 WHERE referenced_id IS NOT NULL AND referencing_class = 1) AS d ORDER BY d.referencing_id, d.referenced_id",
            );
        }
    }

    fn others(&mut self) {
        if self.caps.has("sys.sequences.start_value") {
            let used = if self.caps.has("sys.sequences.last_used_value") {
                number("CASE WHEN q.last_used_value IS NULL THEN 0 ELSE 1 END")
            } else {
                "'-'".to_owned()
            };
            let mut fields = vec![self.text("s.name"), self.text("q.name")];
            let mut of = self.type_fields("ty", false);
            // A sequence has these of its own.
            of[4] = number("q.precision");
            of[5] = number("q.scale");
            fields.extend(of);
            fields.extend([
                number("q.start_value"),
                number("q.increment"),
                number("q.minimum_value"),
                number("q.maximum_value"),
                number("q.is_cycling"),
                number("q.is_cached"),
                number("q.cache_size"),
                number("q.current_value"),
                used,
            ]);
            let from = format!(
                "sys.sequences AS q LEFT JOIN sys.schemas AS s ON s.schema_id = q.schema_id {} ORDER BY s.name, q.name",
                self.type_joins("q", false)
            );
            self.ask("sequence", &fields, &from);
        }
        if self.caps.has("sys.synonyms.base_object_name") {
            let fields = [self.text("s.name"), self.text("y.name"), self.text("y.base_object_name")];
            self.ask(
                "synonym",
                &fields,
                "sys.synonyms AS y LEFT JOIN sys.schemas AS s ON s.schema_id = y.schema_id ORDER BY s.name, y.name",
            );
        }
        self.partitions();
        if self.has_xml() && self.caps.microsoft {
            // The function takes constants only, so that a question is made for each collection.
            let question = format!(
                "SELECT '~C|xmlschema|' + {}\n",
                row(&[
                    self.text("N'?S?'"),
                    self.text("N'?N?'"),
                    self.text("CAST(XML_SCHEMA_NAMESPACE(N'?S?', N'?N?') AS nvarchar(max))"),
                ])
            );
            let _ = writeln!(
                self.script,
                "DECLARE @q nvarchar(max) = N'';\n\
                 SELECT @q = @q + REPLACE(REPLACE({}, N'?S?', REPLACE(s.name, N'''', N'''''')), N'?N?', REPLACE(x.name, N'''', N'''''')) \
                 FROM sys.xml_schema_collections AS x JOIN sys.schemas AS s ON s.schema_id = x.schema_id WHERE x.xml_collection_id > 1;\n\
                 EXEC (@q);\nGO",
                literal::text(&question)
            );
        }
        if self.caps.has("sys.extended_properties.value") {
            let fields = [
                number("e.class"),
                number("e.major_id"),
                number("e.minor_id"),
                self.text("e.name"),
                Form::Variant.field("e.value", self.caps),
            ];
            self.ask(
                "property",
                &fields,
                "sys.extended_properties AS e ORDER BY e.class, e.major_id, e.minor_id, e.name",
            );
        }
    }

    fn partitions(&mut self) {
        if !(self.caps.has("sys.partition_functions.function_id")
            && self.caps.has("sys.partition_range_values.value")
            && self.caps.has("sys.partition_schemes.function_id"))
        {
            return;
        }
        let mut fields = vec![number("f.function_id"), self.text("f.name")];
        fields.extend(self.type_fields("pp", false));
        fields.push(number("f.boundary_value_on_right"));
        let from = format!(
            "sys.partition_functions AS f JOIN sys.partition_parameters AS pp ON pp.function_id = f.function_id {} ORDER BY f.function_id",
            self.type_joins("pp", false)
        );
        self.ask("partitionfunction", &fields, &from);
        let fields = [number("v.function_id"), Form::Variant.field("v.value", self.caps)];
        self.ask(
            "partitionvalue",
            &fields,
            "sys.partition_range_values AS v ORDER BY v.function_id, v.boundary_id",
        );
        let fields = [self.text("p.name"), number("p.function_id")];
        self.ask("partitionscheme", &fields, "sys.partition_schemes AS p ORDER BY p.name");
    }

    fn security(&mut self) {
        if self.caps.has("sys.database_principals.default_schema_name") {
            let authentication = self.column("sys.database_principals", "p", "authentication_type", "1");
            let fields = [
                number("p.principal_id"),
                self.text("p.name"),
                self.text("RTRIM(p.type)"),
                self.text("p.default_schema_name"),
                self.text("o.name"),
                self.text("SUSER_SNAME(p.sid)"),
                number(&authentication),
            ];
            self.ask(
                "principal",
                &fields,
                "sys.database_principals AS p LEFT JOIN sys.database_principals AS o ON o.principal_id = p.owning_principal_id \
                 WHERE p.is_fixed_role = 0 ORDER BY p.principal_id",
            );
        }
        if self.caps.has("sys.database_role_members.member_principal_id") {
            let fields = [self.text("r.name"), self.text("m.name")];
            self.ask(
                "member",
                &fields,
                "sys.database_role_members AS x JOIN sys.database_principals AS r ON r.principal_id = x.role_principal_id \
                 JOIN sys.database_principals AS m ON m.principal_id = x.member_principal_id ORDER BY r.name, m.name",
            );
        }
        if self.caps.has("sys.database_permissions.grantee_principal_id") {
            let fields = [
                number("x.class"),
                number("x.major_id"),
                number("x.minor_id"),
                self.text("g.name"),
                self.text("x.state_desc"),
                self.text("x.permission_name"),
                self.text("ts.name"),
                self.text("ISNULL(ss.name, t.name)"),
            ];
            self.ask(
                "permission",
                &fields,
                "sys.database_permissions AS x JOIN sys.database_principals AS g ON g.principal_id = x.grantee_principal_id \
                 LEFT JOIN sys.schemas AS ss ON x.class = 3 AND ss.schema_id = x.major_id \
                 LEFT JOIN sys.types AS t ON x.class = 6 AND t.user_type_id = x.major_id \
                 LEFT JOIN sys.schemas AS ts ON ts.schema_id = t.schema_id \
                 ORDER BY x.class, x.major_id, x.minor_id, g.name, x.permission_name",
            );
        }
    }

    fn counts(&mut self) {
        for (name, column, condition) in [
            ("full-text indexes", "sys.fulltext_indexes.object_id", "1 = 1"),
            ("full-text catalogs", "sys.fulltext_catalogs.name", "1 = 1"),
            ("row-level security policies", "sys.security_policies.is_enabled", "is_enabled = 1"),
            ("disabled row-level security policies", "sys.security_policies.is_enabled", "is_enabled = 0"),
            ("assemblies", "sys.assemblies.is_user_defined", "is_user_defined = 1"),
            ("certificates", "sys.certificates.name", "name NOT LIKE '##%'"),
            ("symmetric keys", "sys.symmetric_keys.name", "name NOT LIKE '##%'"),
            ("queues of the service broker", "sys.service_queues.name", "is_ms_shipped = 0"),
            ("plan guides", "sys.plan_guides.name", "1 = 1"),
            ("statistics made by users", "sys.stats.user_created", "user_created = 1"),
            ("asymmetric keys", "sys.asymmetric_keys.name", "name NOT LIKE '##%'"),
            ("further procedures of one name", "sys.numbered_procedures.procedure_number", "1 = 1"),
            ("orders in which triggers fire", "sys.trigger_events.is_first", "is_first = 1 OR is_last = 1"),
            ("external data sources", "sys.external_data_sources.data_source_id", "1 = 1"),
            ("credentials of the database", "sys.database_scoped_credentials.credential_id", "1 = 1"),
            ("classifications of columns", "sys.sensitivity_classifications.class", "1 = 1"),
            ("tables whose changes are tracked", "sys.change_tracking_tables.object_id", "1 = 1"),
            ("tables whose changes are captured", "sys.tables.is_tracked_by_cdc", "is_tracked_by_cdc = 1"),
            ("columns of file streams", "sys.columns.is_filestream", "is_filestream = 1"),
            (
                "limits of the histories of tables",
                "sys.tables.history_retention_period",
                "history_retention_period > 0",
            ),
            ("ledger tables", "sys.tables.ledger_type", "ledger_type <> 0"),
        ] {
            if !self.caps.has(column) {
                continue;
            }
            let Some((catalog, _)) = column.rsplit_once('.') else { continue };
            let _ = write!(
                self.script,
                "SELECT '~C|count|={name}|' + {} FROM {catalog} WHERE {condition}\nGO\n",
                number("COUNT_BIG(*)")
            );
        }
    }
}

/// A number, or a truth value, as a number.
fn number(of: &str) -> String {
    field(&format!("CONVERT(varchar(40), {of})"))
}

fn as_int(of: &str) -> String {
    format!("CAST({of} AS int)")
}
