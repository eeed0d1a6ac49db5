//! Rotation over rows in memory, and the places that secrets are kept in.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::sync::Arc;

use secrecy::ExposeSecret as _;

use super::{Rotated, SecretError, SecretOwner, Secrets};
use crate::config::{Config, Source};
use crate::models::{Credentials, Database, Login, StoredSecret};
use crate::storage::table::{Entity, Key, Value};
use crate::storage::{MemoryBlobs, MemoryTable, Signer, Storage, Table as _};

const OLD: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const NEW: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

fn config(variables: &[(&str, &str)]) -> Config {
    Config::read(&Source::of(variables)).unwrap()
}

fn secrets(variables: &[(&str, &str)]) -> Secrets {
    Secrets::open(&config(variables)).unwrap()
}

fn row(partition: &str, id: &str, more: &[(&str, &str)]) -> Entity {
    let common = [
        ("name", "A"),
        ("database_type", "mysql"),
        ("engine_type", "mysql"),
        ("host", "db"),
        ("database_name", "shop"),
        ("username", "app"),
        ("auth_method", "user_password"),
    ];
    let text = |(name, value): &(&str, &str)| ((*name).to_owned(), Value::from(*value));
    let port = ("port".to_owned(), Value::Int32(3306));
    Entity::new(Key::new(partition, id), common.iter().chain(more).map(text).chain([port]).collect())
}

fn password(database: &Database) -> &StoredSecret {
    let Credentials::Own(Login { password, .. }) = &database.credentials else { panic!("its own login") };
    password
}

/// Makes an account with a database and an engine whose secrets are in plain text, as an earlier system
/// left them.
async fn legacy() -> Storage {
    legacy_rows().await.0
}

/// The same, with the table of all rows.
async fn legacy_rows() -> (Storage, MemoryTable) {
    let config = config(&[]);
    let jobs = Storage::memory(&config).0.jobs;
    // One table for all: their partitions differ.
    let table = MemoryTable::default();
    table.create().await.unwrap();
    table.insert(&row("database", "d-1", &[("password", "one")])).await.unwrap();
    let secret = [("password", "two"), ("connection_string", "Server=db;Pwd=three")];
    table.insert(&row("engine", "e-1", &secret)).await.unwrap();
    let blobs = Arc::new(MemoryBlobs::default());
    (Storage::assemble(&config, |_| Arc::new(table.clone()), jobs, blobs, Signer::None), table)
}

async fn read_all(secrets: &Secrets, storage: &Storage) -> Result<[String; 3], SecretError> {
    let database = storage.databases.get(&"d-1".parse().unwrap()).await.unwrap().unwrap().value;
    let engine = storage.engines.get(&"e-1".parse().unwrap()).await.unwrap().unwrap().value;
    let stored = [
        (SecretOwner::Database(&database.id), password(&database)),
        (SecretOwner::Engine(&engine.id), &engine.login.password),
        (SecretOwner::EngineConnectionString(&engine.id), &engine.connection_string),
    ];
    let mut texts = Vec::new();
    for (owner, stored) in stored {
        assert!(matches!(stored, StoredSecret::Sealed(_)), "{stored:?}");
        texts.push(secrets.read(owner, stored).await?.unwrap().expose_secret().to_owned());
    }
    Ok(texts.try_into().unwrap())
}

#[tokio::test]
async fn plain_texts_are_sealed_and_keys_are_changed() {
    let storage = legacy().await;
    let old = secrets(&[("SECRETS_KEY", OLD)]);
    let expected = ["one", "two", "Server=db;Pwd=three"];
    assert_eq!(old.rotate(&storage).await.unwrap(), Rotated { moved: 2, ..Rotated::default() });
    assert_eq!(read_all(&old, &storage).await.unwrap(), expected);
    assert_eq!(old.rotate(&storage).await.unwrap(), Rotated { settled: 2, ..Rotated::default() });

    let new = secrets(&[("SECRETS_KEY", NEW)]);
    let refused = new.rotate(&storage).await.unwrap();
    assert_eq!((refused.moved, refused.failed.len()), (0, 2), "without the old key nothing is touched");
    assert_eq!(read_all(&old, &storage).await.unwrap(), expected);

    let both = secrets(&[("SECRETS_KEY", NEW), ("SECRETS_KEY_PREVIOUS", OLD)]);
    assert_eq!(read_all(&both, &storage).await.unwrap(), expected);
    assert_eq!(both.rotate(&storage).await.unwrap(), Rotated { moved: 2, ..Rotated::default() });
    assert_eq!(read_all(&new, &storage).await.unwrap(), expected);
    assert!(matches!(read_all(&old, &storage).await, Err(SecretError::UnknownKey)));
}

#[tokio::test]
async fn whatever_is_left_where_it_is_is_named() {
    let (storage, table) = legacy_rows().await;
    let secrets = secrets(&[("SECRETS_KEY", NEW)]);
    let insert = async |row: Entity| table.insert(&row).await.unwrap();
    insert(row("database", "d-2", &[("password_secret_name", "database-d-2")])).await;
    insert(row("database", "d-3", &[("password_secret_name", "engine-e-1")])).await;
    insert(row("database", "d-4", &[("database_type", "oracle"), ("password", "four")])).await;
    insert(row("database", "d-5", &[("database_type", "oracle")])).await;
    insert(row("engine", "e-2", &[("engine_type", "oracle"), ("connection_string_sealed", "x")])).await;
    let engine = [("password_secret_name", "engine-e-3"), ("connection_string", "Server=db;Pwd=three")];
    insert(row("engine", "e-3", &engine)).await;
    let restore = |id: &str, password: &'static str, status: &'static str| {
        let of = [
            ("backup_id", "b-1"),
            ("container_name", "backups"),
            ("blob_name", "x"),
            ("mode", "new"),
            ("created_at", "2026-03-01T00:00:00"),
            ("status", status),
            (password, "five"),
        ];
        row("restore", id, &of)
    };
    insert(restore("r-1", "password", "pending")).await;
    insert(restore("r-2", "password_sealed", "completed")).await;
    insert(restore("r-3", "username", "pending")).await;

    let rotated = secrets.rotate(&storage).await.unwrap();
    assert_eq!((rotated.moved, rotated.settled), (3, 0));
    insta::assert_snapshot!(rotated.failed.join("\n"), @r#"
    the database A (d-2): the secret is kept in a key vault, and none is set up; set KEY_VAULT_NAME and ENVIRONMENT=production, or enter the password again
    the database A (d-3): the stored secret name does not belong to this entry; enter the password again
    the engine A (e-3): the secret is kept in a key vault, and none is set up; set KEY_VAULT_NAME and ENVIRONMENT=production, or enter the password again
    the restore r-1 into shop has not ended; run this again when it has
    the row database (database, d-4), which holds a secret, cannot be read: database_type: "oracle" is not a known database type; use one of: mysql, postgresql, sqlserver, azure_sql
    the row engine (engine, e-2), which holds a secret, cannot be read: engine_type: "oracle" is not a known engine type; use one of: mysql, postgresql, sqlserver
    "#);
    let engine = storage.engines.get(&"e-3".parse().unwrap()).await.unwrap().unwrap().value;
    assert!(matches!(engine.connection_string, StoredSecret::Sealed(_)), "what can be moved is moved");
    assert!(matches!(engine.login.password, StoredSecret::Named { .. }));
    let survey = secrets.survey(&storage).await.unwrap();
    assert_eq!(survey.to_move, [""; 0]);
    let left: Vec<String> =
        survey.out_of_reach.iter().map(|left| format!("{}: {}", left.row, left.why)).collect();
    insta::assert_snapshot!(left.join("\n"), @"
    the database A (d-2): its password is kept under the name database-d-2: the secret is kept in a key vault, and none is set up; set KEY_VAULT_NAME and ENVIRONMENT=production, or enter the password again
    the database A (d-3): its password is kept under the name engine-e-1, which is not its own (database-d-3), and is not read; enter the password again
    the engine A (e-3): its password is kept under the name engine-e-3: the secret is kept in a key vault, and none is set up; set KEY_VAULT_NAME and ENVIRONMENT=production, or enter the password again
    ");
}

#[tokio::test]
async fn a_sealed_text_in_another_row_is_worthless() {
    let storage = legacy().await;
    let secrets = secrets(&[("SECRETS_KEY", OLD)]);
    secrets.rotate(&storage).await.unwrap();
    let one = storage.databases.get(&"d-1".parse().unwrap()).await.unwrap().unwrap().value;
    let (thief, engine) = ("d-2".parse().unwrap(), "d-1".parse().unwrap());
    for owner in [
        SecretOwner::Database(&thief),
        SecretOwner::Engine(&engine),
        SecretOwner::EngineConnectionString(&engine),
    ] {
        assert!(matches!(secrets.read(owner, password(&one)).await, Err(SecretError::Damaged)), "{owner:?}");
    }
}

#[tokio::test]
async fn production_without_a_store_keeps_nothing_and_still_reads_what_is_there() {
    let storage = legacy().await;
    let production = secrets(&[("ENVIRONMENT", "production")]);
    let id = "d-1".parse().unwrap();
    let owner = SecretOwner::Database(&id);
    assert!(matches!(production.keep(owner, "x".into()).await, Err(SecretError::NoStore)));
    let mut database = storage.databases.get(&id).await.unwrap().unwrap().value;
    production.settle_database(&mut database).await.unwrap();
    assert!(matches!(password(&database), StoredSecret::Plain(_)), "it stays where it is");
    let read = production.read(owner, password(&database)).await.unwrap().unwrap();
    assert_eq!(read.expose_secret(), "one");
    let named = StoredSecret::Named { name: "database-d-1".to_owned(), version: None };
    assert!(matches!(production.read(owner, &named).await, Err(SecretError::NoVault)));
    let foreign = StoredSecret::Named { name: "engine-e-1".to_owned(), version: None };
    assert!(matches!(production.read(owner, &foreign).await, Err(SecretError::ForeignName)));
}

#[tokio::test]
async fn development_prefers_a_key_and_does_without() {
    let id = "d-1".parse().unwrap();
    let owner = SecretOwner::Database(&id);
    assert!(matches!(secrets(&[]).keep(owner, "x".into()).await.unwrap(), StoredSecret::Plain(_)));
    let with_key = secrets(&[("SECRETS_KEY", OLD)]);
    assert!(matches!(with_key.keep(owner, "x".into()).await.unwrap(), StoredSecret::Sealed(_)));
    // A vault is for production: a developer's machine has no identity for one.
    let with_vault = secrets(&[("KEY_VAULT_NAME", "shop-vault")]);
    assert!(matches!(with_vault.keep(owner, "x".into()).await.unwrap(), StoredSecret::Plain(_)));
}
