//! What a host is made of, read from the app folder and the environment before anything runs.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, info};
use uuid::Uuid;

use super::StartError;
use crate::host_json::{Forwarding, HostConfig};
use crate::http::Front;
use crate::http::principal::Principal;
use crate::index::{Function, Index, QueueTrigger, Trigger};
use crate::invoke::Invoker;
use crate::manual::Manual;
use crate::process::launch::{Launch, Nursery};
use crate::process::{Handler, Plan, Supervisor};
use crate::queue::messages::Messages;
use crate::queue::{Lease, QueueListener, poison_name};
use crate::settings::LocalSettings;
use crate::stopping::Stopping;
use crate::storage::Storage;
use crate::timer::TimerListener;
use crate::timer::monitor::Monitor;
use crate::{HostOptions, Switches, Variables, ambient, error_chain};

const DEFAULT_PORT: u16 = 7071;
const HOST_STORAGE: &str = "AzureWebJobsStorage";
const HOST_ID_SETTING: &str = "AzureFunctionsWebHost__hostid";
const LONGEST_HOST_ID: usize = 32;

/// All parts of a host, ready to run.
pub(super) struct Setup {
    pub(super) app: Arc<str>,
    pub(super) host_id: String,
    pub(super) address: SocketAddr,
    pub(super) listener: TcpListener,
    pub(super) front: Front,
    pub(super) listeners: Listeners,
    pub(super) problems: Vec<String>,
    pub(super) supervisor: Option<Supervisor>,
    pub(super) handler: Option<Handler>,
    pub(super) stop: watch::Sender<bool>,
    pub(super) switches: Switches,
}

/// The listeners of an app's timers and queues.
#[derive(Default)]
pub(super) struct Listeners {
    queues: Vec<Arc<QueueListener>>,
    timers: Vec<TimerListener>,
}

impl Listeners {
    /// Starts all of them.
    pub(super) fn spawn(self, tasks: &mut JoinSet<()>, stopping: &Stopping) {
        for queue in self.queues {
            tasks.spawn(queue.run(stopping.clone()));
        }
        for timer in self.timers {
            tasks.spawn(timer.run(stopping.clone()));
        }
    }
}

impl Setup {
    /// Reads an app and binds its port. Nothing is started yet.
    pub(super) async fn prepare(options: HostOptions) -> Result<Self, StartError> {
        let app_dir = options
            .app_dir
            .canonicalize()
            .map_err(|source| StartError::AppDir { path: options.app_dir.clone(), source })?;
        let app: Arc<str> = options.name.clone().unwrap_or_else(|| folder_name(&app_dir)).into();
        let local = LocalSettings::read(&app_dir)?;
        if let Some(source) = &local.source {
            info!(app = %app, "settings from {}", source.display());
        }
        let principal = options.switches.principal.as_deref().map(Principal::read).transpose()?;
        let (listener, address) = listen(&options, &local).await?;
        let settings = settings(&options, &local, address, &app_dir);
        let config = HostConfig::read(&app_dir, &settings)?;
        let index = Index::read(&app_dir, &config.route_prefix, &settings)
            .map_err(|source| StartError::AppDir { path: app_dir.clone(), source })?;
        let problems = report(&app, &index);
        let host_id = host_id(&app, &app_dir, &settings);

        let client = client(config.custom_handler.forwarding)?;
        let nursery = Nursery::open().map_err(StartError::Thread)?;
        let plan = plan(&app, &app_dir, &config, &settings, &options.switches);
        let (handler, supervisor) = Handler::new(plan, nursery, client.clone());
        let invoker = Arc::new(Invoker {
            app: Arc::clone(&app),
            client,
            handler: handler.clone(),
            function_timeout: config.function_timeout,
            chunked: options.switches.chunked_invocations,
            empty_answer_fails: options.switches.empty_answer_fails,
        });
        let functions = Arc::new(index.functions);
        let mut accounts = Accounts { settings: &settings, opened: BTreeMap::new() };
        let monitor = match functions.iter().find(|function| !matches!(function.trigger, Trigger::Http(_))) {
            Some(function) => Some(Monitor::new(accounts.open(HOST_STORAGE, &function.name)?, &host_id)),
            None => None,
        };
        let parts = Parts { app: &app, config: &config, switches: &options.switches, invoker: &invoker };
        let listeners = parts.listeners(&functions, monitor.as_ref(), &mut accounts)?;
        let manual = Arc::new(Manual {
            app: Arc::clone(&app),
            functions: Arc::clone(&functions),
            invoker: Arc::clone(&invoker),
            monitor,
            runs: Mutex::default(),
        });
        let (stop, _) = watch::channel(false);
        let stopping = Stopping::of(&stop);
        // Without functions the handler is not started at all.
        let has_functions = !functions.is_empty();
        let front = Front {
            app: Arc::clone(&app),
            host_id: host_id.clone(),
            functions,
            problems: problems.clone(),
            invoker,
            manual,
            forwarding: config.custom_handler.forwarding,
            cors: local.cors,
            has_home_page: !settings.is_on("AzureWebJobsDisableHomepage"),
            principal,
            traps: options.switches.forward_traps,
            stopping,
        };
        Ok(Self {
            app,
            host_id,
            address,
            listener,
            front,
            listeners,
            problems,
            supervisor: has_functions.then_some(supervisor),
            handler: has_functions.then_some(handler),
            stop,
            switches: options.switches,
        })
    }
}

fn folder_name(app_dir: &Path) -> String {
    app_dir.file_name().map_or_else(|| "app".to_owned(), |name| name.to_string_lossy().into_owned())
}

async fn listen(
    options: &HostOptions,
    local: &LocalSettings,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let ip = options.address.or(local.address).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let address = SocketAddr::new(ip, options.port.or(local.port).unwrap_or(DEFAULT_PORT));
    let failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Gathers the settings: what the environment holds wins over the file; some are the host's own.
fn settings(options: &HostOptions, local: &LocalSettings, address: SocketAddr, app_dir: &Path) -> Variables {
    let mut settings = ambient::environment();
    settings.extend(options.environment.iter());
    for (name, value) in &local.values {
        settings.set_default(name, value);
    }
    if local.cors.is_none() {
        // The program may answer cross-origin calls itself; the real host always stands in front of it.
        settings.set_default("HOST_ANSWERS_CORS", "false");
    }
    settings.set("AZURE_FUNCTIONS_ENVIRONMENT", "Development");
    settings.set("FUNCTIONS_CORETOOLS_ENVIRONMENT", "true");
    settings.set("AzureWebJobsScriptRoot", app_dir.to_string_lossy());
    settings.set("WEBSITE_HOSTNAME", address.to_string());
    if options.switches.principal.is_some() {
        settings.set("WEBSITE_AUTH_ENABLED", "True");
    }
    settings
}

fn report(app: &str, index: &Index) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, problem) in &index.problems {
        let text = format!("{name}: {}", error_chain(problem));
        error!(app = %app, "the function is left out: {text}");
        problems.push(text);
    }
    if index.functions.is_empty() {
        error!(app = %app, "no function was found, so the handler is not started");
    }
    for function in &index.functions {
        let what = match &function.trigger {
            Trigger::Http(http) => {
                http.methods.as_ref().map_or_else(|| "HTTP".to_owned(), |methods| methods.join(","))
            }
            Trigger::Timer(_) => "timer".to_owned(),
            Trigger::Queue(queue) => format!("queue {}", queue.queue),
        };
        let off = if function.disabled { ", disabled" } else { "" };
        info!(app = %app, "function {} ({what}{off})", function.name);
    }
    problems
}

/// Returns the id that keeps the states of this app apart from those of others.
fn host_id(app: &str, app_dir: &Path, settings: &Variables) -> String {
    if let Some(id) = settings.get(HOST_ID_SETTING).filter(|id| !id.is_empty()) {
        return id.to_lowercase();
    }
    let path = Uuid::new_v5(&Uuid::NAMESPACE_URL, app_dir.to_string_lossy().as_bytes()).simple().to_string();
    let name: String = app
        .to_lowercase()
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' })
        .take(LONGEST_HOST_ID - 11)
        .collect();
    format!("{}-{}", name.trim_matches('-'), &path[..10]).trim_start_matches('-').to_owned()
}

/// Builds the client for the handler. Redirects are followed only where nothing is forwarded.
fn client(forwarding: Forwarding) -> Result<reqwest::Client, StartError> {
    // The handler is called without TLS, but the client wants a provider; one that is there serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let redirect = match forwarding {
        Forwarding::Envelope => reqwest::redirect::Policy::limited(10),
        Forwarding::Forward | Forwarding::Proxy => reqwest::redirect::Policy::none(),
    };
    // Bodies are passed on as they are, whatever features of the client are compiled in.
    reqwest::Client::builder()
        .no_proxy()
        .no_gzip()
        .no_brotli()
        .no_deflate()
        .no_zstd()
        .redirect(redirect)
        .build()
        .map_err(StartError::Client)
}

fn plan(
    app: &Arc<str>,
    app_dir: &Path,
    config: &HostConfig,
    settings: &Variables,
    switches: &Switches,
) -> Plan {
    let handler = &config.custom_handler;
    let mut variables = settings.clone();
    variables.set("FUNCTIONS_APP_ROOT_PATH", app_dir.to_string_lossy());
    Plan {
        app: Arc::clone(app),
        launch: Launch {
            executable: handler.executable.clone(),
            arguments: handler.arguments.clone(),
            app_dir: app_dir.to_path_buf(),
            folder: app_dir.join(PathBuf::from(&handler.working_directory)),
            path: settings.get("PATH").unwrap_or_default().to_owned(),
        },
        variables,
        port: handler.port,
        initialization_timeout: handler.initialization_timeout,
        stderr_is_for_errors: handler.stderr_is_for_errors,
        term_first: switches.term_first,
    }
}

/// The storage accounts of an app, each opened once.
struct Accounts<'a> {
    settings: &'a Variables,
    opened: BTreeMap<String, Storage>,
}

impl Accounts<'_> {
    fn open(&mut self, setting: &str, function: &str) -> Result<Storage, StartError> {
        if let Some(storage) = self.opened.get(setting) {
            return Ok(storage.clone());
        }
        let text = self.settings.get(setting).filter(|text| !text.trim().is_empty()).ok_or_else(|| {
            StartError::NoStorage { function: function.to_owned(), setting: setting.to_owned() }
        })?;
        let storage = Storage::new(text)
            .map_err(|source| StartError::Storage { setting: setting.to_owned(), source })?;
        self.opened.insert(setting.to_owned(), storage.clone());
        Ok(storage)
    }
}

/// What the listeners share.
struct Parts<'a> {
    app: &'a Arc<str>,
    config: &'a HostConfig,
    switches: &'a Switches,
    invoker: &'a Arc<Invoker>,
}

impl Parts<'_> {
    fn listeners(
        &self,
        functions: &[Function],
        monitor: Option<&Monitor>,
        accounts: &mut Accounts,
    ) -> Result<Listeners, StartError> {
        let mut listeners = Listeners::default();
        for function in functions.iter().filter(|function| !function.disabled) {
            match &function.trigger {
                Trigger::Http(_) => {}
                Trigger::Timer(timer) => listeners.timers.push(TimerListener {
                    app: Arc::clone(self.app),
                    function: function.name.clone(),
                    monitor: monitor.filter(|_| timer.use_monitor).cloned(),
                    trigger: timer.clone(),
                    invoker: Arc::clone(self.invoker),
                }),
                Trigger::Queue(queue) => {
                    let storage = accounts.open(&queue.connection, &function.name)?;
                    listeners.queues.push(Arc::new(self.queue_listener(&function.name, queue, &storage)?));
                }
            }
        }
        Ok(listeners)
    }

    fn queue_listener(
        &self,
        function: &str,
        trigger: &QueueTrigger,
        storage: &Storage,
    ) -> Result<QueueListener, StartError> {
        let open = |name: &str| match storage.queue(name) {
            Ok(client) => Ok(Messages::new(name, client)),
            Err(error) => {
                Err(StartError::StorageClient { setting: trigger.connection.clone(), source: error.into() })
            }
        };
        let length = self.switches.lease;
        Ok(QueueListener {
            app: Arc::clone(self.app),
            function: function.to_owned(),
            queue: open(&trigger.queue)?,
            poison: poison_name(&trigger.queue).map(|name| open(&name)).transpose()?,
            trigger: trigger.clone(),
            config: self.config.queues.clone(),
            lease: Lease { length, renewal: self.switches.lease_renewal.unwrap_or(length / 2) },
            invoker: Arc::clone(self.invoker),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_ids_differ_by_folder_and_stay_short() {
        let none = Variables::new();
        let one = host_id("Backup Processor with a very long name", Path::new("/a/processor"), &none);
        let other = host_id("Backup Processor with a very long name", Path::new("/b/processor"), &none);
        assert_ne!(one, other);
        assert!(one.len() <= LONGEST_HOST_ID && one.starts_with("backup-processor-with"), "{one}");
        let set = Variables::from_iter([(HOST_ID_SETTING, "Mine")]);
        assert_eq!(host_id("x", Path::new("/x"), &set), "mine");
    }
}
