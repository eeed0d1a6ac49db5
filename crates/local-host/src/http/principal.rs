//! A signed-in user, as the platform's built-in authentication shows one to the handler.
//!
//! The user is read from a JSON file in the platform's own form (`auth_typ`, `name_typ`,
//! `role_typ`, `claims`). Headers of that kind which a client sends are dropped, as in the cloud.
//! <https://learn.microsoft.com/azure/app-service/configure-authentication-user-identities>

use std::path::{Path, PathBuf};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

const OWNED_PREFIXES: [&str; 2] = ["x-ms-client-principal", "x-ms-token-"];
const OBJECT_ID: [&str; 2] = ["http://schemas.microsoft.com/identity/claims/objectidentifier", "oid"];
const NAMES: [&str; 3] =
    ["preferred_username", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress", "name"];

/// Why the file of a signed-in user cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PrincipalError {
    /// The file cannot be read.
    #[error("the principal file {path} cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The file does not hold a principal.
    #[error(
        "the principal file {path} must hold a JSON object with \"auth_typ\" and \"claims\": [{{\"typ\", \"val\"}}]"
    )]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

/// The headers of a signed-in user.
#[derive(Debug, Clone)]
pub(crate) struct Principal(Vec<(HeaderName, HeaderValue)>);

#[derive(Deserialize)]
struct File {
    auth_typ: String,
    #[serde(default)]
    name_typ: String,
    claims: Vec<Claim>,
}

#[derive(Deserialize)]
struct Claim {
    typ: String,
    val: String,
}

impl Principal {
    /// Reads a user from a file.
    pub(crate) fn read(path: &Path) -> Result<Self, PrincipalError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| PrincipalError::Unreadable { path: path.to_path_buf(), source })?;
        Self::parse(&text).map_err(|source| PrincipalError::Invalid { path: path.to_path_buf(), source })
    }

    fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let file: File = serde_json::from_str(text)?;
        // The header carries the object without the file's line breaks.
        let compact = serde_json::from_str::<serde_json::Value>(text)?.to_string();
        let claim = |types: &[&str]| {
            types
                .iter()
                .find_map(|typ| file.claims.iter().find(|claim| claim.typ == *typ))
                .map(|claim| &claim.val)
        };
        let name = claim(&[file.name_typ.as_str()]).or_else(|| claim(&NAMES));
        let encoded = STANDARD.encode(compact);
        let headers = [
            ("x-ms-client-principal", Some(&encoded)),
            ("x-ms-client-principal-id", claim(&OBJECT_ID)),
            ("x-ms-client-principal-name", name),
            ("x-ms-client-principal-idp", Some(&file.auth_typ)),
        ];
        Ok(Self(
            headers
                .into_iter()
                .filter_map(|(header, value)| {
                    Some((HeaderName::from_static(header), HeaderValue::try_from(value?.as_str()).ok()?))
                })
                .collect(),
        ))
    }

    /// Replaces what a client claims by who is signed in.
    pub(crate) fn sign_in(&self, headers: &mut HeaderMap) {
        let forged: Vec<HeaderName> = headers
            .keys()
            .filter(|name| OWNED_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix)))
            .cloned()
            .collect();
        for name in forged {
            headers.remove(name);
        }
        headers.extend(self.0.iter().cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_forged_headers() -> Result<(), serde_json::Error> {
        let principal = Principal::parse(
            r#"{"auth_typ":"aad","name_typ":"n","role_typ":"roles",
                "claims":[{"typ":"oid","val":"u-1"},{"typ":"n","val":"ann@example.com"},{"typ":"roles","val":"admin"}]}"#,
        )?;
        let mut headers = HeaderMap::from_iter([
            (HeaderName::from_static("x-ms-client-principal-id"), HeaderValue::from_static("forged")),
            (HeaderName::from_static("x-ms-token-aad-id-token"), HeaderValue::from_static("forged")),
        ]);
        principal.sign_in(&mut headers);
        assert_eq!(headers["x-ms-client-principal-id"], "u-1");
        assert_eq!(headers["x-ms-client-principal-name"], "ann@example.com");
        assert_eq!(headers["x-ms-client-principal-idp"], "aad");
        assert_eq!(headers.len(), 4);
        let decoded = STANDARD.decode(headers["x-ms-client-principal"].as_bytes()).unwrap_or_default();
        assert!(serde_json::from_slice::<File>(&decoded).is_ok_and(|file| file.claims.len() == 3));
        assert!(Principal::parse("{}").is_err());
        Ok(())
    }
}
