//! The values of columns: what the server is asked for, what may come back, and the literal made of it. Pure.

use std::fmt::Write as _;

use super::literal::{push_bytes, push_wide};
use super::probe::Capabilities;
use super::transfer::{Malformed, bytes_of, content, field};

/// The kind of a column's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    /// `bit` and the integers.
    Integer,
    /// `decimal` and `numeric`, and the amounts of money by way of them. Many digits are written as a
    /// text: the rows of one statement are brought to one type, which could lose digits of a number.
    Decimal { many_digits: bool },
    /// `money` and `smallmoney`.
    Money,
    /// `float`.
    Float,
    /// `real`.
    Real,
    /// All characters.
    Text,
    /// `text` and `ntext`, which convert to nothing but their own successors.
    OldText { unicode: bool },
    /// `xml`.
    Xml,
    /// All bytes.
    Binary,
    /// `uniqueidentifier`.
    Guid,
    /// `date`.
    Date,
    /// `time`.
    Time,
    /// `datetime` and `smalldatetime`.
    DateTime,
    /// `datetime2`.
    DateTime2,
    /// `datetimeoffset`.
    DateTimeOffset,
    /// `hierarchyid`.
    Hierarchy,
    /// `geometry` or `geography`.
    Spatial(&'static str),
    /// `sql_variant`.
    Variant,
}

impl Form {
    /// Returns the form of the values of a system type; `None` for a type that cannot be carried over.
    pub(crate) fn of(base_type: &str, precision: u8) -> Option<Self> {
        Some(match base_type {
            "bit" | "tinyint" | "smallint" | "int" | "bigint" => Self::Integer,
            "decimal" | "numeric" => Self::Decimal { many_digits: precision > 18 },
            "money" | "smallmoney" => Self::Money,
            "float" => Self::Float,
            "real" => Self::Real,
            "char" | "varchar" | "nchar" | "nvarchar" | "sysname" | "json" => Self::Text,
            "text" => Self::OldText { unicode: false },
            "ntext" => Self::OldText { unicode: true },
            "xml" => Self::Xml,
            "binary" | "varbinary" | "image" => Self::Binary,
            "uniqueidentifier" => Self::Guid,
            "date" => Self::Date,
            "time" => Self::Time,
            "datetime" | "smalldatetime" => Self::DateTime,
            "datetime2" => Self::DateTime2,
            "datetimeoffset" => Self::DateTimeOffset,
            "hierarchyid" => Self::Hierarchy,
            "geometry" => Self::Spatial("geometry"),
            "geography" => Self::Spatial("geography"),
            "sql_variant" => Self::Variant,
            _ => return None,
        })
    }

    /// Returns the expression that makes the field of a column (or of any other expression).
    pub(crate) fn field(&self, of: &str, caps: &Capabilities) -> String {
        field(&self.content(of, caps))
    }

    /// Returns the expression that makes the content of a field.
    pub(crate) fn content(&self, of: &str, caps: &Capabilities) -> String {
        match self {
            Self::Integer => format!("CONVERT(varchar(20), {of})"),
            Self::Decimal { .. } => format!("CONVERT(varchar(60), {of})"),
            Self::Money => format!("CONVERT(varchar(60), CAST({of} AS decimal(19,4)))"),
            Self::Float => caps.float.expression(of),
            Self::Real => caps.real.expression(of),
            Self::Text | Self::Xml => caps.text.expression(of),
            Self::OldText { .. } => caps.text.expression(&self.searchable(of)),
            Self::Binary | Self::Spatial(_) => {
                format!("CONVERT(varchar(max), CAST({of} AS varbinary(max)), 2)")
            }
            Self::Guid => format!("CONVERT(varchar(36), {of})"),
            Self::Date => caps.date.expression(of),
            Self::Time => caps.time.expression(of),
            Self::DateTime => caps.datetime.expression(of),
            Self::DateTime2 => caps.datetime2.expression(of),
            Self::DateTimeOffset => caps.datetimeoffset.expression(of),
            Self::Hierarchy => caps.text.expression(&format!("{of}.ToString()")),
            Self::Variant => variant(of, caps),
        }
    }

    /// Tells whether the server was found to write such values exactly.
    pub(crate) fn is_exact(&self, caps: &Capabilities) -> bool {
        let style = match self {
            Self::Float => caps.float,
            Self::Real => caps.real,
            Self::Date => caps.date,
            Self::Time => caps.time,
            Self::DateTime => caps.datetime,
            Self::DateTime2 => caps.datetime2,
            Self::DateTimeOffset => caps.datetimeoffset,
            Self::Integer
            | Self::Decimal { .. }
            | Self::Money
            | Self::Text
            | Self::OldText { .. }
            | Self::Xml
            | Self::Binary
            | Self::Guid
            | Self::Hierarchy
            | Self::Spatial(_)
            | Self::Variant => return true,
        };
        style != Style::Unknown
    }

    /// Tells whether its values are bytes, as against characters.
    pub(crate) fn is_bytes(&self) -> bool {
        matches!(self, Self::Binary | Self::Spatial(_))
    }

    /// Returns the column in a type that functions for texts and bytes accept.
    pub(crate) fn searchable(&self, of: &str) -> String {
        match self {
            Self::OldText { unicode: false } => format!("CAST({of} AS varchar(max))"),
            Self::OldText { unicode: true } | Self::Xml | Self::Text => {
                format!("CAST({of} AS nvarchar(max))")
            }
            Self::Binary | Self::Spatial(_) => format!("CAST({of} AS varbinary(max))"),
            Self::Integer
            | Self::Decimal { .. }
            | Self::Money
            | Self::Float
            | Self::Real
            | Self::Guid
            | Self::Date
            | Self::Time
            | Self::DateTime
            | Self::DateTime2
            | Self::DateTimeOffset
            | Self::Hierarchy
            | Self::Variant => of.to_owned(),
        }
    }

    /// Adds the literal of a field to a text.
    pub(crate) fn push_literal(
        &self,
        out: &mut String,
        field: &str,
        caps: &Capabilities,
    ) -> Result<(), Malformed> {
        let Some(content) = content(field)? else {
            out.push_str("NULL");
            return Ok(());
        };
        self.push_content(out, content, caps)
    }

    fn push_content(&self, out: &mut String, content: &str, caps: &Capabilities) -> Result<(), Malformed> {
        match self {
            Self::Integer => out.push_str(checked(content, is_integer)?),
            Self::Decimal { many_digits: false } | Self::Money => out.push_str(checked(content, is_decimal)?),
            Self::Decimal { many_digits: true } => push_quoted(out, checked(content, is_decimal)?),
            Self::Float => out.push_str(&caps.float.literal(content).ok_or(Malformed)?),
            Self::Real => out.push_str(&caps.real.literal(content).ok_or(Malformed)?),
            Self::Text | Self::OldText { .. } => push_wide(out, &caps.text.read(content).ok_or(Malformed)?),
            Self::Xml => {
                let mut text = String::new();
                push_wide(&mut text, &caps.text.read(content).ok_or(Malformed)?);
                out.push_str(&xml(&text, caps));
            }
            Self::Binary => push_bytes(out, checked(content, is_hexadecimal)?),
            Self::Guid => push_quoted(out, checked(content, is_guid)?),
            Self::Date => push_quoted(out, checked(content, is_moment)?),
            Self::Time | Self::DateTime | Self::DateTime2 | Self::DateTimeOffset => {
                push_quoted(out, checked(content, is_moment)?);
            }
            Self::Hierarchy => {
                out.push_str("CAST(");
                push_wide(out, &caps.text.read(content).ok_or(Malformed)?);
                out.push_str(" AS hierarchyid)");
            }
            Self::Spatial(name) => {
                out.push_str("CAST(");
                push_bytes(out, checked(content, is_hexadecimal)?);
                let _ = write!(out, " AS {name})");
            }
            Self::Variant => push_variant(out, content, caps)?,
        }
        Ok(())
    }
}

/// Asks for a value of any type together with its type.
fn variant(of: &str, caps: &Capabilities) -> String {
    let property = |name: &str| format!("CONVERT(varchar(128), SQL_VARIANT_PROPERTY({of}, '{name}'))");
    let mut cases = String::new();
    for base_type in VARIANT_TYPES {
        let Some(form) = Form::of(base_type, 38) else { continue };
        let cast = match *base_type {
            "decimal" | "numeric" => format!("CAST({of} AS sql_variant)"),
            "char" | "varchar" | "nchar" | "nvarchar" => format!("CAST({of} AS nvarchar(4000))"),
            "binary" | "varbinary" => format!("CAST({of} AS varbinary(8000))"),
            "datetime2" | "time" | "datetimeoffset" => format!("CAST({of} AS {base_type}(7))"),
            "float" => format!("CAST({of} AS float)"),
            other => format!("CAST({of} AS {other})"),
        };
        let _ = write!(cases, " WHEN '{base_type}' THEN {}", form.content(&cast, caps));
    }
    format!(
        "{} + ':' + ISNULL({}, '') + ':' + ISNULL({}, '') + ':' + ISNULL({}, '') + ':' + ISNULL({}, '') + ':' + CASE {}{cases} END",
        property("BaseType"),
        property("Precision"),
        property("Scale"),
        property("MaxLength"),
        property("Collation"),
        property("BaseType"),
    )
}

/// The types that a value of any type can have.
const VARIANT_TYPES: &[&str] = &[
    "bit",
    "tinyint",
    "smallint",
    "int",
    "bigint",
    "decimal",
    "numeric",
    "money",
    "smallmoney",
    "float",
    "real",
    "char",
    "varchar",
    "nchar",
    "nvarchar",
    "binary",
    "varbinary",
    "uniqueidentifier",
    "date",
    "time",
    "datetime",
    "smalldatetime",
    "datetime2",
    "datetimeoffset",
];

/// Writes a value of any type with its type, on every row: the rows of one statement would be brought to
/// one type otherwise.
fn push_variant(out: &mut String, content: &str, caps: &Capabilities) -> Result<(), Malformed> {
    out.push_str("CAST(");
    push_variant_value(out, content, caps)?;
    out.push_str(" AS sql_variant)");
    Ok(())
}

/// Writes the value that is in a value of any type, in its own type.
pub(crate) fn push_variant_value(
    out: &mut String,
    content: &str,
    caps: &Capabilities,
) -> Result<(), Malformed> {
    let mut parts = content.splitn(6, ':');
    let mut part = || parts.next().ok_or(Malformed);
    let (base_type, precision, scale) = (part()?, part()?, part()?);
    let (length, collation, value) = (part()?, part()?, part()?);
    let base_type = VARIANT_TYPES.iter().find(|known| **known == base_type).ok_or(Malformed)?;
    let number = |text: &str| text.parse::<u32>().map_err(|_| Malformed);
    let form = Form::of(base_type, 38).ok_or(Malformed)?;
    out.push_str("CAST(");
    form.push_content(out, value, caps)?;
    let full = match *base_type {
        "decimal" | "numeric" => format!("{base_type}({},{})", number(precision)?, number(scale)?),
        "nchar" | "nvarchar" => format!("{base_type}({})", (number(length)? / 2).max(1)),
        "char" | "varchar" | "binary" | "varbinary" => format!("{base_type}({})", number(length)?.max(1)),
        "datetime2" | "time" | "datetimeoffset" => format!("{base_type}({})", number(scale)?),
        other => other.to_owned(),
    };
    let _ = write!(out, " AS {full})");
    if !collation.is_empty() {
        let is_name = collation.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let _ = write!(out, " COLLATE {}", is_name.then_some(collation).ok_or(Malformed)?);
    }
    Ok(())
}

/// One of several ways in which servers write values of a type; which one, a probe decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// `CONVERT` with a style.
    Convert(u8),
    /// The cast to a text.
    Cast,
    /// The bytes of the number, highest first, in hexadecimal.
    Bytes,
    /// None: the server cannot write such values, or does not have them.
    Unknown,
}

impl Style {
    /// Returns the expression that makes the content of a field.
    pub(crate) fn expression(self, of: &str) -> String {
        match self {
            Self::Convert(style) => format!("CONVERT(varchar(60), {of}, {style})"),
            Self::Cast | Self::Unknown => format!("CAST({of} AS varchar(60))"),
            Self::Bytes => format!("CONVERT(varchar(60), CAST({of} AS varbinary(8)), 2)"),
        }
    }

    /// Returns the literal of a floating-point number.
    ///
    /// It is written with an exponent always: a number without one would be a decimal, and one with too
    /// many digits for that.
    pub(crate) fn literal(self, content: &str) -> Option<String> {
        let number = match self {
            Self::Bytes => match bytes_of(content)?.as_slice() {
                bytes @ [_, _, _, _] => f64::from(f32::from_be_bytes(bytes.try_into().ok()?)),
                bytes => f64::from_be_bytes(bytes.try_into().ok()?),
            },
            Self::Convert(_) | Self::Cast | Self::Unknown => {
                checked(content, is_float).ok()?.parse::<f64>().ok()?
            }
        };
        number.is_finite().then(|| format!("{number:E}"))
    }
}

/// Makes XML of an expression; white space is kept where the server has a word for that.
pub(crate) fn xml(of: &str, caps: &Capabilities) -> String {
    if caps.xml_style { format!("CONVERT(xml, {of}, 1)") } else { format!("CAST({of} AS xml)") }
}

fn push_quoted(out: &mut String, checked: &str) {
    out.push('\'');
    out.push_str(checked);
    out.push('\'');
}

fn checked(content: &str, rule: fn(&str) -> bool) -> Result<&str, Malformed> {
    if rule(content) { Ok(content) } else { Err(Malformed) }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

pub(crate) fn is_integer(text: &str) -> bool {
    is_digits(text.strip_prefix('-').unwrap_or(text))
}

pub(crate) fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    match digits.split_once('.') {
        Some((whole, fraction)) => (whole.is_empty() || is_digits(whole)) && is_digits(fraction),
        None => is_digits(digits),
    }
}

fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = text.split_once(['e', 'E']).map_or((text, None), |(m, e)| (m, Some(e)));
    is_decimal(mantissa) && exponent.is_none_or(|exponent| is_integer(exponent.trim_start_matches('+')))
}

fn is_hexadecimal(text: &str) -> bool {
    text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_guid(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// Dates, times and both, with or without an offset.
fn is_moment(text: &str) -> bool {
    text.len() >= 8
        && text.len() <= 40
        && text.starts_with(|first: char| first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || b"-:.T+ Z".contains(&byte))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

    use proptest::prelude::*;

    use super::super::transfer::TextForm;
    use super::*;

    fn caps() -> Capabilities {
        Capabilities::of_sql_server()
    }

    fn literal(base_type: &str, field: &str) -> Result<String, Malformed> {
        let mut out = String::new();
        Form::of(base_type, 38).ok_or(Malformed)?.push_literal(&mut out, field, &caps())?;
        Ok(out)
    }

    #[test]
    fn every_type_has_its_literal() {
        for (base_type, field, expected) in [
            ("int", "=-5", "-5"),
            ("bit", "=1", "1"),
            ("decimal", "=-12345678901234567890.50", "'-12345678901234567890.50'"),
            ("money", "=-922337203685477.5808", "-922337203685477.5808"),
            ("float", "=1.0000000000000001e-001", "1E-1"),
            ("float", "=-1.7976931348623157e+308", "-1.7976931348623157E308"),
            ("real", "=1.00000001e-001", "1.00000001E-1"),
            ("nvarchar", "=410027000A00", "(N'A'''+NCHAR(10))"),
            ("xml", "=3C0061002F003E00", "CONVERT(xml, N'<a/>', 1)"),
            ("varbinary", "=00FF", "0x00FF"),
            ("binary", "=", "0x"),
            (
                "uniqueidentifier",
                "=6F9619FF-8B86-D011-B42D-00C04FC964FF",
                "'6F9619FF-8B86-D011-B42D-00C04FC964FF'",
            ),
            ("date", "=9999-12-31", "'9999-12-31'"),
            ("time", "=23:59:59.9999999", "'23:59:59.9999999'"),
            ("datetime", "=1753-01-01T00:00:00.003", "'1753-01-01T00:00:00.003'"),
            ("datetimeoffset", "=2001-02-03 04:05:06.1234567 +05:30", "'2001-02-03 04:05:06.1234567 +05:30'"),
            ("hierarchyid", "=2F0031002F00", "CAST(N'/1/' AS hierarchyid)"),
            ("geography", "=E6100000", "CAST(0xE6100000 AS geography)"),
            ("sql_variant", "=numeric:5:2:5::-1.50", "CAST(CAST('-1.50' AS numeric(5,2)) AS sql_variant)"),
            (
                "sql_variant",
                "=nvarchar:0:0:20:Latin1_General_CI_AS:4100",
                "CAST(CAST(N'A' AS nvarchar(10)) COLLATE Latin1_General_CI_AS AS sql_variant)",
            ),
            ("int", "-", "NULL"),
        ] {
            assert_eq!(literal(base_type, field), Ok(expected.to_owned()), "{base_type} {field}");
        }
    }

    #[test]
    fn what_is_not_in_its_form_is_refused() {
        for (base_type, field) in [
            ("int", "=1); DROP TABLE x; --"),
            ("int", "=1.5"),
            ("int", "5"),
            ("decimal", "=1e5"),
            ("float", "=inf"),
            ("float", "=1e999"),
            ("float", "=NaN"),
            ("nvarchar", "=0"),
            ("varbinary", "=0x00"),
            ("date", "='2001-01-01'"),
            ("datetime", "=Jan  1 2001 12:00AM"),
            ("uniqueidentifier", "=x"),
            ("sql_variant", "=evil:0:0:0::1"),
            ("sql_variant", "=varchar:0:0:5:a b:4100"),
            ("sql_variant", "=int"),
        ] {
            assert_eq!(literal(base_type, field), Err(Malformed), "{base_type} {field}");
        }
        assert_eq!(Form::of("my_clr_type", 0), None);
    }

    #[test]
    fn texts_travel_as_the_server_was_found_to_write_them() {
        assert_eq!(
            Form::Text.field("[c]", &caps()),
            "ISNULL('=' + CONVERT(varchar(max), CAST(CAST([c] AS nvarchar(max)) AS varbinary(max)), 2), '-')"
        );
        let escaped = Capabilities { text: TextForm::Escaped, ..caps() };
        assert!(
            Form::Text.field("[c]", &escaped).contains("COLLATE Latin1_General_BIN2, NCHAR(126), N'~7E'")
        );
    }

    proptest! {
        #[test]
        fn every_float_comes_back_exactly(number in any::<f64>().prop_filter("finite", |n| n.is_finite())) {
            for (style, content) in [
                (Style::Convert(3), format!("{number:.16e}")),
                (Style::Cast, format!("{number:?}")),
                (Style::Bytes, format!("{:016X}", number.to_bits())),
            ] {
                let read: f64 = style.literal(&content).unwrap().parse().unwrap();
                prop_assert_eq!(read.to_bits(), number.to_bits(), "{}", content);
            }
        }

        #[test]
        fn every_real_comes_back_exactly(number in any::<f32>().prop_filter("finite", |n| n.is_finite())) {
            for (style, content) in [
                (Style::Convert(3), format!("{number:.8e}")),
                (Style::Bytes, format!("{:08X}", number.to_bits())),
            ] {
                // The server reads a float first and makes a real of it.
                #[expect(clippy::cast_possible_truncation, reason = "that is what the server does")]
                let read = style.literal(&content).unwrap().parse::<f64>().unwrap() as f32;
                prop_assert_eq!(read.to_bits(), number.to_bits(), "{}", content);
            }
        }
    }
}
