//! Identities of the directory, by which other services are reached without a key.

use std::sync::Arc;

use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::{ClientOptions, Transport};
use azure_identity::{
    ClientSecretCredential, ClientSecretCredentialOptions, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId,
};
use secrecy::ExposeSecret as _;

use crate::config::Identity;

/// Sets up an identity; nothing is sent yet.
pub(crate) fn credential(
    identity: &Identity,
    transport: Transport,
) -> azure_core::Result<Arc<dyn TokenCredential>> {
    let client_options = ClientOptions { transport: Some(transport), ..ClientOptions::default() };
    Ok(match identity {
        Identity::Managed { client_id } => {
            let options = ManagedIdentityCredentialOptions {
                user_assigned_id: client_id.clone().map(UserAssignedId::ClientId),
                client_options,
            };
            ManagedIdentityCredential::new(Some(options))?
        }
        Identity::ClientSecret { tenant_id, client_id, secret } => {
            let secret = Secret::new(secret.expose_secret().to_owned());
            let options = ClientSecretCredentialOptions { client_options };
            ClientSecretCredential::new(tenant_id, client_id.clone(), secret, Some(options))?
        }
    })
}
