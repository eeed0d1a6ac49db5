//! Rows: the questions for them, and the statements made of the answers. Pure.
//!
//! A row travels as one line, several small ones together where the server can add them up, and one with
//! large values in pieces. What has to be true at the end of each table: as many rows have come as the
//! server counts in the same transaction.

use std::fmt::Write as _;

use super::catalog::{Catalog, Table};
use super::ddl::{is_carried, is_large, table_name, told};
use super::literal::{Script, is_plain, name, push_bytes, push_wide};
use super::probe::Capabilities;
use super::transfer::{FIELD, Malformed, ROW, content, field, row};
use super::value::{Form, xml};

/// The most that the large values of a row may be together to travel in the row's line, in bytes.
const INLINE: u32 = 64 * 1024;

/// The size of a piece of a large value, in characters or bytes.
const PIECE: u32 = 32 * 1024;

/// The size that lines are kept near.
const LINE: usize = 128 * 1024;

/// The most rows in a line, and in a statement; the server's own limit for a statement is 1,000.
const MOST_ROWS: usize = 200;

/// A statement ends when it has this size.
const STATEMENT: usize = 64 * 1024;

/// The rows that are loaded in one transaction.
const TRANSACTION: u64 = 10_000;

/// Takes the place of a value that travels in pieces.
const IN_PIECES: &str = "^";

/// The table of the session in which large values are put together when a dump is loaded.
pub(crate) const LARGE_TABLE: &str = "CREATE TABLE #dilux_large (c int NOT NULL PRIMARY KEY, t nvarchar(max) NOT NULL, b varbinary(max) NOT NULL)";

/// A table whose rows are dumped.
#[derive(Debug, Clone)]
pub(crate) struct DataTable {
    /// The name as it stands in statements.
    pub full_name: String,
    columns: Vec<DataColumn>,
    /// The place of the column that the server numbers.
    identity: Option<usize>,
    /// The value that the server has given out last.
    pub last_identity: Option<String>,
    increment: i128,
    order: String,
    /// The place of the column by which pages are read, and its type.
    page_by: Option<(usize, String)>,
    rows_per_line: usize,
    insert: String,
    plain: bool,
    /// The server refuses to read it in a snapshot transaction.
    pub outside_snapshot: bool,
}

#[derive(Debug, Clone)]
struct DataColumn {
    name: String,
    form: Form,
    large: bool,
}

/// A column whose type cannot be carried over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnknownType {
    pub table: String,
    pub column: String,
    pub of: String,
}

impl DataTable {
    pub(crate) fn new(catalog: &Catalog, table: &Table, caps: &Capabilities) -> Result<Self, UnknownType> {
        let full_name = table_name(table);
        let mut columns = Vec::new();
        let mut identity = None;
        let mut last_identity = None;
        let mut increment = 1;
        let mut width = 0;
        for column in catalog.columns_of(table.id).iter().filter(|column| is_carried(column)) {
            let precision = u8::try_from(column.of.precision).unwrap_or(u8::MAX);
            let form = Form::of(&column.of.base, precision).filter(|form| form.is_exact(caps));
            let form = form.ok_or_else(|| UnknownType {
                table: full_name.clone(),
                column: name(&column.name),
                of: column.of.base.clone(),
            })?;
            if let Some(found) = &column.identity {
                identity = Some(columns.len());
                last_identity.clone_from(&found.last);
                increment = found.increment.parse().unwrap_or(1);
            }
            // Hexadecimal of UTF-16 takes four digits for a character, escapes three characters for one.
            width += 4 * usize::try_from(column.of.max_length).unwrap_or(0).max(10);
            columns.push(DataColumn { name: name(&column.name), form, large: is_large(&column.of) });
        }
        let any_large = columns.iter().any(|column| column.large);
        let rows_per_line = if any_large { 1 } else { (LINE / width.max(1)).clamp(1, MOST_ROWS) };
        let key: Vec<String> = key_of(catalog, table);
        let page_by = match key.as_slice() {
            [only] if caps.string_agg && rows_per_line > 1 => page_column(catalog, table, only)
                .and_then(|of| Some((columns.iter().position(|column| column.name == *only)?, of))),
            _ => None,
        };
        let order = if key.is_empty() { String::new() } else { format!(" ORDER BY {}", key.join(", ")) };
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let insert = format!("INSERT INTO {full_name} ({})", names.join(", "));
        let plain = is_plain(&insert);
        Ok(Self {
            full_name,
            columns,
            identity,
            last_identity,
            increment,
            order,
            page_by,
            rows_per_line,
            insert,
            plain,
            outside_snapshot: table.memory_optimized,
        })
    }

    /// Tells whether values of this table may travel in pieces.
    pub(crate) fn has_large(&self) -> bool {
        self.columns.iter().any(|column| column.large)
    }

    /// Adds the questions for the rows of this table.
    ///
    /// Outside of a snapshot, rows come and go between a question and the next one: there, the server counts
    /// the rows that it has sent. Only Microsoft's is known to count them in the same way everywhere.
    pub(crate) fn ask(&self, script: &mut Script, number: usize, caps: &Capabilities) {
        let sent = caps.microsoft && (self.outside_snapshot || !caps.snapshot);
        let counted = if sent { "SET @sent = @sent + @@ROWCOUNT;\n" } else { "" };
        let mut sql = format!("SELECT '~B|{number}';\n");
        if sent {
            sql.push_str("DECLARE @sent bigint = 0;\n");
        }
        if self.columns.is_empty() {
            let _ = write!(sql, "SELECT '~R|=' FROM {};\n{counted}", self.full_name);
        } else if self.has_large() && caps.cursors {
            self.ask_for_large(&mut sql, caps, counted);
        } else if let Some((place, of)) = &self.page_by {
            let key = &self.columns[*place].name;
            let page = |condition: &str| {
                format!(
                    "SELECT @line = STRING_AGG(p.line, '{ROW}'), @last = MAX(p.k), @rows = COUNT_BIG(*) FROM \
                     (SELECT TOP ({}) {key} AS k, {} AS line FROM {}{condition} ORDER BY {key}) AS p",
                    self.rows_per_line,
                    self.row(caps, false),
                    self.full_name
                )
            };
            let _ = writeln!(
                sql,
                "DECLARE @last {of}, @rows bigint, @line varchar(max);\n{};\nWHILE @rows > 0\nBEGIN\n\
                 SELECT '~R|' + @line;\n{}{};\nEND;",
                page(""),
                if sent { "SET @sent = @sent + @rows;\n" } else { "" },
                page(&format!(" WHERE {key} > @last"))
            );
        } else {
            let _ = write!(
                sql,
                "SELECT '~R|' + {} FROM {}{};\n{counted}",
                self.row(caps, false),
                self.full_name,
                self.order
            );
        }
        let _ = if sent {
            write!(sql, "SELECT '~E|{number}|' + CONVERT(varchar(20), @sent);")
        } else {
            let of = &self.full_name;
            write!(sql, "SELECT '~E|{number}|' + CONVERT(varchar(20), COUNT_BIG(*)) FROM {of};")
        };
        script.batch(&sql);
    }

    fn row(&self, caps: &Capabilities, in_pieces: bool) -> String {
        let fields: Vec<String> = self
            .columns
            .iter()
            .map(|column| {
                if in_pieces && column.large {
                    format!("'{IN_PIECES}'")
                } else {
                    column.form.field(&column.name, caps)
                }
            })
            .collect();
        row(&fields)
    }

    /// Asks for the rows with small values as they are, and for the others one by one, each large value in
    /// pieces: neither the tool nor we could hold whole ones.
    fn ask_for_large(&self, sql: &mut String, caps: &Capabilities, counted: &str) {
        let large: Vec<(usize, &DataColumn)> =
            self.columns.iter().enumerate().filter(|(_, column)| column.large).collect();
        let sizes: Vec<String> = large
            .iter()
            .map(|(_, column)| {
                format!("ISNULL(CAST(DATALENGTH({}) AS bigint), 0)", column.form.searchable(&column.name))
            })
            .collect();
        let size = sizes.join(" + ");
        let _ = write!(
            sql,
            "SELECT '~R|' + {} FROM {} WHERE {size} <= {INLINE}{};\n{counted}",
            self.row(caps, false),
            self.full_name,
            self.order
        );
        let _ = writeln!(sql, "IF EXISTS (SELECT 1 FROM {} WHERE {size} > {INLINE})\nBEGIN", self.full_name);
        let variable = |form: &Form| if form.is_bytes() { "varbinary(max)" } else { "nvarchar(max)" };
        let declared: Vec<String> =
            large.iter().map(|(at, column)| format!("@v{at} {}", variable(&column.form))).collect();
        let values: Vec<String> =
            large.iter().map(|(_, column)| column.form.searchable(&column.name)).collect();
        let variables: Vec<String> = large.iter().map(|(at, _)| format!("@v{at}")).collect();
        let fetch = format!("FETCH NEXT FROM dilux_rows INTO @row, {}", variables.join(", "));
        let _ = writeln!(
            sql,
            "DECLARE @row varchar(max), @at bigint, @t nvarchar(max), @b varbinary(max), {};\n\
             DECLARE dilux_rows CURSOR LOCAL FORWARD_ONLY FOR SELECT {}, {} FROM {} WHERE {size} > {INLINE}{};\n\
             OPEN dilux_rows;\n{fetch};\nWHILE @@FETCH_STATUS = 0\nBEGIN",
            declared.join(", "),
            self.row(caps, true),
            values.join(", "),
            self.full_name,
            self.order
        );
        for (at, column) in &large {
            let (piece, form) =
                if column.form.is_bytes() { ("@b", Form::Binary) } else { ("@t", Form::Text) };
            // To the first empty piece: lengths count differently from server to server.
            let _ = writeln!(
                sql,
                "IF @v{at} IS NULL\nBEGIN\nSELECT '~N|{at}';\nEND\nELSE\nBEGIN\nSELECT '~V|{at}';\nSET @at = 1;\n\
                 SET {piece} = SUBSTRING(@v{at}, @at, {PIECE});\nWHILE DATALENGTH({piece}) > 0\nBEGIN\n\
                 SELECT '~L|{at}|' + {};\nSET @at = @at + {PIECE};\n\
                 SET {piece} = SUBSTRING(@v{at}, @at, {PIECE});\nEND;\nEND;",
                field(&form.content(piece, caps))
            );
        }
        let _ = writeln!(
            sql,
            "SELECT '~G|' + @row;\n{counted}{fetch};\nEND;\nCLOSE dilux_rows;\nDEALLOCATE dilux_rows;\nEND;"
        );
    }
}

/// Returns the columns by which the rows of a table are in order, where they are.
fn key_of(catalog: &Catalog, table: &Table) -> Vec<String> {
    let indexes = || {
        catalog
            .indexes
            .iter()
            .filter(|index| index.table == table.id && index.unique && index.filter.is_none())
    };
    let index = indexes().find(|index| index.primary_key).or_else(|| indexes().find(|index| index.kind == 1));
    index.map_or_else(Vec::new, |index| {
        index.columns.iter().filter(|column| column.key > 0).map(|column| name(&column.name)).collect()
    })
}

/// Returns the type of a column by which pages can be read: one whose values have an order that no collation
/// changes, and that is never NULL.
fn page_column(catalog: &Catalog, table: &Table, key: &str) -> Option<String> {
    let column = catalog.columns_of(table.id).iter().find(|column| name(&column.name) == key)?;
    let of = column.of.base.as_str();
    (!column.nullable && matches!(of, "tinyint" | "smallint" | "int" | "bigint")).then(|| of.to_owned())
}

/// What goes wrong with answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bad {
    /// A line is not what was asked for.
    Line { table: Option<usize> },
    /// Fewer or more rows have come than the server counts.
    Count { table: usize, counted: u64, received: u64 },
}

/// Makes statements of the answers.
pub(crate) struct Writer<'a> {
    tables: &'a [DataTable],
    caps: &'a Capabilities,
    current: Option<usize>,
    /// The number of the table that has to come next.
    next: usize,
    /// The statement that is being filled, and the rows in it.
    statement: String,
    rows_in_statement: usize,
    rows: u64,
    rows_in_transaction: u64,
    /// The columns of the row in pieces that are there: whether each has a value.
    pieces: Vec<(usize, bool)>,
    extreme_identity: Option<i128>,
    /// The rows of each table that is done, and the last of its numbers.
    pub done: Vec<Done>,
}

/// A table that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Done {
    pub rows: u64,
    /// The number that loading the rows leaves behind.
    pub identity: Option<i128>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(tables: &'a [DataTable], caps: &'a Capabilities) -> Self {
        Self {
            tables,
            caps,
            current: None,
            next: 0,
            statement: String::new(),
            rows_in_statement: 0,
            rows: 0,
            rows_in_transaction: 0,
            pieces: Vec::new(),
            extreme_identity: None,
            done: Vec::new(),
        }
    }

    /// Returns the table whose rows come.
    pub(crate) fn current(&self) -> Option<&DataTable> {
        self.current.or(Some(self.next)).and_then(|table| self.tables.get(table))
    }

    /// Tells whether all tables have come to their ends.
    pub(crate) fn is_complete(&self) -> bool {
        self.current.is_none() && self.next == self.tables.len()
    }

    /// Takes one line of an answer, and adds the statements that are complete with it.
    pub(crate) fn push(&mut self, script: &mut Script, line: &str) -> Result<(), Bad> {
        self.take(script, line).map_err(|problem| match problem {
            Problem::Malformed => Bad::Line { table: self.current },
            Problem::Bad(bad) => bad,
        })
    }

    fn take(&mut self, script: &mut Script, line: &str) -> Result<(), Problem> {
        let (kind, rest) = line.strip_prefix('~').and_then(|line| line.split_once(FIELD)).ok_or(Malformed)?;
        match (kind, self.current) {
            ("B", None) if number(rest)? == self.next && self.next < self.tables.len() => {
                self.current = Some(self.next);
                self.rows = 0;
                self.extreme_identity = None;
            }
            ("R", Some(table)) => {
                for row in rest.split(ROW) {
                    self.row(script, table, row)?;
                }
            }
            ("V", Some(table)) => {
                let column = self.column_in_pieces(table, rest)?;
                self.pieces.push((column, true));
                self.flush(script, table);
                script.batch(&format!("INSERT INTO #dilux_large (c, t, b) VALUES ({column}, N'', 0x)"));
            }
            ("N", Some(table)) => {
                let column = self.column_in_pieces(table, rest)?;
                self.pieces.push((column, false));
            }
            ("L", Some(table)) => self.piece(script, table, rest)?,
            ("G", Some(table)) => self.row_in_pieces(script, table, rest)?,
            ("E", Some(table)) => {
                let (end, counted) = rest.split_once(FIELD).ok_or(Malformed)?;
                let counted: u64 = counted.parse().map_err(|_| Malformed)?;
                if number(end)? != table || !self.pieces.is_empty() {
                    return Err(Malformed.into());
                }
                if counted != self.rows {
                    return Err(Problem::Bad(Bad::Count { table, counted, received: self.rows }));
                }
                self.flush(script, table);
                self.commit(script);
                self.done.push(Done { rows: self.rows, identity: self.extreme_identity });
                self.current = None;
                self.next += 1;
            }
            _ => return Err(Malformed.into()),
        }
        Ok(())
    }

    fn row(&mut self, script: &mut Script, table: usize, row: &str) -> Result<(), Malformed> {
        let of = &self.tables[table];
        self.begin_row(script);
        if of.columns.is_empty() {
            if row != "=" {
                return Err(Malformed);
            }
            script.batch(&format!("INSERT INTO {} DEFAULT VALUES", of.full_name));
            self.rows += 1;
            return Ok(());
        }
        if self.statement.is_empty() {
            self.statement.push_str(&of.insert);
            self.statement.push_str(" VALUES\n(");
        } else {
            self.statement.push_str(",\n(");
        }
        let mut fields = row.split(FIELD);
        for (at, column) in of.columns.iter().enumerate() {
            let field = fields.next().ok_or(Malformed)?;
            if at > 0 {
                self.statement.push(',');
            }
            column.form.push_literal(&mut self.statement, field, self.caps)?;
            if of.identity == Some(at) {
                self.note_identity(of, field);
            }
        }
        if fields.next().is_some() {
            return Err(Malformed);
        }
        self.statement.push(')');
        self.rows += 1;
        self.rows_in_statement += 1;
        if self.rows_in_statement >= MOST_ROWS || self.statement.len() >= STATEMENT {
            self.flush(script, table);
        }
        Ok(())
    }

    fn column_in_pieces(&self, table: usize, text: &str) -> Result<usize, Malformed> {
        let column = number(text)?;
        let expected = self.tables[table].columns.get(column).is_some_and(|column| column.large);
        let in_order = self.pieces.last().is_none_or(|(last, _)| *last < column);
        if expected && in_order { Ok(column) } else { Err(Malformed) }
    }

    fn piece(&mut self, script: &mut Script, table: usize, rest: &str) -> Result<(), Malformed> {
        let (column, field) = rest.split_once(FIELD).ok_or(Malformed)?;
        let column = number(column)?;
        if self.pieces.last() != Some(&(column, true)) {
            return Err(Malformed);
        }
        let content = content(field)?.ok_or(Malformed)?;
        let mut literal = String::new();
        let target = if self.tables[table].columns[column].form.is_bytes() {
            super::transfer::bytes_of(content).ok_or(Malformed)?;
            push_bytes(&mut literal, content);
            "b"
        } else {
            push_wide(&mut literal, &self.caps.text.read(content).ok_or(Malformed)?);
            "t"
        };
        let assignment = if self.caps.write_clause {
            format!("{target}.WRITE({literal}, NULL, 0)")
        } else {
            format!("{target} = {target} + {literal}")
        };
        script.inert_batch(&format!("UPDATE #dilux_large SET {assignment} WHERE c = {column}"));
        Ok(())
    }

    fn row_in_pieces(&mut self, script: &mut Script, table: usize, row: &str) -> Result<(), Malformed> {
        let of = &self.tables[table];
        self.begin_row(script);
        let mut sql = format!("{} SELECT ", of.insert);
        let mut fields = row.split(FIELD);
        for (at, column) in of.columns.iter().enumerate() {
            let field = fields.next().ok_or(Malformed)?;
            if at > 0 {
                sql.push_str(", ");
            }
            if !column.large {
                column.form.push_literal(&mut sql, field, self.caps)?;
                if of.identity == Some(at) {
                    self.note_identity(of, field);
                }
                continue;
            }
            let (_, has_value) = *self.pieces.iter().find(|(known, _)| *known == at).ok_or(Malformed)?;
            if field != IN_PIECES {
                return Err(Malformed);
            }
            let text = format!("(SELECT t FROM #dilux_large WHERE c = {at})");
            let bytes = format!("(SELECT b FROM #dilux_large WHERE c = {at})");
            let value = if !has_value {
                "NULL".to_owned()
            } else if let Form::Spatial(name) = &column.form {
                format!("CAST({bytes} AS {name})")
            } else if column.form == Form::Xml {
                xml(&text, self.caps)
            } else if column.form.is_bytes() {
                bytes
            } else {
                text
            };
            sql.push_str(&value);
        }
        if fields.next().is_some() {
            return Err(Malformed);
        }
        let sql = Self::with_identity(of, &sql);
        script.batch(&sql);
        script.batch("DELETE FROM #dilux_large");
        self.pieces.clear();
        self.rows += 1;
        Ok(())
    }

    fn begin_row(&mut self, script: &mut Script) {
        if self.rows_in_transaction == TRANSACTION {
            if let Some(table) = self.current {
                self.flush(script, table);
            }
            self.commit(script);
        }
        if self.rows_in_transaction == 0 {
            script.inert_batch("BEGIN TRANSACTION");
        }
        self.rows_in_transaction += 1;
    }

    fn commit(&mut self, script: &mut Script) {
        if self.rows_in_transaction > 0 {
            script.inert_batch("COMMIT TRANSACTION");
            self.rows_in_transaction = 0;
        }
    }

    fn flush(&mut self, script: &mut Script, table: usize) {
        if self.statement.is_empty() {
            return;
        }
        let of = &self.tables[table];
        let sql = Self::with_identity(of, &self.statement);
        // The literals hold nothing that would need a look; only the names may.
        if of.plain {
            script.inert_batch(&sql);
        } else {
            script.batch(&sql);
        }
        self.statement.clear();
        self.rows_in_statement = 0;
    }

    /// The setting belongs into the very batch of the rows: one that is made inside of `EXEC` ends with it.
    fn with_identity(of: &DataTable, sql: &str) -> String {
        if of.identity.is_none() {
            return sql.to_owned();
        }
        let name = &of.full_name;
        format!("SET IDENTITY_INSERT {name} ON;\n{sql};\nSET IDENTITY_INSERT {name} OFF;")
    }

    fn note_identity(&mut self, of: &DataTable, field: &str) {
        let value = field.strip_prefix('=').and_then(|digits| digits.parse::<i128>().ok());
        self.extreme_identity = match (self.extreme_identity, value) {
            (Some(known), Some(value)) if of.increment > 0 => Some(known.max(value)),
            (Some(known), Some(value)) => Some(known.min(value)),
            (known, value) => value.or(known),
        };
    }
}

/// Adds the statements that bring the numbering of rows to where it was, where loading does not.
pub(crate) fn reseed(tables: &[DataTable], done: &[Done], script: &mut Script, caps: &Capabilities) {
    for (table, done) in tables.iter().zip(done) {
        let Some(last) = table.last_identity.as_ref().and_then(|last| last.parse::<i128>().ok()) else {
            continue;
        };
        // In a table that never had a row, the next one gets the very number that is set.
        let set = if done.rows == 0 { last + table.increment } else { last };
        if done.identity == Some(last) {
            continue;
        }
        let sql = format!(
            "DBCC CHECKIDENT ({}, RESEED, {set}) WITH NO_INFOMSGS",
            super::literal::text(&table.full_name)
        );
        if caps.microsoft {
            script.batch(&sql);
        } else if caps.try_catch {
            told(script, &sql);
        }
    }
}

enum Problem {
    Malformed,
    Bad(Bad),
}

impl From<Malformed> for Problem {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}

fn number(text: &str) -> Result<usize, Malformed> {
    text.parse().map_err(|_| Malformed)
}
