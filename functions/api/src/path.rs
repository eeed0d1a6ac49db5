//! The one variable of a path, as an identifier.

use std::fmt;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use shared::models::{AccessRequestId, BackupId, DatabaseId, EngineId, PolicyId, RestoreId, UserId};

use crate::error::ApiError;
use crate::state::AppState;

/// The identifier in a path. A text that no thing can be called by is answered like one that none is.
#[derive(Debug, Clone)]
pub(crate) struct Id<T>(pub(crate) T);

/// A kind of identifier that has a name for people.
pub(crate) trait Named: FromStr + fmt::Display {
    /// What it identifies, as the beginning of a sentence.
    const NOUN: &'static str;
}

impl Named for BackupId {
    const NOUN: &'static str = "The backup";
}

impl Named for DatabaseId {
    const NOUN: &'static str = "The database";
}

impl Named for EngineId {
    const NOUN: &'static str = "The engine";
}

impl Named for PolicyId {
    const NOUN: &'static str = "The backup policy";
}

impl Named for AccessRequestId {
    const NOUN: &'static str = "The access request";
}

impl Named for RestoreId {
    const NOUN: &'static str = "The restore";
}

impl Named for UserId {
    const NOUN: &'static str = "The user";
}

/// Makes the error of a thing that does not exist.
pub(crate) fn not_found<T: Named>(id: &T) -> ApiError {
    ApiError::NotFound(format!("{} {id}", T::NOUN))
}

impl<T: Named> FromRequestParts<AppState> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let text = Path::<String>::from_request_parts(parts, state).await.ok();
        // The text itself is not repeated: it may be anything.
        let unknown = || ApiError::NotFound(format!("{} of this id", T::NOUN));
        text.and_then(|Path(text)| text.parse().ok()).map(Self).ok_or_else(unknown)
    }
}
