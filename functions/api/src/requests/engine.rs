//! Engines in requests. Pure.

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use shared::models::{
    AuthMethod, DatabaseType, Endpoint, Engine, EngineId, EngineType, Host, Login, PolicyId, StoredSecret,
    Tls, UserName,
};

use crate::error::ApiError;
use crate::json::{Given, Members, require};
use crate::requests::tls::TlsFields;

/// A new engine, and the secrets that are to be kept for it first.
#[derive(Debug)]
pub(crate) struct NewEngine {
    pub engine: Engine,
    pub password: Option<SecretString>,
    pub connection_string: Option<SecretString>,
    /// Whether its databases are to be listed at once.
    pub discover: bool,
}

impl NewEngine {
    /// Reads a body.
    pub(crate) fn read(
        body: &Members,
        id: EngineId,
        created_by: String,
        now: DateTime<Utc>,
    ) -> Result<Self, ApiError> {
        let name = body.label("name", 100)?;
        let engine_type: Option<EngineType> = body.parsed("engine_type")?.not_null("engine_type")?;
        let host: Option<Host> = body.parsed("host")?.not_null("host")?;
        require(&[
            ("name", name.is_some()),
            ("engine_type", engine_type.is_some()),
            ("host", host.is_some()),
        ])?;
        let (Some(name), Some(engine_type), Some(host)) = (name, engine_type, host) else {
            return Err(ApiError::Internal("a required member was not checked"));
        };
        let port = match body.number("port", 0..=u16::MAX)? {
            Given::Absent | Given::Null | Given::Value(0) => DatabaseType::from(engine_type).default_port(),
            Given::Value(port) => port,
        };
        let tls = TlsFields::read(body)?.update(Tls::default())?;
        let username: Option<UserName> = body.parsed("username")?.value();
        let password = body.secret("password")?;
        let auth_method: Option<AuthMethod> = body.parsed("auth_method")?.value();
        let implied = (username.is_some() && password.is_some()).then_some(AuthMethod::UserPassword);
        let policy_id: Option<PolicyId> = body.parsed("policy_id")?.value();
        Ok(Self {
            engine: Engine {
                id,
                name,
                engine_type,
                endpoint: Endpoint { host, port, tls },
                login: Login { auth_method: auth_method.or(implied), username, password: StoredSecret::None },
                connection_string: StoredSecret::None,
                policy_id,
                last_discovery: None,
                created_at: now,
                updated_at: now,
                created_by: Some(created_by),
            },
            password,
            connection_string: body.secret("connection_string")?,
            discover: body.flag("discover_databases")?.unwrap_or(false),
        })
    }
}
