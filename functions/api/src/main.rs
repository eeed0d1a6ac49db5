//! The REST API as the Functions host starts it.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use api::{AppState, StartError, app};
use chrono::{DateTime, Utc};
use custom_handler::{ServeOptions, exit_code, serve, telemetry};
use shared::config::{Config, Environment};
use shared::storage::Storage;

/// The port when nobody says otherwise, as for a program started by hand.
const DEFAULT_PORT: u16 = 7081;

/// How long audit records that wait to be written may hold up the end.
const LAST_WRITES: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    dump::launcher::run_if_asked();
    let config = match Config::from_env() {
        Ok(config) => config,
        Err(error) => return exit_code(Err(error)),
    };
    telemetry::init(
        match config.environment {
            Environment::Production => telemetry::LogFormat::Json,
            Environment::Development => telemetry::LogFormat::Text,
        },
        config.log_level.as_str().parse().unwrap_or(tracing::Level::INFO),
    );
    exit_code(run(config))
}

#[tokio::main]
async fn run(config: Config) -> Result<(), StartError> {
    let port = config.port.unwrap_or(DEFAULT_PORT);
    let state = AppState::new(config)?;
    dump::remove_left_behind();
    state.storage.prepare_in_background(&state.clock);
    let audit = state.storage.audit.clone();
    tokio::spawn(warm_up(state.storage.clone(), state.clock.now()));
    let outcome = serve(app(state), ServeOptions::on_port(port)).await;
    // The host does not wait for long.
    let _ = tokio::time::timeout(LAST_WRITES, audit.flush()).await;
    Ok(outcome?)
}

/// Counts what is stored, so that the first to ask need not wait for it. What fails, is done then.
async fn warm_up(storage: Storage, now: DateTime<Utc>) {
    if let Err(error) = storage.backups.warm_up().await {
        tracing::warn!(error = &error as &dyn Error, "the history could not be counted");
    }
    if let Err(error) = storage.audit.warm_up(now).await {
        tracing::warn!(error = &error as &dyn Error, "the audit log could not be read");
    }
}
