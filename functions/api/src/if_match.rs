//! Versions: the `ETag` of an answer, and the `If-Match` of a request that is meant for one version.
//!
//! A client that sends back the tag that it has read is told when somebody else was faster. Clients
//! that send none change what is there, as the web application does.

use axum::extract::FromRequestParts;
use axum::http::HeaderValue;
use axum::http::header::{ETAG, IF_MATCH};
use axum::http::request::Parts;
use axum::response::{IntoResponseParts, ResponseParts};
use shared::models::AuditId;
use shared::storage::table::ETag;
use shared::storage::{StorageError, StorageErrorKind};

use crate::error::ApiError;
use crate::path::{Named, not_found};
use crate::state::AppState;

/// The version of a thing as a header of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version(String);

impl From<&ETag> for Version {
    /// Derives a strong tag: storage's own are weak, and those match nothing. The kind of id that it is
    /// derived as does not matter.
    fn from(etag: &ETag) -> Self {
        Self(format!("\"{}\"", AuditId::derived(&["version", &etag.0])))
    }
}

impl From<ETag> for Version {
    fn from(etag: ETag) -> Self {
        Self::from(&etag)
    }
}

impl IntoResponseParts for Version {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Self::Error> {
        if let Ok(value) = HeaderValue::from_str(&self.0) {
            parts.headers_mut().insert(ETAG, value);
        }
        Ok(parts)
    }
}

/// Which versions a request is meant for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IfMatch {
    /// Whichever there is.
    Any,
    /// One of these, tags with their quotes.
    OneOf(Vec<String>),
}

impl IfMatch {
    /// Refuses the request when it is not meant for this version.
    pub(crate) fn check(&self, current: &ETag) -> Result<(), ApiError> {
        match self {
            Self::Any => Ok(()),
            Self::OneOf(tags) if tags.contains(&Version::from(current).0) => Ok(()),
            Self::OneOf(_) => Err(ApiError::OtherVersion),
        }
    }

    /// Tells whether the request is meant for certain versions only.
    pub(crate) fn is_given(&self) -> bool {
        *self != Self::Any
    }
}

/// Names the error of a thing that was changed or deleted after its version had been checked.
pub(crate) fn changed_or_gone<T: Named>(id: &T) -> impl FnOnce(StorageError) -> ApiError {
    move |error| if error.kind() == StorageErrorKind::NotFound { not_found(id) } else { changed(error) }
}

/// Names the error of a thing that was changed after its version had been checked.
pub(crate) fn changed(error: StorageError) -> ApiError {
    if error.kind() == StorageErrorKind::Changed { ApiError::OtherVersion } else { error.into() }
}

impl FromRequestParts<AppState> for IfMatch {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Self::Rejection> {
        let mut lines = parts.headers.get_all(IF_MATCH).into_iter().peekable();
        if lines.peek().is_none() {
            return Ok(Self::Any);
        }
        // A line that is no text matches nothing, like any other tag that we have not given.
        let texts = lines.map(|line| line.to_str().unwrap_or_default());
        let tags: Vec<String> =
            texts.flat_map(|line| line.split(',')).map(|tag| tag.trim().to_owned()).collect();
        Ok(if tags.iter().any(|tag| tag == "*") { Self::Any } else { Self::OneOf(tags) })
    }
}
