//! `GET /audit/actions` and `GET /audit/resource-types`: what the log can be filtered by.

use axum::Json;
use serde::Serialize;
use shared::models::{AuditAction, AuditResource};

#[derive(Debug, Serialize)]
pub(crate) struct Actions {
    actions: Vec<Name>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ResourceTypes {
    resource_types: Vec<Name>,
}

/// A value, and how people read it.
#[derive(Debug, Serialize)]
struct Name {
    value: &'static str,
    label: String,
}

/// Lists all actions.
pub(crate) async fn actions() -> Json<Actions> {
    let actions = AuditAction::ALL.iter().map(|action| name(action.as_str())).collect();
    Json(Actions { actions })
}

/// Lists all kinds of things.
pub(crate) async fn resource_types() -> Json<ResourceTypes> {
    let resource_types = AuditResource::ALL.iter().map(|kind| name(kind.as_str())).collect();
    Json(ResourceTypes { resource_types })
}

fn name(value: &'static str) -> Name {
    let words = value.split('_').map(|word| {
        let mut letters = word.chars();
        letters
            .next()
            .map(|first| format!("{}{}", first.to_ascii_uppercase(), letters.as_str()))
            .unwrap_or_default()
    });
    Name { value, label: words.collect::<Vec<_>>().join(" ") }
}
