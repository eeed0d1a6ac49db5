//! From a configuration to what a client tool needs to connect.

use secrecy::SecretString;

use crate::models::{
    AuthMethod, Credentials, Database, DatabaseType, Endpoint, Engine, Login, Place, Restore, StoredSecret,
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
    /// Its password.
    pub password: SecretString,
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
    /// The method is not one that this version can use.
    #[error("the authentication method {method} of {name} cannot be used yet; use user_password")]
    Unsupported {
        /// The method.
        method: AuthMethod,
        /// The database or engine.
        name: String,
    },
    /// The secret cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

impl ConnectionError {
    /// Tells whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Secret(error) => error.is_transient(),
            Self::EngineGone
            | Self::TargetGone
            | Self::NoUsername(_)
            | Self::NoPassword(_)
            | Self::Unsupported { .. } => false,
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
            let owner = SecretOwner::Database(&database.id);
            let (username, password) = sign_in(login, owner, &database.name, secrets).await?;
            Ok(Connection {
                database_type: database.database_type,
                endpoint: database.endpoint.clone(),
                username,
                password,
            })
        }
    }
}

/// Finds out how to connect to an engine.
pub async fn for_engine(engine: &Engine, secrets: &Secrets) -> Result<Connection, ConnectionError> {
    let owner = SecretOwner::Engine(&engine.id);
    let (username, password) = sign_in(&engine.login, owner, &engine.name, secrets).await?;
    Ok(Connection {
        database_type: engine.engine_type.into(),
        endpoint: engine.endpoint.clone(),
        username,
        password,
    })
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
                password: password.ok_or_else(|| ConnectionError::NoPassword("the target".to_owned()))?,
            })
        }
    }
}

async fn sign_in(
    login: &Login,
    owner: SecretOwner<'_>,
    name: &str,
    secrets: &Secrets,
) -> Result<(UserName, SecretString), ConnectionError> {
    match login.auth_method {
        None | Some(AuthMethod::UserPassword) => {}
        Some(method @ (AuthMethod::ManagedIdentity | AuthMethod::AzureAd | AuthMethod::ConnectionString)) => {
            return Err(ConnectionError::Unsupported { method, name: name.to_owned() });
        }
    }
    let username = login.username.clone().ok_or_else(|| ConnectionError::NoUsername(name.to_owned()))?;
    let stored: &StoredSecret = &login.password;
    let password = secrets.read(owner, stored).await?;
    let password = password.ok_or_else(|| ConnectionError::NoPassword(name.to_owned()))?;
    Ok((username, password))
}
