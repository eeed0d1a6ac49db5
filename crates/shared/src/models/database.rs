//! Databases that are backed up, and the servers ("engines") that they live on.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use secrecy::SecretString;

use super::{
    AuthMethod, ContainerName, DatabaseId, DatabaseName, DatabaseType, DumpOptions, EngineId, EngineType,
    Host, PolicyId, Tls, UserName,
};
use crate::schedule::Schedule;

/// Where a server listens, and how connections to it are protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name or address.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// How connections to it are protected.
    pub tls: Tls,
}

/// A secret as it is kept: not at all, in the secret store, or in the row itself.
#[derive(Debug, Clone, Default)]
pub enum StoredSecret {
    /// None is kept.
    #[default]
    None,
    /// Kept in the secret store.
    Named {
        /// The name there.
        name: String,
        /// Which version of it; `None` in rows of an earlier system, which mean the newest one.
        version: Option<String>,
    },
    /// Kept in the row, sealed with a key that only the programs have.
    Sealed(String),
    /// Kept in the row in plain text: on a developer's machine, or by an earlier system.
    Plain(SecretString),
}

impl StoredSecret {
    /// Tells whether there is a secret.
    pub fn is_kept(&self) -> bool {
        !matches!(self, Self::None)
    }
}

/// How a server is signed in to.
#[derive(Debug, Clone, Default)]
pub struct Login {
    /// The method; `None` means a user name and a password.
    pub auth_method: Option<AuthMethod>,
    /// The account.
    pub username: Option<UserName>,
    /// Its password.
    pub password: StoredSecret,
}

/// Whose credentials a database is read with.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// Those of its engine.
    Engine,
    /// Its own.
    Own(Login),
}

/// Which policy a database follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyChoice {
    /// The policy chosen for the database itself.
    pub own: Option<PolicyId>,
    /// Whether the engine's policy is taken where it has one.
    pub from_engine: bool,
}

/// A database that is backed up.
#[derive(Debug, Clone)]
pub struct Database {
    /// Identifies it for ever.
    pub id: DatabaseId,
    /// The name for people.
    pub name: String,
    /// What it is.
    pub database_type: DatabaseType,
    /// Where its server listens.
    pub endpoint: Endpoint,
    /// Its name on the server.
    pub database_name: DatabaseName,
    /// Its engine.
    pub engine_id: Option<EngineId>,
    /// Whose credentials are used; `Engine` only together with `engine_id`.
    pub credentials: Credentials,
    /// Which policy it follows.
    pub policy: PolicyChoice,
    /// Whether the scheduler looks at it.
    pub enabled: bool,
    /// Its own schedule, which then decides instead of the policy's tiers.
    pub schedule: Option<Schedule>,
    /// Age limit in days for backups without a tier.
    pub retention_days: Option<u16>,
    /// Its own container.
    pub backup_destination: Option<ContainerName>,
    /// Whether dumps are compressed.
    pub compression: bool,
    /// What of it is dumped, and how.
    pub options: DumpOptions,
    /// Free labels.
    pub tags: BTreeMap<String, String>,
    /// When it was configured.
    pub created_at: DateTime<Utc>,
    /// When its configuration last changed.
    pub updated_at: DateTime<Utc>,
    /// Who configured it.
    pub created_by: Option<String>,
}

impl Database {
    /// Tells whether the engine's credentials are used.
    pub fn uses_engine_credentials(&self) -> bool {
        matches!(self.credentials, Credentials::Engine)
    }

    /// Returns its own login, if it has one.
    pub fn own_login(&self) -> Option<&Login> {
        match &self.credentials {
            Credentials::Engine => None,
            Credentials::Own(login) => Some(login),
        }
    }
}

/// How many databases of a server are dumped at once where nobody said.
pub const DEFAULT_CONCURRENT_BACKUPS: u16 = 2;

/// The largest number that can be said.
pub const MOST_CONCURRENT_BACKUPS: u16 = 100;

/// A database server.
#[derive(Debug, Clone)]
pub struct Engine {
    /// Identifies it for ever.
    pub id: EngineId,
    /// The name for people.
    pub name: String,
    /// What it is.
    pub engine_type: EngineType,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// How it is signed in to.
    pub login: Login,
    /// A connection string, where that is the method.
    pub connection_string: StoredSecret,
    /// The default policy of its databases.
    pub policy_id: Option<PolicyId>,
    /// How many of its databases are dumped at once, by all processors together.
    pub max_concurrent_backups: u16,
    /// The last discovery that succeeded.
    pub last_discovery: Option<DateTime<Utc>>,
    /// When it was configured.
    pub created_at: DateTime<Utc>,
    /// When its configuration last changed.
    pub updated_at: DateTime<Utc>,
    /// Who configured it.
    pub created_by: Option<String>,
}

impl Engine {
    /// Tells whether its credentials are complete, so that discovery can be offered.
    pub fn has_usable_credentials(&self) -> bool {
        match self.login.auth_method {
            None | Some(AuthMethod::UserPassword) => {
                self.login.username.is_some() && self.login.password.is_kept()
            }
            Some(AuthMethod::ConnectionString) => self.connection_string.is_kept(),
            Some(AuthMethod::ManagedIdentity | AuthMethod::AzureAd) => true,
        }
    }
}
