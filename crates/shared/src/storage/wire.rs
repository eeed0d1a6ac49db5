//! Entities as JSON, in the form of the table service: a type annotation beside each property whose
//! type JSON cannot tell, 64-bit integers as text.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Number, Value as Json};

use super::table::{ETag, Entity, Key, Properties, Value};

/// The error of an answer that is not what the service documents.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("the answer of the table service is not JSON")]
    Json(#[from] serde_json::Error),
    #[error("the answer of the table service has no {0}")]
    Missing(&'static str),
}

/// Renders properties as a JSON object.
pub(crate) fn object(properties: &Properties) -> Json {
    let mut object = Map::new();
    for (name, value) in properties {
        let (json, edm) = match value {
            Value::String(text) => (Json::from(text.as_str()), None),
            Value::Bool(value) => (Json::from(*value), None),
            Value::Int32(value) => (Json::from(*value), None),
            Value::Int64(value) => (Json::from(value.to_string()), Some("Edm.Int64")),
            Value::Double(value) => (
                Number::from_f64(*value).map_or_else(|| Json::from(value.to_string()), Json::Number),
                Some("Edm.Double"),
            ),
            Value::DateTime(value) => {
                (Json::from(value.to_rfc3339_opts(SecondsFormat::Micros, true)), Some("Edm.DateTime"))
            }
        };
        if let Some(edm) = edm {
            object.insert(format!("{name}@odata.type"), Json::from(edm));
        }
        object.insert(name.clone(), json);
    }
    Json::Object(object)
}

/// Renders an entity with its keys.
pub(crate) fn entity(entity: &Entity) -> Json {
    let mut json = object(&entity.properties);
    if let Json::Object(object) = &mut json {
        object.insert("PartitionKey".to_owned(), Json::from(entity.key.partition.as_str()));
        object.insert("RowKey".to_owned(), Json::from(entity.key.row.as_str()));
    }
    json
}

/// Reads one entity.
pub(crate) fn read_entity(body: &[u8]) -> Result<Entity, WireError> {
    from_object(serde_json::from_slice(body)?)
}

/// Reads the entities of a page.
pub(crate) fn read_page(body: &[u8]) -> Result<Vec<Entity>, WireError> {
    #[derive(serde::Deserialize)]
    struct Answer {
        value: Vec<Map<String, Json>>,
    }
    let answer: Answer = serde_json::from_slice(body)?;
    answer.value.into_iter().map(from_object).collect()
}

fn from_object(mut object: Map<String, Json>) -> Result<Entity, WireError> {
    let mut key = |name: &'static str| match object.remove(name) {
        Some(Json::String(text)) => Ok(text),
        Some(_) | None => Err(WireError::Missing(name)),
    };
    let key = Key::new(key("PartitionKey")?, key("RowKey")?);
    let etag = object.get("odata.etag").and_then(Json::as_str).map(|text| ETag(text.to_owned()));
    let properties = object
        .iter()
        .filter(|(name, _)| !name.contains("odata.") && *name != "Timestamp")
        .filter_map(|(name, json)| {
            let edm = object.get(&format!("{name}@odata.type")).and_then(Json::as_str);
            value(json, edm).map(|value| (name.clone(), value))
        })
        .collect();
    Ok(Entity { key, etag, properties })
}

/// Reads a value; null and values that do not fit their annotation count as absent.
fn value(json: &Json, edm: Option<&str>) -> Option<Value> {
    match (json, edm) {
        (Json::String(text), Some("Edm.Int64")) => text.parse().ok().map(Value::Int64),
        (Json::String(text), Some("Edm.Double")) => text.parse().ok().map(Value::Double),
        (Json::String(text), Some("Edm.DateTime")) => {
            DateTime::parse_from_rfc3339(text).ok().map(|at| Value::DateTime(at.with_timezone(&Utc)))
        }
        (Json::String(text), _) => Some(Value::String(text.clone())),
        (Json::Bool(value), _) => Some(Value::Bool(*value)),
        (Json::Number(number), Some("Edm.Double")) => number.as_f64().map(Value::Double),
        (Json::Number(number), _) => match number.as_i64() {
            Some(whole) => Some(i32::try_from(whole).map_or(Value::Int64(whole), Value::Int32)),
            None => number.as_f64().map(Value::Double),
        },
        (Json::Null | Json::Array(_) | Json::Object(_), _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotates_what_json_cannot_tell() {
        let properties: Properties = [
            ("big".to_owned(), Value::Int64(3_000_000_000)),
            ("name".to_owned(), Value::from("Zoë 'x'")),
            ("on".to_owned(), Value::Bool(true)),
            ("seconds".to_owned(), Value::Double(12.0)),
            ("small".to_owned(), Value::Int32(-1)),
        ]
        .into();
        insta::assert_snapshot!(object(&properties).to_string(), @r#"{"big":"3000000000","big@odata.type":"Edm.Int64","name":"Zoë 'x'","on":true,"seconds":12.0,"seconds@odata.type":"Edm.Double","small":-1}"#);
    }

    #[test]
    fn reads_back_what_it_wrote() -> Result<(), WireError> {
        let entity_out = Entity::new(
            Key::new("p", "r"),
            [
                ("a".to_owned(), Value::Int64(1)),
                ("b".to_owned(), Value::Double(0.5)),
                ("c".to_owned(), Value::DateTime(DateTime::UNIX_EPOCH)),
                ("d".to_owned(), Value::from("")),
            ]
            .into(),
        );
        assert_eq!(read_entity(entity(&entity_out).to_string().as_bytes())?, entity_out);
        Ok(())
    }

    #[test]
    fn ignores_the_services_own_members() -> Result<(), WireError> {
        let page = br#"{"odata.metadata":"x","value":[{"odata.etag":"W/\"1\"","PartitionKey":"p","RowKey":"r","Timestamp":"2025-01-01T00:00:00Z","Timestamp@odata.type":"Edm.DateTime","n":null,"x":7}]}"#;
        let entities = read_page(page)?;
        insta::assert_debug_snapshot!(entities[0].properties, @r#"
        {
            "x": Int32(
                7,
            ),
        }
        "#);
        assert_eq!(entities[0].etag, Some(ETag("W/\"1\"".to_owned())));
        Ok(())
    }
}
