//! Engines as answers show them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::models::{
    AuthMethod, Authorities, DatabaseId, Engine, EngineId, EngineType, Host, PolicyId, TlsMode, UserName,
};

use super::database::secret_name;

/// An engine as answers show it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct EngineView {
    pub id: EngineId,
    pub name: String,
    pub engine_type: EngineType,
    pub host: Host,
    pub port: u16,
    pub tls_mode: TlsMode,
    pub tls_ca: Option<Authorities>,
    pub auth_method: Option<AuthMethod>,
    pub username: Option<UserName>,
    pub password_secret_name: Option<String>,
    /// A secret: the member is there because clients expect it, and is always `null`.
    pub connection_string: Option<()>,
    pub policy_id: Option<PolicyId>,
    /// How many of its databases are dumped at once.
    pub max_concurrent_backups: u16,
    pub discovery_enabled: bool,
    pub last_discovery: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub created_by: Option<String>,
    /// How many databases are configured on it.
    pub database_count: usize,
}

impl EngineView {
    /// Shows an engine and how many databases it has.
    pub(crate) fn new(engine: &Engine, database_count: usize) -> Self {
        let engine = engine.clone();
        Self {
            discovery_enabled: engine.has_usable_credentials(),
            id: engine.id,
            name: engine.name,
            engine_type: engine.engine_type,
            host: engine.endpoint.host,
            port: engine.endpoint.port,
            tls_mode: engine.endpoint.tls.mode,
            tls_ca: engine.endpoint.tls.ca,
            auth_method: engine.login.auth_method,
            username: engine.login.username,
            password_secret_name: secret_name(engine.login.password),
            connection_string: None,
            policy_id: engine.policy_id,
            max_concurrent_backups: engine.max_concurrent_backups,
            last_discovery: engine.last_discovery,
            created_at: engine.created_at,
            updated_at: engine.updated_at,
            created_by: engine.created_by,
            database_count,
        }
    }
}

/// A database that a server has, or that is configured for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct DiscoveredView {
    pub name: String,
    /// Whether it is configured already.
    pub exists: bool,
    pub existing_id: Option<DatabaseId>,
    /// Whether it is one of the server's own.
    pub is_system: bool,
}
