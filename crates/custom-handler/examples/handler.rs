//! A whole custom handler: one timer, one queue, and the ways in which they can go wrong.
//!
//! Takes the port as its argument, where a real app reads `FUNCTIONS_CUSTOMHANDLER_PORT`. The tests
//! of this crate start it as a process of its own.

use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use custom_handler::telemetry::{self, LogFormat};
use custom_handler::{Answer, QueueInvocation, ServeError, ServeOptions, TimerInvocation, exit_code, serve};

/// Why the example could not run.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("the port cannot be used; give a number from 0 to 65535 as the only argument")]
    Port(#[source] std::num::ParseIntError),
    #[error("the handler cannot serve")]
    Serve(#[source] ServeError),
}

#[tokio::main]
async fn main() -> ExitCode {
    telemetry::init(LogFormat::Json, tracing::Level::INFO);
    exit_code(run().await)
}

async fn run() -> Result<(), RunError> {
    let port = std::env::args().nth(1).unwrap_or_default().parse().map_err(RunError::Port)?;
    let app = Router::new().route("/tick", post(tick)).route("/work", post(work));
    let options = ServeOptions { grace: Duration::from_secs(3), ..ServeOptions::on_port(port) };
    serve(app, options).await.map_err(RunError::Serve)
}

async fn tick(timer: TimerInvocation) -> Answer {
    tracing::info!(late = timer.is_past_due, "tick");
    Answer::success()
}

async fn work(message: QueueInvocation) -> Answer {
    tracing::info!(text = message.body, "working");
    match message.body.as_str() {
        "panic" => panic!("told to\npanic"),
        "wait" => tokio::time::sleep(Duration::from_millis(500)).await,
        "hang" => std::future::pending().await,
        _ => {}
    }
    Answer::success().with_log(format!("did {}", message.body))
}
