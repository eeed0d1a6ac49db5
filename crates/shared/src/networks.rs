//! Which virtual network each function app is in, asked of Azure Resource Manager.
//!
//! The answer is for a page that people look at: it is kept for a few minutes, and whatever cannot be
//! found out is said in words instead of failing.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::TokenCredential;
use azure_core::http::{
    ClientOptions, Context, Method, Pipeline, PipelineSendOptions, Request, RetryOptions, Transport,
};
use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use crate::config::{Config, NetworkConfig};
use crate::identity::credential;
use crate::storage::OpenError;

/// <https://learn.microsoft.com/rest/api/appservice/web-apps/list-vnet-connections>
const VERSION: &str = "2024-04-01";
/// How long Resource Manager may take for one app.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a good answer is kept.
const KEPT: TimeDelta = TimeDelta::minutes(5);
/// How long one with a problem is kept: somebody may be mending it.
const KEPT_WITH_PROBLEM: TimeDelta = TimeDelta::seconds(30);

/// What a function app does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppKind {
    /// Answers requests.
    Api,
    /// Queues what is due.
    Scheduler,
    /// Makes backups.
    Processor,
}

impl AppKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Api, Self::Scheduler, Self::Processor];

    /// Returns its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Scheduler => "scheduler",
            Self::Processor => "processor",
        }
    }
}

/// The network that an app is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The group of the network.
    pub resource_group: String,
    /// The network's name.
    pub name: String,
    /// The part of it.
    pub subnet: Option<String>,
}

/// What is known of a function app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// What it does.
    pub kind: AppKind,
    /// Its name.
    pub name: String,
    /// Its network, if it has one; or why that is not known.
    pub network: Result<Option<Network>, String>,
}

/// What is known of all apps, or why nothing is.
pub type Reading = Result<Vec<App>, String>;

/// The look at the networks.
pub struct Networks {
    config: NetworkConfig,
    authority: Authority,
    pipeline: Pipeline,
    known: Mutex<Option<(DateTime<Utc>, Arc<Reading>)>>,
}

/// Where the token comes from.
enum Authority {
    Identity(Arc<dyn TokenCredential>),
    #[cfg_attr(not(any(test, feature = "testing")), expect(dead_code, reason = "for tests"))]
    Token(SecretString),
}

impl Networks {
    /// Sets up the look with the app's identity; nothing is sent yet.
    pub fn new(config: &Config) -> Result<Self, OpenError> {
        let transport = storage_account::transport()?;
        let identity = credential(&config.identity, transport).map_err(OpenError::Identity)?;
        Self::with(config, Authority::Identity(identity))
    }

    /// Sets up the look with a token that is there already.
    #[cfg(any(test, feature = "testing"))]
    pub fn with_token(config: &Config, token: &str) -> Result<Self, OpenError> {
        Self::with(config, Authority::Token(token.into()))
    }

    fn with(config: &Config, authority: Authority) -> Result<Self, OpenError> {
        let transport: Transport = storage_account::transport()?;
        // A person waits, and asks again.
        let options = ClientOptions {
            retry: RetryOptions::none(),
            transport: Some(transport),
            ..ClientOptions::default()
        };
        let pipeline = Pipeline::new(
            option_env!("CARGO_PKG_NAME"),
            option_env!("CARGO_PKG_VERSION"),
            options,
            Vec::new(),
            Vec::new(),
            None,
        );
        Ok(Self { config: config.network.clone(), authority, pipeline, known: Mutex::default() })
    }

    /// Tells what is known of the apps. Requests that come together share one look.
    pub async fn read(&self, now: DateTime<Utc>) -> Arc<Reading> {
        let mut known = self.known.lock().await;
        if let Some((at, reading)) = &*known {
            let is_good =
                reading.as_ref().as_ref().is_ok_and(|apps| apps.iter().all(|app| app.network.is_ok()));
            let kept = if is_good { KEPT } else { KEPT_WITH_PROBLEM };
            if now - *at < kept {
                return reading.clone();
            }
        }
        let reading = Arc::new(self.look().await);
        *known = Some((now, reading.clone()));
        reading
    }

    async fn look(&self) -> Reading {
        let (subscription, group) = match (&self.config.subscription, &self.config.resource_group) {
            (Some(subscription), Some(group)) => (subscription, group),
            (None, _) => return Err("AZURE_SUBSCRIPTION_ID is not set".to_owned()),
            (_, None) => return Err("DILUX_RESOURCE_GROUP is not set".to_owned()),
        };
        let named: Vec<(AppKind, &String)> =
            AppKind::ALL.into_iter().filter_map(|kind| Some((kind, self.name(kind)?))).collect();
        if named.is_empty() {
            return Err("none of DILUX_API_APP_NAME, DILUX_SCHEDULER_APP_NAME and DILUX_PROCESSOR_APP_NAME \
                        is set"
                .to_owned());
        }
        let Ok(Some(token)) = tokio::time::timeout(PATIENCE, self.token()).await else {
            return Err("the identity of this service cannot sign in to Azure".to_owned());
        };
        let apps = named.into_iter().map(|(kind, name)| {
            let url = self.address(subscription, group, name);
            let token = &token;
            async move {
                let asked = tokio::time::timeout(PATIENCE, self.ask(url, token)).await;
                let network =
                    asked.unwrap_or_else(|_| Err(format!("no answer within {} seconds", PATIENCE.as_secs())));
                App { kind, name: name.clone(), network }
            }
        });
        Ok(join_all(apps).await)
    }

    fn name(&self, kind: AppKind) -> Option<&String> {
        match kind {
            AppKind::Api => self.config.api.as_ref(),
            AppKind::Scheduler => self.config.scheduler.as_ref(),
            AppKind::Processor => self.config.processor.as_ref(),
        }
    }

    async fn token(&self) -> Option<SecretString> {
        match &self.authority {
            Authority::Token(token) => Some(token.clone()),
            Authority::Identity(identity) => {
                let base = self.config.resource_manager.as_str().trim_end_matches('/');
                match identity.get_token(&[&format!("{base}/.default")], None).await {
                    Ok(token) => Some(token.token.secret().into()),
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn Error, "no token for Resource Manager");
                        None
                    }
                }
            }
        }
    }

    /// Builds the address of an app's connections; names become whole segments, whatever they hold.
    fn address(&self, subscription: &str, group: &str, app: &str) -> Url {
        let mut url = self.config.resource_manager.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["subscriptions", subscription, "resourceGroups", group]);
            segments.extend(["providers", "Microsoft.Web", "sites", app, "virtualNetworkConnections"]);
        }
        url.query_pairs_mut().append_pair("api-version", VERSION);
        url
    }

    /// Asks for the network of one app; the error is in words for the page.
    async fn ask(&self, url: Url, token: &SecretString) -> Result<Option<Network>, String> {
        let mut request = Request::new(url, Method::Get);
        request.insert_header("accept", "application/json");
        request.insert_header("authorization", format!("Bearer {}", token.expose_secret()));
        let options = PipelineSendOptions { skip_checks: true, ..PipelineSendOptions::default() };
        let response = self.pipeline.send(&Context::new(), &mut request, Some(options)).await;
        let response = response.map_err(|error| {
            tracing::warn!(error = &error as &dyn Error, "Resource Manager cannot be asked");
            "Azure Resource Manager cannot be reached".to_owned()
        })?;
        let status = response.status();
        match u16::from(status) {
            200..=299 => {}
            401 | 403 => {
                return Err("this service may not read the app; give its identity the role Reader".to_owned());
            }
            404 => return Err("there is no app of this name in the resource group".to_owned()),
            other => return Err(format!("Azure Resource Manager answered with status {other}")),
        }
        let connections: Connections = serde_json::from_slice(response.body().as_ref())
            .map_err(|_| "Azure Resource Manager gave an answer that cannot be read".to_owned())?;
        let first = connections.into_list().into_iter().next();
        first.map(|connection| network(&connection.properties.vnet_resource_id)).transpose()
    }
}

impl fmt::Debug for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Networks").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The answer: a list, as it is documented, or an object around one, as other lists are.
#[derive(Deserialize)]
#[serde(untagged)]
enum Connections {
    List(Vec<Connection>),
    Page { value: Vec<Connection> },
}

impl Connections {
    fn into_list(self) -> Vec<Connection> {
        match self {
            Self::List(list) | Self::Page { value: list } => list,
        }
    }
}

#[derive(Deserialize)]
struct Connection {
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    vnet_resource_id: String,
}

/// Takes the id of a network or subnet apart: `…/resourceGroups/{}/…/virtualNetworks/{}/subnets/{}`.
fn network(id: &str) -> Result<Network, String> {
    let after = |name: &str| {
        let mut segments = id.split('/').skip_while(|segment| !segment.eq_ignore_ascii_case(name)).skip(1);
        segments.next().filter(|segment| !segment.is_empty()).map(str::to_owned)
    };
    match (after("resourceGroups"), after("virtualNetworks")) {
        (Some(resource_group), Some(name)) => Ok(Network { resource_group, name, subnet: after("subnets") }),
        (None, _) | (_, None) => Err("the id of the network cannot be read".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_taken_apart() {
        let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/n";
        let of = |name: &str, subnet: Option<&str>| {
            Ok(Network {
                resource_group: "g".to_owned(),
                name: name.to_owned(),
                subnet: subnet.map(str::to_owned),
            })
        };
        assert_eq!(network(id), of("v", Some("n")));
        assert_eq!(network("/subscriptions/s/resourcegroups/g/x/VirtualNetworks/v"), of("v", None));
        for bad in ["", "/subscriptions/s", "/resourceGroups//virtualNetworks/v", "/virtualNetworks/v"] {
            assert!(network(bad).is_err(), "{bad}");
        }
    }
}
