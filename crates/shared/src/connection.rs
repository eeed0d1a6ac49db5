//! From a configuration to what a client tool needs to connect.

use secrecy::{ExposeSecret as _, SecretString};

use crate::connection_string::{ConnectionString, Encryption, InvalidConnectionString};
use crate::identity::{TokenError, TokenOf};
use crate::models::{
    AuthMethod, Credentials, Database, DatabaseType, Endpoint, Engine, Login, Place, Restore, Tls, TlsMode,
    UserName,
};
use crate::secrets::{self, SecretError, SecretOwner, Secrets};

/// What a client tool needs to connect to a server.
#[derive(Debug, Clone)]
pub struct Connection {
    /// What the server is.
    pub database_type: DatabaseType,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// The account.
    pub username: UserName,
    /// Its password, or a token in place of one.
    pub password: SecretString,
    /// Which of the two it is.
    pub proof: Proof,
}

/// What proves the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A password.
    Password,
    /// A token of the directory.
    Token,
}

/// Why a configuration does not suffice to connect.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The database uses the credentials of an engine that does not exist any more.
    #[error(
        "the database uses the credentials of an engine that does not exist any more; choose another \
         engine or give the database its own user name and password"
    )]
    EngineGone,
    /// The engine that a backup is to be restored to does not exist any more.
    #[error("the engine that was chosen as the target does not exist any more; ask for the restore again")]
    TargetGone,
    /// There is no user name.
    #[error("no user name is configured for {0}; edit it and enter one")]
    NoUsername(String),
    /// There is no password.
    #[error("no password is stored for {0}; edit it and enter one")]
    NoPassword(String),
    /// There is no connection string.
    #[error("no connection string is stored for {0}; edit it and enter one")]
    NoConnectionString(String),
    /// Only engines have connection strings.
    #[error(
        "the database {0} has no connection string of its own; give it a user name and a password, or those of an engine"
    )]
    OnlyEngines(String),
    /// The connection string cannot be used.
    #[error("the connection string of {name} {problem}")]
    ConnectionString {
        /// The engine.
        name: String,
        /// What is wrong with it.
        problem: InvalidConnectionString,
    },
    /// The connection string leads elsewhere.
    #[error(
        "the connection string of {0} names another server or port than {0} has; a stored secret is sent \
         to the configured server only, so make them the same"
    )]
    OtherPlace(String),
    /// A token would go to a host that is not known to be worth one.
    #[error(
        "the token of the directory that {name} signs in with is sent to Azure's own databases only, and {host} \
         is none of them; name it in TOKEN_HOSTS if it may have tokens, or use a user name and a password"
    )]
    NoTokenHost {
        /// The database or engine.
        name: String,
        /// Its host.
        host: String,
    },
    /// There is no token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The secret cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

impl ConnectionError {
    /// Returns the class of the failure, for machines: whether the credentials have to be mended, or could
    /// not be had for now.
    pub fn class(&self) -> &'static str {
        if self.is_transient() { "CredentialsUnavailable" } else { "Credentials" }
    }

    /// Tells whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Secret(error) => error.is_transient(),
            // An identity that is set up badly is set up better later, and the service may be busy.
            Self::Token(_) => true,
            Self::EngineGone
            | Self::TargetGone
            | Self::NoUsername(_)
            | Self::NoPassword(_)
            | Self::NoConnectionString(_)
            | Self::OnlyEngines(_)
            | Self::ConnectionString { .. }
            | Self::OtherPlace(_)
            | Self::NoTokenHost { .. } => false,
        }
    }
}

/// Finds out how to connect to the server of a database. With engine credentials, host, port and
/// type are the engine's as well: a stored password goes nowhere else.
pub async fn for_database(
    database: &Database,
    engine: Option<&Engine>,
    secrets: &Secrets,
) -> Result<Connection, ConnectionError> {
    match &database.credentials {
        Credentials::Engine => {
            let engine = engine.ok_or(ConnectionError::EngineGone)?;
            let mut connection = for_engine(engine, secrets).await?;
            // An engine of SQL Server serves Azure SQL databases too.
            if database.database_type == DatabaseType::AzureSql {
                connection.database_type = DatabaseType::AzureSql;
            }
            Ok(connection)
        }
        Credentials::Own(login) => {
            let site = Site {
                name: &database.name,
                database_type: database.database_type,
                endpoint: &database.endpoint,
            };
            match login.auth_method {
                None | Some(AuthMethod::UserPassword) => {
                    site.by_password(login, SecretOwner::Database(&database.id), secrets).await
                }
                Some(AuthMethod::ManagedIdentity) => {
                    site.by_token(login.username.clone(), TokenOf::ManagedIdentity, secrets).await
                }
                Some(AuthMethod::AzureAd) => {
                    site.by_token(login.username.clone(), TokenOf::Directory, secrets).await
                }
                Some(AuthMethod::ConnectionString) => {
                    Err(ConnectionError::OnlyEngines(database.name.clone()))
                }
            }
        }
    }
}

/// Finds out how to connect to an engine.
pub async fn for_engine(engine: &Engine, secrets: &Secrets) -> Result<Connection, ConnectionError> {
    let site =
        Site { name: &engine.name, database_type: engine.engine_type.into(), endpoint: &engine.endpoint };
    let login = &engine.login;
    match login.auth_method {
        None | Some(AuthMethod::UserPassword) => {
            site.by_password(login, SecretOwner::Engine(&engine.id), secrets).await
        }
        Some(AuthMethod::ManagedIdentity) => {
            site.by_token(login.username.clone(), TokenOf::ManagedIdentity, secrets).await
        }
        Some(AuthMethod::AzureAd) => site.by_token(login.username.clone(), TokenOf::Directory, secrets).await,
        Some(AuthMethod::ConnectionString) => site.by_connection_string(engine, secrets).await,
    }
}

/// Finds out how to connect to the server of a database after it has refused what was tried: by reading
/// again what may be remembered. `None` when that brings nothing new.
pub async fn renewed_for_database(
    database: &Database,
    engine: Option<&Engine>,
    secrets: &Secrets,
    refused: &Connection,
) -> Option<Connection> {
    match (&database.credentials, engine) {
        (Credentials::Engine, Some(engine)) => distrust(engine, secrets),
        (Credentials::Engine, None) => {}
        (Credentials::Own(_), _) => secrets.distrust(SecretOwner::Database(&database.id)),
    }
    for_database(database, engine, secrets).await.ok().filter(|renewed| renewed.differs_from(refused))
}

/// Finds out how to connect to an engine, without what may be remembered: for somebody who wants to know
/// whether that works now.
pub async fn for_engine_afresh(engine: &Engine, secrets: &Secrets) -> Result<Connection, ConnectionError> {
    distrust(engine, secrets);
    for_engine(engine, secrets).await
}

/// Finds out how to connect to an engine after it has refused what was tried; see
/// [`renewed_for_database`].
pub async fn renewed_for_engine(
    engine: &Engine,
    secrets: &Secrets,
    refused: &Connection,
) -> Option<Connection> {
    distrust(engine, secrets);
    for_engine(engine, secrets).await.ok().filter(|renewed| renewed.differs_from(refused))
}

fn distrust(engine: &Engine, secrets: &Secrets) {
    secrets.distrust(SecretOwner::Engine(&engine.id));
    secrets.distrust(SecretOwner::EngineConnectionString(&engine.id));
}

impl Connection {
    fn differs_from(&self, other: &Self) -> bool {
        self.username != other.username || !secrets::same(&self.password, &other.password)
    }
}

/// Finds out how to connect to the server of a restore; `engine` is the one that it names.
pub async fn for_restore(
    restore: &Restore,
    engine: Option<&Engine>,
    secrets: &Secrets,
) -> Result<Connection, ConnectionError> {
    match &restore.place {
        Place::Engine(_) => for_engine(engine.ok_or(ConnectionError::TargetGone)?, secrets).await,
        Place::Server { endpoint, username, password } => {
            let password = secrets.read(SecretOwner::Restore(&restore.id), password).await?;
            Ok(Connection {
                database_type: restore.database_type,
                endpoint: endpoint.clone(),
                username: username.clone(),
                proof: Proof::Password,
                password: password.ok_or_else(|| ConnectionError::NoPassword("the target".to_owned()))?,
            })
        }
    }
}

/// Finds out how to connect to the server of a restore after it has refused what was tried; see
/// [`renewed_for_database`].
pub async fn renewed_for_restore(
    restore: &Restore,
    engine: Option<&Engine>,
    secrets: &Secrets,
    refused: &Connection,
) -> Option<Connection> {
    match (&restore.place, engine) {
        (Place::Engine(_), Some(engine)) => distrust(engine, secrets),
        (Place::Engine(_), None) => {}
        (Place::Server { .. }, _) => secrets.distrust(SecretOwner::Restore(&restore.id)),
    }
    for_restore(restore, engine, secrets).await.ok().filter(|renewed| renewed.differs_from(refused))
}

/// Where to sign in.
struct Site<'a> {
    name: &'a str,
    database_type: DatabaseType,
    endpoint: &'a Endpoint,
}

impl Site<'_> {
    async fn by_password(
        &self,
        login: &Login,
        owner: SecretOwner<'_>,
        secrets: &Secrets,
    ) -> Result<Connection, ConnectionError> {
        let username = self.username(login.username.clone())?;
        let password = secrets.read(owner, &login.password).await?;
        let password = password.ok_or_else(|| ConnectionError::NoPassword(self.name.to_owned()))?;
        Ok(self.connection(username, password, Proof::Password, self.endpoint.tls.mode))
    }

    /// A token is a password in clear text to whoever receives it. So the server has to prove who it is,
    /// whatever the configuration says of the connection.
    async fn by_token(
        &self,
        username: Option<UserName>,
        of: TokenOf,
        secrets: &Secrets,
    ) -> Result<Connection, ConnectionError> {
        let username = match self.database_type {
            // Whose the token is, the server reads in the token itself.
            DatabaseType::Sqlserver | DatabaseType::AzureSql => username.or_else(|| "token".parse().ok()),
            DatabaseType::Mysql | DatabaseType::Postgresql => username,
        };
        let username = self.username(username)?;
        let (tokens, host) = (secrets.tokens(), self.endpoint.host.as_str());
        if !tokens.may_go_to(self.database_type, host) {
            return Err(ConnectionError::NoTokenHost { name: self.name.to_owned(), host: host.to_owned() });
        }
        let token = tokens.token(of, self.database_type).await?;
        Ok(self.connection(username, token, Proof::Token, TlsMode::VerifyFull))
    }

    async fn by_connection_string(
        &self,
        engine: &Engine,
        secrets: &Secrets,
    ) -> Result<Connection, ConnectionError> {
        let name = || self.name.to_owned();
        let owner = SecretOwner::EngineConnectionString(&engine.id);
        let text = secrets.read(owner, &engine.connection_string).await?;
        let text = text.ok_or_else(|| ConnectionError::NoConnectionString(name()))?;
        let parsed = ConnectionString::parse(self.database_type, text.expose_secret())
            .map_err(|problem| ConnectionError::ConnectionString { name: name(), problem })?;
        let endpoint = self.endpoint;
        let same_host =
            parsed.host.is_none_or(|host| host.as_str().eq_ignore_ascii_case(endpoint.host.as_str()));
        if !same_host || parsed.port.is_some_and(|port| port != endpoint.port) {
            return Err(ConnectionError::OtherPlace(name()));
        }
        if parsed.by_directory {
            return self.by_token(parsed.username, TokenOf::ManagedIdentity, secrets).await;
        }
        let username = self.username(parsed.username)?;
        let password = parsed.password.ok_or_else(|| ConnectionError::NoPassword(name()))?;
        let mode = match (parsed.encryption, endpoint.tls.mode) {
            (Encryption::Verified, _) => TlsMode::VerifyFull,
            (Encryption::Required, TlsMode::Disable | TlsMode::Prefer) => TlsMode::Require,
            (Encryption::Required | Encryption::Unsaid, mode) => mode,
        };
        Ok(self.connection(username, password, Proof::Password, mode))
    }

    fn username(&self, username: Option<UserName>) -> Result<UserName, ConnectionError> {
        username.ok_or_else(|| ConnectionError::NoUsername(self.name.to_owned()))
    }

    fn connection(
        &self,
        username: UserName,
        password: SecretString,
        proof: Proof,
        mode: TlsMode,
    ) -> Connection {
        let tls = Tls { mode, ca: self.endpoint.tls.ca.clone() };
        let endpoint = Endpoint { tls, ..self.endpoint.clone() };
        Connection { database_type: self.database_type, endpoint, username, password, proof }
    }
}
