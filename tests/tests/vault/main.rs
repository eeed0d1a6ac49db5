//! The secret store on a key vault that speaks the real one's REST API over TLS, in all its moods.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::error::Error;

use end_to_end::vault::{Mood, VaultStandIn};
use secrecy::ExposeSecret as _;
use shared::config::{Config, Source};
use shared::models::{DatabaseId, StoredSecret};
use shared::secrets::{SecretError, SecretOwner, Secrets};
use shared::storage::Storage;

mod rows;

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

fn store(vault: &VaultStandIn) -> Secrets {
    let config = Config::read(&Source::of(&[("ENVIRONMENT", "production"), ("SECRETS_KEY", KEY)]));
    Secrets::assemble(&config.unwrap(), Some(vault.client()))
}

fn id(text: &str) -> DatabaseId {
    text.parse().unwrap()
}

/// Reads the secret that a row of an earlier system names, which knows no versions.
async fn read(secrets: &Secrets, id: &DatabaseId) -> Result<String, SecretError> {
    let name = SecretOwner::Database(id).name();
    read_as(secrets, id, &StoredSecret::Named { name, version: None }).await
}

async fn read_as(secrets: &Secrets, id: &DatabaseId, stored: &StoredSecret) -> Result<String, SecretError> {
    let secret = secrets.read(SecretOwner::Database(id), stored).await?;
    Ok(secret.unwrap().expose_secret().to_owned())
}

/// An account in memory, in which no row names anything.
fn nothing() -> Storage {
    Storage::memory(&Config::read(&Source::of(&[])).unwrap()).0
}

/// Renders an error with its causes, and checks that it repeats nothing of what was sent.
fn shown(error: &SecretError) -> String {
    let cause = error.source().map(|cause| format!(" ({cause})")).unwrap_or_default();
    let text = format!("{error}{cause}");
    assert!(!format!("{text} {error:?}").contains("marked"), "{text}");
    text
}

#[tokio::test]
async fn a_secret_is_written_once_read_once_and_recovered_after_its_deletion() {
    let vault = VaultStandIn::start().await;
    let secrets = store(&vault);
    let id = id("d-1");
    let owner = SecretOwner::Database(&id);

    let stored = secrets.keep(owner, "marked-1".into()).await.unwrap();
    let shown = format!("{stored:?}");
    assert_eq!(shown, r#"Named { name: "database-d-1", version: Some("v1") }"#);
    // The first request of a client goes without a token, and without the secret too.
    assert_eq!(
        vault.take_requests(),
        [
            "GET /secrets/database-d-1/ nobody",
            "GET /secrets/database-d-1/ token",
            "PUT /secrets/database-d-1 token body"
        ]
    );
    assert_eq!(read_as(&secrets, &id, &stored).await.unwrap(), "marked-1");
    assert_eq!(vault.take_requests(), [""; 0], "what was written is remembered");

    let again = secrets.keep(owner, "marked-1".into()).await.unwrap();
    assert_eq!(format!("{again:?}"), shown);
    assert_eq!(vault.versions("database-d-1").len(), 1, "the same password makes no new version");

    let other = store(&vault);
    assert_eq!(read(&other, &id).await.unwrap(), "marked-1");
    assert_eq!(read(&other, &id).await.unwrap(), "marked-1");
    assert_eq!(vault.take_requests().iter().filter(|request| request.contains("GET")).count(), 3);
    vault.put("database-d-1", "marked-2");
    assert_eq!(read(&other, &id).await.unwrap(), "marked-1");
    other.distrust(owner);
    assert_eq!(read(&other, &id).await.unwrap(), "marked-2", "after a refusal it is read again");
    assert_eq!(
        read_as(&other, &id, &stored).await.unwrap(),
        "marked-1",
        "a row's version is another's never"
    );
    let pinned = other.pin(owner, &StoredSecret::Named { name: owner.name(), version: None }).await.unwrap();
    assert_eq!(read_as(&other, &id, &pinned.unwrap()).await.unwrap(), "marked-2");
    assert!(other.pin(owner, &stored).await.unwrap().is_none(), "it has its version");

    secrets.forget(&nothing(), owner, &stored).await.unwrap();
    secrets.forget(&nothing(), owner, &stored).await.unwrap();
    assert_eq!(vault.deleted(), ["database-d-1"]);
    assert!(matches!(read(&secrets, &id).await, Err(SecretError::Missing)));
    let third = secrets.keep(owner, "marked-3".into()).await.unwrap();
    assert_eq!(vault.versions("database-d-1"), ["marked-1", "marked-2", "marked-3"]);
    assert_eq!(vault.deleted(), [""; 0]);
    assert_eq!(read_as(&secrets, &id, &third).await.unwrap(), "marked-3");
    assert_eq!(
        read_as(&secrets, &id, &stored).await.unwrap(),
        "marked-1",
        "a recovered name has all versions"
    );

    vault.delete("database-d-1");
    secrets.confirm(owner, &third).await.unwrap();
    assert_eq!(vault.deleted(), [""; 0], "it was got back");
    vault.purge("database-d-1");
    assert!(matches!(secrets.confirm(owner, &third).await, Err(SecretError::Missing)));
}

#[tokio::test]
async fn each_failure_says_what_to_do_and_repeats_nothing() {
    let vault = VaultStandIn::start().await;
    let secrets = store(&vault);
    let id = id("d-1");
    let owner = SecretOwner::Database(&id);
    let mut lines = Vec::new();
    let mut note = |what: &str, error: SecretError| {
        lines.push(format!("{what}: {}, transient: {}", shown(&error), error.is_transient()));
    };
    note("missing", read(&secrets, &id).await.unwrap_err());
    vault.set_mood(Mood::Forbidding);
    note("write, forbidden", secrets.keep(owner, "marked-1".into()).await.unwrap_err());
    note("read, forbidden", read(&secrets, &id).await.unwrap_err());
    vault.set_mood(Mood::Busy(99));
    note("write, busy", secrets.keep(owner, "marked-1".into()).await.unwrap_err());
    insta::assert_snapshot!(lines.join("\n"), @"
    missing: the key vault does not have the secret any more; recover it there or enter the password again, transient: false
    write, forbidden: the key vault refuses this service; give its identity the role Key Vault Secrets Officer and let its network in (status 403), transient: false
    read, forbidden: the key vault refuses this service; give its identity the role Key Vault Secrets Officer and let its network in (status 403, Forbidden), transient: false
    write, busy: the key vault cannot be reached or is busy; try again in a moment (status 429), transient: true
    ");

    vault.set_mood(Mood::Busy(2));
    secrets.keep(owner, "marked-1".into()).await.unwrap();
    assert_eq!(vault.versions("database-d-1"), ["marked-1"], "a short rush is waited for");
}

#[tokio::test]
async fn a_vault_that_does_not_answer_holds_nobody_up_for_long() {
    let vault = VaultStandIn::start().await;
    let secrets = store(&vault);
    let id = id("d-1");
    vault.set_mood(Mood::Silent);
    let began = tokio::time::Instant::now();
    let error = read(&secrets, &id).await.unwrap_err();
    assert!(error.is_transient());
    assert_eq!(
        shown(&error),
        "the key vault cannot be reached or is busy; try again in a moment (no answer within 10 seconds)"
    );
    assert!(began.elapsed().as_secs() < 15, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_vault_that_is_gone_is_a_passing_failure() {
    let vault = VaultStandIn::start().await;
    let url = "https://unit-test.vault.azure.net:1/".parse().unwrap();
    let gone = vault.client_at(&url);
    let config = Config::read(&Source::of(&[("ENVIRONMENT", "production")])).unwrap();
    let secrets = Secrets::assemble(&config, Some(gone));
    let id = id("d-1");
    let error = secrets.keep(SecretOwner::Database(&id), "marked-1".into()).await.unwrap_err();
    assert!(error.is_transient(), "{}", shown(&error));
}

#[tokio::test]
async fn what_is_kept_elsewhere_moves_into_the_vault_and_foreign_names_are_refused() {
    let vault = VaultStandIn::start().await;
    let secrets = store(&vault);
    let (one, two) = (id("d-1"), id("d-2"));
    let owner = SecretOwner::Database(&one);
    let moved = secrets.settle(owner, StoredSecret::Plain("marked-1".to_owned().into())).await.unwrap();
    assert!(matches!(&moved, StoredSecret::Named { version: Some(version), .. } if version == "v1"));
    assert_eq!(vault.versions("database-d-1"), ["marked-1"]);

    let config = Config::read(&Source::of(&[("SECRETS_KEY", KEY)])).unwrap();
    let sealed = Secrets::open(&config).unwrap().keep(owner, "marked-2".into()).await.unwrap();
    assert!(matches!(&sealed, StoredSecret::Sealed(_)));
    secrets.settle(owner, sealed.clone()).await.unwrap();
    assert_eq!(vault.versions("database-d-1"), ["marked-1", "marked-2"]);
    assert!(matches!(secrets.read(SecretOwner::Database(&two), &sealed).await, Err(SecretError::Damaged)));

    vault.take_requests();
    let foreign = SecretOwner::Database(&two);
    for name in ["database-d-1", "engine-d-2", "", "database-d-2/../database-d-1"] {
        let stored = StoredSecret::Named { name: name.to_owned(), version: None };
        assert!(matches!(secrets.read(foreign, &stored).await, Err(SecretError::ForeignName)), "{name}");
        secrets.forget(&nothing(), foreign, &stored).await.unwrap();
    }
    for version in ["", "../../database-d-1", "v1?x=y", "v1/"] {
        let stored = StoredSecret::Named { name: foreign.name(), version: Some(version.to_owned()) };
        assert!(matches!(secrets.read(foreign, &stored).await, Err(SecretError::ForeignName)), "{version}");
    }
    assert_eq!(vault.take_requests(), [""; 0], "a foreign name is not even asked for");
}
