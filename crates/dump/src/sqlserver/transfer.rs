//! How values travel through `sqlcmd`: as fields of one line of plain characters. Pure.
//!
//! The server makes the fields, so that no code page, separator, line break, display width or NULL of the
//! tool's can get between. A text is the hexadecimal form of its bytes; where a look-alike of SQL Server
//! makes other bytes of it than expected, the text itself with an escape for everything that has a meaning
//! here. What comes back is checked against the form that was asked for: it becomes syntax again later.

/// What a line of ours begins with; nothing else that a tool prints does.
pub(crate) const MARK: char = '~';

/// What stands between the fields of a row.
pub(crate) const FIELD: char = '|';

/// What stands between the rows of a line.
pub(crate) const ROW: char = ';';

/// What the field of a NULL is; any other field begins with `=`.
const NULL: &str = "-";

/// The form in which texts travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextForm {
    /// Hexadecimal of UTF-16, lower byte first, as SQL Server keeps it.
    Utf16,
    /// Hexadecimal of UTF-8.
    Utf8,
    /// The text with escapes.
    Escaped,
}

/// The text that decides on the form.
pub(crate) const SAMPLE: &str = "é€😀";

impl TextForm {
    /// Tells the form by the hexadecimal bytes that a server makes of [`SAMPLE`].
    pub(crate) fn of_sample(hexadecimal: &str) -> Self {
        match hexadecimal {
            "E900AC203DD800DE" => Self::Utf16,
            "C3A9E282ACF09F9880" => Self::Utf8,
            _ => Self::Escaped,
        }
    }

    /// Returns the expression that makes the content of a field of any expression that casts to a text.
    pub(crate) fn expression(self, of: &str) -> String {
        match self {
            Self::Utf16 | Self::Utf8 => {
                format!("CONVERT(varchar(max), CAST(CAST({of} AS nvarchar(max)) AS varbinary(max)), 2)")
            }
            // The escape comes first. Under any other than a binary collation, the wrong characters match.
            Self::Escaped => ESCAPED
                .iter()
                .fold(format!("CAST({of} AS nvarchar(max)) COLLATE Latin1_General_BIN2"), |inner, code| {
                    format!("REPLACE({inner}, NCHAR({code}), N'~{code:02X}')")
                }),
        }
    }

    /// Reads the content of a field back.
    pub(crate) fn read(self, content: &str) -> Option<Vec<u16>> {
        match self {
            Self::Utf16 => {
                let bytes = bytes_of(content)?;
                bytes
                    .len()
                    .is_multiple_of(2)
                    .then(|| bytes.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect())
            }
            Self::Utf8 => {
                let text = String::from_utf8(bytes_of(content)?).ok()?;
                Some(text.encode_utf16().collect())
            }
            Self::Escaped => {
                let mut text = String::with_capacity(content.len());
                let mut rest = content;
                while let Some(at) = rest.find(MARK) {
                    text.push_str(&rest[..at]);
                    let digits = rest.get(at + 1..at + 3)?;
                    text.push(char::from(u8::from_str_radix(digits, 16).ok()?));
                    rest = &rest[at + 3..];
                }
                text.push_str(rest);
                Some(text.encode_utf16().collect())
            }
        }
    }
}

/// The characters that are escaped, the escape itself first.
const ESCAPED: [u8; 6] = [b'~', b'|', b';', b'\r', b'\n', b'\t'];

/// Makes the expression of a field out of the expression of its content.
pub(crate) fn field(content: &str) -> String {
    format!("ISNULL('=' + {content}, '-')")
}

/// Makes the expression of a row out of the expressions of its fields.
///
/// A long sum is a deep tree, for which the server has a limit.
pub(crate) fn row(fields: &[String]) -> String {
    let sums: Vec<String> = fields
        .chunks(50)
        .map(|fields| format!("CAST('' AS varchar(max)) + {}", fields.join(" + '|' + ")))
        .collect();
    match sums.as_slice() {
        [one] => one.clone(),
        many => many.iter().map(|sum| format!("({sum})")).collect::<Vec<_>>().join(" + '|' + "),
    }
}

/// Takes a field apart: the content, or nothing for NULL; an error for what is no field.
pub(crate) fn content(field: &str) -> Result<Option<&str>, Malformed> {
    match field.strip_prefix('=') {
        Some(content) => Ok(Some(content)),
        None if field == NULL => Ok(None),
        None => Err(Malformed),
    }
}

/// Something that came back is not in the form that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Reads hexadecimal digits.
pub(crate) fn bytes_of(hexadecimal: &str) -> Option<Vec<u8>> {
    let digits = hexadecimal.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks(2).map(|pair| Some(nibble(pair[0])? << 4 | nibble(pair[1])?)).collect()
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    /// Makes the content of a field as a server would.
    fn sent(form: TextForm, text: &str) -> String {
        let hexadecimal = |bytes: Vec<u8>| {
            bytes.iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02X}");
                text
            })
        };
        match form {
            TextForm::Utf16 => hexadecimal(text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
            TextForm::Utf8 => hexadecimal(text.bytes().collect()),
            TextForm::Escaped => ESCAPED
                .iter()
                .fold(text.to_owned(), |text, code| text.replace(char::from(*code), &format!("~{code:02X}"))),
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back_in_each_form(text in "(?s).{0,50}|[~|;\\r\\n\\t0-9A-F]{0,30}") {
            for form in [TextForm::Utf16, TextForm::Utf8, TextForm::Escaped] {
                let content = sent(form, &text);
                prop_assert!(!content.contains([FIELD, ROW, '\n', '\r']));
                let units: Vec<u16> = text.encode_utf16().collect();
                prop_assert_eq!(form.read(&content), Some(units));
            }
        }

        #[test]
        fn nothing_makes_the_reader_fall(content in "(?s).{0,30}") {
            for form in [TextForm::Utf16, TextForm::Utf8, TextForm::Escaped] {
                let _ = form.read(&content);
            }
        }
    }

    #[test]
    fn halves_of_surrogate_pairs_come_back() {
        assert_eq!(TextForm::Utf16.read("00D84100"), Some(vec![0xD800, 0x41]));
        assert_eq!(TextForm::Utf16.read("00D841"), None);
    }

    #[test]
    fn the_form_is_told_by_a_sample() {
        for form in [TextForm::Utf16, TextForm::Utf8] {
            assert_eq!(TextForm::of_sample(&sent(form, SAMPLE)), form);
        }
        assert_eq!(TextForm::of_sample("E93F3F3F"), TextForm::Escaped);
    }

    #[test]
    fn a_null_is_no_text() {
        assert_eq!(content("-"), Ok(None));
        assert_eq!(content("=-"), Ok(Some("-")));
        assert_eq!(content("="), Ok(Some("")));
        assert_eq!(content(""), Err(Malformed));
    }
}
