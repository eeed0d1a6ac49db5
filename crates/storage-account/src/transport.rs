//! The HTTP client that all storage clients share.
//!
//! Bodies are never decompressed on the way: a blob stored with a content encoding must arrive as
//! the bytes that were stored.

use std::sync::Arc;
use std::time::Duration;

use azure_core::http::Transport;

/// The error of a TLS set-up that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for storage could not be set up; check the system's certificate store")]
pub struct TransportError(#[source] reqwest::Error);

/// Builds a transport with its own connection pool, to be shared between clients.
///
/// A connection must be made within 10 seconds, and a response that stays silent for 60 seconds is
/// an error, so that a dead peer is noticed and the pipeline's retry can act.
pub fn transport() -> Result<Transport, TransportError> {
    // A provider that another part of the program installed first serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(Duration::from_mins(1))
        .pool_idle_timeout(Duration::from_secs(20))
        .build()
        .map_err(TransportError)?;
    Ok(Transport::new(Arc::new(client)))
}
