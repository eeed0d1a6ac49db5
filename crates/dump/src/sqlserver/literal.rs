//! T-SQL texts: names, literals, batches. Pure.
//!
//! What must stay true: whatever a value holds, the literal made of it is one expression with that value, on
//! one line, of characters that neither `sqlcmd` nor a terminal reads anything into. Control characters,
//! line breaks and halves of surrogate pairs become `NCHAR(n)`; `$(` is taken apart, since `sqlcmd`
//! would look for a variable in it.

use std::fmt::Write as _;

/// The longest text that is not of a `(max)` type, in UTF-16 units.
const SHORT: usize = 4000;

/// How many pieces are added up in a row. A long row of additions is a deep tree, and the server has a
/// limit for that; rows of this length are added up as a balanced tree.
const ROW: usize = 32;

/// Writes a name as an identifier in brackets.
pub(crate) fn name(name: &str) -> String {
    format!("[{}]", name.replace(']', "]]"))
}

/// Writes the two parts of an object's name.
pub(crate) fn full_name(schema: &str, object: &str) -> String {
    format!("{}.{}", name(schema), name(object))
}

/// Writes a text as an expression of type `nvarchar`.
pub(crate) fn text(value: &str) -> String {
    wide(&value.encode_utf16().collect::<Vec<_>>())
}

/// Writes UTF-16, whole or not, as an expression of type `nvarchar`.
pub(crate) fn wide(value: &[u16]) -> String {
    let mut out = String::with_capacity(value.len() + 3);
    push_wide(&mut out, value);
    out
}

/// Adds UTF-16 as an expression to a text.
pub(crate) fn push_wide(out: &mut String, value: &[u16]) {
    if push_ordinary(out, value) {
        return;
    }
    let pieces = pieces(value);
    match pieces.as_slice() {
        [] => out.push_str("N''"),
        [one] => out.push_str(one),
        several if several.len() <= ROW => {
            out.push('(');
            push_row(out, several, value.len() > SHORT);
            out.push(')');
        }
        many => {
            let rows: Vec<String> = many
                .chunks(ROW)
                .map(|row| {
                    let mut text = String::new();
                    push_row(&mut text, row, true);
                    text
                })
                .collect();
            push_tree(out, &rows);
        }
    }
}

/// Adds a text of ordinary characters as one literal; returns whether it was one. Most are.
fn push_ordinary(out: &mut String, value: &[u16]) -> bool {
    let begin = out.len();
    out.push_str("N'");
    for unit in value {
        match char::from_u32(u32::from(*unit)) {
            Some('\'') => out.push_str("''"),
            Some(character) if character != '$' && !is_special(character) => out.push(character),
            _ => {
                out.truncate(begin);
                return false;
            }
        }
    }
    out.push('\'');
    true
}

/// Adds pieces up; the sum of short texts is cut at the limit of short texts, unless it begins with a
/// long one.
fn push_row(out: &mut String, pieces: &[String], long: bool) {
    if long {
        out.push_str("CAST(N'' AS nvarchar(max))+");
    }
    out.push_str(&pieces.join("+"));
}

/// Adds rows up as a tree of the smallest depth.
fn push_tree(out: &mut String, rows: &[String]) {
    out.push('(');
    if let [one] = rows {
        out.push_str(one);
    } else {
        let (left, right) = rows.split_at(rows.len() / 2);
        push_tree(out, left);
        out.push('+');
        push_tree(out, right);
    }
    out.push(')');
}

/// Cuts a text into literals and single characters.
fn pieces(value: &[u16]) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut run = String::new();
    let end_run = |pieces: &mut Vec<String>, run: &mut String| {
        if !run.is_empty() {
            pieces.push(format!("N'{run}'"));
            run.clear();
        }
    };
    let mut after_dollar = false;
    for decoded in char::decode_utf16(value.iter().copied()) {
        let code = match decoded {
            Ok(character) if !is_special(character) => {
                if character == '(' && after_dollar {
                    end_run(&mut pieces, &mut run);
                }
                after_dollar = character == '$';
                if character == '\'' {
                    run.push('\'');
                }
                run.push(character);
                continue;
            }
            Ok(character) => u32::from(character),
            Err(half) => u32::from(half.unpaired_surrogate()),
        };
        after_dollar = false;
        end_run(&mut pieces, &mut run);
        pieces.push(format!("NCHAR({code})"));
    }
    end_run(&mut pieces, &mut run);
    pieces
}

fn is_special(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{FEFF}' | '\u{FFFE}' | '\u{FFFF}')
}

/// Writes bytes as a literal of type `varbinary`.
pub(crate) fn push_bytes(out: &mut String, hexadecimal: &str) {
    out.push_str("0x");
    out.push_str(hexadecimal);
}

/// Collects a script of batches.
#[derive(Debug, Default)]
pub(crate) struct Script(String);

impl Script {
    /// Adds one batch. A text in which `sqlcmd` would find more or less than one batch, a command or a
    /// variable, or that it would change, is executed from a literal instead.
    pub(crate) fn batch(&mut self, sql: &str) {
        let sql = sql.trim_end_matches(['\n', ' ']);
        if is_plain(sql) {
            self.0.push_str(sql);
        } else {
            let _ = write!(self.0, "DECLARE @batch nvarchar(max) = {};\nEXEC (@batch);", text(sql));
        }
        self.0.push_str("\nGO\n");
    }

    /// Adds one batch that is known to be handed over as it is.
    pub(crate) fn inert_batch(&mut self, sql: &str) {
        self.0.push_str(sql);
        self.0.push_str("\nGO\n");
    }

    /// Adds lines of comment, whatever the text holds.
    pub(crate) fn comment(&mut self, text: &str) {
        for line in text.split(['\n', '\r']) {
            let line: String = line.chars().map(|c| if is_special(c) { ' ' } else { c }).collect();
            // A variable is looked for in comments as well.
            let _ = writeln!(self.0, "-- {}", line.replace("$(", "$ (").trim_end());
        }
    }

    /// Returns the text.
    pub(crate) fn into_text(self) -> String {
        self.0
    }

    /// Returns what was collected and begins anew.
    pub(crate) fn take(&mut self) -> String {
        std::mem::take(&mut self.0)
    }

    /// Returns the size of what was collected.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Tells whether `sqlcmd`, either one, passes a text on as it is, as one batch.
///
/// Both look for commands at the beginning of lines; one follows quotes and comments, the other one does
/// not; neither knows about brackets, so that a quote in a name would hide the end of the batch.
pub(crate) fn is_plain(sql: &str) -> bool {
    if sql.contains("$(") || sql.chars().any(|c| is_special(c) && c != '\n' && c != '\t') {
        return false;
    }
    let mut open = Open::Nothing;
    for line in sql.split('\n') {
        if is_command(line) || line.ends_with('\\') {
            return false;
        }
        open = open.after(line);
        if open != Open::Nothing && open != Open::Comment {
            // A literal over several lines loses its line breaks' form.
            return false;
        }
    }
    open == Open::Nothing
}

/// Tells whether `sqlcmd` reads a line as a command of its own, the end of a batch included.
pub(crate) fn is_command(line: &str) -> bool {
    let line = line.trim_start();
    if line.starts_with(':') || line.starts_with("!!") {
        return true;
    }
    let word: String = line.chars().take_while(char::is_ascii_alphanumeric).collect();
    ["GO", "EXIT", "QUIT", "RESET", "ED"].iter().any(|command| word.eq_ignore_ascii_case(command))
}

/// What is open at the end of a line, as `sqlcmd` sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    Quote(char),
    Comment,
}

impl Open {
    fn after(mut self, line: &str) -> Self {
        let mut characters = line.chars().peekable();
        while let Some(character) = characters.next() {
            match self {
                Self::Quote(quote) if character == quote => self = Self::Nothing,
                Self::Comment if character == '*' && characters.peek() == Some(&'/') => {
                    characters.next();
                    self = Self::Nothing;
                }
                Self::Quote(_) | Self::Comment => {}
                Self::Nothing => match (character, characters.peek()) {
                    ('\'' | '"', _) => self = Self::Quote(character),
                    ('-', Some('-')) => return self,
                    ('/', Some('*')) => {
                        characters.next();
                        self = Self::Comment;
                    }
                    _ => {}
                },
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

    use proptest::prelude::*;

    use super::*;

    /// Reads an expression back as a server would, and checks the rule for sums of short texts.
    fn evaluate(expression: &str) -> Vec<u16> {
        let (value, rest) = sum(expression);
        assert_eq!(rest, "", "{expression}");
        value.0
    }

    /// A value, and whether it is of a long type.
    type Value = (Vec<u16>, bool);

    fn sum(text: &str) -> (Value, &str) {
        let (mut value, mut rest) = term(text);
        while let Some(after) = rest.strip_prefix('+') {
            let (next, after) = term(after);
            value.0.extend(next.0);
            value.1 |= next.1;
            if !value.1 {
                value.0.truncate(SHORT);
            }
            rest = after;
        }
        (value, rest)
    }

    fn term(text: &str) -> (Value, &str) {
        if let Some(rest) = text.strip_prefix("CAST(N'' AS nvarchar(max))") {
            return ((Vec::new(), true), rest);
        }
        if let Some(rest) = text.strip_prefix('(') {
            let (value, rest) = sum(rest);
            return (value, rest.strip_prefix(')').unwrap());
        }
        if let Some(rest) = text.strip_prefix("NCHAR(") {
            let (code, rest) = rest.split_once(')').unwrap();
            return ((vec![code.parse().unwrap()], false), rest);
        }
        let mut rest = text.strip_prefix("N'").unwrap();
        let mut value = String::new();
        loop {
            let (part, after) = rest.split_once('\'').unwrap();
            value.push_str(part);
            let Some(further) = after.strip_prefix('\'') else {
                let units: Vec<u16> = value.encode_utf16().collect();
                let long = units.len() > SHORT;
                return ((units, long), after);
            };
            value.push('\'');
            rest = further;
        }
    }

    /// Texts of all kinds of units, most of them short, some around the limit of short texts.
    fn texts() -> impl Strategy<Value = Vec<u16>> {
        let special = vec![0x27_u16, 0x24, 0x28, 0x0A, 0x0D, 0, 0xD800];
        let unit = prop_oneof![
            4 => any::<u16>(),
            3 => proptest::sample::select(special),
            6 => 0x20_u16..0x7F,
        ];
        prop_oneof![
            9 => proptest::collection::vec(unit.clone(), 0..200),
            1 => proptest::collection::vec(unit, 3_900..4_300),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_text_comes_back_and_is_inert(value in texts()) {
            let literal = wide(&value);
            prop_assert_eq!(evaluate(&literal), value);
            prop_assert!(!literal.contains("$(") && !literal.chars().any(char::is_control));
            let statement = format!("SELECT {literal}");
            prop_assert!(is_plain(&statement));
        }

        #[test]
        fn any_batch_is_handed_over_whole(sql in "(?s)[ -~\n\r\t]{0,40}|((GO|EXIT|:r x|'|\"|--|/\\*|\\*/|a|\n| ){0,12})") {
            let mut script = Script::default();
            script.batch(&sql);
            let written = script.into_text();
            let body = written.strip_suffix("\nGO\n").unwrap();
            prop_assert!(is_plain(body), "{}", body);
            let sql = sql.trim_end_matches(['\n', ' ']);
            match body.strip_prefix("DECLARE @batch nvarchar(max) = ") {
                Some(literal) if body != sql => {
                    let literal = literal.strip_suffix(";\nEXEC (@batch);").unwrap();
                    prop_assert_eq!(String::from_utf16(&evaluate(literal)).unwrap(), sql);
                }
                _ => prop_assert_eq!(body, sql),
            }
        }
    }

    #[test]
    fn ordinary_texts_look_ordinary() {
        assert_eq!(text(""), "N''");
        assert_eq!(text("it's é 😀"), "N'it''s é 😀'");
        assert_eq!(text("a\r\nb"), "(N'a'+NCHAR(13)+NCHAR(10)+N'b')");
        assert_eq!(text("$(x)$("), "(N'$'+N'(x)$'+N'(')");
        assert_eq!(full_name("dbo", "a]b"), "[dbo].[a]]b]");
    }

    #[test]
    fn what_a_tool_would_read_more_into_is_executed_from_a_literal() {
        for sql in [
            "SELECT 1\nGO\nSELECT 2",
            "SELECT 1\n go 5",
            "exit",
            ":setvar x y",
            "!!ls",
            "SELECT $(HOME)",
            "SELECT [it's]",
            "SELECT 1 AS [a/*b]",
            "SELECT 'a\nb'",
            "SELECT 1\r\nFROM t",
            "SELECT 1 \\\nFROM t",
        ] {
            assert!(!is_plain(sql), "{sql:?}");
        }
        for sql in ["SELECT 'go', [going]\nFROM t -- it's\nWHERE x = 'a--b'", "/* a\nb */ SELECT 1", "GOTO x"]
        {
            assert!(is_plain(sql), "{sql:?}");
        }
    }

    #[test]
    fn comments_cannot_be_left() {
        let mut script = Script::default();
        script.comment("a\nGO\r$(x) \u{2028}\u{85}b");
        assert_eq!(script.into_text(), "-- a\n-- GO\n-- $ (x)   b\n");
    }
}
