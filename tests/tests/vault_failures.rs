//! The API while its vault fails and while its own code panics: a marked secret is in no answer, log, row or
//! panic, and nothing is stored.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use api::{AppState, app};
use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use end_to_end::vault::{Mood, VaultStandIn};
use serde_json::{Value, json};
use shared::config::{Config, Source};
use shared::secrets::Secrets;
use shared::storage::table::{
    Continuation, ETag, Entity, Expect, Key, Page, Properties, Query, Table, query_all,
};
use shared::storage::{MemoryBlobs, MemoryTable, Signer, Storage, StorageError};
use tower::ServiceExt as _;

const MARKED: &str = "marked-77aa-s3cret";

/// What was logged, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

/// A table in whose middle the code panics, with all that it knows.
#[derive(Debug, Clone, Default)]
struct Panicking {
    inner: MemoryTable,
    now: Arc<Mutex<bool>>,
}

#[async_trait]
impl Table for Panicking {
    async fn create(&self) -> Result<(), StorageError> {
        self.inner.create().await
    }
    async fn insert(&self, entity: &Entity) -> Result<ETag, StorageError> {
        assert!(!*self.now.lock().unwrap_or_else(PoisonError::into_inner), "told to, at {entity:?}");
        self.inner.insert(entity).await
    }
    async fn merge(&self, key: &Key, properties: &Properties, expect: &Expect) -> Result<ETag, StorageError> {
        self.inner.merge(key, properties, expect).await
    }
    async fn insert_or_merge(&self, key: &Key, properties: &Properties) -> Result<ETag, StorageError> {
        self.inner.insert_or_merge(key, properties).await
    }
    async fn delete(&self, key: &Key, expect: &Expect) -> Result<(), StorageError> {
        self.inner.delete(key, expect).await
    }
    async fn get(&self, key: &Key) -> Result<Option<Entity>, StorageError> {
        self.inner.get(key).await
    }
    async fn query(&self, query: &Query, from: Option<&Continuation>) -> Result<Page, StorageError> {
        self.inner.query(query, from).await
    }
}

#[tokio::test]
async fn a_secret_is_nowhere_when_the_vault_fails_or_the_code_panics() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .init();
    let panics = log.clone();
    std::panic::set_hook(Box::new(move |panic| {
        io::Write::write_all(&mut panics.clone(), panic.to_string().as_bytes()).unwrap();
    }));

    let variables =
        [("ENVIRONMENT", "production"), ("AUTH_MODE", "mock"), ("ALLOW_MOCK_AUTH_IN_PRODUCTION", "true")];
    let config = Config::read(&Source::of(&variables)).unwrap();
    let vault = VaultStandIn::start().await;
    let table = Panicking::default();
    table.create().await.unwrap();
    let jobs = Storage::memory(&config).0.jobs;
    let blobs = Arc::new(MemoryBlobs::default());
    let mut state = AppState::new(config.clone()).unwrap();
    state.storage = Storage::assemble(&config, |_| Arc::new(table.clone()), jobs, blobs, Signer::None);
    state.secrets = Secrets::assemble(&config, Some(vault.client()));
    let mut answers = Vec::new();
    let body = json!({
        "id": "d-1", "name": "Orders", "database_type": "mysql", "host": "db.example", "port": 3306,
        "database_name": "orders", "username": "app", "password": MARKED,
    });

    vault.set_mood(Mood::Forbidding);
    answers.push(post(&state, "/databases", &body).await);
    let engine = json!({
        "name": "One", "engine_type": "mysql", "host": "db.example", "username": "app", "password": MARKED,
        "connection_string": format!("Server=db.example;Pwd={MARKED}"),
    });
    answers.push(post(&state, "/engines", &engine).await);
    vault.set_mood(Mood::Busy(99));
    answers.push(post(&state, "/databases", &body).await);
    assert!(answers.iter().all(|(status, _)| *status == 503), "{answers:?}");
    let rows = query_all(&table, &Query::default()).await.unwrap();
    assert!(!format!("{rows:?}").contains("db.example"), "nothing is stored: {rows:?}");

    vault.set_mood(Mood::Fine);
    *table.now.lock().unwrap() = true;
    answers.push(post(&state, "/databases", &body).await);
    assert_eq!(answers.last().unwrap().0, 500, "{answers:?}");
    *table.now.lock().unwrap() = false;
    answers.push(post(&state, "/databases", &body).await);
    assert_eq!(answers.last().unwrap().0, 201, "{answers:?}");
    assert_eq!(vault.versions("database-d-1"), [MARKED], "the first attempt had kept it already");
    // Reading it fails, after the program forgot it.
    let again = AppState { secrets: Secrets::assemble(&state.config, Some(vault.client())), ..state.clone() };
    vault.set_mood(Mood::Forbidding);
    answers.push(post(&again, "/databases/d-1/backup", &json!({})).await);
    assert_eq!(answers.last().unwrap().0, 503, "{answers:?}");

    let rows = query_all(&table, &Query::default()).await.unwrap();
    let log = log.text();
    assert!(log.contains("told to, at"), "the panic is in the log");
    assert!(log.contains("status 403"), "the reason is in the log");
    for text in [format!("{answers:?}"), format!("{rows:?}"), log] {
        let at =
            text.find("marked-77aa").map(|at| text[at.saturating_sub(300)..].chars().take(400).collect());
        assert_eq!(at, None::<String>);
    }
}

async fn post(state: &AppState, path: &str, body: &Value) -> (u16, Value) {
    let request = Request::post(format!("/api{path}")).header("content-type", "application/json");
    let response =
        app(state.clone()).oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}
