//! What a server can do, found out by trying. Pure: the script, and what its answers mean.
//!
//! Versions decide nothing here: there are servers that speak T-SQL and are not Microsoft's, and that call
//! themselves anything. Each question is a batch of its own, and the tool is told to go on after an error,
//! so that a question that a server does not understand is simply not answered.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::transfer::{SAMPLE, TextForm, bytes_of};
use super::value::Style;

/// What a server can do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one answer")]
pub(crate) struct Capabilities {
    /// The server in its own words, on one line.
    pub version: String,
    /// It calls itself Microsoft's.
    pub microsoft: bool,
    /// How texts travel.
    pub text: TextForm,
    /// How each of these types is written exactly.
    pub float: Style,
    pub real: Style,
    pub date: Style,
    pub time: Style,
    pub datetime: Style,
    pub datetime2: Style,
    pub datetimeoffset: Style,
    /// Rows can be added up to one value.
    pub string_agg: bool,
    /// A snapshot transaction can be begun and used in this database.
    pub snapshot: bool,
    /// `UPDATE … SET c.WRITE(…)`.
    pub write_clause: bool,
    /// Errors can be caught.
    pub try_catch: bool,
    /// Rows can be read one by one, and values in pieces.
    pub cursors: bool,
    /// A text can be made XML with its white space.
    pub xml_style: bool,
    /// The answers to the questions about rights: whether the user has them.
    pub rights: BTreeMap<String, bool>,
    /// The settings of a session that the server knows.
    pub settings: Vec<&'static str>,
    /// The catalogs and columns of catalogs that are there, of those that were asked for.
    pub have: BTreeSet<String>,
}

/// Why the answers do not allow a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// The last answer did not come.
    NoEnd,
    /// Long lines are cut or broken.
    LinesCut,
    /// The tool reads its script in another encoding.
    NotUtf8,
}

/// The settings under which everything is read, and under which the script is loaded again.
pub(crate) const SETTINGS: &[&str] = &[
    "SET NOCOUNT ON",
    "SET TEXTSIZE 2147483647",
    "SET ANSI_NULLS ON",
    "SET QUOTED_IDENTIFIER ON",
    "SET ANSI_PADDING ON",
    "SET ANSI_WARNINGS ON",
    "SET ARITHABORT ON",
    "SET CONCAT_NULL_YIELDS_NULL ON",
    "SET NUMERIC_ROUNDABORT OFF",
];

/// What not every server and version has, as `catalog` or `catalog.column`.
pub(crate) const OPTIONAL: &[&str] = &[
    "sys.objects.parent_object_id",
    "sys.tables.is_memory_optimized",
    "sys.tables.temporal_type",
    "sys.tables.history_table_id",
    "sys.tables.is_external",
    "sys.tables.is_filetable",
    "sys.tables.is_node",
    "sys.tables.is_edge",
    "sys.tables.is_ms_shipped",
    "sys.columns.collation_name",
    "sys.columns.is_sparse",
    "sys.columns.is_column_set",
    "sys.columns.is_hidden",
    "sys.columns.encryption_type",
    "sys.columns.is_rowguidcol",
    "sys.columns.is_xml_document",
    "sys.columns.xml_collection_id",
    "sys.masked_columns.masking_function",
    "sys.computed_columns.is_persisted",
    "sys.default_constraints.definition",
    "sys.default_constraints.is_system_named",
    "sys.identity_columns.column_id",
    "sys.identity_columns.seed_value",
    "sys.identity_columns.increment_value",
    "sys.identity_columns.last_value",
    "sys.identity_columns.is_not_for_replication",
    "sys.periods.start_column_id",
    "sys.types.is_assembly_type",
    "sys.types.is_table_type",
    "sys.table_types.type_table_object_id",
    "sys.indexes.is_unique_constraint",
    "sys.indexes.filter_definition",
    "sys.indexes.fill_factor",
    "sys.indexes.ignore_dup_key",
    "sys.indexes.is_disabled",
    "sys.indexes.is_padded",
    "sys.indexes.is_hypothetical",
    "sys.indexes.allow_row_locks",
    "sys.indexes.allow_page_locks",
    "sys.indexes.data_space_id",
    "sys.index_columns.is_descending_key",
    "sys.index_columns.is_included_column",
    "sys.index_columns.partition_ordinal",
    "sys.partitions.data_compression",
    "sys.key_constraints.is_system_named",
    "sys.xml_indexes.secondary_type",
    "sys.spatial_index_tessellations.bounding_box_xmin",
    "sys.check_constraints.definition",
    "sys.check_constraints.is_system_named",
    "sys.check_constraints.is_disabled",
    "sys.check_constraints.is_not_trusted",
    "sys.check_constraints.is_not_for_replication",
    "sys.foreign_keys.is_system_named",
    "sys.foreign_keys.delete_referential_action",
    "sys.foreign_keys.update_referential_action",
    "sys.foreign_keys.is_disabled",
    "sys.foreign_keys.is_not_trusted",
    "sys.foreign_keys.is_not_for_replication",
    "sys.foreign_key_columns.constraint_object_id",
    "sys.sql_modules.uses_ansi_nulls",
    "sys.triggers.parent_id",
    "sys.triggers.parent_class",
    "sys.triggers.is_disabled",
    "sys.triggers.is_ms_shipped",
    "sys.sql_expression_dependencies.referenced_id",
    "sys.sequences.start_value",
    "sys.sequences.last_used_value",
    "sys.synonyms.base_object_name",
    "sys.extended_properties.value",
    "sys.partition_functions.function_id",
    "sys.partition_range_values.value",
    "sys.partition_schemes.function_id",
    "sys.xml_schema_collections.xml_collection_id",
    "sys.fulltext_indexes.object_id",
    "sys.fulltext_catalogs.name",
    "sys.security_policies.is_enabled",
    "sys.assemblies.is_user_defined",
    "sys.database_principals.default_schema_name",
    "sys.database_principals.authentication_type",
    "sys.database_role_members.member_principal_id",
    "sys.database_permissions.grantee_principal_id",
    "sys.certificates.name",
    "sys.symmetric_keys.name",
    "sys.service_queues.name",
    "sys.plan_guides.name",
    "sys.stats.user_created",
    "sys.asymmetric_keys.name",
    "sys.numbered_procedures.procedure_number",
    "sys.trigger_events.is_first",
    "sys.external_data_sources.data_source_id",
    "sys.database_scoped_credentials.credential_id",
    "sys.sensitivity_classifications.class",
    "sys.change_tracking_tables.object_id",
    "sys.tables.is_tracked_by_cdc",
    "sys.columns.is_filestream",
    "sys.tables.ledger_type",
    "sys.tables.history_retention_period",
];

/// The rights without which something would be missing silently.
const RIGHTS: &[&str] = &["VIEW DEFINITION", "SELECT", "UNMASK"];

/// The number that the server adds up from 0.1 and 0.2.
const FLOAT_SAMPLE: f64 = 0.1 + 0.2;
const REAL_SAMPLE: f32 = 1.0 / 3.0;

impl Capabilities {
    /// Tells whether a catalog's column is there.
    pub(crate) fn has(&self, column: &str) -> bool {
        debug_assert!(OPTIONAL.contains(&column), "{column} is not asked for");
        self.have.contains(column)
    }

    /// Returns the batch that every script begins with.
    pub(crate) fn prologue(&self) -> String {
        self.settings.join(";\n")
    }

    /// Returns what a recent SQL Server can do.
    #[cfg(test)]
    pub(crate) fn of_sql_server() -> Self {
        Self {
            version: "Microsoft SQL Server 2022 (RTM) - 16.0.1000.6 (X64)".to_owned(),
            microsoft: true,
            text: TextForm::Utf16,
            float: Style::Convert(3),
            real: Style::Convert(3),
            date: Style::Convert(23),
            time: Style::Convert(121),
            datetime: Style::Convert(126),
            datetime2: Style::Convert(121),
            datetimeoffset: Style::Convert(121),
            string_agg: true,
            snapshot: true,
            write_clause: true,
            try_catch: true,
            cursors: true,
            xml_style: true,
            rights: RIGHTS.iter().map(|right| ((*right).to_owned(), true)).collect(),
            settings: SETTINGS.to_vec(),
            have: OPTIONAL.iter().map(|name| (*name).to_owned()).collect(),
        }
    }
}

/// The question for the version; on one line whatever it is.
pub(crate) const VERSION: &str = "SELECT '~V|' + CAST(REPLACE(REPLACE(REPLACE(@@VERSION, CHAR(13), ' '), \
                                  CHAR(10), ' '), CHAR(9), ' ') AS varchar(max))";

/// Writes the script of questions.
pub(crate) fn script() -> String {
    let mut script = String::new();
    let mut ask = |sql: &str| {
        script.push_str(sql);
        script.push_str(";\nGO\n");
    };
    for setting in SETTINGS {
        ask(&format!("{setting};\nSELECT '~P|set|{setting}'"));
    }
    ask(VERSION);
    let sample = |text: &str| {
        format!("CONVERT(varchar(max), CAST(CAST({text} AS nvarchar(max)) AS varbinary(max)), 2)")
    };
    ask(&format!("SELECT '~P|sample|' + {}", sample("NCHAR(233) + NCHAR(8364)")));
    ask(&format!("SELECT '~P|literal|' + {}", sample(&format!("N'{SAMPLE}'"))));
    ask("SELECT '~P|escaped|' + REPLACE(N'é~|' COLLATE Latin1_General_BIN2, N'|', N'.')");
    for (name, value, styles) in samples() {
        for (at, style) in styles.iter().enumerate() {
            ask(&format!("SELECT '~P|{name}|{at}|' + {}", style.expression(value)));
        }
    }
    ask("SELECT '~P|string_agg|' + STRING_AGG(CAST(x AS varchar(max)), ';') \
         FROM (SELECT 'a' AS x UNION ALL SELECT 'b') AS y");
    ask("DECLARE @t TABLE (b varbinary(max));\nINSERT INTO @t VALUES (0x01);\n\
         UPDATE @t SET b.WRITE(0x02, NULL, 0);\n\
         SELECT '~P|write|' + CONVERT(varchar(max), b, 2) FROM @t");
    ask("DECLARE @v nvarchar(max), @at bigint = 2;\n\
         DECLARE dilux_rows CURSOR LOCAL FORWARD_ONLY FOR SELECT CAST(N'abcde' AS nvarchar(max)) AS v;\n\
         OPEN dilux_rows;\nFETCH NEXT FROM dilux_rows INTO @v;\n\
         WHILE @@FETCH_STATUS = 0\nBEGIN\n\
         SELECT '~P|cursor|' + CAST(SUBSTRING(@v, @at, 3) AS varchar(max));\n\
         FETCH NEXT FROM dilux_rows INTO @v;\nEND;\nCLOSE dilux_rows;\nDEALLOCATE dilux_rows");
    ask("SELECT '~P|xml|' + CAST(CONVERT(xml, N'<a> </a>', 1) AS varchar(max))");
    ask("BEGIN TRY EXEC (N'SELECT 1 / 0 AS x INTO #dilux_probe'); END TRY\n\
         BEGIN CATCH SELECT '~P|try|caught'; END CATCH");
    for right in RIGHTS {
        ask(&format!(
            "SELECT '~P|right|{right}|' + CONVERT(varchar(10), HAS_PERMS_BY_NAME(DB_NAME(), 'DATABASE', '{right}'))"
        ));
    }
    for column in OPTIONAL {
        let Some((catalog, name)) = column.rsplit_once('.') else { continue };
        ask(&format!(
            "SELECT '~P|have|{column}' WHERE NOT EXISTS (SELECT {name} FROM {catalog} WHERE 1 = 0)"
        ));
    }
    // A table of the user's is read, since it is there that a snapshot can be refused.
    ask("DECLARE @t nvarchar(600);\n\
         SELECT TOP (1) @t = N'[' + REPLACE(s.name, N']', N']]') + N'].[' + REPLACE(t.name, N']', N']]') + N']' \
         FROM sys.tables AS t JOIN sys.schemas AS s ON s.schema_id = t.schema_id;\n\
         SET TRANSACTION ISOLATION LEVEL SNAPSHOT;\n\
         BEGIN TRANSACTION;\n\
         DECLARE @q nvarchar(1000) = N'DECLARE @n int; SELECT @n = COUNT(*) FROM (SELECT TOP (1) 1 AS x FROM ' \
         + ISNULL(@t, N'sys.objects') + N') AS y';\n\
         EXEC (@q);\n\
         COMMIT;\n\
         SELECT '~P|snapshot|yes'");
    ask("IF @@TRANCOUNT > 0 ROLLBACK");
    ask("SELECT '~P|wide|' + REPLICATE(CAST('x' AS varchar(max)), 70000)");
    ask("SELECT '~Z'");
    script
}

/// The types that servers write in different ways, each with a value and the ways to try.
fn samples() -> [(&'static str, &'static str, &'static [Style]); 7] {
    const NUMBERS: &[Style] = &[Style::Convert(3), Style::Cast, Style::Bytes];
    const MOMENTS: &[Style] = &[Style::Convert(121), Style::Cast];
    [
        ("float", "(CAST(0.1E0 AS float) + CAST(0.2E0 AS float))", NUMBERS),
        ("real", "(CAST(1 AS real) / CAST(3 AS real))", NUMBERS),
        ("date", "CAST('2001-02-03' AS date)", &[Style::Convert(23), Style::Cast]),
        ("time", "CAST('23:59:58.1234567' AS time(7))", MOMENTS),
        (
            "datetime",
            "CAST('2001-02-03T23:59:58.123' AS datetime)",
            &[Style::Convert(126), Style::Convert(121), Style::Cast],
        ),
        ("datetime2", "CAST('2001-02-03 23:59:58.1234567' AS datetime2(7))", MOMENTS),
        ("datetimeoffset", "CAST('2001-02-03 23:59:58.1234567 +05:30' AS datetimeoffset(7))", MOMENTS),
    ]
}

/// Tells whether the value of a sample was written exactly. Microseconds are enough: a server that keeps no
/// more has no more to lose.
fn is_exact(name: &str, style: Style, answer: &str) -> bool {
    match name {
        "float" => style.literal(answer).and_then(|text| text.parse().ok()) == Some(FLOAT_SAMPLE),
        "real" => {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "that is what a server does with the literal"
            )]
            let read = style.literal(answer).and_then(|text| text.parse::<f64>().ok()).map(|n| n as f32);
            read == Some(REAL_SAMPLE)
        }
        "date" => answer == "2001-02-03",
        "time" => answer.starts_with("23:59:58.12345"),
        "datetime" => answer.replace('T', " ").trim_end_matches('0') == "2001-02-03 23:59:58.123",
        "datetime2" => answer.replace('T', " ").starts_with("2001-02-03 23:59:58.12345"),
        _ => answer.replace('T', " ").starts_with("2001-02-03 23:59:58.12345") && answer.ends_with("+05:30"),
    }
}

/// Reads the answers.
pub(crate) fn read<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Capabilities, Unfit> {
    let mut version = String::new();
    let mut ended = false;
    let mut answers: Vec<&str> = Vec::new();
    for line in lines {
        if let Some(text) = line.strip_prefix("~V|") {
            version = text.split_whitespace().collect::<Vec<_>>().join(" ");
        } else if let Some(answer) = line.strip_prefix("~P|") {
            answers.push(answer);
        } else if line == "~Z" {
            ended = true;
        }
    }
    if !ended {
        return Err(Unfit::NoEnd);
    }
    let answer = |question: &str| answers.iter().find_map(|answer| answer.strip_prefix(question));
    if answer("wide|").is_none_or(|line| line.len() != 70_000) {
        return Err(Unfit::LinesCut);
    }
    let style = |name: &str| {
        let styles = samples().into_iter().find(|(known, _, _)| *known == name).map_or(&[][..], |s| s.2);
        let exact = styles.iter().enumerate().find(|(at, style)| {
            answer(&format!("{name}|{at}|")).is_some_and(|answer| is_exact(name, **style, answer))
        });
        exact.map_or(Style::Unknown, |(_, style)| *style)
    };
    Ok(Capabilities {
        microsoft: version.starts_with("Microsoft"),
        version,
        text: text_form(answer("sample|"), answer("literal|"))?,
        float: style("float"),
        real: style("real"),
        date: style("date"),
        time: style("time"),
        datetime: style("datetime"),
        datetime2: style("datetime2"),
        datetimeoffset: style("datetimeoffset"),
        string_agg: matches!(answer("string_agg|"), Some("a;b" | "b;a")),
        snapshot: answer("snapshot|") == Some("yes"),
        try_catch: answer("try|") == Some("caught"),
        cursors: answer("cursor|") == Some("bcd"),
        xml_style: answer("xml|").is_some_and(|text| text.contains("> <")),
        write_clause: answer("write|") == Some("0102"),
        rights: RIGHTS
            .iter()
            .filter_map(|right| Some(((*right).to_owned(), answer(&format!("right|{right}|"))? == "1")))
            .collect(),
        settings: SETTINGS
            .iter()
            .copied()
            .filter(|setting| answers.iter().any(|answer| answer.strip_prefix("set|") == Some(setting)))
            .collect(),
        have: answers.iter().filter_map(|answer| answer.strip_prefix("have|")).map(str::to_owned).collect(),
    })
}

/// Decides how texts travel. The first sample is made by the server alone; the second one has come through
/// the tool, which must have read it as it was written.
fn text_form(made: Option<&str>, read: Option<&str>) -> Result<TextForm, Unfit> {
    let (form, begins) = match made {
        Some("E900AC20") => (TextForm::Utf16, "E900AC20"),
        Some("C3A9E282AC") => (TextForm::Utf8, "C3A9E282AC"),
        _ => return Ok(TextForm::Escaped),
    };
    let through_the_tool = read.unwrap_or_default();
    if bytes_of(through_the_tool).is_none() || !through_the_tool.starts_with(begins) {
        return Err(Unfit::NotUtf8);
    }
    // A server whose text is whole only up to two bytes a character would lose the rest.
    Ok(if TextForm::of_sample(through_the_tool) == form { form } else { TextForm::Escaped })
}

impl Unfit {
    /// Says what is wrong, for the error.
    pub(crate) fn problem(self) -> &'static str {
        match self {
            Self::NoEnd => "it did not answer the questions about the server to their end",
            Self::LinesCut => "it cuts or breaks long lines",
            Self::NotUtf8 => "it does not read its script as UTF-8",
        }
    }
}

/// Writes the script that asks for the version only.
pub(crate) fn version_script() -> String {
    let mut script = String::new();
    let _ = write!(script, "SET NOCOUNT ON;\n{VERSION};\nSELECT '~Z';\nGO\n");
    script
}

/// Writes the script that asks for the names of all databases, in the form that every server writes.
pub(crate) fn databases_script() -> String {
    // As text with escapes for what has a meaning: the names that are lists of ASCII come as they are.
    let name = TextForm::Escaped.expression("name");
    format!("SET NOCOUNT ON;\n{VERSION};\nSELECT '~D|' + {name} FROM sys.databases;\nSELECT '~Z';\nGO\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What SQL Server answers.
    fn answers() -> Vec<String> {
        let mut lines: Vec<String> = SETTINGS.iter().map(|setting| format!("~P|set|{setting}")).collect();
        lines.extend(OPTIONAL.iter().map(|column| format!("~P|have|{column}")));
        lines.extend(RIGHTS.iter().map(|right| format!("~P|right|{right}|1")));
        lines.extend(
            [
                "",
                "~V|Microsoft SQL Server 2022 (RTM) - 16.0.1000.6 (X64)",
                "~P|sample|E900AC20",
                "~P|literal|E900AC203DD800DE",
                "~P|float|0|3.0000000000000004e-001",
                "~P|real|0|3.33333343e-001",
                "~P|date|0|2001-02-03",
                "~P|time|0|23:59:58.1234567",
                "~P|datetime|0|2001-02-03T23:59:58.123",
                "~P|datetime2|0|2001-02-03 23:59:58.1234567",
                "~P|datetimeoffset|0|2001-02-03 23:59:58.1234567 +05:30",
                "~P|string_agg|a;b",
                "~P|write|0102",
                "~P|try|caught",
                "~P|cursor|bcd",
                "~P|xml|<a> </a>",
                "~P|snapshot|yes",
            ]
            .map(str::to_owned),
        );
        lines.push(format!("~P|wide|{}", "x".repeat(70_000)));
        lines.push("~Z".to_owned());
        lines
    }

    fn read_all(lines: &[String]) -> Result<Capabilities, Unfit> {
        read(lines.iter().map(String::as_str))
    }

    #[test]
    fn the_answers_of_sql_server_are_understood() {
        assert_eq!(read_all(&answers()), Ok(Capabilities::of_sql_server()));
    }

    #[test]
    fn a_server_that_answers_little_gets_what_every_server_can() {
        let lines = ["~V|Some engine 1.0", "~P|float|1|0.30000000000000004", "~P|wide|", "~Z"];
        let wide = format!("~P|wide|{}", "x".repeat(70_000));
        let caps = read(lines.into_iter().chain([wide.as_str()]).filter(|line| *line != "~P|wide|"));
        let caps = caps.unwrap_or_else(|unfit| panic!("{unfit:?}"));
        assert_eq!((caps.text, caps.float, caps.real), (TextForm::Escaped, Style::Cast, Style::Unknown));
        assert!(!caps.microsoft && !caps.snapshot && !caps.string_agg && !caps.write_clause);
        assert!(!caps.has("sys.columns.is_sparse"));
    }

    #[test]
    fn a_number_that_lost_digits_is_not_taken() {
        let mut lines = answers();
        for line in &mut lines {
            *line = line.replace("~P|float|0|3.0000000000000004e-001", "~P|float|0|3.0000000000000000e-001");
        }
        lines.push("~P|float|2|3FD3333333333334".to_owned());
        assert_eq!(read_all(&lines).map(|caps| caps.float), Ok(Style::Bytes));
    }

    #[test]
    fn what_would_damage_everything_is_refused() {
        let without = |text: &str| {
            let lines: Vec<String> = answers().into_iter().filter(|line| !line.starts_with(text)).collect();
            read_all(&lines).err()
        };
        assert_eq!(without("~Z"), Some(Unfit::NoEnd));
        assert_eq!(without("~P|wide|"), Some(Unfit::LinesCut));
        assert_eq!(without("~P|literal|"), Some(Unfit::NotUtf8));
        assert_eq!(without("~P|float|"), None);
    }

    #[test]
    fn texts_of_two_bytes_a_character_only_are_sent_with_escapes() {
        assert_eq!(text_form(Some("E900AC20"), Some("E900AC20FDFF")), Ok(TextForm::Escaped));
        assert_eq!(text_form(Some("C3A9E282AC"), Some("C3A9E282ACF09F9880")), Ok(TextForm::Utf8));
        assert_eq!(text_form(None, None), Ok(TextForm::Escaped));
        assert_eq!(text_form(Some("E93F"), Some("x")), Ok(TextForm::Escaped));
    }

    #[test]
    fn each_question_is_a_batch_of_its_own() {
        let script = script();
        assert_eq!(script.matches(";\nGO\n").count(), script.matches("'~").count() + 1);
        assert!(!script.contains("$("));
    }
}
