//! Restores as rows. A table of our own: no earlier system knows it.

use super::super::table::{Entity, Key, Value};
use super::database::{PASSWORD, endpoint, secret, secret_columns, text, tls_columns};
use super::read::{Reader, date_time};
use super::{Row, UnreadableRow, properties};
use crate::models::{
    Failure, InvalidId, Place, Restore, RestorePhase, RestoreProgress, Run, StoredSecret, Tls, Warnings,
};

/// The partition of all restores.
pub(crate) const PARTITION: &str = "restore";

impl Row for Restore {
    fn entity(&self) -> Entity {
        let (engine, host, port, username) = match &self.place {
            Place::Engine(id) => (Some(id), "", 0, ""),
            Place::Server { endpoint, username, .. } => {
                (None, endpoint.host.as_str(), endpoint.port, username.as_str())
            }
        };
        let none = (Tls::default(), StoredSecret::None);
        let (tls, password) = match &self.place {
            Place::Engine(_) => (&none.0, &none.1),
            Place::Server { endpoint, password, .. } => (&endpoint.tls, password),
        };
        let [password_name, password_version, password_sealed, password] = secret_columns(password);
        let [tls_mode, tls_ca] = tls_columns(tls);
        let instant = |at: Option<_>| at.map_or_else(|| "".into(), date_time);
        let size = |bytes: u64| Value::Int64(i64::try_from(bytes).unwrap_or(i64::MAX));
        Entity::new(
            Key::new(PARTITION, self.id.as_str()),
            properties([
                ("backup_id", self.backup_id.as_str().into()),
                ("database_type", self.database_type.as_str().into()),
                ("container_name", self.container.as_str().into()),
                ("blob_name", self.blob_name.as_str().into()),
                ("blob_bytes", size(self.blob_bytes.unwrap_or(0))),
                ("sha256", text(self.sha256.as_ref())),
                ("engine_id", text(engine)),
                ("host", host.into()),
                ("port", Value::Int32(port.into())),
                ("tls_mode", tls_mode),
                ("tls_ca", tls_ca),
                ("username", username.into()),
                ("password_secret_name", password_name),
                ("password_secret_version", password_version),
                ("password_sealed", password_sealed),
                ("password", password),
                ("database_name", self.database.as_str().into()),
                ("mode", self.mode.as_str().into()),
                ("keep_failed", self.keep_failed.into()),
                ("requested_by", self.requested_by.as_str().into()),
                ("created_at", date_time(self.created_at)),
                ("sent_at", instant(self.sent_at)),
                ("status", self.status.as_str().into()),
                ("phase", self.phase.as_str().into()),
                ("failed_in", text(self.failed_in.as_ref())),
                ("cancel_requested", self.cancel_requested.into()),
                ("claim", text(self.claim.as_ref())),
                ("heartbeat_at", instant(self.heartbeat_at)),
                ("read_bytes", size(self.progress.read_bytes)),
                ("sql_bytes", size(self.progress.sql_bytes)),
                ("work_database", text(self.work_database.as_ref())),
                ("has_made", self.has_made.into()),
                ("started_at", instant(self.run.started_at)),
                ("completed_at", instant(self.run.finished_at)),
                ("duration_seconds", Value::Double(self.run.seconds.unwrap_or(0.0))),
                ("error_message", text(self.failure.as_ref().map(|failure| &failure.message))),
                ("error_details", text(self.failure.as_ref().and_then(|failure| failure.class.as_ref()))),
                ("failed_line", size(self.failed_line.unwrap_or(0))),
                ("adapted", serde_json::json!(self.adapted).to_string().into()),
                ("warnings", serde_json::json!(self.warnings).to_string().into()),
            ]),
        )
    }

    fn from_entity(entity: &Entity) -> Result<Self, UnreadableRow> {
        let row = Reader(entity);
        let place = match row.parse_optional("engine_id")? {
            Some(engine) => Place::Engine(engine),
            None => Place::Server {
                endpoint: endpoint(&row)?,
                username: row.parse("username")?,
                password: secret(&row, PASSWORD),
            },
        };
        let above_zero = |property| row.number(property).filter(|number: &u64| *number > 0);
        let failure =
            row.owned("error_message").map(|message| Failure { message, class: row.owned("error_details") });
        let finished_at = row.instant("completed_at");
        let list = |property| -> Warnings {
            let texts: Option<Vec<String>> =
                row.text(property).and_then(|text| serde_json::from_str(text).ok());
            texts.unwrap_or_default().iter().collect()
        };
        Ok(Self {
            id: entity
                .key
                .row
                .parse()
                .map_err(|error: InvalidId| row.unreadable("RowKey", error.to_string()))?,
            backup_id: row.parse("backup_id")?,
            database_type: row.parse("database_type")?,
            container: row.parse("container_name")?,
            blob_name: row.required("blob_name")?.to_owned(),
            blob_bytes: above_zero("blob_bytes"),
            sha256: row.owned("sha256"),
            place,
            database: row.parse("database_name")?,
            mode: row.parse("mode")?,
            keep_failed: row.flag("keep_failed", false),
            requested_by: row.owned("requested_by").unwrap_or_default(),
            created_at: row.required_instant("created_at")?,
            sent_at: row.instant("sent_at"),
            status: row.parse("status")?,
            // Of an unknown phase the worst is taken.
            phase: row.parse("phase").unwrap_or(RestorePhase::Loading),
            failed_in: row.parse_optional("failed_in")?,
            cancel_requested: row.flag("cancel_requested", false),
            claim: row.parse_optional("claim")?,
            heartbeat_at: row.instant("heartbeat_at"),
            progress: RestoreProgress {
                read_bytes: row.number("read_bytes").unwrap_or(0),
                sql_bytes: row.number("sql_bytes").unwrap_or(0),
            },
            work_database: row.parse_optional("work_database")?,
            has_made: row.flag("has_made", false),
            run: Run {
                started_at: row.instant("started_at"),
                finished_at,
                seconds: finished_at.and_then(|_| row.fraction("duration_seconds")),
            },
            failure,
            failed_line: above_zero("failed_line"),
            adapted: list("adapted"),
            warnings: list("warnings"),
        })
    }
}
