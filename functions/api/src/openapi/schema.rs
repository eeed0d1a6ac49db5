//! Small builders for the schemas of the document.

use serde_json::{Map, Value, json};

/// Any text.
pub(super) fn text() -> Value {
    json!({"type": "string"})
}

/// A text that a rule of the API bounds.
pub(super) fn text_of(least: u32, most: u32) -> Value {
    json!({"type": "string", "minLength": least, "maxLength": most})
}

/// A text that has to match a pattern.
pub(super) fn matching(pattern: &str) -> Value {
    json!({"type": "string", "pattern": pattern})
}

/// An identifier, as it stands in paths and in other members.
pub(super) fn id() -> Value {
    matching("^[A-Za-z0-9._-]{1,128}$")
}

/// A moment in UTC.
pub(super) fn moment() -> Value {
    json!({"type": "string", "format": "date-time"})
}

/// True or false.
pub(super) fn flag() -> Value {
    json!({"type": "boolean"})
}

/// A count or a size.
pub(super) fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

/// A whole number within bounds.
pub(super) fn whole(least: u32, most: u32) -> Value {
    json!({"type": "integer", "minimum": least, "maximum": most})
}

/// A number that may have a fraction.
pub(super) fn number() -> Value {
    json!({"type": "number", "minimum": 0})
}

/// One of these names.
pub(super) fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> Value {
    json!({"type": "string", "enum": names.into_iter().collect::<Vec<_>>()})
}

/// A list.
pub(super) fn list(item: Value) -> Value {
    let mut schema = json!({"type": "array"});
    schema["items"] = item;
    schema
}

/// A list of bounded length.
pub(super) fn list_of(least: u32, most: u32, item: Value) -> Value {
    let mut schema = list(item);
    schema["minItems"] = least.into();
    schema["maxItems"] = most.into();
    schema
}

/// An object whose members have any name and one kind of value.
pub(super) fn map(value: Value) -> Value {
    let mut schema = json!({"type": "object"});
    schema["additionalProperties"] = value;
    schema
}

/// A named schema of the document.
pub(super) fn named(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// The same, or `null`.
pub(super) fn or_null(mut schema: Value) -> Value {
    if let Some(kind) = schema["type"].as_str() {
        let kinds = json!([kind, "null"]);
        if let Some(names) = schema.get_mut("enum").and_then(Value::as_array_mut) {
            names.push(Value::Null);
        }
        schema["type"] = kinds;
        schema
    } else {
        json!({"anyOf": [schema, {"type": "null"}]})
    }
}

/// Says what a schema means.
pub(super) fn described(mut schema: Value, words: &str) -> Value {
    schema["description"] = words.into();
    schema
}

/// Shows a value.
pub(super) fn example(mut schema: Value, value: impl Into<Value>) -> Value {
    schema["examples"] = json!([value.into()]);
    schema
}

/// Names the value that counts where none is given.
pub(super) fn by_default(mut schema: Value, value: impl Into<Value>) -> Value {
    schema["default"] = value.into();
    schema
}

/// The members of an object.
pub(super) type Members = Vec<(&'static str, Value)>;

/// An object with members that are always there, and members that may be left out.
pub(super) fn object(always: Members, sometimes: Members) -> Value {
    let required: Vec<&str> = always.iter().map(|(name, _)| *name).collect();
    let members: Map<String, Value> =
        always.into_iter().chain(sometimes).map(|(name, schema)| (name.to_owned(), schema)).collect();
    let mut schema = json!({"type": "object", "properties": members});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}
