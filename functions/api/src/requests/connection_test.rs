//! Connection tests in requests. Pure.
//!
//! What must stay true: a stored password of an engine is sent to that engine's own host and port,
//! whatever the request says.

use secrecy::SecretString;
use shared::models::{DatabaseName, DatabaseType, Endpoint, Engine, Host, Tls, UserName};

use crate::error::ApiError;
use crate::json::{Members, require};
use crate::requests::tls::TlsFields;

/// A wish for a connection test.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionTest {
    pub database_type: DatabaseType,
    pub database_name: DatabaseName,
    pub engine_id: Option<String>,
    pub credentials: TestCredentials,
}

/// Whose credentials are tried, and where.
#[derive(Debug, Clone)]
pub(crate) enum TestCredentials {
    /// Those that are stored for an engine; host and port are what the body says besides.
    Engine { host: Option<Host>, port: Option<u16> },
    /// Those of the body.
    Own { endpoint: Endpoint, username: UserName, password: SecretString },
}

impl ConnectionTest {
    /// Reads a body; all members that are missing are named in one error.
    pub(crate) fn read(body: &Members) -> Result<Self, ApiError> {
        let from_engine = body.flag("use_engine_credentials")?.unwrap_or(false);
        let database_type: Option<DatabaseType> = body.parsed("database_type")?.value();
        let database_name: Option<DatabaseName> = body.parsed("database_name")?.value();
        let host: Option<Host> = body.host("host")?.value();
        let port = body.number("port", 1..=u16::MAX)?.value();
        let engine_id: Option<String> = body.parsed("engine_id")?.value();
        let username: Option<UserName> = body.parsed("username")?.value();
        let password = body.secret("password")?;
        require(&[
            ("database_type", database_type.is_some()),
            ("host", from_engine || host.is_some()),
            ("port", from_engine || port.is_some()),
            ("database_name", database_name.is_some()),
            ("username", from_engine || username.is_some()),
            ("password", from_engine || password.is_some()),
            ("engine_id", !from_engine || engine_id.is_some()),
        ])?;
        let tls = TlsFields::read(body)?;
        let credentials = match (from_engine, host, port, username, password) {
            (true, host, port, _, _) => TestCredentials::Engine { host, port },
            (false, Some(host), Some(port), Some(username), Some(password)) => {
                let tls = tls.update(Tls::default())?;
                TestCredentials::Own { endpoint: Endpoint { host, port, tls }, username, password }
            }
            (false, ..) => return Err(ApiError::Internal("a required member was not checked")),
        };
        let (Some(database_type), Some(database_name)) = (database_type, database_name) else {
            return Err(ApiError::Internal("a required member was not checked"));
        };
        Ok(Self { database_type, database_name, engine_id, credentials })
    }
}

/// Refuses a test of an engine's credentials that names another place than the engine's.
pub(crate) fn check_place(engine: &Engine, host: Option<&Host>, port: Option<u16>) -> Result<(), ApiError> {
    let own = &engine.endpoint;
    if host.is_some_and(|host| !host.as_str().eq_ignore_ascii_case(own.host.as_str())) {
        return Err(ApiError::field("host", "must be the engine's own when its credentials are used"));
    }
    if port.is_some_and(|port| port != own.port) {
        return Err(ApiError::field("port", "must be the engine's own when its credentials are used"));
    }
    Ok(())
}
