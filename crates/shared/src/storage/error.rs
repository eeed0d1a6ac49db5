//! The one error of the three storage seams.

use std::error::Error;
use std::fmt;

use super::rows::UnreadableRow;

type Source = Box<dyn Error + Send + Sync>;

/// Why a storage operation did not succeed.
#[derive(Debug)]
pub struct StorageError {
    kind: StorageErrorKind,
    operation: &'static str,
    target: String,
    source: Option<Source>,
}

/// What callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageErrorKind {
    /// The row, message, blob, table, queue or container does not exist.
    NotFound,
    /// The thing exists already.
    AlreadyExists,
    /// The thing has changed since it was read.
    Changed,
    /// The service cannot be reached, is busy, or broke; the same call may succeed later.
    Unavailable,
    /// The identity or key was refused.
    Denied,
    /// The request itself is not acceptable; the same call will fail again.
    Invalid,
}

impl StorageErrorKind {
    /// Says what an HTTP status other than success means.
    pub(crate) fn of_status(status: u16) -> Self {
        match status {
            404 => Self::NotFound,
            409 => Self::AlreadyExists,
            412 => Self::Changed,
            401 | 403 => Self::Denied,
            408 | 429 | 500.. => Self::Unavailable,
            0..=400 | 402 | 405..=407 | 410 | 411 | 413..=428 | 430..=499 => Self::Invalid,
        }
    }
}

impl StorageError {
    /// Makes an error of `operation` on `target` without an underlying cause.
    pub fn new(kind: StorageErrorKind, operation: &'static str, target: impl Into<String>) -> Self {
        Self { kind, operation, target: target.into(), source: None }
    }

    /// Adds the underlying cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Returns what kind of failure it was.
    pub fn kind(&self) -> StorageErrorKind {
        self.kind
    }

    /// Returns the property that makes a row unreadable, if that is what went wrong.
    pub fn unreadable_property(&self) -> Option<&'static str> {
        let source: &(dyn Error + 'static) = self.source.as_deref()?;
        source.downcast_ref::<UnreadableRow>().map(|row| row.property)
    }

    /// Tells whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        self.kind == StorageErrorKind::Unavailable
    }

    /// Translates an error of the vendor's crates.
    #[expect(clippy::needless_pass_by_value, reason = "in the form that map_err takes")]
    pub(crate) fn from_azure(error: azure_core::Error, operation: &'static str, target: &str) -> Self {
        use azure_core::error::ErrorKind;
        #[expect(clippy::wildcard_enum_match_arm, reason = "the vendor may add kinds, and those may pass")]
        let kind = match error.kind() {
            ErrorKind::HttpResponse { status, .. } => StorageErrorKind::of_status(u16::from(*status)),
            ErrorKind::DataConversion => StorageErrorKind::Invalid,
            // Among these is a token that could not be had: the identity service may be busy, and a
            // refusal comes as a status.
            _ => StorageErrorKind::Unavailable,
        };
        Self::new(kind, operation, target).because(described(&error))
    }
}

/// Renders an error with its causes in one line. Addresses lose their query, which holds the
/// signature where the account is reached by one.
fn described(error: &dyn Error) -> String {
    let mut text = without_queries(&error.to_string());
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = without_queries(&cause.to_string());
        // Some foreign errors repeat what they stem from.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Cuts from each `?` to the next character that ends an address in a text.
fn without_queries(text: &str) -> String {
    let mut pieces = text.split('?');
    let mut cut = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece
            .find(|c: char| c.is_whitespace() || matches!(c, ')' | '"' | '\'' | '>' | ','))
            .unwrap_or(piece.len());
        cut.push_str("?…");
        cut.push_str(&piece[end..]);
    }
    cut
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.kind {
            StorageErrorKind::NotFound => "it does not exist",
            StorageErrorKind::AlreadyExists => "it exists already",
            StorageErrorKind::Changed => "it has changed in the meantime",
            StorageErrorKind::Unavailable => "storage cannot be reached or is busy",
            StorageErrorKind::Denied => "storage refused the credentials",
            StorageErrorKind::Invalid => "storage does not accept the request",
        };
        write!(f, "could not {} {}: {why}", self.operation, self.target)
    }
}

impl Error for StorageError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_their_signature() {
        let text =
            "error sending request for url (https://a.table.core.windows.net/x()?sv=1&sig=s3cret%3D): dns";
        assert_eq!(
            without_queries(text),
            "error sending request for url (https://a.table.core.windows.net/x()?…): dns"
        );
        assert_eq!(without_queries("is it? yes"), "is it?… yes");
    }
}
