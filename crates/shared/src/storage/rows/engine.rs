//! Engines as rows.

use super::super::table::{Entity, Key, Value};
use super::database::{endpoint, login, secret, secret_columns, text, tls_columns};
use super::read::{Reader, date_time};
use super::{Row, UnreadableRow, properties};
use crate::models::{DEFAULT_CONCURRENT_BACKUPS, Engine, InvalidId, MOST_CONCURRENT_BACKUPS};

/// The partition of all engines, in their own table and in the configuration table, where earlier
/// systems kept them.
pub(crate) const PARTITION: &str = "engine";

/// The columns of a connection string.
pub(crate) const CONNECTION_STRING: [&str; 4] = [
    "connection_string_secret_name",
    "connection_string_secret_version",
    "connection_string_sealed",
    "connection_string",
];

impl Row for Engine {
    fn entity(&self) -> Entity {
        let [password_name, password_version, password_sealed, password] =
            secret_columns(&self.login.password);
        let [string_name, string_version, string_sealed, string] = secret_columns(&self.connection_string);
        let [tls_mode, tls_ca] = tls_columns(&self.endpoint.tls);
        Entity::new(
            Key::new(PARTITION, self.id.as_str()),
            properties([
                ("name", self.name.as_str().into()),
                ("engine_type", self.engine_type.as_str().into()),
                ("host", self.endpoint.host.as_str().into()),
                ("port", Value::Int32(self.endpoint.port.into())),
                ("tls_mode", tls_mode),
                ("tls_ca", tls_ca),
                ("auth_method", text(self.login.auth_method.as_ref())),
                ("username", text(self.login.username.as_ref())),
                ("password_secret_name", password_name),
                ("password_secret_version", password_version),
                ("password_sealed", password_sealed),
                ("password", password),
                ("connection_string_secret_name", string_name),
                ("connection_string_secret_version", string_version),
                ("connection_string_sealed", string_sealed),
                ("connection_string", string),
                ("policy_id", text(self.policy_id.as_ref())),
                ("max_concurrent_backups", Value::Int32(self.max_concurrent_backups.into())),
                ("discovery_enabled", self.has_usable_credentials().into()),
                ("last_discovery", self.last_discovery.map_or_else(|| "".into(), date_time)),
                ("created_at", date_time(self.created_at)),
                ("updated_at", date_time(self.updated_at)),
                ("created_by", text(self.created_by.as_ref())),
            ]),
        )
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
            name: row.required("name")?.to_owned(),
            engine_type: row.parse("engine_type")?,
            endpoint: endpoint(&row)?,
            login: login(&row)?,
            connection_string: secret(&row, CONNECTION_STRING),
            policy_id: row.parse_optional("policy_id")?,
            max_concurrent_backups: row
                .number("max_concurrent_backups")
                .filter(|most| (1..=MOST_CONCURRENT_BACKUPS).contains(most))
                .unwrap_or(DEFAULT_CONCURRENT_BACKUPS),
            last_discovery: row.instant("last_discovery"),
            created_at,
            updated_at: row.instant("updated_at").unwrap_or(created_at),
            created_by: row.owned("created_by"),
        })
    }
}
