//! What a platform in front says about the caller, in two forms.

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::Identity;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const OBJECT_ID: [&str; 2] = ["http://schemas.microsoft.com/identity/claims/objectidentifier", "oid"];
const EMAIL: [&str; 3] =
    ["preferred_username", "upn", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress"];

/// The principal as App Service and as Static Web Apps render it.
#[derive(Debug, Deserialize)]
struct Principal {
    #[serde(default)]
    claims: Vec<Claim>,
    name_typ: Option<String>,
    #[serde(rename = "userId")]
    user_id: Option<String>,
    #[serde(rename = "userDetails")]
    user_details: Option<String>,
    name: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Claim {
    typ: String,
    val: String,
}

/// Reads the headers; what cannot be read counts as absent.
pub(super) fn identity(headers: &HeaderMap) -> Option<Identity> {
    let header = |name: &str| headers.get(name)?.to_str().ok().filter(|value| !value.is_empty());
    let short = header("x-ms-client-principal-id")
        .zip(header("x-ms-client-principal-name"))
        .and_then(|(id, email)| Identity::new(id, Some(email), None));
    short.or_else(|| {
        let json = BASE64.decode(header("x-ms-client-principal")?).ok()?;
        serde_json::from_slice::<Principal>(&json).ok()?.identity()
    })
}

impl Principal {
    fn identity(&self) -> Option<Identity> {
        match self.first(&OBJECT_ID) {
            Some(id) => {
                let named = self.name_typ.as_deref().and_then(|name| self.first(&[name]));
                Identity::new(id, self.first(&EMAIL).or(named), self.first(&["name"]))
            }
            None => {
                Identity::new(self.user_id.as_deref()?, self.user_details.as_deref(), self.name.as_deref())
            }
        }
    }

    /// Returns the first claim of these types, in the order of the types.
    fn first(&self, types: &[&str]) -> Option<&str> {
        let of = |typ: &&str| self.claims.iter().find(|claim| claim.typ == *typ && !claim.val.is_empty());
        types.iter().find_map(of).map(|claim| claim.val.as_str())
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use serde_json::{Value, json};

    use super::*;

    fn from(pairs: &[(&'static str, &str)]) -> Option<Identity> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, HeaderValue::from_str(value).ok()?);
        }
        identity(&headers)
    }

    fn principal(json: &Value) -> Option<Identity> {
        from(&[("x-ms-client-principal", &BASE64.encode(json.to_string()))])
    }

    fn who(id: &str, email: &str, name: &str) -> Option<Identity> {
        Identity::new(id, Some(email), Some(name))
    }

    #[test]
    fn two_headers_are_enough() {
        let pair = [("x-ms-client-principal-id", "oid"), ("x-ms-client-principal-name", "zoe@example.org")];
        assert_eq!(from(&pair), who("oid", "zoe@example.org", "zoe"));
        assert_eq!(from(&pair[..1]), None);
        assert_eq!(from(&pair[1..]), None);
    }

    #[test]
    fn both_forms_of_the_principal_are_read() {
        let claim = |typ: &str, val: &str| json!({"typ": typ, "val": val});
        let app_service = json!({"auth_typ": "aad", "name_typ": "mail", "role_typ": "r", "claims": [
            claim("name", "Zoe Z"), claim("upn", "upn@example.org"), claim("oid", "short"),
            claim("http://schemas.microsoft.com/identity/claims/objectidentifier", "long"),
        ]});
        assert_eq!(principal(&app_service), who("long", "upn@example.org", "Zoe Z"));
        let by_name_type =
            json!({"name_typ": "mail", "claims": [claim("mail", "m@example.org"), claim("oid", "o")]});
        assert_eq!(principal(&by_name_type), who("o", "m@example.org", "m"));
        let static_web =
            json!({"userId": "oid", "userDetails": "zoe@example.org", "userRoles": ["anonymous"]});
        assert_eq!(principal(&static_web), who("oid", "zoe@example.org", "zoe"));
    }

    #[test]
    fn what_cannot_be_read_counts_as_absent() {
        for bad in ["", "!", "bm8ganNvbg==", "W10=", "e30="] {
            assert_eq!(from(&[("x-ms-client-principal", bad)]), None, "{bad}");
        }
        assert_eq!(principal(&json!({"claims": [{"typ": "upn", "val": "a@b"}]})), None);
        assert_eq!(principal(&json!({"userId": "pending-1", "userDetails": "a@b"})), None);
    }
}
