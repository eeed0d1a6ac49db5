//! Audit records as rows.

use serde_json::{Map, Value as Json};

use super::super::table::Entity;
use super::history_key::{history_key, id_in, instant_in};
use super::read::{Reader, date_time};
use super::{Row, UnreadableRow, properties};
use crate::models::{AuditRecord, AuditStatus, InvalidId};

/// The longest text of details; a property holds 64 KiB of UTF-16, so 30 KiB of UTF-8 always fit.
const LONGEST_DETAILS: usize = 30 * 1024;

/// What is stored for an address that is not known, and shown for an action that is missing.
const UNKNOWN: &str = "unknown";

impl Row for AuditRecord {
    fn entity(&self) -> Entity {
        let mut properties = properties([
            ("id", self.id.as_str().into()),
            ("timestamp", date_time(self.timestamp)),
            ("user_id", self.user_id.as_str().into()),
            ("user_email", self.user_email.as_str().into()),
            ("action", self.action.as_str().into()),
            ("resource_type", self.resource_type.as_str().into()),
            ("resource_id", self.resource_id.as_str().into()),
            ("resource_name", self.resource_name.as_str().into()),
            ("status", self.status.as_str().into()),
            ("ip_address", self.ip_address.as_deref().unwrap_or(UNKNOWN).into()),
        ]);
        if let Some(message) = &self.error_message {
            properties.insert("error_message".to_owned(), message.as_str().into());
        }
        if let Some(details) = &self.details {
            properties.insert("details".to_owned(), details_text(details).into());
        }
        Entity::new(history_key(self.timestamp, self.id.as_str()), properties)
    }

    /// Reads a record. What it says is for people: a record that is not as expected is shown all the same.
    fn from_entity(entity: &Entity) -> Result<Self, UnreadableRow> {
        let row = Reader(entity);
        let id = row.text("id").unwrap_or_else(|| id_in(&entity.key.row));
        let timestamp = row.instant("timestamp").or_else(|| instant_in(&entity.key.row));
        Ok(Self {
            id: id.parse().map_err(|error: InvalidId| row.unreadable("id", error.to_string()))?,
            timestamp: timestamp.ok_or_else(|| row.unreadable("timestamp", "missing or no date and time"))?,
            user_id: row.owned("user_id").unwrap_or_default(),
            user_email: row.owned("user_email").unwrap_or_default(),
            action: row.owned("action").unwrap_or_else(|| UNKNOWN.to_owned()),
            resource_type: row.owned("resource_type").unwrap_or_default(),
            resource_id: row.owned("resource_id").unwrap_or_default(),
            resource_name: row.owned("resource_name").unwrap_or_default(),
            details: row.text("details").map(read_details),
            status: row.parse("status").unwrap_or(AuditStatus::Success),
            error_message: row.owned("error_message"),
            ip_address: row.owned("ip_address").filter(|address| address != UNKNOWN),
        })
    }
}

/// Reads details; a text that is no object is shown as it is.
fn read_details(text: &str) -> Map<String, Json> {
    serde_json::from_str(text).unwrap_or_else(|_| Map::from_iter([("text".to_owned(), Json::from(text))]))
}

/// Renders details; when they are too long, long lists and texts in them are cut and
/// `truncated: true` says so.
fn details_text(details: &Map<String, Json>) -> String {
    let text = Json::Object(details.clone()).to_string();
    if text.len() <= LONGEST_DETAILS {
        return text;
    }
    let mut short: Map<String, Json> =
        details.iter().map(|(name, value)| (name.clone(), shortened(value))).collect();
    short.insert("truncated".to_owned(), Json::Bool(true));
    let text = Json::Object(short).to_string();
    if text.len() <= LONGEST_DETAILS { text } else { r#"{"truncated":true}"#.to_owned() }
}

fn shortened(value: &Json) -> Json {
    match value {
        Json::String(text) => Json::String(text.chars().take(500).collect()),
        Json::Array(items) => Json::Array(items.iter().take(50).map(shortened).collect()),
        Json::Object(members) => Json::Object(
            members.iter().take(50).map(|(name, value)| (name.clone(), shortened(value))).collect(),
        ),
        Json::Null | Json::Bool(_) | Json::Number(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortens_what_would_not_fit() {
        let files: Vec<Json> = (0..5000).map(|n| Json::from(format!("mysql/db/{n}.sql.gz"))).collect();
        let details: Map<String, Json> =
            [("deleted_files".to_owned(), Json::Array(files)), ("deleted_count".to_owned(), 5000.into())]
                .into_iter()
                .collect();
        let text = details_text(&details);
        assert!(text.len() < LONGEST_DETAILS);
        let read: Json = serde_json::from_str(&text).unwrap_or_default();
        assert_eq!(read["truncated"], true);
        assert_eq!(read["deleted_count"], 5000);
        assert_eq!(read["deleted_files"].as_array().map(Vec::len), Some(50));
    }
}
