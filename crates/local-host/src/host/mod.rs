//! One app: start, life, stop.

mod setup;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tracing::{error, info, warn};

use self::setup::Setup;
use crate::manual::Manual;
use crate::process::{Handler, Supervisor};
use crate::stopping::Stopping;
use crate::{
    HostJsonError, HostOptions, NotReady, PrincipalError, RunError, SettingsError, StorageError, error_chain,
    http,
};

/// Why a host could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The app folder is not there or cannot be read.
    #[error("the app folder {path} cannot be read")]
    AppDir {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The settings file cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// `host.json` cannot be used.
    #[error(transparent)]
    HostJson(#[from] HostJsonError),
    /// The file of the signed-in user cannot be used.
    #[error(transparent)]
    Principal(#[from] PrincipalError),
    /// A function needs storage and no connection string is set.
    #[error(
        "{function} needs a storage account, but the setting {setting} holds no connection string; set it (UseDevelopmentStorage=true is the emulator)"
    )]
    NoStorage {
        /// The first function in need of it.
        function: String,
        /// The setting's name.
        setting: String,
    },
    /// A connection string cannot be used.
    #[error("the setting {setting} cannot be used")]
    Storage {
        /// The setting's name.
        setting: String,
        /// What is wrong with it.
        #[source]
        source: StorageError,
    },
    /// A client of the storage service could not be made.
    #[error("the storage address of {setting} cannot be used")]
    StorageClient {
        /// The setting's name.
        setting: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The port is taken, or the address is not this machine's.
    #[error("the host cannot listen on {address}; stop what does, or choose another port")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The connections to the handler could not be set up.
    #[error("the HTTP client for the handler could not be set up")]
    Client(#[source] reqwest::Error),
    /// The thread that starts handlers could not be started.
    #[error("the system refuses a further thread")]
    Thread(#[source] std::io::Error),
}

/// Why a host stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// Somebody asked for it.
    Asked,
    /// The handler crashed three times.
    ThreeStrikes,
    /// An invocation waited in vain for a handler.
    HandlerNeverReady,
}

/// A running host. Dropping it kills the handler and all that runs; [`Host::stop`] is gentler.
#[derive(Debug)]
pub struct Host {
    name: Arc<str>,
    id: String,
    address: SocketAddr,
    problems: Vec<String>,
    handler: Option<Handler>,
    manual: Arc<Manual>,
    stop: watch::Sender<bool>,
    stopped: watch::Receiver<Option<StopReason>>,
    overseer: JoinHandle<()>,
}

impl Host {
    /// Starts a host for an app. It serves at once; [`Host::ready`] waits for the handler.
    pub async fn start(options: HostOptions) -> Result<Self, StartError> {
        let Setup {
            app,
            host_id,
            address,
            listener,
            front,
            listeners,
            problems,
            supervisor,
            handler,
            stop,
            switches,
        } = Setup::prepare(options).await?;
        let manual = Arc::clone(&front.manual);
        let (announce, stopped) = watch::channel(None);
        let overseer = Overseer {
            app: Arc::clone(&app),
            supervisor,
            handler: handler.clone(),
            manual: Arc::clone(&manual),
            stopping: Stopping::of(&stop),
            grace: switches.stop_grace,
        };
        let server = {
            let mut stopping = Stopping::of(&stop);
            let serve = axum::serve(listener, http::router(Arc::new(front)))
                .with_graceful_shutdown(async move { stopping.asked().await });
            let app = Arc::clone(&app);
            async move {
                if let Err(failure) = serve.await {
                    error!(app = %app, "the HTTP server ended: {failure}");
                }
            }
        };
        let stopping = Stopping::of(&stop);
        let overseer = tokio::spawn(async move {
            let mut tasks = JoinSet::new();
            tasks.spawn(server);
            listeners.spawn(&mut tasks, &stopping);
            announce.send_replace(Some(overseer.run(tasks).await));
        });
        info!(app = %app, "listening on http://{address} (host id {host_id})");
        Ok(Self { name: app, id: host_id, address, problems, handler, manual, stop, stopped, overseer })
    }

    /// Returns the app's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the id that keeps this host's timers apart from others in the same storage account.
    pub fn host_id(&self) -> &str {
        &self.id
    }

    /// Returns where the host listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the address of a path on this host, as a browser on this machine would call it. The
    /// path begins with a slash and may have a query.
    pub fn url(&self, path: &str) -> String {
        let ip = match self.address.ip() {
            ip if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
            ip => ip,
        };
        format!("http://{}{path}", SocketAddr::new(ip, self.address.port()))
    }

    /// Returns, as texts, why functions were left out.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Waits until the handler has answered for the first time. An app without functions has none.
    pub async fn ready(&self, longest: Duration) -> Result<(), NotReady> {
        match &self.handler {
            Some(handler) => handler.wait(longest).await.map(drop),
            None => Ok(()),
        }
    }

    /// Returns the process id of the handler, while it runs.
    pub fn handler_pid(&self) -> Option<u32> {
        self.handler.as_ref().and_then(Handler::pid)
    }

    /// Kills the handler with SIGKILL, as the platform may at any moment. What follows is what follows
    /// a crash.
    pub fn kill_handler(&self) {
        if let Some(handler) = &self.handler {
            handler.kill();
        }
    }

    /// Runs a timer or queue function now, like the admin route; `input` is a queue function's message.
    pub fn run_now(&self, function: &str, input: impl Into<String>) -> Result<(), RunError> {
        Arc::clone(&self.manual).run(function, input.into())
    }

    /// Waits until the host has stopped, and tells why.
    pub async fn stopped(&self) -> StopReason {
        let mut stopped = self.stopped.clone();
        // The sender goes only with the overseer, which says why it ends unless it is aborted.
        match stopped.wait_for(Option::is_some).await {
            Ok(reason) => reason.unwrap_or(StopReason::Asked),
            Err(_) => StopReason::Asked,
        }
    }

    /// Asks the host to stop and returns at once.
    pub fn ask_to_stop(&self) {
        self.stop.send_replace(true);
    }

    /// Stops: listeners first, then a while for what runs, then the handler.
    pub async fn stop(self) {
        self.ask_to_stop();
        self.stopped().await;
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.overseer.abort();
    }
}

/// Holds all tasks of a host, so that none outlives it.
struct Overseer {
    app: Arc<str>,
    supervisor: Option<Supervisor>,
    handler: Option<Handler>,
    manual: Arc<Manual>,
    stopping: Stopping,
    grace: Duration,
}

impl Overseer {
    async fn run(mut self, mut tasks: JoinSet<()>) -> StopReason {
        let mut supervision = JoinSet::new();
        if let Some(supervisor) = self.supervisor.take() {
            supervision.spawn(supervisor.run());
        }
        tokio::select! {
            Some(reason) = supervision.join_next() => {
                tasks.shutdown().await;
                let reason = reason.unwrap_or_else(|failure| {
                    error!(app = %self.app, "the handler's supervisor broke down: {}", error_chain(&failure));
                    StopReason::ThreeStrikes
                });
                error!(app = %self.app, "the host has stopped");
                return reason;
            }
            () = self.stopping.asked() => {}
        }
        info!(app = %self.app, "stopping");
        let drained = async {
            while tasks.join_next().await.is_some() {}
            self.manual.finished().await;
        };
        if timeout(self.grace, drained).await.is_err() {
            warn!(app = %self.app, "something still runs after {:?}; it is broken off", self.grace);
        }
        // Nobody may settle a message for an invocation that fails because the handler is killed.
        tasks.shutdown().await;
        if let Some(handler) = &self.handler {
            handler.stop();
        }
        while supervision.join_next().await.is_some() {}
        info!(app = %self.app, "stopped");
        StopReason::Asked
    }
}
