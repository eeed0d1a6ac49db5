//! Reads a script for `psql` as `psql` does, on its way to a PostgreSQL server. Pure.
//!
//! Two things are left out, because they would end the restore of a good backup:
//!
//! - `SET default_tablespace` of older backups: a tablespace is a folder of one machine.
//! - In a database that is empty, what the dump clears away before its first object: most of that does
//!   nothing there, but taking a check from a domain that is not there fails, and so does the stand-in of a
//!   view whose types or schema are not there yet.
//!
//! And where `psql` is too old to be told to run no commands of its own, they are refused here.
//!
//! What must stay true: nothing else is changed, whatever is in rows, quotes, comments and the bodies of
//! functions. Lines keep their numbers, and may have any length: only the head of a statement is ever held
//! back.

use bytes::{Bytes, BytesMut};

/// As much of a statement as tells what it is, in bytes.
const HEAD: usize = 128;

/// As much of a statement as tells whether it is the stand-in of a view, whose name has two parts of at most
/// 63 bytes, each of which may be doubled.
const LONG_HEAD: usize = 1024;

/// What a stand-in has between the view's name and its first column.
const STAND_IN: &[u8] = b" AS\nSELECT\n    NULL::";

/// What a statement has that takes something away from a table, a domain or the like.
const DROP: &[u8] = b" DROP ";

/// What comes before an object of the dump, and after all that is cleared away.
const OBJECTS: [&[u8]; 3] = [b"-- Name: ", b"-- Data for Name: ", b"-- TOC entry "];

/// What makes rows follow a statement.
const FROM_STDIN: &[u8] = b" FROM stdin";

/// Encodings in which a byte of a letter may look like a quote or a backslash; no server stores its texts in
/// one, so that no dump has one.
const UNSAFE_ENCODINGS: [&str; 9] =
    ["BIG5", "GBK", "GB18030", "JOHAB", "SJIS", "SHIFT_JIS", "UHC", "MSKANJI", "WIN9"];

/// A blank to some releases of the client only.
const VERTICAL_TAB: u8 = 0x0b;

/// How the client reads a script, and what must be kept from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reader {
    /// The client cannot be told to run no commands of its own.
    pub is_unguarded: bool,
    /// It knows functions whose bodies are statements between `BEGIN ATOMIC` and `END`, since version 14.
    pub knows_bodies: bool,
}

/// Where in the script the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Between two statements.
    Between,
    Code,
    /// After a `-`.
    Dash,
    /// After a `/`.
    Slash,
    LineComment,
    /// In so many comments within each other; after this byte.
    BlockComment {
        depth: u32,
        before: u8,
    },
    /// Between quotes of this kind.
    Quoted(u8),
    /// Between quotes in which backslashes count; after one, if so said.
    Escaping {
        escaped: bool,
    },
    /// Behind such a text: a quote goes on with it if it follows at once, or on another line.
    Escaped {
        blank: bool,
        line: bool,
    },
    /// In what may become the tag of a dollar quote.
    Tag,
    /// Between dollar quotes; so much of the closing one has been seen.
    Dollar {
        seen: usize,
    },
    /// In a line for the client itself.
    Command,
    /// Behind a statement that rows follow.
    BeforeRows,
    Rows(Row),
}

/// Where in a row the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    Begin,
    /// After a backslash at the beginning.
    Backslash,
    /// After `\.`.
    Dot,
    /// After `\.` and a carriage return.
    Return,
    Rest,
}

/// What kind of word the last byte was part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    None,
    Name,
    Number,
}

/// What is known of the statement that is being read.
#[derive(Debug, Default)]
struct Statement {
    has_begun: bool,
    /// The first letters of its first words.
    letters: [u8; 4],
    words: usize,
    is_copy: bool,
    parentheses: u32,
    bodies: u32,
    /// The last bytes of its code.
    tail: Vec<u8>,
}

/// A script on its way to `psql`.
#[derive(Debug)]
pub(crate) struct Script {
    reader: Reader,
    place: Place,
    word: Word,
    /// The name that is being read, as far as it could be a word of interest, in small letters.
    name: Vec<u8>,
    tag: Vec<u8>,
    statement: Statement,
    /// No object has come yet, and the database is empty.
    is_clearing: bool,
    is_left_out: bool,
    held: BytesMut,
    line: u64,
    refused: Option<u64>,
    cleared: u64,
    tablespaces: u64,
}

impl Script {
    /// Begins a script that is loaded into a database which may be empty.
    pub(crate) fn new(reader: Reader, is_empty: bool) -> Self {
        Self {
            reader,
            place: Place::Between,
            word: Word::None,
            name: Vec::new(),
            tag: Vec::new(),
            statement: Statement::default(),
            is_clearing: is_empty,
            is_left_out: false,
            held: BytesMut::new(),
            line: 1,
            refused: None,
            cleared: 0,
            tablespaces: 0,
        }
    }

    /// Takes the next piece of the script and returns what can be passed on.
    pub(crate) fn push(&mut self, piece: &Bytes) -> Vec<Bytes> {
        self.read(piece, false)
    }

    /// Returns what was held back.
    pub(crate) fn finish(&mut self) -> Vec<Bytes> {
        self.read(&Bytes::new(), true)
    }

    /// Returns the line of the first command of the client's own, where the client would run it. What was
    /// returned since must not be passed on.
    pub(crate) fn refused(&self) -> Option<u64> {
        self.refused
    }

    /// Tells what was left out.
    pub(crate) fn told(&self) -> Vec<String> {
        let mut told = Vec::new();
        if self.cleared > 0 {
            told.push(format!(
                "{} statements that clear away what an empty database does not have were left out",
                self.cleared
            ));
        }
        if self.tablespaces > 0 {
            told.push("the tablespaces of tables and indexes were left out".to_owned());
        }
        told
    }

    fn read(&mut self, piece: &Bytes, is_last: bool) -> Vec<Bytes> {
        let data = if self.held.is_empty() {
            piece.clone()
        } else {
            self.held.extend_from_slice(piece);
            self.held.split().freeze()
        };
        if self.reader.is_unguarded && data.contains(&0) {
            // The client would not see the rest of the line.
            self.refused.get_or_insert(self.line);
        }
        let mut passed = Vec::new();
        let (mut from, mut at) = (0, 0);
        while at < data.len() {
            let byte = data[at];
            if self.place == Place::Between && !is_blank(byte) && byte != b'-' && byte != b'/'
                || self.is_clearing && self.place == Place::Between && byte == b'-'
            {
                let wanted = if self.is_clearing { LONG_HEAD } else { HEAD };
                let head = &data[at..data.len().min(at + wanted)];
                if head.len() < wanted && !is_last {
                    passed.push(self.as_is_or_blank(data.slice(from..at)));
                    self.held.extend_from_slice(&data[at..]);
                    return passed;
                }
                if byte != b'-' {
                    self.statement = Statement::default();
                    self.is_left_out = self.leaves_out(head);
                    if self.is_left_out {
                        passed.push(data.slice(from..at));
                        from = at;
                    }
                } else if OBJECTS.iter().any(|object| head.starts_with(object)) {
                    self.is_clearing = false;
                }
            }
            let (before, was_between) = (at, self.place == Place::Between);
            at = self.pass(&data, at);
            if self.is_left_out && !was_between && self.place == Place::Between && at > before {
                passed.push(self.as_is_or_blank(data.slice(from..at)));
                self.is_left_out = false;
                from = at;
            }
        }
        passed.push(self.as_is_or_blank(data.slice(from..)));
        passed
    }

    fn as_is_or_blank(&self, piece: Bytes) -> Bytes {
        if !self.is_left_out {
            return piece;
        }
        piece.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { *byte } else { b' ' }).collect()
    }

    /// Tells by its head whether a statement is left out.
    fn leaves_out(&mut self, head: &[u8]) -> bool {
        if head.starts_with(b"SET default_tablespace = ") {
            // It is at the head of every dump, and sets nothing there.
            self.tablespaces += u64::from(!head.starts_with(b"SET default_tablespace = '';"));
            return true;
        }
        if self.reader.is_unguarded && is_change_of_reading(head) {
            self.refused.get_or_insert(self.line);
        }
        if !self.is_clearing {
            return false;
        }
        let is_stand_in = head.starts_with(b"CREATE OR REPLACE VIEW ")
            && head.windows(STAND_IN.len()).any(|window| window == STAND_IN);
        // A schema is made again without asking whether it is there; `public` may be.
        let drops = head.starts_with(b"DROP ") && !head.starts_with(b"DROP SCHEMA ");
        let takes_away = head.starts_with(b"ALTER ") && head.windows(DROP.len()).any(|window| window == DROP);
        let is_clearing = drops || takes_away || is_stand_in;
        // The rest of the head: settings, large objects, the words of restricted mode.
        let is_head =
            [&b"SET "[..], b"SELECT pg_catalog.", b"DROP SCHEMA ", b"CREATE SCHEMA IF NOT EXISTS ", b"\\"]
                .iter()
                .any(|beginning| head.starts_with(beginning));
        self.is_clearing = is_clearing || is_head;
        self.cleared += u64::from(is_clearing);
        is_clearing
    }

    /// Passes a byte, or as many as are of no interest; returns where it stopped.
    fn pass(&mut self, data: &[u8], at: usize) -> usize {
        if let Place::Rows(Row::Rest) = self.place {
            let Some(end) = data[at..].iter().position(|byte| *byte == b'\n') else { return data.len() };
            self.place = Place::Rows(Row::Begin);
            self.line += 1;
            return at + end + 1;
        }
        let byte = data[at];
        self.place = match self.place {
            Place::Between | Place::Code => self.code(byte, at, data),
            Place::Dash if byte == b'-' => Place::LineComment,
            Place::Slash if byte == b'*' => Place::BlockComment { depth: 1, before: 0 },
            // It was none; this byte may begin something else.
            Place::Dash | Place::Slash => {
                self.begin();
                self.code(byte, at, data)
            }
            Place::LineComment if matches!(byte, b'\n' | b'\r') => self.code(byte, at, data),
            Place::BlockComment { depth: 1, before: b'*' } if byte == b'/' => self.after_comment(),
            Place::BlockComment { depth, before: b'*' } if byte == b'/' => {
                Place::BlockComment { depth: depth - 1, before: 0 }
            }
            Place::BlockComment { depth, before: b'/' } if byte == b'*' => {
                Place::BlockComment { depth: depth + 1, before: 0 }
            }
            Place::BlockComment { depth, .. } => Place::BlockComment { depth, before: byte },
            Place::Quoted(quote) if byte == quote => Place::Code,
            Place::Escaping { escaped: true } => Place::Escaping { escaped: false },
            Place::Escaping { escaped: false } if byte == b'\\' => Place::Escaping { escaped: true },
            Place::Escaping { escaped: false } if byte == b'\'' => {
                Place::Escaped { blank: false, line: false }
            }
            Place::Escaped { blank, line } if byte == b'\'' && (line || !blank) => {
                Place::Escaping { escaped: false }
            }
            Place::Escaped { line, .. } if is_blank(byte) => {
                Place::Escaped { blank: true, line: line || matches!(byte, b'\n' | b'\r') }
            }
            Place::Escaped { line, .. } => {
                if line && byte == b'-' {
                    // A comment may stand between the parts of such a text; no dump has one there.
                    self.refuse();
                }
                self.code(byte, at, data)
            }
            Place::Command if byte == b'\n' => self.ended(),
            Place::Tag if byte == b'$' => Place::Dollar { seen: 0 },
            Place::Tag
                if is_of_name(byte) && byte != b'$' && !(self.tag.is_empty() && byte.is_ascii_digit()) =>
            {
                self.tag.push(byte);
                Place::Tag
            }
            // A parameter, or a dollar that is none.
            Place::Tag => {
                if !self.tag.is_empty() {
                    self.refuse();
                }
                self.word =
                    if self.tag.is_empty() && byte.is_ascii_digit() { Word::Number } else { Word::None };
                self.code(byte, at, data)
            }
            Place::Dollar { seen } => self.dollar(seen, byte),
            Place::BeforeRows if byte == b'\n' => Place::Rows(Row::Begin),
            Place::BeforeRows if !is_blank(byte) => {
                self.refuse();
                Place::BeforeRows
            }
            Place::Rows(row) => match (row, byte) {
                (Row::Dot | Row::Return, b'\n') => self.ended(),
                (_, b'\n') => Place::Rows(Row::Begin),
                (Row::Begin, b'\\') => Place::Rows(Row::Backslash),
                (Row::Backslash, b'.') => Place::Rows(Row::Dot),
                (Row::Dot, b'\r') => Place::Rows(Row::Return),
                _ => Place::Rows(Row::Rest),
            },
            place @ (Place::LineComment
            | Place::Quoted(_)
            | Place::Escaping { .. }
            | Place::Command
            | Place::BeforeRows) => place,
        };
        self.line += u64::from(byte == b'\n');
        at + 1
    }

    /// Returns the place after a byte of code.
    fn code(&mut self, byte: u8, at: usize, data: &[u8]) -> Place {
        let is_name =
            is_of_name(byte) && !(self.word != Word::Name && (byte.is_ascii_digit() || byte == b'$'));
        if self.word == Word::Name && !is_of_name(byte) {
            self.end_word();
        }
        if is_name {
            self.begin();
            if self.word != Word::Name {
                self.name.clear();
            }
            // In earlier versions, a number ends where a letter follows.
            self.word = Word::Name;
            if self.name.len() < 8 {
                self.name.push(byte.to_ascii_lowercase());
            }
            self.remember(byte);
            return Place::Code;
        }
        let is_number = byte.is_ascii_digit() && self.word != Word::Name;
        let before = std::mem::replace(&mut self.word, if is_number { Word::Number } else { Word::None });
        if byte == b'$' {
            if before == Word::Number {
                self.refuse();
            }
            self.begin();
            self.remember(0);
            self.tag.clear();
            return Place::Tag;
        }
        let is_escaping = before == Word::Name && self.name == b"e";
        if is_blank(byte) {
            self.remember(if byte == b' ' { b' ' } else { 0 });
            return self.after_comment();
        }
        self.remember(if matches!(byte, b'-' | b'/' | b'\'' | b'"') { 0 } else { byte });
        match byte {
            b'-' => return Place::Dash,
            b'/' => return Place::Slash,
            b'\\' => {
                let is_harmless = !self.statement.has_begun && is_of_restricted_mode(&data[at..]);
                if !is_harmless {
                    self.refuse();
                }
                return Place::Command;
            }
            VERTICAL_TAB => self.refuse(),
            _ => {}
        }
        if byte == b';' && self.statement.parentheses == 0 && self.statement.bodies == 0 {
            if !self.statement.is_copy {
                return self.ended();
            }
            let brings_rows = self.statement.tail.strip_suffix(b";") == Some(FROM_STDIN);
            self.statement = Statement::default();
            if brings_rows {
                return Place::BeforeRows;
            }
            self.refuse();
            return Place::Between;
        }
        self.begin();
        match byte {
            b'(' => self.statement.parentheses += 1,
            b')' => self.statement.parentheses = self.statement.parentheses.saturating_sub(1),
            b'\'' if is_escaping => return Place::Escaping { escaped: false },
            b'\'' | b'"' => return Place::Quoted(byte),
            _ => {}
        }
        Place::Code
    }

    /// Returns the place after a byte of the closing dollar quote, or of what is before it.
    fn dollar(&self, seen: usize, byte: u8) -> Place {
        match (seen, byte) {
            (0, b'$') => Place::Dollar { seen: 1 },
            (0, _) => Place::Dollar { seen: 0 },
            (_, b'$') if seen == self.tag.len() + 1 => Place::Code,
            (_, b'$') => Place::Dollar { seen: 1 },
            _ if self.tag.get(seen - 1) == Some(&byte) => Place::Dollar { seen: seen + 1 },
            _ => Place::Dollar { seen: 0 },
        }
    }

    /// Counts a word as the client does, to know whether a semicolon ends the statement.
    fn end_word(&mut self) {
        let statement = &mut self.statement;
        let name = self.name.as_slice();
        statement.is_copy |= statement.words == 0 && name == b"copy";
        if let Some(letter) = statement.letters.get_mut(statement.words)
            && [&b"create"[..], b"or", b"replace", b"function", b"procedure"].contains(&name)
        {
            *letter = name[0];
        }
        statement.words += 1;
        let makes_code =
            matches!(statement.letters, [b'c', b'f' | b'p', ..] | [b'c', b'o', b'r', b'f' | b'p']);
        if !self.reader.knows_bodies || !makes_code || statement.parentheses > 0 {
            return;
        }
        match name {
            b"begin" => statement.bodies += 1,
            b"case" if statement.bodies > 0 => statement.bodies += 1,
            b"end" => statement.bodies = statement.bodies.saturating_sub(1),
            _ => {}
        }
    }

    /// Keeps the end of a statement that rows may follow.
    fn remember(&mut self, byte: u8) {
        if self.statement.is_copy {
            let tail = &mut self.statement.tail;
            // One more for the semicolon.
            if tail.len() > FROM_STDIN.len() {
                tail.remove(0);
            }
            tail.push(byte);
        }
    }

    fn begin(&mut self) {
        self.statement.has_begun = true;
    }

    /// Returns the place after a statement.
    fn ended(&mut self) -> Place {
        self.statement = Statement::default();
        self.word = Word::None;
        Place::Between
    }

    fn after_comment(&self) -> Place {
        if self.statement.has_begun { Place::Code } else { Place::Between }
    }

    /// Notes that this line must not come to a client that cannot be told to run no commands.
    fn refuse(&mut self) {
        if self.reader.is_unguarded {
            self.refused.get_or_insert(self.line);
        }
    }
}

/// Tells whether a statement would make the client read what follows in another way.
fn is_change_of_reading(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(head).to_ascii_uppercase();
    let Some((statement, _)) = head.split_once(';') else { return false };
    if statement.contains("CLIENT_ENCODING") {
        return UNSAFE_ENCODINGS.iter().any(|encoding| statement.contains(encoding));
    }
    statement.contains("STANDARD_CONFORMING_STRINGS") && statement != "SET STANDARD_CONFORMING_STRINGS = ON"
}

/// Tells whether a line is one of the two that newer dumps have for newer clients.
fn is_of_restricted_mode(line: &[u8]) -> bool {
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    [&b"\\restrict "[..], b"\\unrestrict "]
        .iter()
        .filter_map(|command| line.strip_prefix(*command))
        .any(|word| word.iter().all(u8::is_ascii_alphanumeric))
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c)
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GUARDED: Reader = Reader { is_unguarded: false, knows_bodies: true };
    const UNGUARDED: Reader = Reader { is_unguarded: true, knows_bodies: true };

    fn read(
        reader: Reader,
        is_empty: bool,
        text: &str,
        cuts: &[usize],
    ) -> (String, Option<u64>, Vec<String>) {
        let mut script = Script::new(reader, is_empty);
        let mut rest = Bytes::copy_from_slice(text.as_bytes());
        let mut passed = Vec::new();
        for cut in cuts {
            let piece = rest.split_to((*cut).min(rest.len()));
            passed.extend(script.push(&piece).concat());
        }
        passed.extend(script.push(&rest).concat());
        passed.extend(script.finish().concat());
        (String::from_utf8_lossy(&passed).into_owned(), script.refused(), script.told())
    }

    fn refused(text: &str) -> Option<u64> {
        read(UNGUARDED, false, text, &[]).1
    }

    /// What `pg_dump` writes.
    const DUMP: &str = r#"--
-- PostgreSQL database dump
--

\restrict a1

-- Dumped from database version 15.18

SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);

ALTER DOMAIN app.d DROP CONSTRAINT d_check;
CREATE OR REPLACE VIEW app."v;" AS
SELECT
    NULL::app.status AS "s;";
DROP VIEW IF EXISTS app."v;";
DROP TABLE IF EXISTS app.t;
DROP SCHEMA IF EXISTS app;
--
-- Name: app; Type: SCHEMA
--

CREATE SCHEMA app;

CREATE OR REPLACE VIEW app.kept AS
SELECT
    NULL::integer AS n;
SET default_tablespace = fast;
CREATE FUNCTION app.f() RETURNS text LANGUAGE plpgsql AS $_$
SET default_tablespace = kept;
\! no
$_$;
COMMENT ON SCHEMA app IS 'a
SET default_tablespace = kept;
\! no \';
CREATE FUNCTION app.g() RETURNS integer LANGUAGE sql
    BEGIN ATOMIC
 SELECT 1;
 SELECT CASE WHEN true THEN 2 END;
END;
CREATE RULE r AS ON INSERT TO app.t DO ALSO ( SELECT 1;
 SELECT 2;
);
COPY app.t ("FROM stdin") FROM stdin;
SET default_tablespace = kept;
DROP TABLE kept;
\\! it's $$ a row
\N
\.
SET default_tablespace = '';
SELECT E'it\'s' || E'a'
'\'; \! no', a$b$c, $1;

--
-- PostgreSQL database dump complete
--

\unrestrict a1
"#;

    #[test]
    fn what_clears_away_is_left_out_where_nothing_is() {
        let (text, refused, told) = read(UNGUARDED, true, DUMP, &[]);
        assert_eq!(refused, None);
        assert_eq!((text.len(), text.lines().count()), (DUMP.len(), DUMP.lines().count()));
        let changed: Vec<&str> =
            DUMP.lines().zip(text.lines()).filter(|(a, b)| a != b).map(|(a, _)| a).collect();
        assert_eq!(
            changed,
            [
                "ALTER DOMAIN app.d DROP CONSTRAINT d_check;",
                "CREATE OR REPLACE VIEW app.\"v;\" AS",
                "SELECT",
                "    NULL::app.status AS \"s;\";",
                "DROP VIEW IF EXISTS app.\"v;\";",
                "DROP TABLE IF EXISTS app.t;",
                "SET default_tablespace = fast;",
                "SET default_tablespace = '';",
            ]
        );
        assert!(DUMP.lines().zip(text.lines()).all(|(a, b)| a == b || b.trim().is_empty()), "{text}");
        assert_eq!(
            told,
            [
                "4 statements that clear away what an empty database does not have were left out",
                "the tablespaces of tables and indexes were left out",
            ]
        );
    }

    #[test]
    fn only_tablespaces_are_left_out_where_something_is() {
        let (text, _, told) = read(GUARDED, false, DUMP, &[]);
        let changed: Vec<&str> =
            DUMP.lines().zip(text.lines()).filter(|(a, b)| a != b).map(|(a, _)| a).collect();
        assert_eq!(changed, ["SET default_tablespace = fast;", "SET default_tablespace = '';"]);
        assert_eq!(told, ["the tablespaces of tables and indexes were left out"]);
    }

    #[test]
    fn a_script_of_somebody_else_keeps_its_beginning() {
        for text in [
            "SELECT 1;\nDROP TABLE t;\nCREATE TABLE t ();\n",
            "CREATE OR REPLACE VIEW v AS SELECT 1;\nDROP VIEW v;\n",
            "ALTER DATABASE x SET work_mem = 1;\n",
        ] {
            assert_eq!(read(GUARDED, true, text, &[]).0, text);
        }
    }

    #[test]
    fn commands_are_refused_wherever_the_client_would_run_them() {
        for (text, line) in [
            ("\\! touch x\n", 1),
            ("SELECT 1;\n  \\! touch x\n", 2),
            ("SELECT 1 \\g x\n", 1),
            ("SELECT 'a' -- 'b\n\\o x\n", 2),
            ("-- a\r\\! touch x\n", 1),
            ("\\restrict `touch x`\n", 1),
            ("SELECT 1\n\\restrict a\n", 2),
            ("/* /* */ */ \\! x\n", 1),
            ("SELECT E'\\'', '\\'; \\! x\n", 1),
            ("SELECT E'a'\n'\\'' \\! x\n", 2),
            ("SELECT E'a' '\\' \\! x '\n", 1),
            ("SELECT $a$ $b$ $a$ \\! x $b$\n", 1),
            ("SELECT a$b$ \\! x $b$\n", 1),
            ("COPY t FROM stdin;\n\\.x\n\\.\n\\! x\n", 4),
            ("COPY t FROM stdin; SELECT '\n\\.\n'; \\! x\n", 1),
            ("COPY t TO stdout; \n\\! x\n\\.\n", 1),
            ("SELECT (1; COPY t FROM stdin;\n\\! x\n\\.\n", 2),
            ("CREATE FUNCTION f() BEGIN; COPY t FROM stdin;\n\\! x\n\\.\n", 2),
            ("SET standard_conforming_strings = off;\n", 1),
            ("SET client_encoding = 'SJIS';\n", 1),
            ("SELECT 'a\0\n", 1),
        ] {
            assert_eq!(refused(text), Some(line), "{text:?}");
            assert_eq!(read(GUARDED, false, text, &[]).1, None);
        }
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(cuts in proptest::collection::vec(1_usize..200, 0..40), is_empty: bool) {
            prop_assert_eq!(
                read(UNGUARDED, is_empty, DUMP, &cuts),
                read(UNGUARDED, is_empty, DUMP, &[])
            );
        }

        #[test]
        fn no_text_is_too_odd(text in "[-a-eE0-9$'\"/*\\\\;\n ().]{0,200}", cuts in proptest::collection::vec(1_usize..40, 0..9)) {
            let whole = read(UNGUARDED, false, &text, &[]);
            prop_assert_eq!(&whole.0, &text);
            prop_assert_eq!(read(UNGUARDED, false, &text, &cuts), whole);
        }
    }
}
