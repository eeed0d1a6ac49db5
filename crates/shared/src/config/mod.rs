//! Configuration: the only reader of the environment.
//!
//! A value that cannot be used is an error that names the variable, what is wrong and what would be
//! right; the programs print it and exit with code 1. A variable that is set but empty counts as not
//! set.

mod network;
mod secrets;
mod sign_in;
mod source;
mod storage;

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;

pub use network::NetworkConfig;
pub use secrets::SecretsConfig;
pub use sign_in::{Directory, SignIn};
pub use source::{ConfigError, Source};
pub use storage::{Identity, StorageConfig};

use crate::models::ContainerName;
use crate::targets::{AllowedTarget, InvalidTarget, TargetRule};

/// Everything that the programs are told from outside.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which kind of installation this is.
    pub environment: Environment,
    /// How callers prove who they are.
    pub auth_mode: AuthMode,
    /// How callers sign in where the mode is the directory.
    pub sign_in: SignIn,
    /// Where data are kept.
    pub storage: StorageConfig,
    /// Where passwords are kept.
    pub secrets: SecretsConfig,
    /// The directory's identity of this installation.
    pub identity: Identity,
    /// Names of things in storage.
    pub names: StorageNames,
    /// What this installation calls itself.
    pub about: About,
    /// Which hosts may be connected to.
    pub targets: TargetRule,
    /// Hosts besides those of Azure's own databases that tokens of the directory may be sent to.
    pub token_hosts: Vec<AllowedTarget>,
    /// Least level of log lines.
    pub log_level: LogLevel,
    /// Origins that browsers may call from, where somebody has named them.
    pub allowed_origins: Option<Vec<String>>,
    /// Whether a host stands in front that answers cross-origin calls.
    pub cors_in_front: bool,
    /// How many proxies of one's own stand in front; they add one `X-Forwarded-For` entry each.
    pub trusted_proxies: usize,
    /// Age limit in days where no settings are stored yet.
    pub retention_days: u16,
    /// Limits of backup jobs.
    pub jobs: JobLimits,
    /// The longest pause before a scheduled job may start; each database has its own share of it.
    pub schedule_jitter: Duration,
    /// Where the function apps are.
    pub network: NetworkConfig,
    /// The port that the Functions host told this program to listen on.
    pub port: Option<u16>,
    /// The path under which the host forwards HTTP requests.
    pub route_prefix: String,
}

/// Which kind of installation this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// A developer's machine: plain-text secrets, plain HTTP and the mock user are fine.
    Development,
    /// Everything else.
    Production,
}

/// How callers prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMode {
    /// Everybody is the development administrator.
    Mock,
    /// By the directory.
    Azure,
}

/// Least level of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// What happens.
    Info,
    /// What may be wrong.
    Warn,
    /// What is wrong.
    Error,
}

impl LogLevel {
    /// Returns the level's name in filters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Names of tables, queues and containers that can be chosen.
#[derive(Debug, Clone)]
pub struct StorageNames {
    /// The default container.
    pub container: ContainerName,
    /// The queue of backup jobs.
    pub queue: String,
    /// The table of the backup history.
    pub history_table: String,
    /// The table of configurations.
    pub config_table: String,
    /// Scheme and authority of download addresses, where the public ones differ.
    pub public_url: Option<url::Url>,
}

/// What this installation calls itself.
#[derive(Debug, Clone)]
pub struct About {
    /// `APP_NAME`
    pub name: String,
    /// `APP_VERSION`
    pub version: String,
    /// `INSTALLATION_ID`
    pub installation: String,
    /// `ENVIRONMENT` as it was given.
    pub environment: String,
}

/// Limits of backup jobs.
#[derive(Debug, Clone, Copy)]
pub struct JobLimits {
    /// How long a claim holds without a sign of life.
    pub claim: Duration,
    /// How long a dump may take; must be below the host's `functionTimeout`.
    pub deadline: Duration,
    /// How long a dump tool may be silent.
    pub stall: Duration,
    /// How many dumps one processor runs at once.
    pub concurrent: u16,
    /// The first and the second pause before a job is tried again.
    pub retry_delays: [Duration; 2],
}

impl Config {
    /// Reads the environment of the process.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::read(&Source::environment())
    }

    /// Reads from `source`.
    pub fn read(source: &Source) -> Result<Self, ConfigError> {
        let environment_name = match source.text("ENVIRONMENT") {
            Some(name) => name,
            // Forgotten in Azure, development would make everybody an administrator.
            // <https://learn.microsoft.com/azure/app-service/reference-app-settings>
            None if source.text("WEBSITE_SITE_NAME").is_some() => {
                return Err(ConfigError::new("ENVIRONMENT", "is not set; use development or production"));
            }
            None => "development".to_owned(),
        };
        let environment = environment(&environment_name)?;
        Ok(Self {
            environment,
            auth_mode: auth_mode(source, environment)?,
            sign_in: SignIn::read(source)?,
            storage: StorageConfig::read(source)?,
            secrets: SecretsConfig::read(source, environment)?,
            identity: Identity::read(source),
            names: names(source, environment)?,
            about: About {
                name: source.text("APP_NAME").unwrap_or_else(|| "Dilux Database Backup".to_owned()),
                version: source.text("APP_VERSION").unwrap_or_else(|| "1.0.0".to_owned()),
                installation: source.text("INSTALLATION_ID").unwrap_or_else(|| "local-dev".to_owned()),
                environment: environment_name,
            },
            targets: TargetRule::new(
                targets(source, "ALLOWED_TARGETS")?,
                environment == Environment::Production,
            ),
            token_hosts: targets(source, "TOKEN_HOSTS")?,
            log_level: log_level(source)?,
            allowed_origins: source.list("ALLOWED_ORIGINS"),
            cors_in_front: match source.text("HOST_ANSWERS_CORS") {
                Some(_) => source.flag("HOST_ANSWERS_CORS")?,
                // Only a host gives a port.
                None => port(source)?.is_some(),
            },
            trusted_proxies: source.parse("TRUSTED_PROXY_COUNT", 1, "a whole number from 0")?,
            retention_days: source.parse_within(
                "BACKUP_RETENTION_DAYS",
                30,
                1..=365,
                "a whole number of days from 1 to 365",
            )?,
            jobs: jobs(source)?,
            schedule_jitter: seconds(source, "SCHEDULE_JITTER_SECONDS", 0, 0..=3600)?,
            network: NetworkConfig::read(source)?,
            port: port(source)?,
            route_prefix: source.text("ROUTE_PREFIX").unwrap_or_else(|| "api".to_owned()),
        })
    }
}

fn environment(name: &str) -> Result<Environment, ConfigError> {
    match name.to_ascii_lowercase().as_str() {
        "development" | "dev" | "local" => Ok(Environment::Development),
        "production" | "prod" => Ok(Environment::Production),
        // A misspelt name must not open what only development opens, nor be guessed at.
        _ => Err(ConfigError::new("ENVIRONMENT", "use development or production")),
    }
}

fn auth_mode(source: &Source, environment: Environment) -> Result<AuthMode, ConfigError> {
    let mode = match source.text("AUTH_MODE").map(|mode| mode.to_ascii_lowercase()).as_deref() {
        Some("mock") => AuthMode::Mock,
        Some("azure") => AuthMode::Azure,
        Some(_) => return Err(ConfigError::new("AUTH_MODE", "use mock or azure")),
        None if environment == Environment::Development => AuthMode::Mock,
        None => AuthMode::Azure,
    };
    let allowed = environment == Environment::Development || source.flag("ALLOW_MOCK_AUTH_IN_PRODUCTION")?;
    if mode == AuthMode::Mock && !allowed {
        return Err(ConfigError::new(
            "AUTH_MODE",
            "mock makes every caller an administrator and is refused when ENVIRONMENT is production; \
             set AUTH_MODE=azure, or ALLOW_MOCK_AUTH_IN_PRODUCTION=true if you mean it",
        ));
    }
    Ok(mode)
}

fn names(source: &Source, environment: Environment) -> Result<StorageNames, ConfigError> {
    let text = |name: &str, default: &str| source.text(name).unwrap_or_else(|| default.to_owned());
    let public_url = source
        .text("STORAGE_PUBLIC_URL")
        .map(|text| {
            let rule =
                "use an https address such as https://files.example.com, or in development an http one";
            let url = url::Url::parse(&text).map_err(|_| ConfigError::new("STORAGE_PUBLIC_URL", rule))?;
            let plain = url.scheme() == "http" && environment == Environment::Development;
            let usable = (plain || url.scheme() == "https") && url.has_host();
            if usable { Ok(url) } else { Err(ConfigError::new("STORAGE_PUBLIC_URL", rule)) }
        })
        .transpose()?;
    Ok(StorageNames {
        container: ContainerName::from_str(&text("BACKUP_CONTAINER_NAME", "backups"))
            .map_err(|error| ConfigError::new("BACKUP_CONTAINER_NAME", error.0))?,
        queue: queue_name(text("BACKUP_QUEUE_NAME", "backup-jobs"))?,
        history_table: table_name("HISTORY_TABLE_NAME", text("HISTORY_TABLE_NAME", "backuphistory"))?,
        config_table: table_name("CONFIG_TABLE_NAME", text("CONFIG_TABLE_NAME", "databaseconfigs"))?,
        public_url,
    })
}

/// Checks the name of a queue: the vendor's rule is the one of containers, and the name of the poison
/// queue, which the Functions host makes of it, must keep to it too.
fn queue_name(name: String) -> Result<String, ConfigError> {
    let usable =
        format!("{name}-poison").parse::<ContainerName>().is_ok() && name.parse::<ContainerName>().is_ok();
    let rule =
        "use 3 to 56 lower-case letters, digits and single hyphens, with a letter or digit at both ends";
    if usable { Ok(name) } else { Err(ConfigError::new("BACKUP_QUEUE_NAME", rule)) }
}

/// Checks the name of a table by the vendor's rule.
fn table_name(variable: &'static str, name: String) -> Result<String, ConfigError> {
    let usable = (3..=63).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    let rule = "use 3 to 63 letters and digits, beginning with a letter";
    if usable { Ok(name) } else { Err(ConfigError::new(variable, rule)) }
}

fn targets(source: &Source, variable: &'static str) -> Result<Vec<AllowedTarget>, ConfigError> {
    let texts = source.list(variable).unwrap_or_default();
    let parse = |text: &String| {
        text.parse().map_err(|error: InvalidTarget| ConfigError::new(variable, error.to_string()))
    };
    texts.iter().map(parse).collect()
}

fn log_level(source: &Source) -> Result<LogLevel, ConfigError> {
    match source.text("LOG_LEVEL").map(|level| level.to_ascii_lowercase()).as_deref() {
        None | Some("info") => Ok(LogLevel::Info),
        Some("debug" | "trace") => Ok(LogLevel::Debug),
        Some("warn" | "warning") => Ok(LogLevel::Warn),
        Some("error" | "critical" | "fatal") => Ok(LogLevel::Error),
        Some(_) => Err(ConfigError::new("LOG_LEVEL", "use DEBUG, INFO, WARNING or ERROR")),
    }
}

fn jobs(source: &Source) -> Result<JobLimits, ConfigError> {
    let seconds = |name, default, range| seconds(source, name, default, range);
    Ok(JobLimits {
        claim: seconds("CLAIM_SECONDS", 120, 2..=3600)?,
        deadline: seconds("DUMP_TIMEOUT_SECONDS", 3300, 1..=86_400)?,
        stall: seconds("STALL_TIMEOUT_SECONDS", 900, 1..=86_400)?,
        concurrent: source.parse_within(
            "MAX_CONCURRENT_BACKUPS",
            2,
            1..=32,
            "a whole number from 1 to 32",
        )?,
        retry_delays: [
            seconds("RETRY_DELAY_SECONDS", 60, 0..=3600)?,
            seconds("SECOND_RETRY_DELAY_SECONDS", 300, 0..=3600)?,
        ],
    })
}

fn seconds(
    source: &Source,
    name: &'static str,
    default: u64,
    range: RangeInclusive<u64>,
) -> Result<Duration, ConfigError> {
    let rule = format!("a whole number of seconds from {} to {}", range.start(), range.end());
    source.parse_within(name, default, range, &rule).map(Duration::from_secs)
}

fn port(source: &Source) -> Result<Option<u16>, ConfigError> {
    ["FUNCTIONS_CUSTOMHANDLER_PORT", "FUNCTIONS_HTTPWORKER_PORT"]
        .into_iter()
        .find_map(|name| {
            source.text(name).map(|text| {
                text.parse().map_err(|_| ConfigError::new(name, "use a port number from 1 to 65535"))
            })
        })
        .transpose()
}

/// A secret from the environment.
fn secret(source: &Source, name: &str) -> Option<SecretString> {
    source.text(name).map(SecretString::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::read(&Source::of(variables))
    }

    #[test]
    fn has_defaults_for_a_developer() -> Result<(), ConfigError> {
        let config = read(&[])?;
        assert_eq!(config.environment, Environment::Development);
        assert_eq!(config.auth_mode, AuthMode::Mock);
        assert_eq!(config.names.queue, "backup-jobs");
        assert_eq!(config.names.container.as_str(), "backups");
        assert_eq!(config.about.version, "1.0.0");
        Ok(())
    }

    #[test]
    fn never_lets_everybody_in_by_a_missing_variable() -> Result<(), ConfigError> {
        assert_eq!(read(&[("ENVIRONMENT", "production")])?.auth_mode, AuthMode::Azure);
        assert!(read(&[("ENVIRONMENT", "production"), ("AUTH_MODE", "mock")]).is_err());
        let meant =
            [("ENVIRONMENT", "prod"), ("AUTH_MODE", "MOCK"), ("ALLOW_MOCK_AUTH_IN_PRODUCTION", "true")];
        assert_eq!(read(&meant)?.auth_mode, AuthMode::Mock);
        Ok(())
    }

    #[test]
    fn says_which_variable_is_wrong() {
        let errors: Vec<String> = [
            ("ENVIRONMENT", "staging"),
            ("BACKUP_CONTAINER_NAME", "My Backups"),
            ("BACKUP_QUEUE_NAME", "Jobs"),
            ("BACKUP_QUEUE_NAME", "a-name-so-long-that-its-poison-queue-would-not-have-a-valid-one"),
            ("HISTORY_TABLE_NAME", "a-b"),
            ("STORAGE_PUBLIC_URL", "ftp://files.example.com"),
            ("KEYVAULT_URL", "http://vault.example"),
            ("KEY_VAULT_NAME", "a.example/"),
            ("SECRETS_KEY", "hunter2"),
            ("SECRETS_KEY_PREVIOUS", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="),
            ("AUTH_MODE", "none"),
            ("TRUSTED_PROXY_COUNT", "-1"),
            ("CLAIM_SECONDS", "0"),
            ("BACKUP_RETENTION_DAYS", "0"),
            ("ALLOWED_TARGETS", "db.example, http://db"),
            ("TOKEN_HOSTS", "*"),
            ("LOG_LEVEL", "loud"),
            ("FUNCTIONS_CUSTOMHANDLER_PORT", "x"),
            ("RESOURCE_MANAGER_URL", "http://management.example"),
            ("STORAGE_CONNECTION_STRING", "AccountName=a;secret"),
        ]
        .iter()
        .map(|pair| read(&[*pair]).err().map(|error| error.to_string()).unwrap_or_default())
        .collect();
        insta::assert_snapshot!(errors.join("\n"), @"
        the environment variable ENVIRONMENT cannot be used: use development or production
        the environment variable BACKUP_CONTAINER_NAME cannot be used: must be 3 to 63 lower-case letters, digits and single hyphens, with a letter or digit at both ends
        the environment variable BACKUP_QUEUE_NAME cannot be used: use 3 to 56 lower-case letters, digits and single hyphens, with a letter or digit at both ends
        the environment variable BACKUP_QUEUE_NAME cannot be used: use 3 to 56 lower-case letters, digits and single hyphens, with a letter or digit at both ends
        the environment variable HISTORY_TABLE_NAME cannot be used: use 3 to 63 letters and digits, beginning with a letter
        the environment variable STORAGE_PUBLIC_URL cannot be used: use an https address such as https://files.example.com, or in development an http one
        the environment variable KEYVAULT_URL cannot be used: use an https address such as https://name.vault.azure.net/
        the environment variable KEY_VAULT_NAME cannot be used: use the name of a key vault: 3 to 24 letters, digits and hyphens
        the environment variable SECRETS_KEY cannot be used: must be 32 random bytes in base64 or hexadecimal; `openssl rand -base64 32` makes one
        the environment variable SECRETS_KEY_PREVIOUS cannot be used: set SECRETS_KEY as well: secrets are sealed with that one, and this one only opens
        the environment variable AUTH_MODE cannot be used: use mock or azure
        the environment variable TRUSTED_PROXY_COUNT cannot be used: use a whole number from 0
        the environment variable CLAIM_SECONDS cannot be used: use a whole number of seconds from 2 to 3600
        the environment variable BACKUP_RETENTION_DAYS cannot be used: use a whole number of days from 1 to 365
        the environment variable ALLOWED_TARGETS cannot be used: use host names, names such as *.example.com, addresses, or ranges such as 10.0.0.0/8, with commas
        the environment variable TOKEN_HOSTS cannot be used: use host names, names such as *.example.com, addresses, or ranges such as 10.0.0.0/8, with commas
        the environment variable LOG_LEVEL cannot be used: use DEBUG, INFO, WARNING or ERROR
        the environment variable FUNCTIONS_CUSTOMHANDLER_PORT cannot be used: use a port number from 1 to 65535
        the environment variable RESOURCE_MANAGER_URL cannot be used: use an https address such as https://management.azure.com
        the environment variable STORAGE_CONNECTION_STRING cannot be used: part 2 of the storage connection string is not of the form Name=Value
        ");
    }
}
