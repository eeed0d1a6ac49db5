//! The storage emulator, started for one test on ports of its own.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use azure_storage_blob::{BlobClient, BlobClientOptions};
use azure_storage_queue::models::{QueueClientPeekMessagesOptions, QueueMessage};
use azure_storage_queue::{QueueClient, QueueClientOptions};
use serde_json::Value;
use storage_account::{Service, StorageAccount};
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::eventually;

/// The key of the emulator's account, published by the vendor.
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A running emulator. It ends when this is dropped.
pub(crate) struct Emulator {
    /// How to reach it.
    pub(crate) connection_string: String,
    account: StorageAccount,
    process: Child,
    _folder: TempDir,
}

impl Emulator {
    /// Starts an emulator and waits until it answers. Where somebody else took a port in between, it
    /// ends at once and is started again on others.
    pub(crate) async fn start() -> Self {
        let program = program();
        for _ in 0..5 {
            let mut emulator = Self::launch(&program);
            let [blob, queue] = [Service::Blob, Service::Queue].map(|service| emulator.port(service));
            let is_up = eventually("the storage emulator", async || {
                if emulator.process.try_wait().unwrap().is_some() {
                    return Some(false);
                }
                TcpStream::connect(("127.0.0.1", blob)).await.ok()?;
                TcpStream::connect(("127.0.0.1", queue)).await.ok()?;
                Some(true)
            });
            if is_up.await {
                return emulator;
            }
        }
        panic!("the storage emulator {} ends at its start", program.display());
    }

    fn launch(program: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [blob, queue, table] = free_ports();
        let mut arguments: Vec<String> =
            ["--skipApiVersionCheck", "--silent", "--disableTelemetry", "--location"]
                .map(str::to_owned)
                .to_vec();
        arguments.push(folder.path().to_string_lossy().into_owned());
        for (service, port) in [("blob", blob), ("queue", queue), ("table", table)] {
            arguments.extend([format!("--{service}Host"), "127.0.0.1".to_owned()]);
            arguments.extend([format!("--{service}Port"), port.to_string()]);
        }
        #[expect(clippy::disallowed_methods, reason = "the emulator is a child process of the test")]
        let mut command = Command::new(program);
        let process = command.args(&arguments).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let endpoint =
            |service: &str, port: u16| format!("{service}Endpoint=http://127.0.0.1:{port}/devstoreaccount1");
        let connection_string = format!(
            "AccountName=devstoreaccount1;AccountKey={KEY};{};{};{}",
            endpoint("Blob", blob),
            endpoint("Queue", queue),
            endpoint("Table", table)
        );
        let account = StorageAccount::from_connection_string(&connection_string).unwrap();
        Self { connection_string, account, process, _folder: folder }
    }

    fn port(&self, service: Service) -> u16 {
        self.account.endpoint(service).port().unwrap()
    }

    /// Lets it answer nothing, with its connections open.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        #[expect(clippy::disallowed_methods, reason = "a test sends a signal")]
        let mut kill = Command::new("kill");
        assert!(kill.args([signal, &self.process.id().to_string()]).status().unwrap().success());
    }

    /// The client of a queue.
    pub(crate) fn queue(&self, name: &str) -> Queue {
        let mut url = self.account.endpoint(Service::Queue).clone();
        url.path_segments_mut().unwrap().push(name);
        let options = QueueClientOptions {
            client_options: self.account.client_options(Service::Queue),
            ..QueueClientOptions::default()
        };
        let _ = rustls::crypto::ring::default_provider().install_default();
        Queue(QueueClient::new(url, None, Some(options)).unwrap())
    }

    /// Reads a blob as JSON, if it is there.
    pub(crate) async fn blob(&self, path: &[&str]) -> Option<Value> {
        let download = self.blob_client(path).download(None).await.ok()?;
        serde_json::from_slice(&download.body.collect().await.ok()?).ok()
    }

    /// Overwrites a blob.
    pub(crate) async fn write_blob(&self, path: &[&str], value: &Value) {
        let body = bytes::Bytes::from(value.to_string());
        let content = azure_core::http::RequestContent::from(body.into());
        self.blob_client(path).upload(content, None).await.unwrap();
    }

    fn blob_client(&self, path: &[&str]) -> BlobClient {
        let mut url = self.account.endpoint(Service::Blob).clone();
        url.path_segments_mut().unwrap().extend(path);
        let options = BlobClientOptions {
            client_options: self.account.client_options(Service::Blob),
            ..BlobClientOptions::default()
        };
        let _ = rustls::crypto::ring::default_provider().install_default();
        BlobClient::new(url, None, Some(options)).unwrap()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A queue of the emulator.
pub(crate) struct Queue(QueueClient);

impl Queue {
    /// Creates the queue.
    pub(crate) async fn create(self) -> Self {
        self.0.create(None).await.unwrap();
        self
    }

    /// Sends a text as it is.
    pub(crate) async fn send(&self, text: &str) {
        let message = QueueMessage { message_text: Some(text.to_owned()) };
        self.0.send_message(message.try_into().unwrap(), None).await.unwrap();
    }

    /// How many messages there are, hidden ones included.
    pub(crate) async fn count(&self) -> Option<i64> {
        use azure_storage_queue::models::QueueClientGetPropertiesResultHeaders as _;
        self.0.get_properties(None).await.ok()?.approximate_messages_count().ok()?
    }

    /// The texts of the visible messages.
    pub(crate) async fn texts(&self) -> Vec<String> {
        let options = QueueClientPeekMessagesOptions {
            number_of_messages: Some(32),
            ..QueueClientPeekMessagesOptions::default()
        };
        let Ok(response) = self.0.peek_messages(Some(options)).await else { return Vec::new() };
        let items = response.into_model().unwrap().items.unwrap_or_default();
        items.into_iter().filter_map(|message| message.message_text).collect()
    }

    /// Waits until the queue has no message left.
    pub(crate) async fn emptied(&self) {
        eventually("an empty queue", async || self.count().await.filter(|count| *count == 0)).await;
    }

    /// Waits for the text of the first visible message.
    pub(crate) async fn first_text(&self) -> String {
        eventually("a message", async || self.texts().await.into_iter().next()).await
    }
}

/// Finds the emulator: the program named by `AZURITE`, else the one that the set-up script installs.
fn program() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "tests are told by the environment where the emulator is")]
    if let Some(program) = std::env::var_os("AZURITE") {
        return program.into();
    }
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.local/node/node_modules/.bin/azurite");
    assert!(
        installed.is_file(),
        "the storage emulator is missing: run scripts/setup, or set AZURITE to the program azurite"
    );
    installed
}

/// Finds three free ports next to each other, below those that the system gives to connections, so
/// that none is taken before the emulator has it.
fn free_ports() -> [u16; 3] {
    let random = RandomState::new().build_hasher().finish();
    let first = u16::try_from(random % 10_000).unwrap() + 20_000;
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (first..30_003).map(|port| [port, port + 1, port + 2]).find(|ports| ports.iter().all(is_free)).unwrap()
}
