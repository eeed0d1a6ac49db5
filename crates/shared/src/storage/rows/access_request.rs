//! Wishes for access as rows.

use super::super::table::{Entity, Key, Value};
use super::read::{Reader, date_time};
use super::{Row, UnreadableRow, properties};
use crate::models::{AccessRequest, InvalidId, Resolution};

/// The partition of all access requests.
pub(crate) const PARTITION: &str = "access_requests";

impl Row for AccessRequest {
    fn entity(&self) -> Entity {
        let (status, at, by, reason) = match &self.resolution {
            Resolution::Pending => ("pending", None, None, None),
            Resolution::Approved { at, by } => ("approved", *at, by.as_ref(), None),
            Resolution::Rejected { at, by, reason } => ("rejected", *at, by.as_ref(), reason.as_ref()),
        };
        let mut properties = properties([
            ("email", self.email.as_str().into()),
            ("name", self.name.as_str().into()),
            ("azure_ad_id", self.azure_ad_id.as_str().into()),
            ("status", status.into()),
            ("requested_at", date_time(self.requested_at)),
        ]);
        let mut add = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                properties.insert(name.to_owned(), value);
            }
        };
        add("resolved_at", at.map(date_time));
        add("resolved_by", by.map(|by| by.as_str().into()));
        add("rejection_reason", reason.map(|reason| reason.as_str().into()));
        Entity::new(Key::new(PARTITION, self.id.as_str()), properties)
    }

    fn from_entity(entity: &Entity) -> Result<Self, UnreadableRow> {
        let row = Reader(entity);
        let (at, by) = (row.instant("resolved_at"), row.owned("resolved_by"));
        let resolution = match row.required("status")? {
            "pending" => Resolution::Pending,
            "approved" => Resolution::Approved { at, by },
            "rejected" => Resolution::Rejected { at, by, reason: row.owned("rejection_reason") },
            _ => return Err(row.unreadable("status", "none of pending, approved, rejected")),
        };
        Ok(Self {
            id: entity
                .key
                .row
                .parse()
                .map_err(|error: InvalidId| row.unreadable("RowKey", error.to_string()))?,
            email: row.required("email")?.to_owned(),
            name: row.owned("name").unwrap_or_default(),
            azure_ad_id: row.required("azure_ad_id")?.to_owned(),
            requested_at: row.required_instant("requested_at")?,
            resolution,
        })
    }
}
