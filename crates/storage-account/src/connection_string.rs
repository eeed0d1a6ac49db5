//! Connection strings of storage accounts, as the Azure portal shows them.
//!
//! The grammar is `Name=Value` pairs between semicolons. Values may contain `=`, since keys are
//! base64, so each pair is split at its first one. Names are compared without regard to case.

use url::Url;

use crate::shared_key::{AccountKey, InvalidKey};
use crate::{Credential, StorageAccount, sas};

/// The account that the storage emulator serves; name and key are published by the vendor.
/// <https://learn.microsoft.com/azure/storage/common/storage-connect-azurite>
const EMULATOR_NAME: &str = "devstoreaccount1";
const EMULATOR_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Why a connection string cannot be used. The text of the string is never repeated, since it
/// holds the account key.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionStringError {
    /// A piece between two semicolons has no `=`.
    #[error("part {position} of the storage connection string is not of the form Name=Value")]
    NotAPair {
        /// Which piece, counted from 1.
        position: usize,
    },
    /// A member that is needed is not there.
    #[error("the storage connection string has no {0}")]
    Missing(&'static str),
    /// Neither a key nor a signature is given.
    #[error("the storage connection string has neither AccountKey nor SharedAccessSignature")]
    NoCredential,
    /// The key is not base64.
    #[error("the AccountKey of the storage connection string is not valid")]
    Key(#[source] InvalidKey),
    /// An endpoint is not an http or https address.
    #[error("{member} of the storage connection string is not an http or https address")]
    Endpoint {
        /// The member's name.
        member: &'static str,
    },
}

impl StorageAccount {
    /// Reads a connection string, `UseDevelopmentStorage=true` included.
    pub fn from_connection_string(text: &str) -> Result<Self, ConnectionStringError> {
        let members = Members::read(text)?;
        if members.get("UseDevelopmentStorage").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Self::emulator(members.get("DevelopmentStorageProxyUri"));
        }
        let credential = match (members.get("AccountKey"), members.get("SharedAccessSignature")) {
            (Some(key), _) => {
                Credential::Key(AccountKey::from_base64(key).map_err(ConnectionStringError::Key)?)
            }
            (None, Some(signature)) => Credential::Sas(sas::SasQuery::new(signature)),
            (None, None) => return Err(ConnectionStringError::NoCredential),
        };
        let blob = members.endpoint("BlobEndpoint", "blob")?;
        let name = match members.get("AccountName") {
            Some(name) => name.to_owned(),
            None => name_from(&blob).ok_or(ConnectionStringError::Missing("AccountName"))?,
        };
        Ok(Self {
            name,
            queue: members.endpoint("QueueEndpoint", "queue")?,
            table: members.endpoint("TableEndpoint", "table")?,
            blob,
            credential,
        })
    }

    fn emulator(proxy: Option<&str>) -> Result<Self, ConnectionStringError> {
        let host = proxy.unwrap_or("http://127.0.0.1").trim_end_matches('/');
        let endpoint = |port: u16| {
            parse_endpoint("DevelopmentStorageProxyUri", &format!("{host}:{port}/{EMULATOR_NAME}"))
        };
        Ok(Self {
            name: EMULATOR_NAME.to_owned(),
            blob: endpoint(10_000)?,
            queue: endpoint(10_001)?,
            table: endpoint(10_002)?,
            credential: Credential::Key(
                AccountKey::from_base64(EMULATOR_KEY).map_err(ConnectionStringError::Key)?,
            ),
        })
    }
}

struct Members<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Members<'a> {
    fn read(text: &'a str) -> Result<Self, ConnectionStringError> {
        text.split(';')
            .enumerate()
            .filter(|(_, piece)| !piece.trim().is_empty())
            .map(|(index, piece)| {
                let (name, value) =
                    piece.split_once('=').ok_or(ConnectionStringError::NotAPair { position: index + 1 })?;
                Ok((name.trim(), value.trim()))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0
            .iter()
            .find(|(known, value)| known.eq_ignore_ascii_case(name) && !value.is_empty())
            .map(|(_, value)| *value)
    }

    fn endpoint(&self, member: &'static str, service: &str) -> Result<Url, ConnectionStringError> {
        if let Some(address) = self.get(member) {
            return parse_endpoint(member, address);
        }
        let name = self.get("AccountName").ok_or(ConnectionStringError::Missing("AccountName"))?;
        let protocol = self.get("DefaultEndpointsProtocol").unwrap_or("https");
        let suffix = self.get("EndpointSuffix").unwrap_or("core.windows.net");
        parse_endpoint(member, &format!("{protocol}://{name}.{service}.{suffix}"))
    }
}

fn parse_endpoint(member: &'static str, address: &str) -> Result<Url, ConnectionStringError> {
    let error = || ConnectionStringError::Endpoint { member };
    let mut url = Url::parse(address).map_err(|_| error())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(error());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// Takes the account's name from an endpoint: the first label of the host, or the first segment of
/// the path where the host is an address or a single label, as with the emulator.
fn name_from(blob: &Url) -> Option<String> {
    let path_style = blob.path_segments().and_then(|mut segments| segments.next()).filter(|s| !s.is_empty());
    let name = match path_style {
        Some(segment) => segment,
        None => blob.host_str()?.split('.').next()?,
    };
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Service;

    #[test]
    fn reads_the_short_form_of_the_emulator() -> Result<(), ConnectionStringError> {
        let account = StorageAccount::from_connection_string("UseDevelopmentStorage=true")?;
        assert_eq!(account.name(), "devstoreaccount1");
        assert_eq!(account.endpoint(Service::Queue).as_str(), "http://127.0.0.1:10001/devstoreaccount1");
        assert!(account.key().is_some());
        Ok(())
    }

    #[test]
    fn derives_endpoints_from_name_and_suffix() -> Result<(), ConnectionStringError> {
        let account = StorageAccount::from_connection_string(
            "DefaultEndpointsProtocol=https;AccountName=acme;AccountKey=a2V5PT09;EndpointSuffix=core.chinacloudapi.cn",
        )?;
        assert_eq!(account.endpoint(Service::Table).as_str(), "https://acme.table.core.chinacloudapi.cn/");
        Ok(())
    }

    #[test]
    fn explicit_endpoints_win_and_names_are_case_insensitive() -> Result<(), ConnectionStringError> {
        let account = StorageAccount::from_connection_string(
            "accountname=acme;ACCOUNTKEY=a2V5;blobendpoint=http://127.0.0.1:1/acme/;QueueEndpoint=http://127.0.0.1:2/acme;TableEndpoint=http://127.0.0.1:3/acme;",
        )?;
        assert_eq!(account.endpoint(Service::Blob).as_str(), "http://127.0.0.1:1/acme");
        Ok(())
    }

    #[test]
    fn takes_a_signature_and_the_name_from_the_endpoint() -> Result<(), ConnectionStringError> {
        let account = StorageAccount::from_connection_string(
            "BlobEndpoint=https://acme.blob.core.windows.net;QueueEndpoint=https://acme.queue.core.windows.net;TableEndpoint=https://acme.table.core.windows.net;SharedAccessSignature=?sv=1&sig=x%3D",
        )?;
        assert_eq!(account.name(), "acme");
        assert!(account.key().is_none());
        Ok(())
    }

    #[test]
    fn says_what_is_wrong_without_repeating_it() {
        let broken = [
            "AccountName=a;secret",
            "AccountName=a",
            "AccountName=a;AccountKey=s%ecret",
            "AccountKey=c2VjcmV0",
        ];
        let texts: Vec<String> = broken
            .iter()
            .filter_map(|text| StorageAccount::from_connection_string(text).err())
            .map(|error| error.to_string())
            .collect();
        insta::assert_debug_snapshot!(texts, @r#"
        [
            "part 2 of the storage connection string is not of the form Name=Value",
            "the storage connection string has neither AccountKey nor SharedAccessSignature",
            "the AccountKey of the storage connection string is not valid",
            "the storage connection string has no AccountName",
        ]
        "#);
    }
}
