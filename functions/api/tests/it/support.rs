//! A small world: the router, storage in memory that can be told to fail, and a clock that stands still.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use api::{AppState, Identities, app};
use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use chrono::{DateTime, Utc};
use dump::Tools;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::config::{Config, Source};
use shared::models::{
    Artifact, Backup, BackupId, BackupJob, BackupState, Cause, DatabaseId, JobId, Run, Warnings,
};
use shared::networks::Networks;
use shared::secrets::Secrets;
use shared::storage::table::{Continuation, ETag, Entity, Expect, Key, Page, Properties, Query, Table};
use shared::storage::table::{Value as Cell, query_all};
use shared::storage::{
    BlobAddress, BlobStore, CommitOptions, Jobs, Life, MemoryBlobs, MemoryQueue, MemoryTable, Mortal, Signer,
    Storage, StorageError, StorageErrorKind,
};
use tower::ServiceExt as _;

use crate::document;

/// When everything happens.
pub(crate) const NOW: &str = "2026-03-01T12:00:00.123456Z";

/// What goes wrong with a table.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// The next change finds another version.
    Change,
    /// The next change comes after somebody else's.
    Overtake,
    /// The next new row cannot be stored.
    Insert,
    /// The next new row is stored twice, as when the first answer is lost.
    LoseInsert,
    /// The next question fails like this.
    Read(StorageErrorKind),
    /// The deletion after the next one fails.
    SecondDelete,
    /// The next deletion fails.
    Delete,
    /// A question is answered as usual, and uses this up.
    Answer,
    /// The next question finds nothing, as when a row is stored a moment later.
    Hide,
    /// The next question ends in a panic.
    Panic,
}

/// A table that fails as it is told.
#[derive(Debug, Clone, Default)]
pub(crate) struct TestTable {
    inner: MemoryTable,
    inserted: Arc<Mutex<Vec<Key>>>,
    faults: Arc<Mutex<VecDeque<Fault>>>,
}

impl TestTable {
    pub(crate) fn fail(&self, fault: Fault) {
        self.faults.lock().unwrap().push_back(fault);
    }

    /// Makes a later question fail: so many are answered before.
    pub(crate) fn fail_read_after(&self, answered: usize, kind: StorageErrorKind) {
        for _ in 0..answered {
            self.fail(Fault::Answer);
        }
        self.fail(Fault::Read(kind));
    }

    pub(crate) fn forget_faults(&self) {
        self.faults.lock().unwrap().clear();
    }

    /// Stores a row as another program would.
    pub(crate) async fn put(&self, entity: &Entity) {
        self.inner.insert(entity).await.unwrap();
    }

    pub(crate) async fn rows(&self) -> Vec<Entity> {
        query_all(&self.inner, &Query::default()).await.unwrap()
    }

    /// Tells whether the next fault is of this kind, once.
    fn takes(&self, is_it: impl Fn(&Fault) -> bool) -> bool {
        let mut faults = self.faults.lock().unwrap();
        let is_next = faults.front().is_some_and(is_it);
        if is_next {
            faults.pop_front();
        }
        is_next
    }

    fn reading(&self) -> Result<(), StorageError> {
        let mut faults = self.faults.lock().unwrap();
        match faults.front() {
            Some(Fault::Read(kind)) => {
                let error = StorageError::new(*kind, "read", "table at https://internal.example");
                faults.pop_front();
                Err(error)
            }
            Some(Fault::Answer) => {
                faults.pop_front();
                Ok(())
            }
            Some(Fault::Panic) => {
                faults.pop_front();
                drop(faults);
                panic!("told to, with hunter2 in the text")
            }
            Some(
                Fault::Change
                | Fault::Overtake
                | Fault::Insert
                | Fault::LoseInsert
                | Fault::Hide
                | Fault::Delete
                | Fault::SecondDelete,
            )
            | None => Ok(()),
        }
    }
}

#[async_trait]
impl Table for TestTable {
    async fn create(&self) -> Result<(), StorageError> {
        self.inner.create().await
    }

    async fn insert(&self, entity: &Entity) -> Result<ETag, StorageError> {
        if self.takes(|fault| matches!(fault, Fault::Insert)) {
            return Err(StorageError::new(StorageErrorKind::Unavailable, "insert", "row"));
        }
        tokio::task::yield_now().await;
        self.inserted.lock().unwrap().push(entity.key.clone());
        if self.takes(|fault| matches!(fault, Fault::LoseInsert)) {
            self.inner.insert(entity).await?;
        }
        self.inner.insert(entity).await
    }

    async fn merge(&self, key: &Key, properties: &Properties, expect: &Expect) -> Result<ETag, StorageError> {
        if self.takes(|fault| matches!(fault, Fault::Change)) {
            return Err(StorageError::new(StorageErrorKind::Changed, "update", "row"));
        }
        if self.takes(|fault| matches!(fault, Fault::Overtake)) {
            self.inner.merge(key, &Properties::new(), &Expect::Any).await?;
        }
        self.inner.merge(key, properties, expect).await
    }

    async fn insert_or_merge(&self, key: &Key, properties: &Properties) -> Result<ETag, StorageError> {
        self.inner.insert_or_merge(key, properties).await
    }

    async fn delete(&self, key: &Key, expect: &Expect) -> Result<(), StorageError> {
        if self.takes(|fault| matches!(fault, Fault::Delete)) {
            return Err(StorageError::new(StorageErrorKind::Unavailable, "delete", "row"));
        }
        if self.takes(|fault| matches!(fault, Fault::SecondDelete)) {
            self.fail(Fault::Delete);
        }
        if self.takes(|fault| matches!(fault, Fault::Overtake)) {
            self.inner.merge(key, &Properties::new(), &Expect::Any).await?;
        }
        self.inner.delete(key, expect).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Entity>, StorageError> {
        self.reading()?;
        self.inner.get(key).await
    }

    async fn query(&self, query: &Query, from: Option<&Continuation>) -> Result<Page, StorageError> {
        self.reading()?;
        // Requests that run side by side meet here.
        tokio::task::yield_now().await;
        if self.takes(|fault| matches!(fault, Fault::Hide)) {
            return Ok(Page::default());
        }
        self.inner.query(query, from).await
    }
}

fn assemble(
    config: &Config,
    table: impl Fn(&str) -> Arc<dyn Table>,
    jobs: Jobs,
    blobs: Arc<dyn BlobStore>,
) -> Storage {
    let account = storage_account::StorageAccount::from_connection_string("UseDevelopmentStorage=true");
    Storage::assemble(config, table, jobs, blobs, Signer::Key(Box::new(account.unwrap())))
}

/// Everything that a test looks at.
pub(crate) struct World {
    pub(crate) state: AppState,
    pub(crate) queue: MemoryQueue,
    pub(crate) blobs: MemoryBlobs,
    tables: BTreeMap<String, TestTable>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// Makes a world with environment variables.
    pub(crate) fn with(variables: &[(&str, &str)]) -> Self {
        let config = Config::read(&Source::of(variables)).unwrap();
        let (memory, queue) = Storage::memory(&config);
        let blobs = MemoryBlobs::default();
        let tables: Mutex<BTreeMap<String, TestTable>> = Mutex::default();
        let table = |name: &str| -> Arc<dyn Table> {
            Arc::new(tables.lock().unwrap().entry(name.to_owned()).or_default().clone())
        };
        let storage = assemble(&config, table, memory.jobs, Arc::new(blobs.clone()));
        let state = AppState {
            storage,
            secrets: Secrets::open(&config).unwrap(),
            tools: Arc::new(Tools::standard()),
            networks: Arc::new(Networks::with_token(&config, "the-token").unwrap()),
            figures: api::Figures::default(),
            identities: Identities::new(&config).unwrap(),
            clock: Clock::fixed(at(NOW)),
            config: Arc::new(config),
        };
        Self { state, queue, blobs, tables: tables.into_inner().unwrap() }
    }

    /// Lets the same world be changed by a program that may die.
    pub(crate) fn mortal(&self, life: &Life) -> Self {
        let table = |name: &str| -> Arc<dyn Table> {
            let store: Arc<dyn Table> = Arc::new(self.tables[name].clone());
            Arc::new(Mortal::new(name, store, life))
        };
        let blobs: Arc<dyn BlobStore> = Arc::new(self.blobs.clone());
        let jobs = self.state.storage.jobs.clone();
        let storage = assemble(&self.state.config, table, jobs, Arc::new(Mortal::new("blobs", blobs, life)));
        Self {
            state: AppState { storage, ..self.state.clone() },
            queue: self.queue.clone(),
            blobs: self.blobs.clone(),
            tables: self.tables.clone(),
        }
    }

    pub(crate) fn app(&self) -> Router {
        app(self.state.clone())
    }

    pub(crate) fn table(&self, name: &str) -> &TestTable {
        &self.tables[name]
    }

    /// Returns the names of all tables.
    pub(crate) fn table_names(&self) -> Vec<String> {
        self.tables.keys().cloned().collect()
    }

    /// Renders everything that is stored, but for what follows from the rest and is made by looking at it.
    pub(crate) async fn snapshot(&self) -> String {
        let mut all = String::new();
        for (name, table) in &self.tables {
            if !["auditindex", "backupdays", "backupindex"].contains(&name.as_str()) {
                writeln!(all, "{name} {:?}", table.rows().await).unwrap();
            }
        }
        for container in ["backups", "own-place"] {
            writeln!(all, "{container} {:?}", self.blobs_in(container).await).unwrap();
        }
        writeln!(all, "{:?}", self.state.storage.jobs.depth().await.unwrap()).unwrap();
        all
    }

    /// Sends a request and returns status, headers and body.
    pub(crate) async fn exchange(&self, request: Request<Body>) -> (StatusCode, HeaderMap, Vec<u8>) {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = self.app().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        document::check(&method, &path, head.status, &head.headers, &body);
        (head.status, head.headers, body.to_vec())
    }

    /// Sends a request whose answer is JSON.
    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let request = Request::builder().method(method).uri(format!("/api{path}"));
        let request = request.header("x-forwarded-for", "6.6.6.6, 203.0.113.7:4711");
        let request = request.header("x-request-id", "r-1");
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_string().into()),
            None => request.body(Body::empty()),
        };
        let (status, headers, body) = self.exchange(request.unwrap()).await;
        assert_eq!(headers["content-type"], "application/json", "{method} {path} {status}");
        let json: Value = serde_json::from_slice(&body).unwrap();
        if !status.is_success() {
            assert!(json["error"].as_str().is_some_and(|text| !text.is_empty()), "{method} {path}: {json}");
        }
        (status.as_u16(), json)
    }

    /// Sends a request with headers. An answer that is no JSON is given as `null`.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(format!("/api{path}"));
        request = request.header("x-forwarded-for", "203.0.113.7").header("x-request-id", "r-1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map_or_else(Body::empty, |body| body.to_string().into());
        let (status, _, body) = self.exchange(request.body(body).unwrap()).await;
        (status.as_u16(), serde_json::from_slice(&body).unwrap_or_default())
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.expect(200, "GET", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send("POST", path, Some(body)).await
    }

    pub(crate) async fn expect(&self, status: u16, method: &str, path: &str, body: Option<&Value>) -> Value {
        let (seen, answer) = self.send(method, path, body).await;
        assert_eq!(seen, status, "{method} {path}: {answer}");
        answer
    }

    /// Configures a database with its own credentials.
    pub(crate) async fn create_database(&self, id: &str, more: Value) -> Value {
        let mut body = database(id);
        merge(&mut body, more);
        self.expect(201, "POST", "/databases", Some(&body)).await["database"].clone()
    }

    /// Configures an engine and returns its id.
    pub(crate) async fn create_engine(&self, name: &str, more: Value) -> String {
        let mut body = engine(name);
        merge(&mut body, more);
        let answer = self.expect(201, "POST", "/engines", Some(&body)).await;
        answer["engine"]["id"].as_str().unwrap().to_owned()
    }

    /// Moves all rows of a table to another one.
    pub(crate) async fn move_rows(&self, from: &str, to: &str) {
        for row in self.table(from).rows().await {
            self.table(to).inner.insert(&row).await.unwrap();
            self.table(from).inner.delete(&row.key, &Expect::Any).await.unwrap();
        }
    }

    /// Makes every row of a table unreadable by one of its properties.
    pub(crate) async fn spoil(&self, table: &str, property: &str) {
        for row in self.table(table).rows().await {
            let bad = [(property.to_owned(), Cell::from("unreadable"))].into();
            self.table(table).inner.merge(&row.key, &bad, &Expect::Any).await.unwrap();
        }
    }

    /// Returns the audit log as lines, oldest first, without ids.
    pub(crate) async fn audit(&self) -> String {
        let mut lines = String::new();
        // All have the same time, so their keys do not tell the order.
        let table = self.table("auditlogs");
        let keys = table.inserted.lock().unwrap().clone();
        for key in &keys {
            let row = table.inner.get(key).await.unwrap().unwrap();
            let cell = |name: &str| match row.properties.get(name) {
                Some(Cell::String(text)) => text.clone(),
                None => "-".to_owned(),
                Some(other) => panic!("{name}: {other:?}"),
            };
            let [action, resource, id, name] =
                ["action", "resource_type", "resource_id", "resource_name"].map(cell);
            let [email, address, status, error] =
                ["user_email", "ip_address", "status", "error_message"].map(cell);
            writeln!(lines, "{action} {resource} {id} {name:?} by {email} from {address}: {status} {error}")
                .unwrap();
            writeln!(lines, "  {}", cell("details")).unwrap();
        }
        redacted(&lines)
    }

    /// Stores a completed backup with its file.
    pub(crate) async fn completed(
        &self,
        database: &str,
        at_text: &str,
        container: &str,
        bytes: usize,
    ) -> Backup {
        let database: DatabaseId = database.parse().unwrap();
        let database = self.state.storage.databases.get(&database).await.unwrap().unwrap().value;
        let created_at = at(at_text);
        let ids = (JobId::derived(&["job", at_text]), BackupId::derived(&["backup", at_text]));
        let mut backup = BackupJob::new(&database, Cause::Manual, ids, created_at).record();
        let name = format!(
            "{}/{}/{}.sql.gz",
            database.database_type,
            database.id,
            created_at.format("%Y%m%d_%H%M%S")
        );
        let blob = BlobAddress::new(container, name.clone());
        self.put(&blob, bytes).await;
        let artifact = Artifact {
            blob_url: Some(self.blobs.url(&blob)),
            blob_name: name,
            container: Some(container.parse().unwrap()),
            bytes: Some(bytes.try_into().unwrap()),
            format: Some("sql.gz".to_owned()),
            sha256: None,
            consistency: None,
            warnings: Warnings::default(),
            globals: None,
        };
        let run = Run::between(created_at, created_at + chrono::TimeDelta::seconds(5));
        backup.state = BackupState::Completed { run, artifact: Some(artifact) };
        self.state.storage.backups.insert(&backup).await.unwrap();
        backup
    }

    /// Returns the names of the files in a container.
    pub(crate) async fn blobs_in(&self, container: &str) -> Vec<String> {
        let page = self.blobs.list(container, "", None, 100).await.unwrap();
        page.blobs.into_iter().map(|blob| blob.name).collect()
    }

    /// Stores a file.
    pub(crate) async fn put(&self, blob: &BlobAddress, bytes: usize) {
        self.blobs.create_container(&blob.container).await.unwrap();
        self.blobs.stage(blob, b"one", vec![b'x'; bytes].into()).await.unwrap();
        let options =
            CommitOptions { content_type: "application/gzip".to_owned(), ..CommitOptions::default() };
        self.blobs.commit(blob, &[b"one".to_vec()], &options).await.unwrap();
    }
}

/// The body of a database with its own credentials.
pub(crate) fn database(id: &str) -> Value {
    json!({
        "id": id, "name": format!("Orders {id}"), "database_type": "mysql", "host": "db1.example", "port": 3306,
        "database_name": "orders", "username": "backup", "password": "s3cret-pw", "compression": true,
    })
}

/// The body of an engine.
pub(crate) fn engine(name: &str) -> Value {
    json!({
        "name": name, "engine_type": "mysql", "host": format!("{name}.example"), "port": 3307,
        "username": "root", "password": "s3cret-pw",
    })
}

/// Puts members over those of a body; `"(absent)"` takes one away.
pub(crate) fn merge(body: &mut Value, more: Value) {
    let (Value::Object(body), Value::Object(more)) = (body, more) else { panic!("two objects are needed") };
    for (name, value) in more {
        if value == "(absent)" {
            body.remove(&name);
        } else {
            body.insert(name, value);
        }
    }
}

pub(crate) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// Renders an answer with its members in alphabetical order and its random ids numbered.
pub(crate) fn pretty(value: &Value) -> String {
    redacted(&serde_json::to_string_pretty(value).unwrap())
}

/// Numbers the random ids of a text in the order in which they come.
pub(crate) fn redacted(text: &str) -> String {
    let mut known: Vec<String> = Vec::new();
    let mut shown = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(id) = rest.get(..36).filter(|id| is_uuid(id)) {
            let number = known.iter().position(|known| known == id).unwrap_or_else(|| {
                known.push(id.to_owned());
                known.len() - 1
            });
            write!(shown, "<id {}>", number + 1).unwrap();
            rest = &rest[36..];
        } else {
            let first = rest.chars().next().unwrap();
            shown.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    shown
}

fn is_uuid(text: &str) -> bool {
    let hyphens = [8, 13, 18, 23];
    text.bytes()
        .enumerate()
        .all(|(index, byte)| if hyphens.contains(&index) { byte == b'-' } else { byte.is_ascii_hexdigit() })
        && !text.starts_with("00000000")
}
