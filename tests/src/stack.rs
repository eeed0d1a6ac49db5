//! The whole product on this machine: storage emulator, host, and the three apps.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use shared::config::{Config, Source};
use shared::storage::Storage;
use tokio::time::{Instant, sleep};

use crate::api::{Api, PATIENCE};
use crate::azurite::Azurite;
use crate::identity::IdentityStandIn;
use crate::processes::{Process, descendants, kill};

/// Settings that make waiting short. The durations that they stand in for are the product's defaults.
const SETTINGS: &[(&str, &str)] = &[
    ("CLAIM_SECONDS", "4"),
    ("RETRY_DELAY_SECONDS", "1"),
    ("SECOND_RETRY_DELAY_SECONDS", "2"),
    ("AzureFunctionsJobHost__extensions__queues__visibilityTimeout", "00:00:01"),
    ("AzureFunctionsJobHost__extensions__queues__maxPollingInterval", "00:00:00.200"),
    ("ENVIRONMENT", "development"),
    ("BACKUP_QUEUE_NAME", "backup-jobs"),
    ("LOG_LEVEL", "DEBUG"),
];

/// The whole product, running.
pub struct Stack {
    /// The storage emulator.
    pub azurite: Azurite,
    /// A client of the API.
    pub api: Api,
    ports: [u16; 3],
    settings: Vec<(String, String)>,
    folder: tempfile::TempDir,
    host: Option<Child>,
}

impl Stack {
    /// Starts everything and waits until the API is healthy.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts everything with further settings.
    ///
    /// # Panics
    ///
    /// When a part is missing or does not start.
    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        let azurite = Azurite::start().await;
        let own = vec![
            ("STORAGE_CONNECTION_STRING".to_owned(), azurite.connection_string()),
            ("AzureWebJobsStorage".to_owned(), azurite.connection_string()),
        ];
        Self::assemble(azurite, settings, own, None).await
    }

    /// Starts everything with an identity in place of the account's key; only the host, which is not the
    /// product's, keeps the key.
    ///
    /// # Panics
    ///
    /// When a part is missing or does not start.
    pub async fn start_by_identity(identity: &IdentityStandIn, settings: &[(&str, &str)]) -> Self {
        let azurite = Azurite::start_with_tokens().await;
        let certificate = azurite.certificate().map(Path::to_owned);
        let trusted = certificate.iter().map(|file| ("SSL_CERT_FILE".to_owned(), file.display().to_string()));
        let host = [("AzureWebJobsStorage".to_owned(), azurite.connection_string())];
        let own =
            azurite.variables().into_iter().chain(identity.variables()).chain(trusted).chain(host).collect();
        Self::assemble(azurite, settings, own, certificate).await
    }

    async fn assemble(
        azurite: Azurite,
        settings: &[(&str, &str)],
        own: Vec<(String, String)>,
        certificate: Option<PathBuf>,
    ) -> Self {
        let ports = [free_port(), free_port(), free_port()];
        let settings = SETTINGS
            .iter()
            .chain(settings)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .chain(own)
            .collect();
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("a folder for the log: {error}"));
        let mut stack = Self {
            azurite,
            api: Api::trusting(ports[0], certificate.as_deref()),
            ports,
            settings,
            folder,
            host: None,
        };
        stack.start_host();
        stack.api.wait_until_healthy().await;
        stack
    }

    /// Starts the host with the three apps, after it was killed.
    ///
    /// # Panics
    ///
    /// When its program is missing.
    #[expect(clippy::disallowed_methods, reason = "tests start real processes")]
    pub fn start_host(&mut self) {
        let mut command = Command::new(program("local-host"));
        for (app, port) in ["api", "scheduler", "processor"].iter().zip(self.ports) {
            command.arg("--app").arg(format!("{}:{port}", self.app_folder(app).display()));
        }
        // A message whose handler died is visible again after this long instead of 10 minutes.
        command.args(["--lease-seconds", "4", "--stop-grace-seconds", "1"]);
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        let log = File::options().create(true).append(true).open(self.log_file());
        let log = log.unwrap_or_else(|error| panic!("the log of the host: {error}"));
        let errors = log.try_clone().unwrap_or_else(|error| panic!("the log of the host: {error}"));
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let host = command.spawn();
        self.host = Some(host.unwrap_or_else(|error| panic!("local-host: {error}")));
    }

    /// Kills the host with `SIGKILL` and waits for its end.
    pub fn kill_host(&mut self) {
        if let Some(mut host) = self.host.take() {
            let _ = host.kill();
            let _ = host.wait();
        }
    }

    /// Returns the process of an app.
    pub async fn app(&self, name: &str) -> Process {
        self.wait_for_process(&[name]).await
    }

    /// Returns all processes below the host, at this moment.
    pub fn processes(&self) -> Vec<Process> {
        self.host.as_ref().map(|host| descendants(host.id())).unwrap_or_default()
    }

    /// Returns the dump tool that runs.
    pub async fn dump_tool(&self) -> Process {
        self.wait_for_process(&["mysqldump", "mariadb-dump", "pg_dump"]).await
    }

    /// Returns the client that loads a dump.
    pub async fn load_tool(&self) -> Process {
        self.wait_for_process(&["mysql", "mariadb", "psql"]).await
    }

    /// Waits for a process of one of these programs below the host.
    ///
    /// # Panics
    ///
    /// When none comes.
    async fn wait_for_process(&self, names: &[&str]) -> Process {
        let host = self.host.as_ref().map_or_else(|| panic!("the host does not run"), Child::id);
        let end = Instant::now() + PATIENCE;
        loop {
            let found = descendants(host).into_iter().find(|process| names.contains(&process.name.as_str()));
            if let Some(process) = found {
                return process;
            }
            assert!(Instant::now() < end, "no process of {names:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Runs a function of an app now, as a person would over the host's admin route.
    ///
    /// # Panics
    ///
    /// When the host refuses.
    pub async fn run_function(&self, app: usize, function: &str, input: &str) {
        let url = format!("http://127.0.0.1:{}/admin/functions/{function}", self.ports[app]);
        let body = serde_json::json!({ "input": input }).to_string();
        let sent = reqwest::Client::new()
            .post(url)
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await;
        let status = sent.unwrap_or_else(|error| panic!("{function}: {error:?}")).status();
        assert_eq!(status.as_u16(), 202, "{function}");
    }

    /// Returns all that the host and the apps have logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Returns an environment in which the CLI finds this stack.
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut environment = self.settings.clone();
        environment.push(("DILUX_API".to_owned(), format!("http://127.0.0.1:{}/api", self.ports[0])));
        environment
    }

    /// Returns the configuration that the apps have.
    ///
    /// # Panics
    ///
    /// When it cannot be used.
    pub fn config(&self) -> Config {
        let settings: Vec<(&str, &str)> =
            self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Config::read(&Source::of(&settings)).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Sends a text to the queue of jobs, as anybody with the account's key could.
    ///
    /// # Panics
    ///
    /// When storage refuses it.
    pub async fn send_message(&self, text: &str) {
        let storage = Storage::open(&self.config()).unwrap_or_else(|error| panic!("{error}"));
        let sent = storage.jobs.send_text(text).await;
        sent.unwrap_or_else(|error| panic!("{error}"));
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("host.log")
    }

    /// Lays an app out in a folder of the stack's own: what `scripts/package` does, with links.
    fn app_folder(&self, app: &str) -> PathBuf {
        let folder = self.folder.path().join(app);
        if folder.exists() {
            return folder;
        }
        let laid_out = lay_out(app, &folder);
        laid_out.unwrap_or_else(|error| panic!("laying out {app} failed: {error}"));
        folder
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if let Some(host) = &self.host {
            for process in descendants(host.id()) {
                kill(process.id);
            }
        }
        self.kill_host();
        if std::thread::panicking() {
            // The log is what a failed test needs most.
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(150).collect();
            for line in tail.iter().rev() {
                eprintln!("{line}");
            }
        }
    }
}

fn lay_out(app: &str, folder: &Path) -> std::io::Result<()> {
    let source = root().join("host-configs").join(app);
    fs::create_dir_all(folder)?;
    fs::copy(source.join("host.json"), folder.join("host.json"))?;
    // Only what an app cannot do without: everything else comes from the environment.
    fs::write(
        folder.join("local.settings.json"),
        r#"{"IsEncrypted":false,"Values":{"FUNCTIONS_WORKER_RUNTIME":"custom"}}"#,
    )?;
    std::os::unix::fs::symlink(program(app), folder.join(app))?;
    for entry in fs::read_dir(&source)? {
        let function = entry?.path();
        let Some(name) = function.file_name().filter(|_| function.is_dir()) else { continue };
        fs::create_dir_all(folder.join(name))?;
        fs::copy(function.join("function.json"), folder.join(name).join("function.json"))?;
    }
    Ok(())
}

/// Returns the root of the checkout.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Returns a program of the workspace, beside which this test was built.
///
/// # Panics
///
/// When it has not been built.
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap_or_else(|error| panic!("this program's path: {error}"));
    let own_folder = own.parent().unwrap_or_else(|| panic!("no folder above {}", own.display()));
    // Tests are built into a folder below that of the programs.
    let profile =
        if own_folder.ends_with("deps") { own_folder.parent().unwrap_or(own_folder) } else { own_folder };
    let program = profile.join(name);
    assert!(
        program.is_file(),
        "{} is missing; build the programs first (cargo build --workspace), or run scripts/test",
        program.display()
    );
    program
}

/// Returns a port that nobody listens on, and that nobody else in this program is given.
///
/// It is below those that the system gives to connections and to whoever asks for any port, so that it is
/// still free when a program of the test comes to use it.
///
/// # Panics
///
/// When there is none.
pub fn free_port() -> u16 {
    const FIRST: u16 = 10_100;
    const COUNT: u32 = 9_800;
    // Tests run in several programs, one after the other or side by side: each begins somewhere else.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(211);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::SeqCst);
        let offset = begin.wrapping_add(step) % COUNT;
        let port = FIRST + u16::try_from(offset).unwrap_or_default();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port from {FIRST} on is free");
}
