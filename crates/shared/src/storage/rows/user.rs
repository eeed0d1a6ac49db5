//! Users as rows.

use super::super::table::{Entity, Key, Value};
use super::read::{Reader, date_time};
use super::{Row, UnreadableRow, properties};
use crate::models::{InvalidId, User, UserRole};

/// The partition of all users.
pub(crate) const PARTITION: &str = "users";

impl Row for User {
    fn entity(&self) -> Entity {
        let mut properties = properties([
            ("email", self.email.as_str().into()),
            ("name", self.name.as_str().into()),
            ("role", self.role.as_str().into()),
            ("enabled", self.enabled.into()),
            ("dark_mode", self.dark_mode.into()),
            ("page_size", Value::Int32(self.page_size.into())),
            ("created_at", date_time(self.created_at)),
            ("updated_at", date_time(self.updated_at)),
        ]);
        if let Some(at) = self.last_login {
            properties.insert("last_login".to_owned(), date_time(at));
        }
        if let Some(by) = &self.created_by {
            properties.insert("created_by".to_owned(), by.as_str().into());
        }
        Entity::new(Key::new(PARTITION, self.id.as_str()), properties)
    }

    fn from_entity(entity: &Entity) -> Result<Self, UnreadableRow> {
        let row = Reader(entity);
        let created_at = row.made_at();
        Ok(Self {
            id: entity
                .key
                .row
                .parse()
                .map_err(|error: InvalidId| row.unreadable("RowKey", error.to_string()))?,
            email: row.required("email")?.to_owned(),
            name: row.owned("name").unwrap_or_default(),
            role: row.parse_optional("role")?.unwrap_or(UserRole::Viewer),
            enabled: row.flag("enabled", true),
            dark_mode: row.flag("dark_mode", false),
            page_size: row.number("page_size").filter(|size| (10..=100).contains(size)).unwrap_or(25),
            created_at,
            updated_at: row.instant("updated_at").unwrap_or(created_at),
            last_login: row.instant("last_login"),
            created_by: row.owned("created_by"),
        })
    }
}
