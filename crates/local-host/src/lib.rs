//! A stand-in for the Azure Functions host on a developer's machine, for apps with a custom handler.
//!
//! [`Host::start`] takes an app folder (`host.json`, one folder with a `function.json` for each
//! function, `local.settings.json`), starts the app's handler and does for it what `func start`
//! does: routes and forwards HTTP requests, reads storage queues with lease, retry and poison queue,
//! fires timers, restarts a handler that crashes. Several hosts may run in one process.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use local_host::{Host, HostOptions};
//!
//! local_host::log::init();
//! let host = Host::start(HostOptions { port: Some(7071), ..HostOptions::new("target/apps/api") }).await?;
//! host.ready(Duration::from_secs(30)).await?;
//! println!("serving {}", host.url("/api"));
//! host.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! What must stay true:
//! - The handler sees what the real host would send, quirks included; what it gets wrong here, it
//!   gets wrong in the cloud.
//! - No handler outlives its host.
//! - This crate knows Azure Functions and Azure Storage and nothing of any app.

mod ambient;
mod envelope;
mod host;
mod host_json;
mod http;
mod index;
mod invoke;
pub mod log;
mod manual;
mod ncrontab;
mod options;
mod process;
mod queue;
mod route;
mod settings;
mod stopping;
mod storage;
mod timer;
mod timespan;
mod variables;

pub use host::{Host, StartError, StopReason};
pub use host_json::HostJsonError;
pub use http::principal::PrincipalError;
pub use index::FunctionError;
pub use manual::RunError;
pub use ncrontab::InvalidNcrontab;
pub use options::{ForwardTraps, HostOptions, Switches};
pub use process::NotReady;
pub use route::InvalidRoute;
pub use settings::SettingsError;
pub use storage::StorageError;
pub use variables::{UnknownSetting, Variables};

/// Renders an error and what it stems from in one line.
fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some foreign errors repeat what they stem from.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text.replace(['\n', '\r'], " ")
}
