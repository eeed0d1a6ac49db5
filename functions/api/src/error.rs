//! Every way in which a request can fail, and the one mapping to a status and a body.
//!
//! Texts go to people in dialogs. What storage or a secret store said stays in the log.

use std::any::Any;
use std::error::Error;

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shared::connection::ConnectionError;
use shared::models::UserRole;
use shared::secrets::SecretError;
use shared::storage::{RemovalError, StorageError, StorageErrorKind};

use crate::identity::IdentityError;
use crate::request_id::RequestId;

/// Why a request fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// The request cannot be used; the text names the field and the rule.
    #[error("{0}")]
    Invalid(String),
    /// Nobody has signed in.
    #[error("Sign-in with the directory is required.")]
    SignInRequired,
    /// Whoever has signed in is no user.
    #[error("Access denied: {0} is not registered; ask an administrator for access.")]
    NotRegistered(String),
    /// The user may not sign in.
    #[error("The account {0} is disabled; ask an administrator to enable it.")]
    AccountDisabled(String),
    /// An address has failed to sign in too often.
    #[error("There were too many failed sign-ins from your address; try again in {seconds} seconds.")]
    TooManyFailures {
        /// When failures are answered again.
        seconds: u64,
    },
    /// The directory cannot be asked who calls.
    #[error("The directory that says who you are cannot be reached; try again in a moment.")]
    DirectoryAway(#[source] IdentityError),
    /// The caller's role is too low.
    #[error("This needs the role {0}; ask an administrator to give it to you.")]
    RoleTooLow(UserRole),
    /// There is no such thing.
    #[error("{0} does not exist; it may have been deleted.")]
    NotFound(String),
    /// The router knows no such path.
    #[error("There is no such path; every path begins with the prefix of the API.")]
    NoSuchPath,
    /// The path exists, the method does not.
    #[error("This path does not have the method {0}.")]
    NoSuchMethod(String),
    /// It would be there twice, or somebody else changed it at the same time.
    #[error("{0}")]
    Conflict(String),
    /// It is not the version that the request is meant for.
    #[error("It is not the version that If-Match names any more; load it again and repeat.")]
    OtherVersion,
    /// The body is longer than is read.
    #[error("The request body is too large; 2 MiB are read at most.")]
    TooLarge,
    /// The address is longer than any that means something.
    #[error("The address of the request is too long; 16 KiB are read at most.")]
    AddressTooLong,
    /// The headers are larger than any that mean something.
    #[error("The headers of the request are too large; 64 KiB are read at most.")]
    HeadersTooLarge,
    /// The answer took longer than anybody waits.
    #[error(
        "The request took too long; what it had begun may still come to an end. Look before you repeat it."
    )]
    TooSlow,
    /// Something that the request needs is not set up or does not answer.
    #[error("{0}")]
    NotReady(String),
    /// Storage failed.
    #[error("storage failed")]
    Storage(#[from] StorageError),
    /// The secret store failed.
    #[error("a secret could not be kept or read")]
    Secret(#[from] SecretError),
    /// A mistake of ours.
    #[error("{0}")]
    Internal(&'static str),
}

#[derive(Serialize)]
struct Body<'a> {
    error: &'a str,
    /// Finds the lines of the log that belong to the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a RequestId>,
}

/// What an answer has failed of; kept beside it, so that the request's id can be added to its body.
#[derive(Debug, Clone)]
enum Failure {
    /// The text for the caller.
    Told(String),
    /// Only the log tells.
    Unforeseen,
}

impl Failure {
    fn response(self, status: StatusCode, request_id: Option<&RequestId>) -> Response {
        let error = match (&self, request_id) {
            (Self::Told(text), _) => text.clone(),
            (Self::Unforeseen, Some(id)) => {
                format!("Something went wrong that was not foreseen; the log has the reason under {id}.")
            }
            (Self::Unforeseen, None) => {
                "Something went wrong that was not foreseen; the log has the reason.".to_owned()
            }
        };
        let mut response = (status, Json(Body { error: &error, request_id })).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Adds the request's id to the body of an answer that an [`ApiError`] has made; others stay.
pub(crate) fn with_request_id(response: Response, id: &RequestId) -> Response {
    match response.extensions().get::<Failure>().cloned() {
        Some(failure) => {
            let retry_after = response.headers().get(RETRY_AFTER).cloned();
            let mut named = failure.response(response.status(), Some(id));
            // The one header that an error has of its own.
            if let Some(seconds) = retry_after {
                named.headers_mut().insert(RETRY_AFTER, seconds);
            }
            named
        }
        None => response,
    }
}

impl ApiError {
    /// Makes the error of a field that breaks its rule.
    pub(crate) fn field(name: &str, problem: impl std::fmt::Display) -> Self {
        Self::Invalid(format!("{name}: {problem}"))
    }

    /// Says in which member of the body the field is that breaks its rule.
    pub(crate) fn inside(self, member: &str) -> Self {
        if let Self::Invalid(text) = &self { Self::Invalid(format!("{member}.{text}")) } else { self }
    }

    /// Returns the status, and the text for the caller; no text means that only the log tells.
    fn answer(&self) -> (StatusCode, Option<String>) {
        let own = || Some(self.to_string());
        match self {
            Self::Invalid(_) => (StatusCode::BAD_REQUEST, own()),
            Self::SignInRequired | Self::NotRegistered(_) | Self::AccountDisabled(_) => {
                (StatusCode::UNAUTHORIZED, own())
            }
            Self::TooManyFailures { .. } => (StatusCode::TOO_MANY_REQUESTS, own()),
            Self::RoleTooLow(_) => (StatusCode::FORBIDDEN, own()),
            Self::NotFound(_) | Self::NoSuchPath => (StatusCode::NOT_FOUND, own()),
            Self::NoSuchMethod(_) => (StatusCode::METHOD_NOT_ALLOWED, own()),
            Self::Conflict(_) => (StatusCode::CONFLICT, own()),
            Self::OtherVersion => (StatusCode::PRECONDITION_FAILED, own()),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, own()),
            Self::AddressTooLong => (StatusCode::URI_TOO_LONG, own()),
            Self::HeadersTooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, own()),
            Self::TooSlow => (StatusCode::GATEWAY_TIMEOUT, own()),
            Self::NotReady(_) | Self::DirectoryAway(_) => (StatusCode::SERVICE_UNAVAILABLE, own()),
            Self::Storage(error) => match error.unreadable_property() {
                Some(property) => (StatusCode::INTERNAL_SERVER_ERROR, Some(unreadable(property))),
                None => storage_answer(error.kind()),
            },
            Self::Secret(error) => (secret_status(error), Some(sentence(&error.to_string()))),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, None),
        }
    }
}

/// Tells whether the entry is at fault, which its owner can correct, or the installation.
fn secret_status(error: &SecretError) -> StatusCode {
    match error {
        SecretError::ForeignName | SecretError::Damaged | SecretError::Missing => StatusCode::BAD_REQUEST,
        SecretError::NoStore
        | SecretError::NoVault
        | SecretError::UnknownKey
        | SecretError::Denied(_)
        | SecretError::Unavailable(_)
        | SecretError::Refused(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Tells of a row that some other program, or an earlier version, has written.
fn unreadable(property: &str) -> String {
    format!(
        "What is stored of it cannot be read: {property} makes no sense there. Mend the row in storage; a \
         database can also be deleted, without its backups."
    )
}

fn storage_answer(kind: StorageErrorKind) -> (StatusCode, Option<String>) {
    let (status, text) = match kind {
        StorageErrorKind::NotFound => {
            (StatusCode::NOT_FOUND, "It does not exist any more; somebody may have deleted it just now.")
        }
        StorageErrorKind::AlreadyExists => (StatusCode::CONFLICT, "It exists already."),
        StorageErrorKind::Changed => {
            (StatusCode::CONFLICT, "Somebody else has changed it at the same time; load it again and repeat.")
        }
        StorageErrorKind::Unavailable => (
            StatusCode::SERVICE_UNAVAILABLE,
            "The storage of this service cannot be reached or is busy; try again in a moment.",
        ),
        StorageErrorKind::Denied => (
            StatusCode::SERVICE_UNAVAILABLE,
            "This service may not use its storage; ask an administrator to check its key or its roles.",
        ),
        StorageErrorKind::Invalid => return (StatusCode::INTERNAL_SERVER_ERROR, None),
    };
    (status, Some(text.to_owned()))
}

/// Makes a sentence of an error text.
pub(crate) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| format!("{}{}.", first.to_uppercase(), letters.as_str())).unwrap_or_default()
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self.answer() {
            (status, Some(error)) => {
                if status.is_server_error() {
                    tracing::warn!(error = &self as &dyn Error, status = status.as_u16(), "a request failed");
                }
                let mut response = Failure::Told(error).response(status, None);
                if let Self::TooManyFailures { seconds } = self {
                    response.headers_mut().insert(RETRY_AFTER, seconds.into());
                }
                response
            }
            (status, None) => {
                tracing::error!(error = &self as &dyn Error, "a request failed unexpectedly");
                Failure::Unforeseen.response(status, None)
            }
        }
    }
}

impl From<IdentityError> for ApiError {
    fn from(error: IdentityError) -> Self {
        match error {
            // The window of an address is a minute.
            IdentityError::TooOften => Self::TooManyFailures { seconds: 60 },
            IdentityError::Away(_) | IdentityError::AwayStill => Self::DirectoryAway(error),
        }
    }
}

impl From<RemovalError> for ApiError {
    fn from(error: RemovalError) -> Self {
        match error {
            RemovalError::Pinned(_) | RemovalError::Refused(_) | RemovalError::Committing => {
                Self::Conflict(sentence(&error.to_string()))
            }
            RemovalError::Storage(error) => error.into(),
        }
    }
}

impl From<ConnectionError> for ApiError {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::Secret(error) => Self::Secret(error),
            ConnectionError::Token(_) => {
                tracing::warn!(error = &error as &dyn Error, "there is no token for a database");
                Self::NotReady(sentence(&error.to_string()))
            }
            ConnectionError::EngineGone
            | ConnectionError::TargetGone
            | ConnectionError::NoUsername(_)
            | ConnectionError::NoPassword(_)
            | ConnectionError::NoConnectionString(_)
            | ConnectionError::OnlyEngines(_)
            | ConnectionError::ConnectionString { .. }
            | ConnectionError::OtherPlace(_)
            | ConnectionError::NoTokenHost { .. } => Self::Invalid(sentence(&error.to_string())),
        }
    }
}

/// Answers for every path that nobody has.
pub(crate) async fn no_such_path() -> ApiError {
    ApiError::NoSuchPath
}

/// Answers for a path that has other methods.
pub(crate) async fn method_not_allowed(method: axum::http::Method) -> ApiError {
    ApiError::NoSuchMethod(method.to_string())
}

/// Answers in place of a handler that panicked; the panic itself has been logged by the hook.
pub(crate) fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a request ended in a panic");
    Failure::Unforeseen.response(StatusCode::INTERNAL_SERVER_ERROR, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_storage_error_has_its_status() {
        let kinds = [
            StorageErrorKind::NotFound,
            StorageErrorKind::AlreadyExists,
            StorageErrorKind::Changed,
            StorageErrorKind::Unavailable,
            StorageErrorKind::Denied,
            StorageErrorKind::Invalid,
        ];
        let lines = kinds.map(|kind| {
            let error = StorageError::new(kind, "read", "secret-account/x").because("AccountKey=abc");
            let (status, text) = ApiError::from(error).answer();
            format!("{} {}", status.as_u16(), text.unwrap_or_else(|| "(only the log tells)".to_owned()))
        });
        insta::assert_snapshot!(lines.join("\n"), @"
        404 It does not exist any more; somebody may have deleted it just now.
        409 It exists already.
        409 Somebody else has changed it at the same time; load it again and repeat.
        503 The storage of this service cannot be reached or is busy; try again in a moment.
        503 This service may not use its storage; ask an administrator to check its key or its roles.
        500 (only the log tells)
        ");
    }

    #[test]
    fn secrets_that_cannot_be_kept_are_a_503() {
        let lines = [SecretError::NoStore, SecretError::ForeignName].map(|error| {
            let (status, text) = ApiError::from(error).answer();
            format!("{} {}", status.as_u16(), text.unwrap_or_default())
        });
        insta::assert_snapshot!(lines.join("\n"), @"
        503 No secret store is set up, so passwords cannot be kept; set KEY_VAULT_NAME or SECRETS_KEY, or ENVIRONMENT=development on a developer's machine.
        400 The stored secret name does not belong to this entry; enter the password again.
        ");
    }
}
