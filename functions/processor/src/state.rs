//! What the functions share.

use std::io;
use std::sync::Arc;

use custom_handler::ServeError;
use dump::{Limits, Tools};
use shared::clock::Clock;
use shared::config::Config;
use shared::models::DumpOptions;
use shared::secrets::{self, Secrets};
use shared::storage::{OpenError, Storage};
use tokio::sync::Semaphore;

/// What the functions share.
#[derive(Debug, Clone)]
pub struct AppState {
    /// The configuration.
    pub config: Arc<Config>,
    /// Everything that is stored.
    pub storage: Storage,
    /// Where passwords are kept.
    pub secrets: Secrets,
    /// The client tools of the databases.
    pub tools: Arc<Tools>,
    /// The clock.
    pub clock: Clock,
    /// Places for dumps in this program.
    pub places: Arc<Semaphore>,
}

/// Why the program cannot start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Storage cannot be opened.
    #[error("the storage account cannot be used")]
    Storage(#[from] OpenError),
    /// The secret store cannot be opened.
    #[error("the secret store cannot be used")]
    Secrets(#[from] secrets::OpenError),
    /// The program cannot find its own file, which starts the client tools.
    #[error("the path of this program cannot be found out")]
    OwnPath(#[from] io::Error),
    /// The program cannot serve.
    #[error("the program cannot serve")]
    Serve(#[from] ServeError),
}

impl AppState {
    /// Sets everything up; nothing is sent yet.
    pub fn new(config: Config) -> Result<Self, StartError> {
        let tools =
            Tools::standard().with_launcher(std::env::current_exe()?).with_targets(config.targets.clone());
        Ok(Self {
            storage: Storage::open(&config)?,
            secrets: Secrets::open(&config)?,
            tools: Arc::new(tools),
            clock: Clock::system(),
            places: Self::places(&config),
            config: Arc::new(config),
        })
    }

    /// Makes as many places for dumps as the configuration says.
    pub fn places(config: &Config) -> Arc<Semaphore> {
        Arc::new(Semaphore::new(config.jobs.concurrent.into()))
    }

    /// Returns the limits of a dump with these options.
    pub(crate) fn limits(&self, options: &DumpOptions) -> Limits {
        let jobs = &self.config.jobs;
        Limits {
            stall: options.stall(jobs.stall),
            deadline: options.deadline(jobs.deadline),
            ..Limits::default()
        }
    }
}
