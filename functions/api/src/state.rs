//! What the handlers share, and the time of a request.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use chrono::{DateTime, Utc};
use custom_handler::ServeError;
use dump::Tools;
use shared::clock::Clock;
use shared::config::Config;
use shared::networks::Networks;
use shared::secrets::{self, Secrets};
use shared::storage::{OpenError, Storage};

use crate::figures::Figures;
use crate::identity::{HttpSetUpError, Identities};

/// What the handlers share.
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
    /// The look at the networks of the function apps.
    pub networks: Arc<Networks>,
    /// Figures that are kept for a minute.
    pub figures: Figures,
    /// Who somebody is.
    pub identities: Identities,
    /// The clock.
    pub clock: Clock,
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
    /// The directory cannot be asked anything.
    #[error(transparent)]
    Directory(#[from] HttpSetUpError),
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
            networks: Arc::new(Networks::new(&config)?),
            figures: Figures::default(),
            identities: Identities::new(&config)?,
            clock: Clock::system(),
            config: Arc::new(config),
        })
    }

    /// Returns the first segment of every path, without slashes; empty when there is none.
    pub(crate) fn prefix(&self) -> &str {
        self.config.route_prefix.trim_matches('/')
    }
}

/// The time of a request. A handler takes it once, so that all that it decides sees the same instant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now(pub(crate) DateTime<Utc>);

impl FromRequestParts<AppState> for Now {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        Ok(Self(state.clock.now()))
    }
}
