//! The processor as the Functions host starts it.

use std::process::ExitCode;

use custom_handler::{ServeOptions, exit_code, serve, telemetry};
use processor::{AppState, StartError, app};
use shared::config::{Config, Environment};

/// The port when nobody says otherwise, as for a program started by hand.
const DEFAULT_PORT: u16 = 7083;

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
    Ok(serve(app(state), ServeOptions::on_port(port)).await?)
}
