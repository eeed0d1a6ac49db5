//! Identities of the directory, by which other services are reached without a key.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::{ClientOptions, Transport};
use azure_identity::{
    ClientSecretCredential, ClientSecretCredentialOptions, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId,
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;

use crate::config::{Config, Identity};
use crate::models::DatabaseType;
use crate::targets::AllowedTarget;

/// How long the directory may take to hand out a token.
const PATIENCE: Duration = Duration::from_secs(15);

/// The hosts of Azure's own database services. A token is worth as much as the identity: it goes to no
/// other host, unless the installation names one.
const AZURE_HOSTS: [(DatabaseType, &str); 4] = [
    (DatabaseType::Mysql, ".mysql.database.azure.com"),
    (DatabaseType::Postgresql, ".postgres.database.azure.com"),
    (DatabaseType::Sqlserver, ".database.windows.net"),
    (DatabaseType::AzureSql, ".database.windows.net"),
];

/// Which identity signs in to a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenOf {
    /// The app's managed identity.
    ManagedIdentity,
    /// The directory account that the installation is set up with: a service principal, else the managed
    /// identity.
    Directory,
}

/// The error of a token that cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("the directory gave no token for the database; check the identity of this app, and try again")]
pub struct TokenError(#[source] TokenFailure);

/// What the identity service said.
#[derive(Debug)]
struct TokenFailure(String);

impl fmt::Display for TokenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for TokenFailure {}

type Opened = OnceLock<Result<Arc<dyn TokenCredential>, String>>;

/// Tokens by which databases are signed in to without a password.
#[derive(Debug)]
pub struct Tokens {
    identity: Identity,
    hosts: Vec<AllowedTarget>,
    managed: Opened,
    directory: Opened,
}

impl Tokens {
    /// Prepares to ask for tokens; nothing is set up before the first one is wanted.
    pub fn new(config: &Config) -> Self {
        Self {
            identity: config.identity.clone(),
            hosts: config.token_hosts.clone(),
            managed: Opened::new(),
            directory: Opened::new(),
        }
    }

    /// Uses one credential for all.
    pub fn with(config: &Config, credential: Arc<dyn TokenCredential>) -> Self {
        let tokens = Self::new(config);
        let _ = tokens.managed.set(Ok(credential.clone()));
        let _ = tokens.directory.set(Ok(credential));
        tokens
    }

    /// Tells whether tokens may be sent to a host.
    pub(crate) fn may_go_to(&self, kind: DatabaseType, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_lowercase();
        let azure = AZURE_HOSTS.iter().any(|(of, suffix)| *of == kind && host.ends_with(suffix));
        azure || self.hosts.iter().any(|allowed| allowed.names(&host))
    }

    /// Asks for a token that a database takes as a password. It is remembered until it ends.
    pub(crate) async fn token(&self, of: TokenOf, kind: DatabaseType) -> Result<SecretString, TokenError> {
        let failed = |text: String| TokenError(TokenFailure(text));
        let scope = match kind {
            DatabaseType::Mysql | DatabaseType::Postgresql => {
                "https://ossrdbms-aad.database.windows.net/.default"
            }
            DatabaseType::Sqlserver | DatabaseType::AzureSql => "https://database.windows.net/.default",
        };
        let credential = self.credential(of).map_err(failed)?;
        let token = timeout(PATIENCE, credential.get_token(&[scope], None))
            .await
            .map_err(|_| failed(format!("no answer within {} seconds", PATIENCE.as_secs())))?
            .map_err(|error| failed(chain(&error)))?;
        Ok(token.token.secret().to_owned().into())
    }

    fn credential(&self, of: TokenOf) -> Result<&Arc<dyn TokenCredential>, String> {
        let (opened, identity) = match (of, &self.identity) {
            (TokenOf::Directory, identity) => (&self.directory, identity.clone()),
            (TokenOf::ManagedIdentity, Identity::Managed { .. }) => (&self.managed, self.identity.clone()),
            // The client id is then that of the service principal.
            (TokenOf::ManagedIdentity, Identity::ClientSecret { .. }) => {
                (&self.managed, Identity::Managed { client_id: None })
            }
        };
        let open = || {
            let transport = storage_account::transport().map_err(|error| chain(&error))?;
            credential(&identity, transport).map_err(|error| chain(&error))
        };
        opened.get_or_init(open).as_ref().map_err(Clone::clone)
    }
}

/// Renders an error with its causes on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Sets up an identity; nothing is sent yet.
pub(crate) fn credential(
    identity: &Identity,
    transport: Transport,
) -> azure_core::Result<Arc<dyn TokenCredential>> {
    let client_options = ClientOptions { transport: Some(transport), ..ClientOptions::default() };
    Ok(match identity {
        Identity::Managed { client_id } => {
            let options = ManagedIdentityCredentialOptions {
                user_assigned_id: client_id.clone().map(UserAssignedId::ClientId),
                client_options,
            };
            ManagedIdentityCredential::new(Some(options))?
        }
        Identity::ClientSecret { tenant_id, client_id, secret } => {
            let secret = Secret::new(secret.expose_secret().to_owned());
            let options = ClientSecretCredentialOptions { client_options };
            ClientSecretCredential::new(tenant_id, client_id.clone(), secret, Some(options))?
        }
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

    use super::*;
    use crate::config::Source;

    #[test]
    fn tokens_go_to_azure_and_to_named_hosts() {
        let config =
            Config::read(&Source::of(&[("TOKEN_HOSTS", "pg.internal.example, *.sql.example")])).unwrap();
        let tokens = Tokens::new(&config);
        let (mysql, postgresql, azure_sql) =
            (DatabaseType::Mysql, DatabaseType::Postgresql, DatabaseType::AzureSql);
        for (kind, host, may) in [
            (mysql, "shop.mysql.database.azure.com", true),
            (postgresql, "SHOP.postgres.database.azure.com.", true),
            (azure_sql, "shop.database.windows.net", true),
            (postgresql, "pg.internal.example", true),
            (azure_sql, "one.sql.example", true),
            (mysql, "shop.postgres.database.azure.com", false),
            (mysql, "mysql.database.azure.com", false),
            (mysql, "evilmysql.database.azure.com", false),
            (mysql, "shop.mysql.database.azure.com.evil.example", false),
            (postgresql, "10.0.0.7", false),
        ] {
            assert_eq!(tokens.may_go_to(kind, host), may, "{kind} {host}");
        }
    }
}
