//! Databases as answers show them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::effective_policy::PolicyBook;
use shared::models::{
    AuthMethod, Authorities, CompressionFormat, ContainerName, Database, DatabaseId, DatabaseName,
    DatabaseType, EngineId, Host, NamePattern, PolicyId, StoredSecret, TlsMode, UserName,
};
use shared::schedule::next_slots;

/// A database as answers show it.
#[expect(clippy::struct_excessive_bools, reason = "the contract has them")]
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DatabaseView {
    pub id: DatabaseId,
    pub name: String,
    pub database_type: DatabaseType,
    pub engine_id: Option<EngineId>,
    pub use_engine_credentials: bool,
    pub host: Host,
    pub port: u16,
    pub tls_mode: TlsMode,
    pub tls_ca: Option<Authorities>,
    pub database_name: DatabaseName,
    pub auth_method: Option<AuthMethod>,
    pub username: Option<UserName>,
    pub password_secret_name: Option<String>,
    pub policy_id: Option<PolicyId>,
    pub use_engine_policy: bool,
    pub enabled: bool,
    pub schedule: Option<String>,
    pub retention_days: Option<u16>,
    pub backup_destination: Option<ContainerName>,
    pub compression: bool,
    pub compression_format: CompressionFormat,
    pub compression_level: Option<u8>,
    pub exclude_tables: Vec<NamePattern>,
    pub exclude_table_data: Vec<NamePattern>,
    pub include_schemas: Vec<NamePattern>,
    pub include_privileges: bool,
    /// Only for PostgreSQL, as the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_globals: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_role_passwords: Option<bool>,
    /// Only for SQL Server and Azure SQL, as the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_permissions: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
    pub dump_timeout_minutes: Option<u16>,
    pub stall_timeout_minutes: Option<u16>,
    pub tags: BTreeMap<String, String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub created_by: Option<String>,
    /// Only in lists, and there only when the engine exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine_name: Option<String>,
}

impl DatabaseView {
    /// Shows a database together with the name of its engine.
    pub(crate) fn with_engine_name(database: &Database, engine_name: Option<String>) -> Self {
        Self { engine_name, ..Self::from(database) }
    }
}

/// A database together with the next slot of its schedule.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ScheduledView {
    #[serde(flatten)]
    pub database: DatabaseView,
    /// `None` when the database is disabled, or nothing in its policy runs.
    pub next_backup_at: Option<DateTime<Utc>>,
}

impl ScheduledView {
    /// Looks up the next slot after an instant.
    pub(crate) fn new(
        view: DatabaseView,
        database: &Database,
        book: &PolicyBook,
        now: DateTime<Utc>,
    ) -> Self {
        let plan = book.plan(database).filter(|_| database.enabled);
        let next = plan.and_then(|plan| next_slots(plan, now, 1).pop());
        Self { database: view, next_backup_at: next.map(|due| due.slot) }
    }
}

impl From<&Database> for DatabaseView {
    fn from(database: &Database) -> Self {
        let database = database.clone();
        let login = database.own_login().cloned().unwrap_or_default();
        let postgresql = database.database_type == DatabaseType::Postgresql;
        let sql_server = matches!(database.database_type, DatabaseType::Sqlserver | DatabaseType::AzureSql);
        Self {
            use_engine_credentials: database.uses_engine_credentials(),
            id: database.id,
            name: database.name,
            database_type: database.database_type,
            engine_id: database.engine_id,
            host: database.endpoint.host,
            port: database.endpoint.port,
            tls_mode: database.endpoint.tls.mode,
            tls_ca: database.endpoint.tls.ca,
            database_name: database.database_name,
            auth_method: login.auth_method,
            username: login.username,
            password_secret_name: secret_name(login.password),
            policy_id: database.policy.own,
            use_engine_policy: database.policy.from_engine,
            enabled: database.enabled,
            schedule: database.schedule.map(|schedule| schedule.to_string()),
            retention_days: database.retention_days,
            backup_destination: database.backup_destination,
            compression: database.compression,
            compression_format: database.options.format(),
            compression_level: database.options.compression_level,
            exclude_tables: database.options.exclude_tables,
            exclude_table_data: database.options.exclude_table_data,
            include_schemas: database.options.include_schemas,
            include_privileges: database.options.include_privileges,
            include_globals: postgresql.then_some(database.options.roles.are_included()),
            include_role_passwords: postgresql.then_some(database.options.roles.have_passwords()),
            include_permissions: sql_server.then_some(!database.options.leave_out_permissions),
            strict: sql_server.then_some(database.options.strict),
            dump_timeout_minutes: database.options.dump_timeout_minutes,
            stall_timeout_minutes: database.options.stall_timeout_minutes,
            tags: database.tags,
            created_at: database.created_at,
            updated_at: database.updated_at,
            created_by: database.created_by,
            engine_name: None,
        }
    }
}

/// Returns the name under which a secret is kept, which is no secret itself.
pub(super) fn secret_name(secret: StoredSecret) -> Option<String> {
    match secret {
        StoredSecret::Named { name, .. } => Some(name),
        StoredSecret::None | StoredSecret::Sealed(_) | StoredSecret::Plain(_) => None,
    }
}
