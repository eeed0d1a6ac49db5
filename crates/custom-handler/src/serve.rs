//! The server: binds the port the host named, and stops when it is told to.

use std::future::IntoFuture as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::shield;

/// How long running requests may go on after a stop signal, unless the options say otherwise. Short,
/// because the host kills without asking and jobs must survive that anyway.
const DEFAULT_GRACE: Duration = Duration::from_secs(5);

/// Where to listen and how to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServeOptions {
    /// The port on 127.0.0.1: the one the host gives in `FUNCTIONS_CUSTOMHANDLER_PORT`. 0 takes any
    /// free port, which is then in the log.
    pub port: u16,
    /// How long running requests may go on after the stop signal.
    pub grace: Duration,
}

impl ServeOptions {
    /// Builds the options for a port, with a grace of a few seconds.
    pub const fn on_port(port: u16) -> Self {
        Self { port, grace: DEFAULT_GRACE }
    }
}

/// Why the server could not be started, or ended without being told to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The port is taken or not allowed.
    #[error("cannot listen on 127.0.0.1:{port}; stop the program that uses the port or choose another one")]
    Bind {
        /// The port that was asked for.
        port: u16,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The system does not let the program listen for stop signals.
    #[error("cannot listen for the signals that stop the program")]
    Signals(#[source] std::io::Error),
    /// The server ended although nobody asked for it.
    #[error("the server ended without having been told to stop")]
    Ended,
}

/// Serves the app on 127.0.0.1 until Ctrl-C or SIGTERM, behind the [`shield`](crate::shield()).
///
/// After the signal no new connection is taken, running requests get the grace of the options, and
/// then, or at a second signal, the function returns `Ok`. What still runs then ends with the
/// runtime. Fails when the port cannot be bound, when signals cannot be listened to, and when the
/// server ends by itself; it never returns `Ok` without a signal.
pub async fn serve(app: Router, options: ServeOptions) -> Result<(), ServeError> {
    // Signals first: from the first answer on a stop must be heard.
    let mut stop = StopSignals::listen().map_err(ServeError::Signals)?;
    let bind_error = |source| ServeError::Bind { port: options.port, source };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await.map_err(bind_error)?;
    let address = listener.local_addr().map_err(bind_error)?;
    info!(%address, "listening");
    let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = axum::serve(listener, shield(app))
        // A sender that is gone without a word stops the server too, which is the safe side.
        .with_graceful_shutdown(async move { drop(stopped.await) })
        .into_future();
    tokio::pin!(server);
    tokio::select! {
        _ = &mut server => return Err(ServeError::Ended),
        () = stop.next() => {}
    }
    info!(grace_seconds = options.grace.as_secs(), "stopping");
    drop(stopping);
    tokio::select! {
        _ = &mut server => info!("stopped"),
        () = tokio::time::sleep(options.grace) => warn!("stopped with requests still running"),
        () = stop.next() => warn!("stopped at once by a second signal"),
    }
    Ok(())
}

/// The two signals that ask a program to stop: from a terminal and from a supervisor.
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
