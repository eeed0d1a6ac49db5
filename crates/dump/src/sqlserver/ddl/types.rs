//! Types in statements.

use super::super::catalog::TypeUse;
use super::super::literal::{full_name, name};

/// Writes a type as a column, a parameter or an alias states it.
pub(super) fn type_text(of: &TypeUse) -> String {
    if let Some(schema) = &of.user_schema {
        return full_name(schema, &of.name);
    }
    let lower = of.name.to_lowercase();
    let length = |unit: i64| match of.max_length {
        -1 => "max".to_owned(),
        bytes => (bytes / unit).max(1).to_string(),
    };
    match lower.as_str() {
        "char" | "varchar" | "binary" | "varbinary" => format!("{lower}({})", length(1)),
        "nchar" | "nvarchar" => format!("{lower}({})", length(2)),
        "decimal" | "numeric" => format!("{lower}({},{})", of.precision, of.scale),
        "time" | "datetime2" | "datetimeoffset" => format!("{lower}({})", of.scale),
        "xml" => match &of.xml_collection {
            Some((schema, collection)) => {
                let kind = if of.xml_document { "DOCUMENT" } else { "CONTENT" };
                format!("xml({kind} {})", full_name(schema, collection))
            }
            None => lower,
        },
        word if word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') => lower,
        _ => name(&of.name),
    }
}

/// Tells whether the values of a type can be larger than a row.
pub(crate) fn is_large(of: &TypeUse) -> bool {
    of.max_length == -1
        || matches!(of.base.as_str(), "text" | "ntext" | "image" | "xml" | "geometry" | "geography" | "json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, max_length: i64, precision: i64, scale: i64) -> TypeUse {
        TypeUse {
            user_schema: None,
            name: name.to_owned(),
            base: name.to_owned(),
            max_length,
            precision,
            scale,
            xml_collection: None,
            xml_document: false,
        }
    }

    #[test]
    fn lengths_are_those_of_the_declaration() {
        for (of, expected) in [
            (of("nvarchar", 80, 0, 0), "nvarchar(40)"),
            (of("nvarchar", -1, 0, 0), "nvarchar(max)"),
            (of("varchar", 40, 0, 0), "varchar(40)"),
            (of("varbinary", -1, 0, 0), "varbinary(max)"),
            (of("numeric", 9, 18, 4), "numeric(18,4)"),
            (of("datetime2", 8, 27, 7), "datetime2(7)"),
            (of("float", 8, 53, 0), "float"),
            (of("int", 4, 10, 0), "int"),
            (of("xml", -1, 0, 0), "xml"),
            (of("image", 16, 0, 0), "image"),
        ] {
            assert_eq!(type_text(&of), expected);
        }
        let typed = TypeUse {
            xml_collection: Some(("dbo".to_owned(), "a]b".to_owned())),
            xml_document: true,
            ..of("xml", -1, 0, 0)
        };
        assert_eq!(type_text(&typed), "xml(DOCUMENT [dbo].[a]]b])");
        let alias = TypeUse { user_schema: Some("s".to_owned()), ..of("zip", 10, 0, 0) };
        assert_eq!(type_text(&alias), "[s].[zip]");
    }
}
