//! The storage seams on the storage emulator: the same suites that the versions in memory pass, and
//! what only a real service can show.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Duration;

use azure_storage_queue::{QueueClient, QueueClientOptions};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use end_to_end::azurite::Azurite;
use shared::clock::Clock;
use shared::config::{Config, Source};
use shared::storage::conformance;
use shared::storage::filter::{Filter, PARTITION};
use shared::storage::table::{Entity, Expect, Key, Properties, Query, Table};
use shared::storage::{
    AzureBlobs, AzureQueue, AzureTable, BlobAddress, BlobStore, CommitOptions, Queue, Storage,
    StorageErrorKind,
};
use storage_account::{BlobReadSas, Service, StorageAccount};

const CONTAINER: &str = "backups";
const CONTENT: &str = "-- a dump";

#[tokio::test]
async fn tables_pass_the_suite() {
    let azurite = Azurite::start().await;
    conformance::table(&table(&account(&azurite), "suite")).await;
}

#[tokio::test]
async fn blobs_pass_the_suite() {
    let azurite = Azurite::start().await;
    conformance::blob_store(&blobs(&account(&azurite))).await;
}

#[tokio::test]
async fn queues_pass_the_suite_and_keep_texts_as_they_are() {
    let azurite = Azurite::start().await;
    let account = account(&azurite);
    conformance::queue(&queue(&account, "suite")).await;

    let mut texts = Vec::new();
    loop {
        let received =
            raw_queue(&account, "suite").receive_messages(None).await.unwrap().into_model().unwrap();
        let Some(message) = received.items.and_then(|items| items.into_iter().next()) else { break };
        texts.push(message.message_text.unwrap());
    }
    assert_eq!(texts[0], "first");
    assert_eq!(texts[1..=conformance::ODD_MESSAGES.len()], conformance::ODD_MESSAGES);
    // The longest one is last; the delayed one is not there yet.
    assert_eq!(texts.len(), conformance::ODD_MESSAGES.len() + 2);
    assert!(!texts.contains(&"later".to_owned()));
}

#[tokio::test]
async fn a_delayed_message_comes_later() {
    let azurite = Azurite::start().await;
    let account = account(&azurite);
    queue(&account, "delayed").send("now and then", Duration::from_secs(2)).await.unwrap();
    let client = raw_queue(&account, "delayed");
    let mut polls = 0;
    loop {
        let received = client.receive_messages(None).await.unwrap().into_model().unwrap();
        if received.items.is_some_and(|items| !items.is_empty()) {
            break;
        }
        polls += 1;
        assert!(polls < 300, "the message never comes");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(polls > 0, "the message comes at once");
}

/// Each operation makes the table that it finds missing; nothing waits for a program's start.
#[tokio::test]
async fn every_operation_makes_its_table() {
    let azurite = Azurite::start().await;
    let account = account(&azurite);
    let key = Key::new("p", "r");
    let entity = Entity::new(key.clone(), Properties::new());
    let none = Properties::new();

    table(&account, "byinsert").insert(&entity).await.unwrap();
    table(&account, "byupsert").insert_or_merge(&key, &none).await.unwrap();
    assert_eq!(table(&account, "byget").get(&key).await.unwrap(), None);
    let page =
        table(&account, "byquery").query(&Query::matching(Filter::eq(PARTITION, "p")), None).await.unwrap();
    assert!(page.entities.is_empty());
    let merged = table(&account, "bymerge").merge(&key, &none, &Expect::Any).await;
    assert_eq!(merged.unwrap_err().kind(), StorageErrorKind::NotFound);
    let deleted = table(&account, "bydelete").delete(&key, &Expect::Any).await;
    assert_eq!(deleted.unwrap_err().kind(), StorageErrorKind::NotFound);
    for name in ["byinsert", "byupsert", "byget", "byquery", "bymerge", "bydelete"] {
        let found = table(&account, name).query(&Query::default(), None).await.unwrap();
        assert!(found.entities.len() <= 1, "{name}");
    }
}

#[tokio::test]
async fn a_wrong_key_and_a_dead_account_are_told_apart() {
    let mut azurite = Azurite::start().await;
    let wrong = open(&azurite.connection_string().replace("AccountKey=Eby8", "AccountKey=AAAA"));
    let errors = [
        wrong.databases.list().await.err(),
        wrong.jobs.depth().await.err(),
        wrong.blobs.create_container(CONTAINER).await.err(),
    ];
    assert_eq!(errors.map(|error| error.map(|error| error.kind())), [Some(StorageErrorKind::Denied); 3]);

    let storage = open(&azurite.connection_string());
    azurite.kill();
    let errors = [storage.databases.list().await.err(), storage.jobs.depth().await.err()];
    assert_eq!(errors.map(|error| error.map(|error| error.kind())), [Some(StorageErrorKind::Unavailable); 2]);
    azurite.restart().await;
    assert!(storage.databases.list().await.unwrap().is_empty());
}

/// Preparing a fresh account makes everything; preparing it again changes nothing.
#[tokio::test]
async fn an_account_is_prepared_once() {
    let azurite = Azurite::start().await;
    let storage = open(&azurite.connection_string());
    let first = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
    let together =
        futures::future::try_join3(storage.prepare(first), storage.prepare(first), storage.prepare(first));
    together.await.unwrap();
    let seeded = storage.policies.list().await.unwrap();
    assert_eq!(seeded.len(), 3);
    storage.prepare(first + TimeDelta::days(1)).await.unwrap();
    assert_eq!(storage.policies.list().await.unwrap(), seeded);
    assert_eq!(storage.jobs.depth().await.unwrap(), (0, 0));
    storage.ping().await.unwrap();
}

/// A signed address opens its blob, for reading, until it expires, and nothing else.
#[tokio::test]
async fn a_signed_address_opens_one_blob_for_reading() {
    let azurite = Azurite::start().await;
    let account = account(&azurite);
    let store = blobs(&account);
    let names = ["mysql/db-1/20251205_100000.sql.gz", "größe & co/a+b #1.sql", "mysql/db-2/other.sql"];
    for container in [CONTAINER, "elsewhere"] {
        store.create_container(container).await.unwrap();
        for name in names {
            put(&store, &BlobAddress::new(container, name)).await;
        }
    }
    let soon = Clock::system().now() + TimeDelta::minutes(10);
    for name in &names[..2] {
        let url = sign(&account, name, soon);
        let answer = http().get(url.clone()).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{url}");
        let disposition = answer.headers()["content-disposition"].to_str().unwrap().to_owned();
        assert_eq!(disposition, "attachment; filename=\"backup.sql.gz\"");
        assert_eq!(answer.text().await.unwrap(), CONTENT);

        let unsigned = url.split('?').next().unwrap();
        // The service does not even say that there is such a blob.
        let anonymous = http().get(unsigned).send().await.unwrap().status().as_u16();
        assert!(matches!(anonymous, 401 | 403 | 404), "no signature: {anonymous}");
        refused(http().get(sign(&account, name, soon - TimeDelta::hours(1))), "expired").await;
        refused(http().get(url.replace("sp=r", "sp=rwd")), "more rights").await;
        refused(http().delete(&url), "deleting").await;
        refused(http().put(&url).header("x-ms-blob-type", "BlockBlob").body("x"), "writing").await;
        let later = url.replace(&format!("se={}", soon.format("%Y-")), "se=2999-");
        assert_ne!(later, url);
        refused(http().get(later), "a later end").await;
    }
    let url = sign(&account, names[0], soon);
    refused(http().get(url.replace("db-1/20251205_100000.sql.gz", "db-2/other.sql")), "another blob").await;
    refused(http().get(url.replace("/backups/", "/elsewhere/")), "another container").await;
    refused(
        http().get(
            url.replace("/backups/mysql/db-1/20251205_100000.sql.gz", "/backups")
                + "&restype=container&comp=list",
        ),
        "listing",
    )
    .await;
    // All is still there.
    for name in names {
        assert!(store.properties(&BlobAddress::new(CONTAINER, name)).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn an_address_for_https_alone_is_refused_over_http() {
    let azurite = Azurite::start().await;
    let account = account(&azurite);
    let store = blobs(&account);
    store.create_container(CONTAINER).await.unwrap();
    put(&store, &BlobAddress::new(CONTAINER, "a.sql")).await;
    let expires_at = Clock::system().now() + TimeDelta::minutes(10);
    let sas =
        BlobReadSas { container: CONTAINER, blob: "a.sql", expires_at, https_only: true, file_name: None };
    let url = sas.sign(&account).unwrap().unwrap();
    refused(http().get(url), "plain HTTP").await;
}

async fn refused(request: reqwest::RequestBuilder, what: &str) {
    let status = request.send().await.unwrap().status().as_u16();
    assert!(matches!(status, 401 | 403), "{what}: {status}");
}

fn sign(account: &StorageAccount, blob: &str, expires_at: DateTime<Utc>) -> String {
    let file_name = Some("backup.sql.gz");
    let sas = BlobReadSas { container: CONTAINER, blob, expires_at, https_only: false, file_name };
    sas.sign(account).unwrap().unwrap().into()
}

async fn put(store: &AzureBlobs, blob: &BlobAddress) {
    store.stage(blob, b"0001", Bytes::from_static(CONTENT.as_bytes())).await.unwrap();
    store.commit(blob, &[b"0001".to_vec()], &CommitOptions::default()).await.unwrap();
}

fn http() -> reqwest::Client {
    // The transport of the product installs the TLS provider that this client needs as well.
    storage_account::transport().unwrap();
    reqwest::Client::new()
}

fn open(connection_string: &str) -> Storage {
    let source = Source::of(&[("STORAGE_CONNECTION_STRING", connection_string)]);
    Storage::open(&Config::read(&source).unwrap()).unwrap()
}

fn account(azurite: &Azurite) -> StorageAccount {
    StorageAccount::from_connection_string(&azurite.connection_string()).unwrap()
}

fn table(account: &StorageAccount, name: &str) -> AzureTable {
    let mut options = account.client_options(Service::Table);
    options.transport = Some(storage_account::transport().unwrap());
    AzureTable::new(account.endpoint(Service::Table).clone(), name, None, options)
}

fn queue(account: &StorageAccount, name: &str) -> AzureQueue {
    let mut options = account.client_options(Service::Queue);
    options.transport = Some(storage_account::transport().unwrap());
    AzureQueue::new(account.endpoint(Service::Queue).clone(), name, None, options).unwrap()
}

/// Makes a client that can receive, which the product leaves to the Functions host.
fn raw_queue(account: &StorageAccount, name: &str) -> QueueClient {
    let mut client_options = account.client_options(Service::Queue);
    client_options.transport = Some(storage_account::transport().unwrap());
    let mut url = account.endpoint(Service::Queue).clone();
    url.set_path(&format!("{}/{name}", url.path()));
    let options = QueueClientOptions { client_options, ..QueueClientOptions::default() };
    QueueClient::new(url, None, Some(options)).unwrap()
}

fn blobs(account: &StorageAccount) -> AzureBlobs {
    let mut options = account.client_options(Service::Blob);
    options.transport = Some(storage_account::transport().unwrap());
    AzureBlobs::new(account.endpoint(Service::Blob).clone(), None, options).unwrap()
}
