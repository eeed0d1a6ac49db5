//! Where passwords are kept.

use url::Url;

use super::{ConfigError, Environment, Source};
use crate::secrets::{SealingKey, SealingKeys};

/// Where passwords are kept.
#[derive(Debug, Clone, Default)]
pub struct SecretsConfig {
    /// The address of the key vault; none on a developer's machine.
    pub vault: Option<Url>,
    /// The keys that seal secrets in rows.
    pub keys: Option<SealingKeys>,
}

impl SecretsConfig {
    pub(super) fn read(source: &Source, environment: Environment) -> Result<Self, ConfigError> {
        let vault = vault(source)?;
        let vault = vault.filter(|_| environment == Environment::Production);
        Ok(Self { vault, keys: keys(source)? })
    }
}

fn vault(source: &Source) -> Result<Option<Url>, ConfigError> {
    if let Some(text) = source.text("KEYVAULT_URL") {
        let rule = "use an https address such as https://name.vault.azure.net/";
        let url = Url::parse(&text).map_err(|_| ConfigError::new("KEYVAULT_URL", rule))?;
        let usable = url.scheme() == "https" && url.has_host() && url.path() == "/" && url.query().is_none();
        return if usable { Ok(Some(url)) } else { Err(ConfigError::new("KEYVAULT_URL", rule)) };
    }
    let Some(name) = source.text("KEY_VAULT_NAME") else { return Ok(None) };
    let usable =
        (3..=24).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let url = Url::parse(&format!("https://{name}.vault.azure.net/")).ok().filter(|_| usable);
    let rule = "use the name of a key vault: 3 to 24 letters, digits and hyphens";
    url.map(Some).ok_or_else(|| ConfigError::new("KEY_VAULT_NAME", rule))
}

fn keys(source: &Source) -> Result<Option<SealingKeys>, ConfigError> {
    let key = |name: &'static str| {
        let text = source.text(name);
        text.map(|text| SealingKey::parse(&text).map_err(|error| ConfigError::new(name, error.to_string())))
            .transpose()
    };
    match (key("SECRETS_KEY")?, key("SECRETS_KEY_PREVIOUS")?) {
        (Some(current), previous) => Ok(Some(SealingKeys::new(current, previous))),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(ConfigError::new(
            "SECRETS_KEY_PREVIOUS",
            "set SECRETS_KEY as well: secrets are sealed with that one, and this one only opens",
        )),
    }
}
