//! How callers sign in with the directory.

use url::Url;

use super::{ConfigError, Source};

/// How callers sign in with the directory.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// Whether the platform in front has proved who calls and says so in headers. Only where its own
    /// authentication is switched on does it take such headers away from requests of others.
    pub trust_platform_headers: bool,
    /// Whose tokens are accepted; `None` accepts none.
    pub directory: Option<Directory>,
}

/// The directory and the application that tokens must be for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// The directory.
    pub tenant_id: String,
    /// The application, as it is registered there.
    pub client_id: String,
    /// Where the directory publishes the keys that it signs with.
    pub keys: Url,
    /// Whom to ask about tokens for Microsoft Graph; `None` accepts no such tokens.
    pub graph: Option<Url>,
}

impl SignIn {
    /// Reads the settings.
    pub(super) fn read(source: &Source) -> Result<Self, ConfigError> {
        Ok(Self {
            trust_platform_headers: source.flag("TRUST_EASYAUTH_HEADERS")?,
            directory: directory(source)?,
        })
    }
}

fn directory(source: &Source) -> Result<Option<Directory>, ConfigError> {
    let tenant = id(source, ["AZURE_AD_TENANT_ID", "AZURE_TENANT_ID"])?;
    let client = id(source, ["AZURE_AD_CLIENT_ID", "AZURE_CLIENT_ID"])?;
    let keys = address(source, "AZURE_AD_KEYS_URL")?;
    let graph = address(source, "GRAPH_BASE_URL")?;
    let accept_graph = match source.text("ACCEPT_GRAPH_TOKENS") {
        None => true,
        Some(_) => source.flag("ACCEPT_GRAPH_TOKENS")?,
    };
    let (Some(tenant_id), Some(client_id)) = (tenant, client) else { return Ok(None) };
    let keys = match keys {
        Some(keys) => keys,
        None => fixed(
            "AZURE_AD_TENANT_ID",
            &format!("https://login.microsoftonline.com/{tenant_id}/discovery/v2.0/keys"),
        )?,
    };
    let graph = match (accept_graph, graph) {
        (false, _) => None,
        (true, Some(graph)) => Some(graph),
        (true, None) => Some(fixed("GRAPH_BASE_URL", "https://graph.microsoft.com")?),
    };
    Ok(Some(Directory { tenant_id, client_id, keys, graph }))
}

/// Reads an id of the directory. The names that stand for many directories are none: a token of
/// anybody's would be accepted.
fn id(source: &Source, names: [&'static str; 2]) -> Result<Option<String>, ConfigError> {
    let Some((name, id)) = names.into_iter().find_map(|name| Some((name, source.text(name)?))) else {
        return Ok(None);
    };
    let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    let shared = ["common", "organizations", "consumers"].contains(&id.to_ascii_lowercase().as_str());
    if plain && !shared && id.len() <= 128 {
        Ok(Some(id))
    } else {
        Err(ConfigError::new(name, "use the id of one directory or application, such as a UUID"))
    }
}

/// Reads an address whose answers decide who somebody is: encrypted, unless it is on this machine.
fn address(source: &Source, name: &'static str) -> Result<Option<Url>, ConfigError> {
    source.text(name).map(|text| fixed(name, &text)).transpose()
}

fn fixed(name: &'static str, text: &str) -> Result<Url, ConfigError> {
    let rule = "use an https address; http is accepted on 127.0.0.1, [::1] and localhost only";
    let url = Url::parse(text).map_err(|_| ConfigError::new(name, rule))?;
    let here = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    let usable = url.has_host() && (url.scheme() == "https" || (url.scheme() == "http" && here));
    if usable { Ok(url) } else { Err(ConfigError::new(name, rule)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [(&str, &str); 2] =
        [("AZURE_AD_TENANT_ID", "0f0e0d0c-1111-2222-3333-444455556666"), ("AZURE_AD_CLIENT_ID", "app-1")];

    fn read(more: &[(&str, &str)]) -> Result<SignIn, ConfigError> {
        SignIn::read(&Source::of(&[&IDS[..], more].concat()))
    }

    #[test]
    fn addresses_follow_from_the_tenant() -> Result<(), ConfigError> {
        let sign_in = read(&[])?;
        assert!(!sign_in.trust_platform_headers);
        let directory = sign_in.directory.ok_or(ConfigError::new("", "none"))?;
        assert_eq!(
            directory.keys.as_str(),
            "https://login.microsoftonline.com/0f0e0d0c-1111-2222-3333-444455556666/discovery/v2.0/keys"
        );
        assert_eq!(directory.graph.as_ref().map(Url::as_str), Some("https://graph.microsoft.com/"));
        let without = read(&[("ACCEPT_GRAPH_TOKENS", "false")])?.directory;
        assert_eq!(without, Some(Directory { graph: None, ..directory }));
        Ok(())
    }

    #[test]
    fn without_both_ids_no_token_is_accepted() -> Result<(), ConfigError> {
        assert_eq!(SignIn::read(&Source::of(&IDS[..1]))?.directory, None);
        let other = Source::of(&[("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c")]);
        assert!(SignIn::read(&other)?.directory.is_some());
        Ok(())
    }

    #[test]
    fn refuses_what_would_let_strangers_in() {
        let errors: Vec<String> = [
            ("AZURE_AD_TENANT_ID", "common"),
            ("AZURE_AD_TENANT_ID", "a/../b"),
            ("AZURE_AD_KEYS_URL", "http://keys.example"),
            ("GRAPH_BASE_URL", "http://graph.example"),
            ("GRAPH_BASE_URL", "graph"),
            ("ACCEPT_GRAPH_TOKENS", "maybe"),
            ("TRUST_EASYAUTH_HEADERS", "always"),
        ]
        .iter()
        .map(|pair| {
            let source = Source::of(&[&IDS[..], &[*pair]].concat());
            SignIn::read(&source).err().map(|error| error.to_string()).unwrap_or_default()
        })
        .collect();
        insta::assert_snapshot!(errors.join("\n"), @"
        the environment variable AZURE_AD_TENANT_ID cannot be used: use the id of one directory or application, such as a UUID
        the environment variable AZURE_AD_TENANT_ID cannot be used: use the id of one directory or application, such as a UUID
        the environment variable AZURE_AD_KEYS_URL cannot be used: use an https address; http is accepted on 127.0.0.1, [::1] and localhost only
        the environment variable GRAPH_BASE_URL cannot be used: use an https address; http is accepted on 127.0.0.1, [::1] and localhost only
        the environment variable GRAPH_BASE_URL cannot be used: use an https address; http is accepted on 127.0.0.1, [::1] and localhost only
        the environment variable ACCEPT_GRAPH_TOKENS cannot be used: use true or false
        the environment variable TRUST_EASYAUTH_HEADERS cannot be used: use true or false
        ");
    }
}
