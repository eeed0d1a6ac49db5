//! Where the function apps of the installation are, for the look at their networks.

use url::Url;

use super::{ConfigError, Source};

/// Where the function apps of the installation are.
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    /// `AZURE_SUBSCRIPTION_ID`
    pub subscription: Option<String>,
    /// `DILUX_RESOURCE_GROUP`
    pub resource_group: Option<String>,
    /// The app of the API.
    pub api: Option<String>,
    /// The app of the scheduler.
    pub scheduler: Option<String>,
    /// The app of the processor.
    pub processor: Option<String>,
    /// The address of Azure Resource Manager, which differs in national clouds.
    pub resource_manager: Url,
}

impl NetworkConfig {
    pub(super) fn read(source: &Source) -> Result<Self, ConfigError> {
        Ok(Self {
            subscription: source.text("AZURE_SUBSCRIPTION_ID"),
            resource_group: source.text("DILUX_RESOURCE_GROUP"),
            api: source.text("DILUX_API_APP_NAME"),
            scheduler: source.text("DILUX_SCHEDULER_APP_NAME"),
            processor: source.text("DILUX_PROCESSOR_APP_NAME"),
            resource_manager: resource_manager(source)?,
        })
    }
}

/// A token goes there, so that it must be encrypted; a stand-in on the same machine is fine.
fn resource_manager(source: &Source) -> Result<Url, ConfigError> {
    const VARIABLE: &str = "RESOURCE_MANAGER_URL";
    let text = source.text(VARIABLE).unwrap_or_else(|| "https://management.azure.com".to_owned());
    let wrong = || ConfigError::new(VARIABLE, "use an https address such as https://management.azure.com");
    let url = Url::parse(&text).map_err(|_| wrong())?;
    let is_local = url.host_str().is_some_and(|host| matches!(host, "127.0.0.1" | "localhost" | "[::1]"));
    let is_encrypted = url.scheme() == "https" && url.has_host();
    if is_encrypted || (url.scheme() == "http" && is_local) { Ok(url) } else { Err(wrong()) }
}
