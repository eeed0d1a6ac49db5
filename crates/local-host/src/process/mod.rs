//! The handler process: start, readiness, crash, restart, end.
//!
//! One supervisor owns the process. Everybody else holds a [`Handler`], asks it for the running
//! instance and may ask for a replacement; an order that names an instance which is already gone
//! does nothing, so that two failed invocations never kill a fresh handler.

pub(crate) mod console;
pub(crate) mod exit;
pub(crate) mod launch;

use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Child;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, error, info, warn};

use self::console::{LastLines, Stream};
use self::exit::{End, Reaction, Strikes};
use self::launch::{Launch, LaunchError, Nursery};
use crate::{StopReason, Variables, ambient, error_chain};

const PROBE_PAUSE: Duration = Duration::from_millis(25);
/// How long the host waits for a killed handler, and for the last lines of one that ended.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// So many initialization time-outs an invocation waits for a handler.
const PATIENCE: u32 = 4;

/// A running handler process that has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instance {
    /// Counts the starts.
    pub(crate) generation: u64,
    /// Where it listens.
    pub(crate) port: u16,
}

/// No handler can take an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// It did not come up in time.
    #[error("the handler was not ready within {0:?}")]
    TooSlow(Duration),
    /// The host is going down.
    #[error("the host has stopped")]
    HostStopped,
}

/// The way to the handler for everybody but the supervisor.
#[derive(Debug, Clone)]
pub(crate) struct Handler {
    state: watch::Receiver<State>,
    orders: mpsc::UnboundedSender<Order>,
    patience: Duration,
}

/// How handlers are started.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The app's name in the log.
    pub(crate) app: Arc<str>,
    /// The process.
    pub(crate) launch: Launch,
    /// What it gets on top of the inherited environment.
    pub(crate) variables: Variables,
    /// A fixed port instead of a free one.
    pub(crate) port: Option<u16>,
    /// How long it may take to answer its first request.
    pub(crate) initialization_timeout: Duration,
    /// Whether lines on stderr are errors.
    pub(crate) stderr_is_for_errors: bool,
    /// A chance to end by itself, given with SIGTERM before it is killed.
    pub(crate) term_first: Option<Duration>,
}

/// The owner of the handler process.
#[derive(Debug)]
pub(crate) struct Supervisor {
    plan: Plan,
    nursery: Nursery,
    client: reqwest::Client,
    state: watch::Sender<State>,
    orders: mpsc::UnboundedReceiver<Order>,
    strikes: Strikes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    /// The process, ready or not.
    pid: Option<u32>,
    /// Set once it has answered.
    ready: Option<Instance>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Kill this instance and start another.
    Replace { generation: u64 },
    /// Kill the process and let the exit rules decide.
    Kill,
    /// Stop the host: nobody could be served in time.
    GiveUp,
    /// End the process, for the host is stopping.
    Stop,
}

enum Next {
    Restart,
    Stop(StopReason),
}

impl Handler {
    /// Prepares a supervisor and the way to it.
    pub(crate) fn new(plan: Plan, nursery: Nursery, client: reqwest::Client) -> (Self, Supervisor) {
        let (state, watched) = watch::channel(State { pid: None, ready: None });
        let (sender, orders) = mpsc::unbounded_channel();
        let patience = plan.initialization_timeout * PATIENCE;
        let supervisor = Supervisor { plan, nursery, client, state, orders, strikes: Strikes::default() };
        (Self { state: watched, orders: sender, patience }, supervisor)
    }

    /// Waits for a handler that has answered. One that does not come stops the whole host.
    pub(crate) async fn instance(&self) -> Result<Instance, NotReady> {
        let outcome = self.wait(self.patience).await;
        if matches!(outcome, Err(NotReady::TooSlow(_))) {
            self.order(Order::GiveUp);
        }
        outcome
    }

    /// Waits for a handler that has answered, without consequences when none does.
    pub(crate) async fn wait(&self, longest: Duration) -> Result<Instance, NotReady> {
        let mut state = self.state.clone();
        let ready = state.wait_for(|state| state.ready.is_some());
        match timeout(longest, ready).await {
            Ok(Ok(state)) => state.ready.ok_or(NotReady::HostStopped),
            Ok(Err(_)) => Err(NotReady::HostStopped),
            Err(_) => Err(NotReady::TooSlow(longest)),
        }
    }

    /// Returns the process id, while there is a process.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.state.borrow().pid
    }

    /// Tells whether a handler has answered.
    pub(crate) fn is_ready(&self) -> bool {
        self.state.borrow().ready.is_some()
    }

    /// Kills an instance, unless it is gone already, and starts another.
    pub(crate) fn replace(&self, instance: Instance) {
        self.order(Order::Replace { generation: instance.generation });
    }

    /// Kills the process as a crash would.
    pub(crate) fn kill(&self) {
        self.order(Order::Kill);
    }

    /// Ends the process for good.
    pub(crate) fn stop(&self) {
        self.order(Order::Stop);
    }

    fn order(&self, order: Order) {
        // A supervisor that is gone has no process left.
        let _ = self.orders.send(order);
    }
}

impl Supervisor {
    /// Keeps a handler running until the host has to stop, and tells why.
    pub(crate) async fn run(mut self) -> StopReason {
        let mut generation = 0;
        loop {
            generation += 1;
            self.state.send_replace(State { pid: None, ready: None });
            let next = match self.launch().await {
                Ok((child, port)) => self.watch_over(child, Instance { generation, port }).await,
                Err(failure) => {
                    error!(app = %self.plan.app, "{}; it is not tried again until the host is restarted", error_chain(&failure));
                    self.without_process().await
                }
            };
            if let Next::Stop(reason) = next {
                return reason;
            }
        }
    }

    async fn launch(&self) -> Result<(Child, u16), LaunchError> {
        let port = match self.plan.port {
            Some(port) => port,
            None => free_port().map_err(LaunchError::Port)?,
        };
        let (port_text, id) = (port.to_string(), ambient::new_id().to_string());
        let fresh = [
            ("FUNCTIONS_CUSTOMHANDLER_PORT", port_text.as_str()),
            ("FUNCTIONS_HTTPWORKER_PORT", port_text.as_str()),
            ("FUNCTIONS_CUSTOMHANDLER_WORKER_ID", id.as_str()),
            ("FUNCTIONS_HTTPWORKER_ID", id.as_str()),
        ];
        let command = self.plan.launch.command(self.plan.variables.iter().chain(fresh))?;
        let child = self.nursery.start(command).await?;
        debug!(app = %self.plan.app, pid = child.id(), port, "handler started");
        Ok((child, port))
    }

    async fn watch_over(&mut self, mut child: Child, instance: Instance) -> Next {
        let pid = child.id();
        self.state.send_replace(State { pid, ready: None });
        let last_lines = LastLines::default();
        let mut console = self.follow_console(&mut child, &last_lines);
        let client = self.client.clone();
        let probe = probe(&client, instance.port);
        let deadline = sleep(self.plan.initialization_timeout);
        tokio::pin!(probe, deadline);
        let mut ready = false;
        loop {
            tokio::select! {
                status = child.wait() => {
                    // The stream may stay open in a child of the handler, so the wait has an end.
                    let _ = timeout(LAST_WORDS, &mut console).await;
                    return self.after_exit(status, &last_lines).await;
                }
                () = &mut probe, if !ready => {
                    ready = true;
                    self.state.send_replace(State { pid, ready: Some(instance) });
                    info!(app = %self.plan.app, "handler ready (process {}, port {})", pid.unwrap_or_default(), instance.port);
                }
                () = &mut deadline, if !ready => {
                    error!(app = %self.plan.app, "the handler did not answer within {:?}; it is killed", self.plan.initialization_timeout);
                    kill(&mut child).await;
                    return self.react(End::Silent, &last_lines).await;
                }
                order = self.orders.recv() => match order {
                    Some(Order::Replace { generation }) if generation == instance.generation => {
                        kill(&mut child).await;
                        return Next::Restart;
                    }
                    Some(Order::Replace { .. }) => {}
                    Some(Order::Kill) => {
                        let _ = child.start_kill();
                    }
                    Some(Order::GiveUp) if ready => {}
                    Some(Order::GiveUp) => {
                        kill(&mut child).await;
                        return Next::Stop(StopReason::HandlerNeverReady);
                    }
                    Some(Order::Stop) | None => {
                        self.end(&mut child).await;
                        return Next::Stop(StopReason::Asked);
                    }
                }
            }
        }
    }

    fn follow_console(&self, child: &mut Child, last_lines: &LastLines) -> JoinHandle<()> {
        let app = || Arc::clone(&self.plan.app);
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(console::follow(app(), Stream::Out, stdout, LastLines::default()));
        }
        let stderr = child.stderr.take();
        let stream = Stream::Err { for_errors: self.plan.stderr_is_for_errors };
        let (app, last_lines) = (app(), last_lines.clone());
        tokio::spawn(async move {
            if let Some(stderr) = stderr {
                console::follow(app, stream, stderr, last_lines).await;
            }
        })
    }

    async fn after_exit(&mut self, status: std::io::Result<ExitStatus>, last_lines: &LastLines) -> Next {
        use std::os::unix::process::ExitStatusExt as _;
        let end = match status {
            Ok(status) => match (status.code(), status.signal()) {
                (Some(code), _) => End::Exited(code),
                (None, signal) => End::Killed(signal.unwrap_or_default()),
            },
            Err(failure) => {
                warn!(app = %self.plan.app, "the handler's end could not be observed: {failure}");
                End::Killed(0)
            }
        };
        self.react(end, last_lines).await
    }

    async fn react(&mut self, end: End, last_lines: &LastLines) -> Next {
        let what = match end {
            End::Exited(code) => format!("the handler exited with code {code}"),
            End::Killed(signal) => format!("the handler was ended by signal {signal}"),
            End::Silent => "the handler was not ready in time".to_owned(),
        };
        let words = match last_lines.joined() {
            words if words.is_empty() => String::new(),
            words => format!("; its last lines on stderr: {words}"),
        };
        let app = Arc::clone(&self.plan.app);
        match self.strikes.react(end, Instant::now()) {
            Reaction::Leave => {
                error!(app = %app, "{what}; a code of 0 is not followed by a restart, so invocations fail until the host is restarted{words}");
                let ready = self.state.borrow().ready;
                self.state.send_replace(State { pid: None, ready });
                self.without_process().await
            }
            Reaction::Restart => {
                if end == End::Exited(200) {
                    info!(app = %app, "{what}, which asks for a restart");
                } else {
                    error!(app = %app, "{what}; it is started again{words}");
                }
                Next::Restart
            }
            Reaction::StopHost => {
                error!(app = %app, "{what}; this is the third time, so the host stops{words}");
                Next::Stop(StopReason::ThreeStrikes)
            }
        }
    }

    /// Waits while there is no process and none is to be started.
    async fn without_process(&mut self) -> Next {
        loop {
            match self.orders.recv().await {
                Some(Order::Stop) | None => return Next::Stop(StopReason::Asked),
                Some(Order::GiveUp) => return Next::Stop(StopReason::HandlerNeverReady),
                Some(Order::Replace { .. } | Order::Kill) => {}
            }
        }
    }

    async fn end(&self, child: &mut Child) {
        if let Some(grace) = self.plan.term_first
            && let Some(pid) =
                child.id().and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?))
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            if timeout(grace, child.wait()).await.is_ok() {
                return;
            }
            warn!(app = %self.plan.app, "the handler did not end within {grace:?} of SIGTERM; it is killed");
        }
        kill(child).await;
    }
}

async fn kill(child: &mut Child) {
    let _ = timeout(LAST_WORDS, child.kill()).await;
}

/// Returns at the first answer of any kind; only a refused connection means "not yet".
async fn probe(client: &reqwest::Client, port: u16) {
    let url = format!("http://127.0.0.1:{port}/");
    while client.get(&url).send().await.is_err_and(|failure| failure.is_connect()) {
        sleep(PROBE_PAUSE).await;
    }
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
