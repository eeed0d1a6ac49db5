//! `local-host`: runs function apps on this machine, as `func start` does.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;
use futures::future::join_all;
use local_host::{ForwardTraps, Host, HostOptions, StopReason, Switches};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};

/// Runs function apps with custom handlers on this machine, as `func start` does.
///
/// An app folder holds host.json, the handler, one folder with a function.json for each function,
/// and local.settings.json (or local.settings.example.json). Settings that are in the environment
/// win over the file. Ctrl-C stops all apps; a second one at once.
#[derive(Debug, Parser)]
#[command(version)]
#[expect(clippy::struct_excessive_bools, reason = "independent flags")]
#[expect(clippy::doc_markdown, reason = "the comments are shown as help, where backticks are noise")]
struct Arguments {
    /// An app folder and the port to serve it on; may be given several times. Without a port,
    /// Host.LocalHttpPort of the settings counts, else 7071; port 0 takes a free one.
    #[arg(long = "app", value_name = "DIR[:PORT]", required = true)]
    apps: Vec<App>,
    /// The address to listen on, instead of Host.LocalHttpAddress or 127.0.0.1.
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,
    /// For how long a queue message is hidden while it runs.
    #[arg(long, value_name = "N", default_value_t = 600)]
    lease_seconds: u64,
    /// After how long the lease is renewed [default: half of it].
    #[arg(long, value_name = "N")]
    renewal_seconds: Option<u64>,
    /// How long a stop waits for running invocations.
    #[arg(long, value_name = "N", default_value_t = 10)]
    stop_grace_seconds: u64,
    /// Sends SIGTERM to handlers at the stop and waits so long before SIGKILL, which otherwise comes
    /// at once.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "10")]
    term_first: Option<u64>,
    /// Sends invocations without a length, as in the cloud.
    #[arg(long)]
    chunked_invocations: bool,
    /// Joins the values of repeated query keys by commas when forwarding, as the real host does.
    #[arg(long)]
    join_duplicate_query: bool,
    /// Fails uploads without Content-Length when forwarding, as the real host does.
    #[arg(long)]
    reject_chunked_uploads: bool,
    /// Rebuilds paths from their decoded form when forwarding, as the real host does.
    #[arg(long)]
    rebuild_path: bool,
    /// Fails an invocation that is answered with an empty body at once; without this it hangs until
    /// functionTimeout, as with the real host.
    #[arg(long)]
    empty_answer_fails: bool,
    /// Shows the user described in this JSON file (auth_typ, name_typ, role_typ, claims) to handlers
    /// as signed in.
    #[arg(long, value_name = "FILE")]
    principal: Option<PathBuf>,
}

#[derive(Debug, Clone)]
struct App {
    folder: PathBuf,
    port: Option<u16>,
}

impl FromStr for App {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (folder, port) = match text.rsplit_once(':') {
            Some((folder, port)) if !port.contains('/') => {
                let port = port.parse().map_err(|_| format!("\"{port}\" is not a port"))?;
                (folder, Some(port))
            }
            Some(_) | None => (text, None),
        };
        if folder.is_empty() {
            return Err("the folder is missing".to_owned());
        }
        Ok(Self { folder: folder.into(), port })
    }
}

impl Arguments {
    fn switches(&self) -> Switches {
        Switches {
            chunked_invocations: self.chunked_invocations,
            forward_traps: ForwardTraps {
                join_duplicate_query: self.join_duplicate_query,
                reject_chunked_uploads: self.reject_chunked_uploads,
                rebuild_path: self.rebuild_path,
            },
            principal: self.principal.clone(),
            lease: Duration::from_secs(self.lease_seconds),
            lease_renewal: self.renewal_seconds.map(Duration::from_secs),
            empty_answer_fails: self.empty_answer_fails,
            term_first: self.term_first.map(Duration::from_secs),
            stop_grace: Duration::from_secs(self.stop_grace_seconds),
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    local_host::log::init();
    match run(&arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            let mut text = failure.to_string();
            let mut source = failure.source();
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            error!(app = "local-host", "{text}");
            ExitCode::FAILURE
        }
    }
}

/// Serves all apps until they are stopped, and tells whether that was by request.
async fn run(arguments: &Arguments) -> Result<bool, Box<dyn std::error::Error>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hosts = Vec::new();
    for app in &arguments.apps {
        let options = HostOptions {
            address: arguments.address,
            port: app.port,
            switches: arguments.switches(),
            ..HostOptions::new(&app.folder)
        };
        hosts.push(Host::start(options).await?);
    }
    let all_stopped = join_all(hosts.iter().map(Host::stopped));
    tokio::pin!(all_stopped);
    tokio::select! {
        reasons = &mut all_stopped => {
            error!(app = "local-host", "all apps have stopped by themselves");
            return Ok(reasons.iter().all(|reason| *reason == StopReason::Asked));
        }
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    info!(app = "local-host", "stopping all apps; ask once more to stop at once");
    for host in &hosts {
        host.ask_to_stop();
    }
    tokio::select! {
        _ = &mut all_stopped => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn an_app_may_have_a_port() {
        let read = |text: &str| text.parse::<App>().map(|app| (app.folder, app.port));
        assert_eq!(read("apps/api"), Ok(("apps/api".into(), None)));
        assert_eq!(read("apps/api:7072"), Ok(("apps/api".into(), Some(7072))));
        assert_eq!(read("odd:name/api"), Ok(("odd:name/api".into(), None)));
        assert!(read("apps/api:x").is_err());
        assert!(read(":7071").is_err());
    }
}
