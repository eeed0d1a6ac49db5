//! App folders with the toy handler, hosts that serve them, and the storage emulator.

pub(crate) mod emulator;

use std::path::{Path, PathBuf};
use std::time::Duration;

use local_host::{Host, HostOptions, Switches};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// Long enough for a busy machine; nothing waits this long when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// An app folder in the making.
pub(crate) struct App {
    folder: TempDir,
    host_json: Value,
    environment: Vec<(String, String)>,
    pub(crate) switches: Switches,
}

impl App {
    /// An app with the toy handler, in forward mode, without functions.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host_json = json!({
            "version": "2.0",
            "customHandler": {
                "description": {"defaultExecutablePath": toy_handler()},
                "enableForwardingHttpRequest": true,
            },
        });
        let record = folder.path().join("record.jsonl").to_string_lossy().into_owned();
        let mut app = Self { folder, host_json, environment: Vec::new(), switches: Switches::default() };
        app.set("TOY_RECORD", &record);
        app
    }

    /// An app with one HTTP function that takes everything.
    pub(crate) fn with_http() -> Self {
        let app = Self::new();
        app.function("http", &json!([
            {"type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "anonymous", "route": "{*path}"},
            {"type": "http", "direction": "out", "name": "res"},
        ]));
        app
    }

    /// Adds a function.
    pub(crate) fn function(&self, name: &str, bindings: &Value) {
        self.write(&format!("{name}/function.json"), &json!({ "bindings": bindings }));
    }

    /// Adds a queue function.
    pub(crate) fn queue_function(&self, name: &str, queue: &str) {
        self.function(
            name,
            &json!([
                {"type": "queueTrigger", "direction": "in", "name": "msg", "queueName": queue}
            ]),
        );
    }

    /// Adds a timer function.
    pub(crate) fn timer_function(&self, name: &str, schedule: &str, use_monitor: bool) {
        self.function(name, &json!([
            {"type": "timerTrigger", "direction": "in", "name": "timer", "schedule": schedule, "useMonitor": use_monitor}
        ]));
    }

    /// Writes a JSON file into the folder.
    pub(crate) fn write(&self, name: &str, value: &Value) {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, value.to_string()).unwrap();
    }

    /// Changes a value of host.json, named by the keys on the way to it.
    pub(crate) fn configure(&mut self, path: &[&str], value: Value) {
        let mut target = &mut self.host_json;
        for name in path {
            target = &mut target[*name];
        }
        *target = value;
    }

    /// Sets a variable of the host's environment.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// The folder, with host.json written.
    pub(crate) fn folder(&self) -> PathBuf {
        self.write("host.json", &self.host_json);
        self.folder.path().to_path_buf()
    }

    /// The options with which the app is started.
    pub(crate) fn options(&self) -> HostOptions {
        HostOptions {
            name: Some("toy".to_owned()),
            port: Some(0),
            environment: self.environment.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            switches: self.switches.clone(),
            ..HostOptions::new(self.folder())
        }
    }

    /// Starts a host and waits for its handler.
    pub(crate) async fn start(&self) -> Host {
        let host = self.start_only().await;
        host.ready(PATIENCE).await.unwrap();
        host
    }

    /// Starts a host.
    pub(crate) async fn start_only(&self) -> Host {
        local_host::log::init();
        Host::start(self.options()).await.unwrap()
    }

    /// What the handler wrote down so far.
    pub(crate) fn record(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("record.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits until the handler has written down so many invocations.
    pub(crate) async fn recorded(&self, count: usize) -> Vec<Value> {
        eventually(&format!("{count} invocations"), async || {
            Some(self.record()).filter(|record| record.len() >= count)
        })
        .await
    }
}

/// Waits until a question has an answer.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the handler runs under another process id.
pub(crate) async fn replaced(host: &Host, old: u32) -> u32 {
    eventually("another handler", async || host.handler_pid().filter(|pid| *pid != old)).await
}

/// Tells whether a process is there and not yet dead.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// A client that leaves redirects alone.
pub(crate) fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

/// Gets a path and returns status and body, which is null when it is not JSON.
pub(crate) async fn get(host: &Host, path: &str) -> (u16, Value) {
    let response = client().get(host.url(path)).send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
}

/// The toy handler, which cargo builds with the tests.
fn toy_handler() -> String {
    let tests = std::env::current_exe().unwrap();
    let path = tests.parent().and_then(Path::parent).unwrap().join("examples/toy_handler");
    assert!(
        path.is_file(),
        "{} is missing; run `cargo build -p local-host --examples` first",
        path.display()
    );
    path.to_string_lossy().into_owned()
}

/// A pause for things that must not happen.
pub(crate) async fn a_while(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
