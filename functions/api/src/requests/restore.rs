//! Restores in requests. Pure.
//!
//! What must stay true: a database is replaced only by a request that repeats its name.

use secrecy::SecretString;
use shared::models::{DatabaseName, DatabaseType, Endpoint, Host, RestoreMode, Tls, UserName};

use crate::error::ApiError;
use crate::json::{Members, require};
use crate::requests::tls::TlsFields;

/// A wish for a restore.
#[derive(Debug, Clone)]
pub(crate) struct RestoreRequest {
    pub target: TargetRequest,
    pub database: DatabaseName,
    pub mode: RestoreMode,
    pub keep_failed: bool,
}

/// Where a backup is to be restored.
#[derive(Debug, Clone)]
pub(crate) enum TargetRequest {
    /// A configured engine.
    Engine(String),
    /// Any server.
    Server { endpoint: Endpoint, username: UserName, password: SecretString },
}

impl RestoreRequest {
    /// Reads a body for a backup of this type. `confirmed` says whether replacing needs a confirmation here.
    pub(crate) fn read(body: &Members, kind: DatabaseType, confirmed: bool) -> Result<Self, ApiError> {
        let engine: Option<String> = body.parsed("target_engine_id")?.value();
        let server = body.object("target")?.value();
        let database: Option<DatabaseName> = body.parsed("database_name")?.value();
        let mode = body.parsed("mode")?.value().unwrap_or(RestoreMode::New);
        require(&[
            ("database_name", database.is_some()),
            ("target_engine_id or target", engine.is_some() || server.is_some()),
        ])?;
        let target = match (engine, server) {
            (Some(engine), None) => TargetRequest::Engine(engine),
            (None, Some(server)) => read_server(&server, kind)?,
            _ => return Err(ApiError::field("target", "cannot be given together with target_engine_id")),
        };
        let database = database.ok_or(ApiError::Internal("a required member was not checked"))?;
        if kind.is_system_database(database.as_str()) {
            return Err(ApiError::field(
                "database_name",
                "is a database of the server's own; choose another",
            ));
        }
        let confirm: Option<String> = body.parsed("confirm")?.value();
        if confirmed && mode == RestoreMode::Replace && confirm.as_deref() != Some(database.as_str()) {
            return Err(ApiError::field("confirm", "must repeat the database_name that is to be replaced"));
        }
        Ok(Self { target, database, mode, keep_failed: body.flag("keep_failed")?.unwrap_or(false) })
    }
}

fn read_server(server: &Members, kind: DatabaseType) -> Result<TargetRequest, ApiError> {
    let host: Option<Host> = server.host("host")?.value();
    let port = server.number("port", 1..=u16::MAX)?.value().unwrap_or(kind.default_port());
    let username: Option<UserName> = server.parsed("username")?.value();
    let password = server.secret("password")?;
    let tls = TlsFields::read(server)?.update(Tls::default())?;
    require(&[
        ("target.host", host.is_some()),
        ("target.username", username.is_some()),
        ("target.password", password.is_some()),
    ])?;
    match (host, username, password) {
        (Some(host), Some(username), Some(password)) => {
            Ok(TargetRequest::Server { endpoint: Endpoint { host, port, tls }, username, password })
        }
        _ => Err(ApiError::Internal("a required member was not checked")),
    }
}
