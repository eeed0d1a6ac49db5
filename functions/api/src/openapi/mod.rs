//! The description of the API in `OpenAPI` 3.1, and the page that shows it.
//!
//! Kept by hand beside the handlers, because bodies are read by hand too. Two things keep it true: the
//! tests compare it with the table of roles, and compare every answer that they get with its schemas,
//! member by member. Roles and closed sets of names come from the code itself.

mod answers;
mod bodies;
mod operation;
mod operations;
pub(crate) mod page;
mod schema;

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};

use crate::roles::ROUTES;
use crate::state::AppState;

/// The groups of operations, in the order of the page.
const TAGS: [&str; 8] =
    ["Databases", "Engines", "Backups", "Policies", "Settings", "Users", "Audit", "System"];

/// Answers with the document.
pub(crate) async fn document(State(state): State<AppState>) -> Json<Value> {
    let prefix = state.prefix();
    let server = if prefix.is_empty() { "/".to_owned() } else { format!("/{prefix}") };
    Json(describe(&server, &state.config.about.version))
}

/// Builds the document, for the address that all paths begin with.
pub fn describe(server: &str, version: &str) -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "dilux-backup",
            "version": version,
            "description": "Backups of databases into Azure Blob Storage. Every answer other than a success \
                            has the body of the schema Error. x-required-role says who may call a route; \
                            admin includes operator, and operator includes viewer.",
            "license": {"name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE")},
        },
        "servers": [{"url": server}],
        "tags": TAGS.map(tag),
        "paths": paths(),
        "components": {
            "schemas": answers::schemas(),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A token of the directory, for this application or for Microsoft Graph.",
                },
                "platform": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-MS-CLIENT-PRINCIPAL",
                    "description": "Set by App Service authentication, where it is switched on and trusted.",
                },
            },
        },
    })
}

fn tag(name: &str) -> Value {
    json!({"name": name})
}

/// Renders the operations that have a route, below their paths. The tests see to it that all have one.
fn paths() -> Map<String, Value> {
    let mut paths = Map::new();
    for operation in operations::operations() {
        let found =
            ROUTES.iter().find(|route| (route.method, route.path) == (operation.method, operation.path));
        let Some(route) = found else { continue };
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.to_ascii_lowercase()] = operation.render(route);
    }
    paths
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn strings<'a>(value: &'a Value, member: &str, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    if name == member
                        && let Some(text) = value.as_str()
                    {
                        found.insert(text);
                    }
                    strings(value, member, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| strings(item, member, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn the_document_has_every_route_once_and_no_other() {
        let mut described: Vec<_> =
            operations::operations().iter().map(|operation| (operation.method, operation.path)).collect();
        let mut routes: Vec<_> = ROUTES.iter().map(|route| (route.method, route.path)).collect();
        described.sort_unstable();
        routes.sort_unstable();
        assert_eq!(described, routes);
    }

    #[test]
    fn every_operation_has_a_name_of_its_own() {
        let document = describe("/api", "1");
        let mut names = BTreeSet::new();
        strings(&document["paths"], "operationId", &mut names);
        assert_eq!(names.len(), ROUTES.len());
    }

    #[test]
    fn named_schemas_are_there_and_used() {
        let document = describe("/api", "1");
        let mut used = BTreeSet::new();
        strings(&document, "$ref", &mut used);
        let schemas = document["components"]["schemas"].as_object();
        let named: BTreeSet<String> =
            schemas.into_iter().flatten().map(|(name, _)| format!("#/components/schemas/{name}")).collect();
        assert_eq!(used, named.iter().map(String::as_str).collect());
    }

    #[test]
    fn roles_and_statuses_follow_from_the_route_and_its_parts() {
        let document = describe("/api", "1");
        let line = |(method, path): (&str, &str)| {
            let operation = &document["paths"][path][method];
            let statuses = operation["responses"].as_object().into_iter().flat_map(Map::keys);
            let statuses: Vec<&str> = statuses.map(String::as_str).collect();
            format!("{method} {path}: {} {}", operation["x-required-role"], statuses.join(" "))
        };
        let some =
            [("get", "/health"), ("get", "/users/{id}"), ("post", "/databases"), ("put", "/engines/{id}")];
        let lines: Vec<String> = some.into_iter().map(line).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        get /health: "anonymous" 200 414 431 500 503 504
        get /users/{id}: "admin-or-self" 200 401 403 404 414 429 431 500 503 504
        post /databases: "operator" 201 400 401 403 404 409 413 414 429 431 500 503 504
        put /engines/{id}: "operator" 200 400 401 403 404 409 412 413 414 429 431 500 503 504
        "#);
    }
}
