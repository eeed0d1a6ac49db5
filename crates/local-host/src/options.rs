//! How a host is started.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::Variables;

/// How a host is started for one app. [`HostOptions::new`] gives what `func start` does.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// The app folder: `host.json`, the handler, function folders.
    pub app_dir: PathBuf,
    /// The app's name in the log; the folder's name when `None`.
    pub name: Option<String>,
    /// Where the host listens; `Host.LocalHttpAddress` or the loopback interface when `None`.
    pub address: Option<IpAddr>,
    /// The port; `Host.LocalHttpPort` or 7071 when `None`, a free one when 0.
    pub port: Option<u16>,
    /// Variables that count as being in the environment, before those of this process: they win over
    /// `local.settings.json` and reach the handler.
    pub environment: Variables,
    /// Departures from the usual, most of them for tests.
    pub switches: Switches,
}

impl HostOptions {
    /// Describes the usual start of an app.
    pub fn new(app_dir: impl Into<PathBuf>) -> Self {
        Self {
            app_dir: app_dir.into(),
            name: None,
            address: None,
            port: None,
            environment: Variables::new(),
            switches: Switches::default(),
        }
    }
}

/// Departures from the usual. Each imitates something that happens in the cloud, or shortens a time
/// that a test cannot wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switches {
    /// Invocations are sent without a length (`Transfer-Encoding: chunked`), as in the cloud.
    pub chunked_invocations: bool,
    /// What the forward way does to requests.
    pub forward_traps: ForwardTraps,
    /// A JSON file with the signed-in user that built-in authentication would show to the handler.
    pub principal: Option<PathBuf>,
    /// For how long a queue message is hidden while it runs. The service's granularity is a second.
    pub lease: Duration,
    /// After how long the lease is renewed; half of it when `None`.
    pub lease_renewal: Option<Duration>,
    /// An invocation whose answer sets no result fails at once, instead of hanging until its time-out.
    pub empty_answer_fails: bool,
    /// Sends SIGTERM at the stop and waits so long before SIGKILL; at once SIGKILL when `None`.
    pub term_first: Option<Duration>,
    /// How long a stop waits for running invocations.
    pub stop_grace: Duration,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            chunked_invocations: false,
            forward_traps: ForwardTraps::default(),
            principal: None,
            lease: Duration::from_mins(10),
            lease_renewal: None,
            empty_answer_fails: false,
            term_first: None,
            stop_grace: Duration::from_secs(10),
        }
    }
}

/// What the real host's forward way does to requests, beyond passing them on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ForwardTraps {
    /// The values of repeated query keys are joined by commas.
    pub join_duplicate_query: bool,
    /// Uploads without `Content-Length` fail with 500.
    pub reject_chunked_uploads: bool,
    /// The path is rebuilt from its decoded form, so an encoded `?` or `#` ends it.
    pub rebuild_path: bool,
}
