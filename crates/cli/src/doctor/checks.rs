//! Looking at storage, the secret store and the clock, each by a real call.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::DATE;
use shared::clock::Clock;
use shared::config::{Config, Environment, StorageConfig};
use shared::models::{DatabaseId, StoredSecret, system_policies};
use shared::secrets::{SecretError, SecretOwner, Secrets};
use shared::storage::{BlobAddress, Storage, StorageError, StorageErrorKind};
use storage_account::Service;
use tokio::time::timeout;

use super::Finding;
use crate::with_causes;

/// How many waiting jobs deserve a look.
const MANY: u64 = 100;

/// How far the clock may be off. Storage refuses requests at 15 minutes, claims hold for two.
const TOLERATED: TimeDelta = TimeDelta::minutes(1);
const REFUSED: TimeDelta = TimeDelta::minutes(15);

/// Names the kind of installation.
pub(super) fn environment(config: &Config) -> &'static str {
    match config.environment {
        Environment::Development => "development",
        Environment::Production => "production",
    }
}

/// Looks at blobs, tables and queues.
pub(super) async fn storage(
    config: &Config,
    storage: &Storage,
    now: DateTime<Utc>,
    limit: Duration,
) -> Vec<Finding> {
    let (blobs, tables, queues) = futures::join!(
        timeout(limit, blobs(config, storage)),
        timeout(limit, policies(storage, now)),
        timeout(limit, queues(config, storage)),
    );
    [
        blobs.unwrap_or_else(|_| silent("blob storage")),
        tables.unwrap_or_else(|_| silent("table storage")),
        queues.unwrap_or_else(|_| silent("queue storage")),
    ]
    .into()
}

fn silent(check: &'static str) -> Finding {
    Finding::fail(check, "no answer in time", "check that the account can be reached from here")
}

async fn blobs(config: &Config, storage: &Storage) -> Finding {
    let check = "blob storage";
    let container = config.names.container.to_string();
    // A list says nothing about a container that does not exist, a question about a blob neither; both
    // say whether the service answers and takes the key.
    let probe = BlobAddress::new(container.clone(), "dilux-doctor");
    match storage.blobs.properties(&probe).await {
        Ok(_) => match storage.blobs.list(&container, "", None, 1).await {
            Ok(_) => Finding::ok(check, format!("answers for the container {container}")),
            Err(error) => refused(check, &error),
        },
        Err(error) => refused(check, &error),
    }
}

async fn policies(storage: &Storage, now: DateTime<Utc>) -> Finding {
    let check = "table storage";
    if let Err(error) = storage.ping().await {
        return refused(check, &error);
    }
    match storage.policies.list().await {
        Err(error) => refused(check, &error),
        Ok(there) => {
            let missing: Vec<String> = system_policies(now)
                .into_iter()
                .filter(|wanted| !there.iter().any(|policy| policy.id == wanted.id))
                .map(|policy| policy.id.to_string())
                .collect();
            if missing.is_empty() {
                Finding::ok(
                    check,
                    format!("answers; {} policies, those of the system among them", there.len()),
                )
            } else {
                Finding::warn(
                    check,
                    format!("answers; system policies are missing: {}", missing.join(", ")),
                    "start any of the three apps: it makes them",
                )
            }
        }
    }
}

async fn queues(config: &Config, storage: &Storage) -> Finding {
    let check = "queue storage";
    let name = &config.names.queue;
    match storage.jobs.depth().await {
        Ok((waiting, poison)) => depths(name, waiting, poison),
        Err(error) if error.kind() == StorageErrorKind::NotFound => Finding::warn(
            check,
            format!("answers; the queue {name} or {name}-poison is missing"),
            "start any of the three apps: it makes them",
        ),
        Err(error) => refused(check, &error),
    }
}

fn depths(name: &str, waiting: u64, poison: u64) -> Finding {
    let check = "queue storage";
    let found = format!("{waiting} messages in {name}, {poison} in {name}-poison");
    if poison > 0 {
        return Finding::warn(
            check,
            found,
            "the processor takes messages out of the poison queue and records them as failed; if they stay, \
             it does not run",
        );
    }
    if waiting > MANY {
        return Finding::warn(check, found, "check that the processor runs, and let it have more instances");
    }
    Finding::ok(check, found)
}

/// Looks at where passwords are kept.
pub(super) async fn secrets(config: &Config, limit: Duration) -> Finding {
    let check = "secret store";
    let secrets = match Secrets::open(config) {
        Ok(secrets) => secrets,
        Err(error) => return Finding::fail(check, with_causes(&error), "correct the variables it names"),
    };
    let Some(vault) = &config.secrets.vault else {
        return match (&config.secrets.keys, config.environment) {
            (Some(_), _) => Finding::ok(check, "passwords are sealed in the tables with SECRETS_KEY"),
            (None, Environment::Development) => Finding::warn(
                check,
                "passwords are kept in plain text in the tables",
                "fine on a developer's machine; else set SECRETS_KEY, or KEY_VAULT_NAME with \
                 ENVIRONMENT=production, and run dilux migrate --apply",
            ),
            (None, Environment::Production) => Finding::fail(
                check,
                "there is none, so passwords cannot be kept",
                "set KEY_VAULT_NAME, or SECRETS_KEY to 32 random bytes in base64 (openssl rand -base64 32)",
            ),
        };
    };
    let Ok(nobody) = "dilux-doctor".parse::<DatabaseId>() else {
        return Finding::fail(check, "the name to ask for cannot be made", "report this as a defect");
    };
    let owner = SecretOwner::Database(&nobody);
    let stored = StoredSecret::Named { name: owner.name(), version: None };
    match timeout(limit, secrets.read(owner, &stored)).await {
        Err(_) => silent(check),
        Ok(Ok(_) | Err(SecretError::Missing)) => {
            Finding::ok(check, format!("{vault} answers and may be read"))
        }
        Ok(Err(error)) => Finding::fail(
            check,
            with_causes(&error),
            "give the identity the role Key Vault Secrets Officer on the vault, and let this network in",
        ),
    }
}

/// Compares the clock with that of storage.
pub(super) async fn clock(config: &Config, clock: &Clock, limit: Duration) -> Finding {
    let check = "clock";
    let url = match &config.storage {
        StorageConfig::Account(account) => account.endpoint(Service::Blob).clone(),
        StorageConfig::Identity { blob, .. } => blob.clone(),
    };
    // Nobody is signed in by this request; the answer, whichever it is, has the time.
    let sent_at = clock.now();
    let asked = match reqwest::Client::builder().timeout(limit).build() {
        Ok(client) => client.get(url).send().await,
        Err(error) => Err(error),
    };
    let middle = sent_at + (clock.now() - sent_at) / 2;
    match asked {
        Err(_) => {
            Finding::warn(check, "storage did not tell its time", "see what is said about blob storage")
        }
        Ok(answer) => {
            let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok());
            let theirs = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok());
            theirs.map_or_else(
                || Finding::warn(check, "storage did not tell its time", "compare the clock by hand"),
                |theirs| skew(middle - theirs.with_timezone(&Utc)),
            )
        }
    }
}

fn skew(ahead: TimeDelta) -> Finding {
    let check = "clock";
    let seconds = ahead.num_seconds();
    let found = match seconds {
        -2..=2 => "agrees with that of storage".to_owned(),
        3.. => format!("{seconds} s ahead of that of storage"),
        ..=-3 => format!("{} s behind that of storage", -seconds),
    };
    let mend = "let the machine take its time from a time server";
    if ahead.abs() >= REFUSED {
        Finding::fail(check, format!("{found}; storage refuses requests from 15 minutes on"), mend)
    } else if ahead.abs() >= TOLERATED {
        Finding::warn(check, format!("{found}; claims on jobs hold for two minutes"), mend)
    } else {
        Finding::ok(check, found)
    }
}

fn refused(check: &'static str, error: &StorageError) -> Finding {
    let mend = match error.kind() {
        StorageErrorKind::Denied => {
            "check the key in STORAGE_CONNECTION_STRING, or give the identity the roles Storage Blob Data \
             Owner, Storage Queue Data Contributor and Storage Table Data Contributor on the account"
        }
        StorageErrorKind::Unavailable => {
            "check that STORAGE_CONNECTION_STRING, or STORAGE_…_ENDPOINT, names the account that is meant, and \
             that its network lets this machine in; on a developer's machine, start Azurite"
        }
        StorageErrorKind::NotFound
        | StorageErrorKind::AlreadyExists
        | StorageErrorKind::Changed
        | StorageErrorKind::Invalid => "check that the address is that of a storage account",
    };
    Finding::fail(check, with_causes(error), mend)
}

#[cfg(test)]
mod tests {
    use super::super::Health;
    use super::*;

    fn config(variables: &[(&str, &str)]) -> Config {
        Config::read(&shared::config::Source::of(variables)).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn depths_and_clocks_have_their_limits() {
        let depth = |waiting, poison| depths("jobs", waiting, poison).status;
        assert_eq!([depth(0, 0), depth(101, 0), depth(0, 1)], [Health::Ok, Health::Warn, Health::Warn]);
        let clock = |seconds| skew(TimeDelta::seconds(seconds)).status;
        assert_eq!(
            [clock(-59), clock(60), clock(-899), clock(900)],
            [Health::Ok, Health::Warn, Health::Warn, Health::Fail]
        );
        assert_eq!(
            skew(TimeDelta::seconds(-90)).found,
            "90 s behind that of storage; claims on jobs hold for two minutes"
        );
    }

    #[tokio::test]
    async fn a_fresh_account_lacks_its_policies_and_a_prepared_one_nothing() {
        let config = config(&[]);
        let (account, _) = Storage::memory(&config);
        let now = DateTime::UNIX_EPOCH;
        let states = async || {
            let found = storage(&config, &account, now, Duration::from_secs(5)).await;
            found.iter().map(|finding| finding.status).collect::<Vec<_>>()
        };
        assert_eq!(states().await, [Health::Ok, Health::Warn, Health::Ok]);
        account.prepare(now).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(states().await, [Health::Ok; 3]);
    }

    #[tokio::test]
    async fn the_place_of_passwords_is_judged_by_the_kind_of_installation() {
        let key = ("SECRETS_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
        let state = async |variables: &[(&str, &str)]| {
            secrets(&config(variables), Duration::from_secs(5)).await.status
        };
        assert_eq!(state(&[]).await, Health::Warn);
        assert_eq!(state(&[key]).await, Health::Ok);
        assert_eq!(state(&[("ENVIRONMENT", "production")]).await, Health::Fail);
    }

    #[tokio::test]
    async fn an_account_that_is_not_there_is_said_to_be_away() {
        let nobody =
            "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:9/a";
        let text = format!("{nobody};QueueEndpoint=http://127.0.0.1:9/a;TableEndpoint=http://127.0.0.1:9/a");
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = config(&[("STORAGE_CONNECTION_STRING", &text)]);
        let found = clock(&config, &Clock::system(), Duration::from_secs(5)).await;
        assert_eq!(found.status, Health::Warn);
    }
}
