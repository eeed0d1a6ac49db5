//! What outlives every processor, and processors that die.

#![expect(clippy::disallowed_methods, reason = "the client programs are written by a child process")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use chrono::{DateTime, TimeDelta, Utc};
use dump::Tools;
use processor::{AppState, app};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::config::{Config, Source};
use shared::models::{
    Backup, BackupId, BackupJob, BackupStatus, Cause, Credentials, Database, DatabaseType, DumpOptions,
    Endpoint, JobId, Login, PolicyChoice, StoredSecret, Tls,
};
use shared::secrets::Secrets;
use shared::storage::table::Query;
use shared::storage::{
    BackupFilter, BlobStore, Jobs, Life, MemoryBlobs, MemoryQueue, MemoryTable, Mortal, Queue, Signer,
    Storage, Table, jobs,
};
use tempfile::TempDir;
use tower::ServiceExt as _;

pub(crate) const NOW: &str = "2026-03-04T10:07:00Z";

/// What every client program does first: it notes that it was started, and stands still when it is one too
/// many. It is a processor that was killed at that instant, as soon as the test drops it.
const COUNTED: &str = r#"folder=${0%/*}
echo "${0##*/} ${1%%=*}" >>"$folder/starts"
starts=0
while read -r _; do starts=$((starts + 1)); done <"$folder/starts"
most=1000000
if [ -e "$folder/most" ]; then read -r most <"$folder/most"; fi
if [ "$starts" -gt "$most" ]; then : >"$folder/stands"; exec sleep 600; fi
"#;

/// What outlives every processor.
pub(crate) struct World {
    tables: Mutex<BTreeMap<String, MemoryTable>>,
    pub(crate) blobs: MemoryBlobs,
    pub(crate) queue: MemoryQueue,
    tools: TempDir,
    pub(crate) clock: Clock,
}

impl World {
    /// A world with a database "shop", whose client programs are stand-ins.
    pub(crate) async fn new() -> Self {
        let world = Self::empty().await;
        let version = "Distrib 10.11.19-MariaDB, for x (y)";
        world.install("mysql", &stand_in(&format!("mysql  Ver 15.1 {version}"), "echo 10.11.19-MariaDB"));
        world.install("mysqldump", &stand_in(&format!("mysqldump  Ver 10.19 {version}"), DUMP));
        world.storage(&Life::endless()).databases.insert(&database("shop")).await.unwrap();
        world
    }

    /// A world without any database or client program.
    pub(crate) async fn empty() -> Self {
        let world = Self {
            tables: Mutex::default(),
            blobs: MemoryBlobs::default(),
            queue: MemoryQueue::default(),
            tools: tempfile::tempdir().unwrap(),
            clock: Clock::fixed(at(NOW)),
        };
        world.storage(&Life::endless()).prepare(at(NOW)).await.unwrap();
        world
    }

    /// Makes a client program. Another process writes it: a file that this one has open for writing could
    /// not be started.
    pub(crate) fn install(&self, name: &str, script: &str) {
        let status = Command::new("sh")
            .args(["-c", r#"printf %s "$2" >"$1" && chmod 755 "$1""#, "install"])
            .arg(self.tools.path().join(name))
            .arg(format!("#!/bin/sh\n{COUNTED}{script}\n"))
            .status();
        assert!(status.unwrap().success());
    }

    /// Lets so many client programs start, and the next one stand still.
    pub(crate) fn let_start(&self, most: Option<usize>) {
        let _ = fs::remove_file(self.file("stands"));
        let _ = fs::remove_file(self.file("starts"));
        match most {
            Some(most) => fs::write(self.file("most"), format!("{most}\n")).unwrap(),
            None => drop(fs::remove_file(self.file("most"))),
        }
    }

    /// Returns the client programs that were started, each with its first argument.
    pub(crate) fn starts(&self) -> Vec<String> {
        let starts = fs::read_to_string(self.file("starts")).unwrap_or_default();
        starts.lines().map(|line| line.trim_end().to_owned()).collect()
    }

    pub(crate) fn file(&self, name: &str) -> std::path::PathBuf {
        Path::new(self.tools.path()).join(name)
    }

    pub(crate) fn table(&self, name: &str) -> MemoryTable {
        self.tables.lock().unwrap().entry(name.to_owned()).or_default().clone()
    }

    pub(crate) fn table_names(&self) -> Vec<String> {
        self.tables.lock().unwrap().keys().cloned().collect()
    }

    pub(crate) fn storage(&self, life: &Life) -> Storage {
        let table = |name: &str| -> Arc<dyn Table> {
            let table: Arc<dyn Table> = Arc::new(self.table(name));
            Arc::new(Mortal::new(name, table, life))
        };
        let queue = |name: &str| -> Arc<dyn Queue> {
            let queue: Arc<dyn Queue> = Arc::new(self.queue.clone());
            Arc::new(Mortal::new(name, queue, life))
        };
        let jobs = Jobs::new(queue("backup-jobs"), Arc::new(MemoryQueue::default()), queue("restore-jobs"));
        let blobs: Arc<dyn BlobStore> = Arc::new(self.blobs.clone());
        let blobs = Arc::new(Mortal::new("blob", blobs, life));
        Storage::assemble(&config(), table, jobs, blobs, Signer::None)
    }

    /// A processor with a life of its own.
    fn state(&self, life: &Life) -> AppState {
        let config = config();
        AppState {
            secrets: Secrets::open(&config).unwrap(),
            places: AppState::places(&config),
            config: Arc::new(config),
            storage: self.storage(life),
            tools: Arc::new(Tools::new(vec![self.tools.path().to_owned()])),
            clock: self.clock.clone(),
        }
    }

    /// Delivers a message as the host would; `None` when the processor died over it.
    pub(crate) async fn deliver(&self, life: &Life, function: &str, text: &str) -> Option<u16> {
        self.call(life, function, json!({ "msg": Value::String(text.to_owned()).to_string() })).await
    }

    pub(crate) async fn call(&self, life: &Life, function: &str, data: Value) -> Option<u16> {
        let body = json!({ "Data": data, "Metadata": { "DequeueCount": "1" } }).to_string();
        let request = Request::post(format!("/{function}")).header("content-type", "application/json");
        let app = app(self.state(life));
        let answer = life.live(app.oneshot(request.body(Body::from(body)).unwrap()));
        tokio::select! {
            answer = answer => answer.map(|answer| answer.unwrap().status().as_u16()),
            () = self.stands() => None,
        }
    }

    /// Comes back when a client program stands still.
    async fn stands(&self) {
        while !self.file("stands").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Delivers what is in the queue until nothing is left, each time some minutes later.
    pub(crate) async fn drain(&self, function: &str, mut messages: Vec<String>) {
        for _ in 0..20 {
            messages.extend(self.queue.take().into_iter().map(|(text, _)| text));
            if messages.is_empty() {
                return;
            }
            self.clock.set(self.clock.now() + TimeDelta::minutes(10));
            for text in std::mem::take(&mut messages) {
                if self.deliver(&Life::endless(), function, &text).await != Some(200) {
                    messages.push(text);
                }
            }
        }
        panic!("the queue does not come to an end");
    }

    /// Makes the record of a job, as whoever queues it does, and returns its message.
    pub(crate) async fn queued(&self, name: &str) -> String {
        let ids = (JobId::derived(&["j", name]), BackupId::derived(&["b", name]));
        let job = BackupJob::new(&database("shop"), Cause::Manual, ids, self.clock.now());
        self.storage(&Life::endless()).backups.insert(&job.record()).await.unwrap();
        jobs::encode(&job)
    }

    pub(crate) async fn records(&self) -> Vec<Backup> {
        self.storage(&Life::endless()).backups.list(&BackupFilter::default()).await.unwrap()
    }

    pub(crate) async fn files(&self) -> BTreeSet<String> {
        let listing = self.blobs.list("backups", "", None, 100).await.unwrap();
        listing.blobs.into_iter().map(|blob| blob.name).collect()
    }

    /// The leases that nobody has given back.
    pub(crate) async fn leases(&self) -> usize {
        self.table("backupleases").query(&Query::default(), None).await.unwrap().entities.len()
    }

    /// Every record is complete, each has its own file, and there are no other files.
    pub(crate) async fn is_whole(&self, records: usize, when: &str) {
        let all = self.records().await;
        assert_eq!(all.len(), records, "{when}");
        for record in &all {
            assert_eq!(record.status(), BackupStatus::Completed, "{when}: {record:?}");
        }
        let named: BTreeSet<String> =
            all.iter().map(|record| record.artifact().unwrap().blob_name.clone()).collect();
        assert_eq!((named.len(), self.files().await), (records, named), "{when}");
    }
}

/// A dump that waits while a file says so.
const DUMP: &str = r#"echo 'SELECT 1;'
while [ -e "$folder/wait" ]; do sleep 0.02; done
echo '-- Dump completed on 2026-01-02  3:04:05'"#;

fn stand_in(version: &str, script: &str) -> String {
    format!("if [ \"$1\" = --version ]; then echo '{version}'; exit; fi\n{script}")
}

pub(crate) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn config() -> Config {
    Config::read(&Source::of(&[])).unwrap()
}

pub(crate) fn database(id: &str) -> Database {
    let login = Login {
        auth_method: None,
        username: Some("app".parse().unwrap()),
        password: StoredSecret::Plain("s3cret".into()),
    };
    Database {
        id: id.parse().unwrap(),
        name: "Shop".to_owned(),
        database_type: DatabaseType::Mysql,
        endpoint: Endpoint { host: "db.invalid".parse().unwrap(), port: 3306, tls: Tls::default() },
        database_name: "shop".parse().unwrap(),
        engine_id: None,
        credentials: Credentials::Own(login),
        policy: PolicyChoice { own: None, from_engine: false },
        enabled: true,
        schedule: None,
        retention_days: None,
        backup_destination: None,
        compression: true,
        options: DumpOptions::default(),
        tags: BTreeMap::new(),
        created_at: at(NOW),
        updated_at: at(NOW),
        created_by: None,
    }
}
