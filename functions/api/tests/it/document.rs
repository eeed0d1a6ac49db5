//! The `OpenAPI` document against what the API does: every answer that any test gets is compared with it.

use std::panic::catch_unwind;
use std::sync::LazyLock;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::support::World;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| api::describe("/api", "1"));

/// Fails unless the document has this answer: its status, its kind, and every member of its body with its
/// type. Paths and methods that nobody has are none of its business.
pub(crate) fn check(method: &Method, path: &str, status: StatusCode, headers: &HeaderMap, body: &[u8]) {
    let Some(path) = path.strip_prefix("/api") else { return };
    let Some(operation) = operation(method, path) else { return };
    let place = format!("{method} {path} {status}");
    let answer = &operation["responses"][status.as_str()];
    assert!(answer.is_object(), "{place}: the document does not have this status: {}", text(body));
    let kind = headers["content-type"].to_str().unwrap().split(';').next().unwrap();
    let schema = &answer["content"][kind]["schema"];
    assert!(schema.is_object(), "{place}: the document does not have answers of the kind {kind}");
    // The answer to HEAD has no body.
    if kind == "application/json" && method != Method::HEAD {
        let value = serde_json::from_slice(body).unwrap();
        if let Err(problem) = matches(&value, schema, "") {
            panic!("{place}: {problem}, in {}", text(body));
        }
    }
}

fn text(body: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(body)
}

/// Finds the operation that the router would choose: literal segments go first.
fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let method = if method == Method::HEAD { "get".to_owned() } else { method.as_str().to_ascii_lowercase() };
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let fits = |template: &str| {
        let (mut wanted, mut given) = (template.split('/'), path.split('/'));
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return true,
                (Some(wanted), Some(given)) if wanted == given => {}
                (Some(wanted), Some(given)) if wanted.starts_with('{') && !given.is_empty() => {}
                _ => return false,
            }
        }
    };
    let found = paths.iter().filter(|(template, _)| fits(template));
    let (_, item) = found.min_by_key(|(template, _)| template.matches('{').count())?;
    item.get(&method)
}

/// Compares a value with a schema, and insists that the schema knows every member.
fn matches(value: &Value, schema: &Value, place: &str) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = DOCUMENT.pointer(reference.trim_start_matches('#')).unwrap();
        return matches(value, target, place);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let problems: Vec<String> =
            choices.iter().filter_map(|choice| matches(value, choice, place).err()).collect();
        return if problems.len() < choices.len() { Ok(()) } else { Err(problems.join("; or ")) };
    }
    let kinds: Vec<&str> = match schema["type"].as_array() {
        Some(kinds) => kinds.iter().map(|kind| kind.as_str().unwrap()).collect(),
        None => vec![schema["type"].as_str().unwrap()],
    };
    if !kinds.iter().any(|kind| is(value, kind)) {
        return Err(format!("{place} is {value} instead of {kinds:?}"));
    }
    if schema["enum"].as_array().is_some_and(|names| !names.contains(value)) {
        return Err(format!("{place} has the unknown name {value}"));
    }
    if value.is_string() && schema["format"] == "date-time" {
        let moment = value.as_str().and_then(|text| chrono::DateTime::parse_from_rfc3339(text).ok());
        moment.ok_or_else(|| format!("{place} is no date and time: {value}"))?;
    }
    let number = value.as_f64().unwrap_or_default();
    let above = schema["maximum"].as_f64().is_some_and(|most| number > most);
    if value.is_number() && (above || schema["minimum"].as_f64().is_some_and(|least| number < least)) {
        return Err(format!("{place} is out of bounds: {value}"));
    }
    for item in value.as_array().into_iter().flatten() {
        matches(item, &schema["items"], &format!("{place}[]"))?;
    }
    let Some(members) = value.as_object() else { return Ok(()) };
    for name in schema["required"].as_array().into_iter().flatten() {
        if !members.contains_key(name.as_str().unwrap()) {
            return Err(format!("{place} lacks {name}"));
        }
    }
    for (name, member) in members {
        let place = format!("{place}.{name}");
        match (&schema["properties"][name], &schema["additionalProperties"]) {
            (Value::Null, Value::Bool(true)) => {}
            (Value::Null, Value::Null) => return Err(format!("{place} is not in the document")),
            (Value::Null, others) => matches(member, others, &place)?,
            (schema, _) => matches(member, schema, &place)?,
        }
    }
    Ok(())
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("an unknown type: {other}"),
    }
}

fn accepts(path: &str, status: u16, body: &Value) -> bool {
    let headers = [("content-type".parse().unwrap(), "application/json".parse().unwrap())];
    let headers: HeaderMap = headers.into_iter().collect();
    let status = StatusCode::from_u16(status).unwrap();
    let body = body.to_string();
    catch_unwind(|| check(&Method::GET, path, status, &headers, body.as_bytes())).is_ok()
}

#[test]
fn what_differs_from_the_document_is_noticed() {
    let good = json!({"version": "1", "installation_id": "x", "environment": "development"});
    assert!(accepts("/api/version", 200, &good));
    assert!(!accepts("/api/version", 202, &good));
    for (name, value) in [("version", Value::Null), ("version", json!(1)), ("more", json!(""))] {
        let mut bad = good.clone();
        bad[name] = value;
        assert!(!accepts("/api/version", 200, &bad), "{bad}");
    }
    assert!(!accepts("/api/version", 200, &json!({"version": "1", "environment": "development"})));
    assert!(!accepts("/api/version", 500, &json!({"error": "no id"})));
    assert!(!accepts("/api/databases/x/schedule", 200, &json!({"database_id": "x"})));
}

/// Collects where the document says `null`, which no keyword of a schema may be; only values may.
fn nulls(value: &Value, place: &str, found: &mut Vec<String>) {
    match value {
        Value::Null => found.push(place.to_owned()),
        Value::Object(members) => {
            for (name, member) in members {
                if !["default", "enum", "example"].contains(&name.as_str()) || member.is_object() {
                    nulls(member, &format!("{place}/{name}"), found);
                }
                if name == "enum" && member.is_null() {
                    found.push(format!("{place}/enum"));
                }
            }
        }
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                nulls(item, &format!("{place}/{number}"), found);
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_keyword_has_a_value() {
    let mut found = Vec::new();
    nulls(&DOCUMENT, "", &mut found);
    assert!(found.is_empty(), "{found:#?}");
}

#[tokio::test]
async fn the_document_is_served_for_the_prefix_of_the_api() {
    let world = World::with(&[("APP_VERSION", "9.9.9")]);
    let served = world.get("/openapi.json").await;
    assert_eq!(served, api::describe("/api", "9.9.9"));
    assert_eq!((&served["openapi"], &served["servers"][0]["url"]), (&json!("3.1.0"), &json!("/api")));
}

#[tokio::test]
async fn the_page_brings_all_it_needs_and_may_run_nothing_else() {
    let world = World::new();
    let request = Request::get("/api/docs").body(Body::empty()).unwrap();
    let (status, headers, body) = world.exchange(request).await;
    assert_eq!(
        (status.as_u16(), headers["content-type"].to_str().unwrap()),
        (200, "text/html; charset=utf-8")
    );
    let page = String::from_utf8(body).unwrap();
    let policy = headers["content-security-policy"].to_str().unwrap();
    for element in ["script", "style"] {
        let start = format!("<{element}>");
        assert_eq!(page.matches(&format!("<{element}")).count(), 1);
        let (_, rest) = page.split_once(&start).unwrap();
        let (text, _) = rest.split_once(&format!("</{element}>")).unwrap();
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        let hash = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, digest);
        assert!(policy.contains(&format!("{element}-src 'sha256-{hash}'")), "{policy}");
    }
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    for foreign in ["http:", "https:", "//cdn", "src=", "style=", "onclick", "innerHTML", "@import"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}
