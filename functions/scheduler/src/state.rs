//! What the functions share.

use std::time::Duration;

use custom_handler::ServeError;
use shared::clock::Clock;
use shared::config::Config;
use shared::storage::{OpenError, Storage};

/// What the functions share.
#[derive(Debug, Clone)]
pub struct AppState {
    /// Everything that is stored.
    pub storage: Storage,
    /// The clock.
    pub clock: Clock,
    /// The longest pause before a scheduled job may start.
    pub jitter: Duration,
}

/// Why the program cannot start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Storage cannot be opened.
    #[error("the storage account cannot be used")]
    Storage(#[from] OpenError),
    /// The program cannot serve.
    #[error("the program cannot serve")]
    Serve(#[from] ServeError),
}

impl AppState {
    /// Sets everything up; nothing is sent yet.
    pub fn new(config: &Config) -> Result<Self, StartError> {
        let storage = Storage::open(config)?;
        Ok(Self { storage, clock: Clock::system(), jitter: config.schedule_jitter })
    }
}
