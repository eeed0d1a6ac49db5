//! How a connection is protected, in requests. Pure.

use shared::models::{Authorities, Tls, TlsMode};

use crate::error::ApiError;
use crate::json::{Given, Members};

/// The members of a body that say how a connection is protected.
#[derive(Debug, Clone)]
pub(crate) struct TlsFields {
    mode: Option<TlsMode>,
    ca: Given<Authorities>,
}

impl TlsFields {
    /// Reads the members that are there.
    pub(crate) fn read(body: &Members) -> Result<Self, ApiError> {
        Ok(Self { mode: body.parsed("tls_mode")?.not_null("tls_mode")?, ca: body.parsed("tls_ca")? })
    }

    /// Changes how a connection is protected; absent members keep what is there.
    ///
    /// Authorities that nobody would look at are refused: who gives them means to be protected by them.
    pub(crate) fn update(self, current: Tls) -> Result<Tls, ApiError> {
        let tls = Tls { mode: self.mode.unwrap_or(current.mode), ca: self.ca.or_keep(current.ca) };
        if tls.ca.is_some() && !tls.mode.verifies() {
            return Err(ApiError::field(
                "tls_ca",
                format!(
                    "has no effect with tls_mode {}; choose verify_ca or verify_full, or set tls_ca to null",
                    tls.mode
                ),
            ));
        }
        Ok(tls)
    }
}
