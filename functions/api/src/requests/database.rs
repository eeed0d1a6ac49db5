//! Databases in requests: the members of a body, and what they make of a database. Pure.
//!
//! Create and update share the members and their rules; they differ in what an absent member means.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use shared::models::{
    AuthMethod, ContainerName, Credentials, DEFAULT_POLICY, Database, DatabaseId, DatabaseName, DatabaseType,
    DumpOptions, Endpoint, Engine, Host, Login, PolicyChoice, PolicyId, StoredSecret, Tls, UserName,
};
use shared::schedule::Schedule;

use crate::error::ApiError;
use crate::json::{Given, Members, require};
use crate::requests::dump_options::DumpOptionFields;
use crate::requests::tls::TlsFields;

/// How the names of the containers begin in which the Functions host keeps its keys and notes.
/// <https://learn.microsoft.com/azure/azure-functions/storage-considerations>
const HOST_CONTAINERS: &str = "azure-webjobs-";

/// The members of a body that describes a database.
#[derive(Debug, Clone)]
pub(crate) struct DatabaseFields {
    name: Option<String>,
    database_type: Option<DatabaseType>,
    host: Option<Host>,
    port: Option<u16>,
    tls: TlsFields,
    database_name: Option<DatabaseName>,
    /// As a text: one that no engine can be called by is a 404 like any other unknown one.
    pub engine_id: Given<String>,
    use_engine_credentials: Option<bool>,
    auth_method: Given<AuthMethod>,
    username: Given<UserName>,
    password: Option<SecretString>,
    pub policy_id: Given<PolicyId>,
    use_engine_policy: Option<bool>,
    enabled: Option<bool>,
    schedule: Given<Schedule>,
    retention_days: Given<u16>,
    backup_destination: Given<ContainerName>,
    pub compression: Option<bool>,
    options: DumpOptionFields,
    tags: Option<BTreeMap<String, String>>,
}

/// What only the server knows of a new database.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub id: DatabaseId,
    /// Whether dumps are compressed when the body does not say.
    pub compression: bool,
    pub created_by: String,
    pub now: DateTime<Utc>,
}

/// A database as it is to be stored, and the password that is to be kept for it first.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub database: Database,
    pub new_password: Option<SecretString>,
}

impl DatabaseFields {
    /// Reads the members that are there, each by its own rule.
    pub(crate) fn read(body: &Members) -> Result<Self, ApiError> {
        Ok(Self {
            name: body.label("name", 200)?,
            database_type: body.parsed("database_type")?.not_null("database_type")?,
            host: body.host("host")?.not_null("host")?,
            port: body.number("port", 1..=u16::MAX)?.not_null("port")?,
            tls: TlsFields::read(body)?,
            database_name: body.parsed("database_name")?.not_null("database_name")?,
            engine_id: body.parsed("engine_id")?,
            use_engine_credentials: body.flag("use_engine_credentials")?,
            auth_method: body.parsed("auth_method")?,
            username: body.parsed("username")?,
            password: body.secret("password")?,
            policy_id: body.parsed("policy_id")?,
            use_engine_policy: body.flag("use_engine_policy")?,
            enabled: body.flag("enabled")?,
            schedule: body.parsed("schedule")?,
            retention_days: body.number("retention_days", 1..=3650)?,
            backup_destination: destination(body)?,
            compression: body.flag("compression")?,
            options: DumpOptionFields::read(body)?,
            tags: body.labels("tags")?,
        })
    }

    /// Makes a new database. `engine` is the one that the body names.
    pub(crate) fn create(self, origin: Origin, engine: Option<&Engine>) -> Result<Draft, ApiError> {
        let from_engine = self.use_engine_credentials.unwrap_or(false);
        let own = |given: bool| from_engine || given;
        let keyless = matches!(&self.auth_method, Given::Value(method) if is_keyless(*method));
        require(&[
            ("name", self.name.is_some()),
            ("database_type", own(self.database_type.is_some())),
            ("host", own(self.host.is_some())),
            ("port", own(self.port.is_some())),
            ("database_name", self.database_name.is_some()),
            ("engine_id", !from_engine || engine.is_some()),
            ("username", own(matches!(self.username, Given::Value(_)))),
            ("password", own(keyless || self.password.is_some())),
        ])?;
        let (database_type, endpoint) = match engine.filter(|_| from_engine) {
            Some(engine) => (type_on(engine, self.database_type), engine.endpoint.clone()),
            None => (
                required(self.database_type)?,
                Endpoint {
                    host: required(self.host)?,
                    port: required(self.port)?,
                    tls: self.tls.update(Tls::default())?,
                },
            ),
        };
        let (credentials, new_password) = if from_engine {
            (Credentials::Engine, None)
        } else {
            let login = Login {
                auth_method: self.auth_method.value(),
                username: self.username.value(),
                password: StoredSecret::None,
            };
            (Credentials::Own(login), self.password)
        };
        let inherits = self.use_engine_policy.unwrap_or(false);
        let database = Database {
            id: origin.id,
            name: required(self.name)?,
            database_type,
            endpoint,
            database_name: required(self.database_name)?,
            engine_id: engine.map(|engine| engine.id.clone()),
            credentials,
            policy: PolicyChoice { own: self.policy_id.value(), from_engine: inherits },
            enabled: self.enabled.unwrap_or(true),
            schedule: self.schedule.value(),
            retention_days: self.retention_days.value(),
            backup_destination: self.backup_destination.value(),
            compression: self.compression.unwrap_or(origin.compression),
            options: self.options.update(DumpOptions::default(), database_type)?,
            tags: self.tags.unwrap_or_default(),
            created_at: origin.now,
            updated_at: origin.now,
            created_by: Some(origin.created_by),
        };
        settled(Draft { database, new_password }, None)
    }

    /// Changes a database: absent members keep what is there. `engine` is the one that it has after
    /// the change; `None` when it has none, or its engine does not exist any more.
    pub(crate) fn update(
        self,
        current: Database,
        engine: Option<&Engine>,
        now: DateTime<Utc>,
    ) -> Result<Draft, ApiError> {
        let engine_id = match &self.engine_id {
            Given::Absent => current.engine_id.clone(),
            Given::Null => None,
            Given::Value(_) => engine.map(|engine| engine.id.clone()),
        };
        let from_engine = self.use_engine_credentials.unwrap_or(current.uses_engine_credentials());
        let before = current.clone();
        if self.policy_id == Given::Null && !self.use_engine_policy.unwrap_or(current.policy.from_engine) {
            return Err(ApiError::field("policy_id", "can be null only while use_engine_policy is true"));
        }
        let given = || -> Result<Endpoint, ApiError> {
            Ok(Endpoint {
                host: self.host.unwrap_or_else(|| current.endpoint.host.clone()),
                port: self.port.unwrap_or(current.endpoint.port),
                tls: self.tls.update(current.endpoint.tls.clone())?,
            })
        };
        let (database_type, endpoint) = match (from_engine, engine) {
            (true, Some(engine)) => {
                (type_on(engine, self.database_type.or(Some(current.database_type))), engine.endpoint.clone())
            }
            // Its engine is gone: until it has another one, nothing about its place can change.
            (true, None) => (current.database_type, current.endpoint.clone()),
            (false, _) => (self.database_type.unwrap_or(current.database_type), given()?),
        };
        let (credentials, new_password) = if from_engine {
            (Credentials::Engine, None)
        } else {
            let login = current.own_login().cloned().unwrap_or_default();
            let username = self.username.or_keep(login.username);
            let auth_method = self.auth_method.or_keep(login.auth_method);
            (Credentials::Own(Login { auth_method, username, ..login }), self.password)
        };
        let database = Database {
            name: self.name.unwrap_or(current.name),
            database_type,
            endpoint,
            database_name: self.database_name.unwrap_or(current.database_name),
            engine_id,
            credentials,
            policy: PolicyChoice {
                own: self.policy_id.or_keep(current.policy.own),
                from_engine: self.use_engine_policy.unwrap_or(current.policy.from_engine),
            },
            enabled: self.enabled.unwrap_or(current.enabled),
            schedule: self.schedule.or_keep(current.schedule),
            retention_days: self.retention_days.or_keep(current.retention_days),
            backup_destination: self.backup_destination.or_keep(current.backup_destination),
            compression: self.compression.unwrap_or(current.compression),
            options: self.options.update(current.options, database_type)?,
            tags: self.tags.unwrap_or(current.tags),
            updated_at: now,
            ..current
        };
        settled(Draft { database, new_password }, Some(&before))
    }
}

/// Reads the container; those of the Functions host are refused.
fn destination(body: &Members) -> Result<Given<ContainerName>, ApiError> {
    let container: Given<ContainerName> = body.parsed("backup_destination")?;
    if let Given::Value(name) = &container
        && name.as_str().starts_with(HOST_CONTAINERS)
    {
        let text = "must not begin with azure-webjobs-, which are the containers of Azure Functions";
        return Err(ApiError::field("backup_destination", text));
    }
    Ok(container)
}

/// Reads the id that a client wishes for a new database.
pub(crate) fn wished_id(body: &Members) -> Result<Option<DatabaseId>, ApiError> {
    let Given::Value(text) = body.text("id")? else { return Ok(None) };
    // Key Vault takes names that differ in case for the same one.
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let allowed = text.len() <= 64 && text.bytes().all(is_plain);
    let id = text.parse().ok().filter(|_| allowed);
    id.map(Some)
        .ok_or_else(|| ApiError::field("id", "must be 1 to 64 lower-case letters, digits and hyphens"))
}

/// Checks the rules that tie members together. A database that broke one before, as rows of earlier systems
/// may, can be changed as long as it is switched off.
fn settled(mut draft: Draft, before: Option<&Database>) -> Result<Draft, ApiError> {
    if let Some(problem) = problem(&draft.database, draft.new_password.is_some()) {
        let is_old = before.is_some_and(|before| self::problem(before, false) == Some(problem));
        if draft.database.enabled || !is_old {
            let (member, problem) = problem;
            return Err(ApiError::field(member, problem));
        }
    }
    let policy = &mut draft.database.policy;
    if policy.own.is_none() && !policy.from_engine {
        policy.own = DEFAULT_POLICY.parse().ok();
    }
    Ok(draft)
}

/// Returns the member that does not go with the others, and what is wrong with it.
fn problem(database: &Database, has_new_password: bool) -> Option<(&'static str, &'static str)> {
    let without_engine = database.engine_id.is_none();
    let needs_engine = "needs an engine_id; choose an engine or set it to false";
    if database.uses_engine_credentials() && without_engine {
        return Some(("use_engine_credentials", needs_engine));
    }
    if database.policy.from_engine && without_engine {
        return Some(("use_engine_policy", needs_engine));
    }
    let login = database.own_login()?;
    if login.username.is_none() {
        return Some(("username", "is required with the database's own credentials"));
    }
    if login.auth_method == Some(AuthMethod::ConnectionString) {
        let others =
            "only an engine has a connection string; use user_password, managed_identity or azure_ad";
        return Some(("auth_method", others));
    }
    let keyless = login.auth_method.is_some_and(is_keyless);
    if !keyless && !has_new_password && !login.password.is_kept() {
        return Some(("password", "is required: none is stored for the database's own credentials"));
    }
    None
}

/// Returns the type of a database on an engine: the engine's, but a server of SQL Server may be Azure SQL.
pub(crate) fn type_on(engine: &Engine, wished: Option<DatabaseType>) -> DatabaseType {
    let own = DatabaseType::from(engine.engine_type);
    match wished {
        Some(DatabaseType::AzureSql) if own == DatabaseType::Sqlserver => DatabaseType::AzureSql,
        Some(_) | None => own,
    }
}

/// Tells whether an account is proved by the directory, without a password of its own.
fn is_keyless(method: AuthMethod) -> bool {
    matches!(method, AuthMethod::ManagedIdentity | AuthMethod::AzureAd)
}

/// Takes a member that [`require`] has found.
fn required<T>(member: Option<T>) -> Result<T, ApiError> {
    member.ok_or(ApiError::Internal("a required member was not checked"))
}
