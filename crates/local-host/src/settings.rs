//! `local.settings.json`, the settings of an app on a developer's machine.
//!
//! The file is the Core Tools' format. `IsEncrypted` must be `false`: the tools take a missing one
//! as `true` and then cannot read the values, so such a file is refused here too. Where the file is
//! missing, `local.settings.example.json` beside it serves, so that a fresh clone starts.
//! <https://learn.microsoft.com/azure/azure-functions/functions-develop-local>

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

const FILES: [&str; 2] = ["local.settings.json", "local.settings.example.json"];

/// Why the settings of an app cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file is there but cannot be read.
    #[error("{path} cannot be read; check its permissions")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a JSON object.
    #[error("{path} is not a JSON object; correct it, or copy local.settings.example.json over it")]
    NotJson {
        /// The file.
        path: PathBuf,
        /// Where reading stopped, if it is not JSON at all.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// The values are encrypted, or count as such.
    #[error(
        "{path} must hold \"IsEncrypted\": false; a missing one counts as true and encrypted settings cannot be read"
    )]
    Encrypted {
        /// The file.
        path: PathBuf,
    },
    /// A member has a form that the tools refuse.
    #[error("{path}: {member} must be {expected}")]
    Member {
        /// The file.
        path: PathBuf,
        /// The member's path.
        member: String,
        /// What it has to be.
        expected: &'static str,
    },
}

/// The content of the settings file. All empty where there is no file.
#[derive(Default, PartialEq, Eq)]
pub(crate) struct LocalSettings {
    /// The file that was read.
    pub(crate) source: Option<PathBuf>,
    /// Settings, in the order of names.
    pub(crate) values: Vec<(String, String)>,
    /// Where the host listens, if the file says so.
    pub(crate) address: Option<IpAddr>,
    /// The port on which the host listens, if the file says so.
    pub(crate) port: Option<u16>,
    /// Who may call from a browser; `None` where no origin is named.
    pub(crate) cors: Option<CorsSettings>,
}

/// The origins that browsers may call from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CorsSettings {
    /// The origins, or a single `*`.
    pub(crate) origins: Vec<String>,
    /// Whether cookies and authorization may come along.
    pub(crate) credentials: bool,
}

impl LocalSettings {
    /// Reads the settings of an app: the file, else the example, else nothing.
    pub(crate) fn read(app_dir: &Path) -> Result<Self, SettingsError> {
        for name in FILES {
            let path = app_dir.join(name);
            match std::fs::read_to_string(&path) {
                Ok(text) => return Self::parse(&path, &text),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => return Err(SettingsError::Unreadable { path, source }),
            }
        }
        Ok(Self::default())
    }

    fn parse(path: &Path, text: &str) -> Result<Self, SettingsError> {
        let path = path.to_path_buf();
        // Editors on Windows put a byte order mark in front.
        let root = match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
            Ok(Value::Object(root)) => root,
            Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                return Err(SettingsError::NotJson { path, source: None });
            }
            Err(source) => return Err(SettingsError::NotJson { path, source: Some(source) }),
        };
        if member(&root, "IsEncrypted") != Some(&Value::Bool(false)) {
            return Err(SettingsError::Encrypted { path });
        }
        let wrong = |member: &str, expected| SettingsError::Member {
            path: path.clone(),
            member: member.to_owned(),
            expected,
        };
        let mut values = Vec::new();
        for (name, value) in section(&root, "Values").map_err(|expected| wrong("Values", expected))? {
            match value {
                Value::String(text) => values.push((name.clone(), text.clone())),
                Value::Null => {}
                Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                    return Err(wrong(&format!("Values.{name}"), "text in quotes"));
                }
            }
        }
        let host = section(&root, "Host").map_err(|expected| wrong("Host", expected))?;
        let host = host.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>();
        Ok(Self {
            values,
            address: address(&host).map_err(|expected| wrong("Host.LocalHttpAddress", expected))?,
            port: port(&host).map_err(|expected| wrong("Host.LocalHttpPort", expected))?,
            cors: cors(&host).map_err(|expected| wrong("Host.CORS", expected))?,
            source: Some(path),
        })
    }
}

fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn section<'a>(
    root: &'a Map<String, Value>,
    name: &str,
) -> Result<impl Iterator<Item = (&'a String, &'a Value)> + use<'a>, &'static str> {
    match member(root, name) {
        Some(Value::Object(members)) => Ok(Some(members).into_iter().flatten()),
        Some(Value::Null) | None => Ok(None.into_iter().flatten()),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => Err("an object"),
    }
}

fn text(host: &Map<String, Value>, name: &str) -> Option<String> {
    match member(host, name)? {
        Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::String(_) | Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn address(host: &Map<String, Value>) -> Result<Option<IpAddr>, &'static str> {
    match text(host, "LocalHttpAddress") {
        None => Ok(None),
        Some(name) if name.eq_ignore_ascii_case("localhost") => Ok(Some(IpAddr::from([127, 0, 0, 1]))),
        Some(address) => address.parse().map(Some).map_err(|_| "an IP address or localhost"),
    }
}

fn port(host: &Map<String, Value>) -> Result<Option<u16>, &'static str> {
    text(host, "LocalHttpPort").map(|port| port.parse().map_err(|_| "a port number")).transpose()
}

fn cors(host: &Map<String, Value>) -> Result<Option<CorsSettings>, &'static str> {
    let Some(origins) = text(host, "CORS") else { return Ok(None) };
    let origins: Vec<String> = origins
        .split(',')
        .map(|origin| origin.trim().trim_end_matches('/').to_owned())
        .filter(|origin| !origin.is_empty())
        .collect();
    let credentials = text(host, "CORSCredentials").is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
    if credentials && origins.iter().any(|origin| origin == "*") {
        return Err("a list of origins where CORSCredentials is true; \"*\" is not allowed then");
    }
    Ok(Some(CorsSettings { origins, credentials }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<LocalSettings, String> {
        LocalSettings::parse(Path::new("local.settings.json"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_values_and_host() -> Result<(), String> {
        let settings = parse(
            r#"{"IsEncrypted":false,"Values":{"B":"2","A":"","N":null},
                "Host":{"LocalHttpPort":7072,"LocalHttpAddress":"localhost","CORS":"http://localhost:3000/, http://127.0.0.1:3000","CORSCredentials":true}}"#,
        )?;
        assert_eq!(settings.values, [("A".to_owned(), String::new()), ("B".to_owned(), "2".to_owned())]);
        assert_eq!(settings.port, Some(7072));
        assert_eq!(settings.address, Some(IpAddr::from([127, 0, 0, 1])));
        let cors = settings.cors.ok_or("cors")?;
        assert_eq!(cors.origins, ["http://localhost:3000", "http://127.0.0.1:3000"]);
        assert!(cors.credentials);
        Ok(())
    }

    #[test]
    fn refuses_what_the_tools_refuse() {
        let texts: Vec<_> = [
            "{}",
            r#"{"IsEncrypted":true}"#,
            r#"{"IsEncrypted":false,"Values":{"A":{"b":"c"}}}"#,
            r#"{"IsEncrypted":false,"Values":[]}"#,
            r#"{"IsEncrypted":false,"Host":{"CORS":"*","CORSCredentials":true}}"#,
            r#"{"IsEncrypted":false,"Host":{"LocalHttpPort":70000}}"#,
            "[]",
            "{",
        ]
        .into_iter()
        .map(|text| parse(text).err())
        .collect();
        insta::assert_debug_snapshot!(texts, @r#"
        [
            Some(
                "local.settings.json must hold \"IsEncrypted\": false; a missing one counts as true and encrypted settings cannot be read",
            ),
            Some(
                "local.settings.json must hold \"IsEncrypted\": false; a missing one counts as true and encrypted settings cannot be read",
            ),
            Some(
                "local.settings.json: Values.A must be text in quotes",
            ),
            Some(
                "local.settings.json: Values must be an object",
            ),
            Some(
                "local.settings.json: Host.CORS must be a list of origins where CORSCredentials is true; \"*\" is not allowed then",
            ),
            Some(
                "local.settings.json: Host.LocalHttpPort must be a port number",
            ),
            Some(
                "local.settings.json is not a JSON object; correct it, or copy local.settings.example.json over it",
            ),
            Some(
                "local.settings.json is not a JSON object; correct it, or copy local.settings.example.json over it",
            ),
        ]
        "#);
    }

    #[test]
    fn falls_back_to_the_example() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        assert!(LocalSettings::read(folder.path())?.source.is_none());
        std::fs::write(folder.path().join(FILES[1]), r#"{"IsEncrypted":false,"Values":{"A":"example"}}"#)?;
        assert_eq!(LocalSettings::read(folder.path())?.values, [("A".to_owned(), "example".to_owned())]);
        std::fs::write(folder.path().join(FILES[0]), r#"{"IsEncrypted":false,"Values":{"A":"mine"}}"#)?;
        assert_eq!(LocalSettings::read(folder.path())?.values, [("A".to_owned(), "mine".to_owned())]);
        Ok(())
    }
}
