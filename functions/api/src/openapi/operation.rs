//! One operation of the document: a route with its parameters, its body and its answers.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::schema::{Members, id, named, text};
use crate::roles::{Access, Route};

/// An operation. Statuses that follow from the kind of a request come by themselves.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    name: &'static str,
    summary: &'static str,
    query: Vec<Value>,
    headers: Vec<Value>,
    body: Option<(Value, bool)>,
    answers: Vec<(u16, Value)>,
    errors: BTreeSet<u16>,
    versioned: bool,
}

/// Begins an operation.
pub(super) fn operation(
    method: &'static str,
    path: &'static str,
    name: &'static str,
    summary: &'static str,
) -> Operation {
    let mut errors = BTreeSet::from([500, 503]);
    if path.contains('{') {
        errors.insert(404);
    }
    Operation {
        method,
        path,
        name,
        summary,
        query: Vec::new(),
        headers: Vec::new(),
        body: None,
        answers: Vec::new(),
        errors,
        versioned: false,
    }
}

impl Operation {
    /// Adds parameters of the query. What they hold is checked.
    pub(super) fn query(mut self, parameters: Members) -> Self {
        self.query
            .extend(parameters.into_iter().map(|(name, schema)| parameter("query", name, schema, false)));
        self.also(400)
    }

    /// Adds a parameter of the query that has to be there.
    pub(super) fn needs(mut self, name: &'static str, schema: Value) -> Self {
        self.query.push(parameter("query", name, schema, true));
        self.also(400)
    }

    /// Adds a header.
    pub(super) fn header(mut self, name: &'static str, schema: Value) -> Self {
        self.headers.push(parameter("header", name, schema, false));
        self.also(400)
    }

    /// Gives the body of the request.
    pub(super) fn body(mut self, schema: Value) -> Self {
        self.body = Some((schema, true));
        self.also(400).also(413)
    }

    /// Gives the body of the request, which may be missing.
    pub(super) fn optional_body(self, schema: Value) -> Self {
        let mut operation = self.body(schema);
        operation.body = operation.body.map(|(schema, _)| (schema, false));
        operation
    }

    /// Says that answers have an `ETag` and that requests may have an `If-Match`.
    pub(super) fn versioned(mut self) -> Self {
        self.versioned = true;
        self.also(412)
    }

    /// Adds an answer.
    pub(super) fn answers(mut self, status: u16, schema: Value) -> Self {
        self.answers.push((status, schema));
        self
    }

    /// Adds the status of a refusal.
    pub(super) fn also(mut self, status: u16) -> Self {
        self.errors.insert(status);
        self
    }

    /// Renders the operation, for whoever may call the route.
    pub(super) fn render(self, route: &Route) -> Value {
        let mut errors = self.errors;
        // The address or the headers are too long, or the answer takes too long: refused in front of all routes.
        errors.extend([414, 431, 504]);
        let mut security = json!([{"bearer": []}, {"platform": []}]);
        let role = match route.access {
            Access::Anonymous => "anonymous",
            Access::Role(role) => role.as_str(),
            Access::AdminOrSelf => "admin-or-self",
        };
        if route.access == Access::Anonymous {
            security = json!([]);
        } else {
            // Nobody has signed in, the role is too low, or an address fails to sign in too often.
            errors.extend([401, 403, 429]);
        }
        let mut parameters: Vec<Value> =
            variable(self.path).map(|name| parameter("path", name, id(), true)).into_iter().collect();
        parameters.extend(self.query);
        parameters.extend(self.headers);
        if self.versioned {
            let schema = json!({"type": "string", "pattern": "^[ !-~]*$"});
            parameters.push(parameter("header", "If-Match", schema, false));
        }
        let mut responses = serde_json::Map::new();
        for status in errors {
            responses.insert(status.to_string(), answer(status, named("Error")));
        }
        for (status, schema) in self.answers {
            let mut answer = answer(status, schema);
            if self.versioned && status < 300 && self.method != "DELETE" {
                answer["headers"] = json!({"ETag": {"description": "The version.", "schema": text()}});
            }
            responses.insert(status.to_string(), answer);
        }
        let mut operation = json!({
            "operationId": self.name,
            "summary": self.summary,
            "tags": [tag(self.path)],
            "x-required-role": role,
            "security": security,
            "parameters": parameters,
            "responses": responses,
        });
        if let Some((schema, required)) = self.body {
            operation["requestBody"] = json!({
                "required": required,
                "content": {"application/json": {"schema": schema}},
            });
        }
        operation
    }
}

fn parameter(place: &str, name: &str, mut schema: Value, required: bool) -> Value {
    let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
    let mut parameter = json!({"name": name, "in": place, "required": required, "schema": schema});
    if let Some(description) = description {
        parameter["description"] = description;
    }
    parameter
}

fn answer(status: u16, schema: Value) -> Value {
    let is_page = schema["contentMediaType"] == "text/html";
    let kind = if is_page { "text/html" } else { "application/json" };
    let mut answer = json!({"description": words(status), "content": {kind: {}}});
    answer["content"][kind]["schema"] = schema;
    answer
}

fn words(status: u16) -> &'static str {
    match status {
        200 => "Done.",
        201 => "Created.",
        202 => "Queued.",
        400 => "The request cannot be used; the text names the field and the rule.",
        401 => "Nobody has signed in, or whoever has is no user.",
        403 => "The role is too low.",
        404 => "There is no such thing.",
        409 => "It would be there twice, or somebody else changes it at the same time.",
        412 => "It is not the version that If-Match names.",
        413 => "The body is longer than 2 MiB.",
        414 => "The address is longer than 16 KiB.",
        431 => "The headers are too large.",
        504 => "It takes longer than a caller can wait; what was begun goes on.",
        429 => "Too many failed sign-ins from this address.",
        503 => "Storage, the secret store or the directory cannot be reached or is not set up.",
        _ => "Something unforeseen went wrong; the log has the reason.",
    }
}

/// Returns the name of the variable in a path.
fn variable(path: &str) -> Option<&str> {
    Some(path.split_once('{')?.1.split_once('}')?.0)
}

/// Returns the noun that a path belongs to.
fn tag(path: &str) -> &'static str {
    match path.split('/').nth(1) {
        Some("databases") => "Databases",
        Some("engines") => "Engines",
        Some("backups" | "restores" | "retention" | "storage-stats") => "Backups",
        Some("backup-policies") => "Policies",
        Some("settings") => "Settings",
        Some("users" | "access-requests" | "auth") => "Users",
        Some("audit") => "Audit",
        Some(_) | None => "System",
    }
}
