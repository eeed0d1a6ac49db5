//! Engines in requests. Pure.

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use shared::models::{
    AuthMethod, DEFAULT_CONCURRENT_BACKUPS, DatabaseType, Endpoint, Engine, EngineId, EngineType, Host,
    Login, MOST_CONCURRENT_BACKUPS, PolicyId, StoredSecret, Tls, UserName,
};

use crate::error::ApiError;
use crate::json::{Given, Members, require};
use crate::requests::tls::TlsFields;

/// A new engine.
#[derive(Debug)]
pub(crate) struct NewEngine {
    pub draft: EngineDraft,
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
        let host: Option<Host> = body.host("host")?.not_null("host")?;
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
        let engine = Engine {
            id,
            name,
            engine_type,
            endpoint: Endpoint { host, port, tls },
            login: Login { auth_method: auth_method.or(implied), username, password: StoredSecret::None },
            connection_string: StoredSecret::None,
            policy_id,
            max_concurrent_backups: concurrent(body)?.value().unwrap_or(DEFAULT_CONCURRENT_BACKUPS),
            last_discovery: None,
            created_at: now,
            updated_at: now,
            created_by: Some(created_by),
        };
        let new_connection_string = body.secret("connection_string")?;
        Ok(Self {
            draft: EngineDraft { engine, new_password: password, new_connection_string },
            discover: body.flag("discover_databases")?.unwrap_or(false),
        })
    }
}

/// Reads how many dumps a server bears at once.
fn concurrent(body: &Members) -> Result<Given<u16>, ApiError> {
    body.number("max_concurrent_backups", 1..=MOST_CONCURRENT_BACKUPS)
}

/// The members of a body that changes an engine.
#[derive(Debug, Clone)]
pub(crate) struct EngineFields {
    name: Option<String>,
    engine_type: Option<EngineType>,
    host: Option<Host>,
    port: Given<u16>,
    tls: TlsFields,
    auth_method: Given<AuthMethod>,
    username: Given<UserName>,
    password: Option<SecretString>,
    connection_string: Option<SecretString>,
    pub policy_id: Given<PolicyId>,
    max_concurrent_backups: Given<u16>,
    /// Whether all its databases are to use its credentials.
    pub apply_credentials: bool,
    /// Whether all its databases are to follow its policy.
    pub apply_policy: bool,
}

/// An engine as it is to be stored, and the secrets that are to be kept for it first.
#[derive(Debug)]
pub(crate) struct EngineDraft {
    pub engine: Engine,
    pub new_password: Option<SecretString>,
    pub new_connection_string: Option<SecretString>,
}

impl EngineFields {
    /// Reads the members that are there, each by its own rule.
    pub(crate) fn read(body: &Members) -> Result<Self, ApiError> {
        Ok(Self {
            name: body.label("name", 100)?,
            engine_type: body.parsed("engine_type")?.not_null("engine_type")?,
            host: body.host("host")?.not_null("host")?,
            port: body.number("port", 0..=u16::MAX)?,
            tls: TlsFields::read(body)?,
            auth_method: body.parsed("auth_method")?,
            username: body.parsed("username")?,
            password: body.secret("password")?,
            connection_string: body.secret("connection_string")?,
            policy_id: body.parsed("policy_id")?,
            max_concurrent_backups: concurrent(body)?,
            apply_credentials: body.flag("apply_to_all_databases")?.unwrap_or(false),
            apply_policy: body.flag("apply_policy_to_all_databases")?.unwrap_or(false),
        })
    }

    /// Changes an engine: absent members keep what is there.
    pub(crate) fn update(self, current: Engine, now: DateTime<Utc>) -> Result<EngineDraft, ApiError> {
        self.check_place(&current)?;
        let username = self.username.or_keep(current.login.username);
        let auth_method = self.auth_method.or_keep(current.login.auth_method);
        let implied = (username.is_some() && self.password.is_some()).then_some(AuthMethod::UserPassword);
        let engine = Engine {
            name: self.name.unwrap_or(current.name),
            endpoint: Endpoint { tls: self.tls.update(current.endpoint.tls)?, ..current.endpoint },
            login: Login { auth_method: auth_method.or(implied), username, password: current.login.password },
            policy_id: self.policy_id.or_keep(current.policy_id),
            max_concurrent_backups: match self.max_concurrent_backups {
                Given::Absent => current.max_concurrent_backups,
                Given::Null => DEFAULT_CONCURRENT_BACKUPS,
                Given::Value(most) => most,
            },
            updated_at: now,
            ..current
        };
        let draft = EngineDraft {
            engine,
            new_password: self.password,
            new_connection_string: self.connection_string,
        };
        if self.apply_credentials && !draft.will_have_credentials() {
            return Err(ApiError::field(
                "apply_to_all_databases",
                "the server itself has no complete credentials; enter them first",
            ));
        }
        Ok(draft)
    }

    /// Refuses another type or place than the engine has: its password would go there.
    fn check_place(&self, current: &Engine) -> Result<(), ApiError> {
        let own = &current.endpoint;
        let fixed = |name| Err(ApiError::field(name, "cannot be changed; add another server instead"));
        if self.engine_type.is_some_and(|kind| kind != current.engine_type) {
            return fixed("engine_type");
        }
        if self.host.as_ref().is_some_and(|host| !host.as_str().eq_ignore_ascii_case(own.host.as_str())) {
            return fixed("host");
        }
        match self.port {
            Given::Value(port) if port != 0 && port != own.port => fixed("port"),
            Given::Value(_) | Given::Absent | Given::Null => Ok(()),
        }
    }
}

impl EngineDraft {
    /// Tells whether the credentials are complete once the new secrets are kept.
    fn will_have_credentials(&self) -> bool {
        let mut engine = self.engine.clone();
        if let Some(password) = &self.new_password {
            engine.login.password = StoredSecret::Plain(password.clone());
        }
        if let Some(text) = &self.new_connection_string {
            engine.connection_string = StoredSecret::Plain(text.clone());
        }
        engine.has_usable_credentials()
    }
}
