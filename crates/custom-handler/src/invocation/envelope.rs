//! The outer object of every invocation, and what is wrong when it cannot be read.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::value::RawValue;
use tracing::error;

use crate::{Answer, shield};

/// The size up to which an invocation is read, in bytes. A message has at most 64 KiB, which grow
/// sevenfold when control characters are encoded twice, and may be there twice.
const LIMIT: usize = 2 << 20;

/// Why an invocation could not be decoded. The texts tell where, and repeat nothing of what was
/// sent, since that may be anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvocationError {
    /// The connection broke in the middle of the body.
    #[error("the body of the invocation broke off; it will come again if the host still wants it done")]
    BrokenOff,
    /// The body is larger than an invocation can be.
    #[error("the invocation is larger than {LIMIT} bytes, which no message in a queue can be")]
    TooLarge,
    /// The body is not a JSON object.
    #[error("the invocation is not a JSON object (line {line}, column {column}); was it posted by the host?")]
    NotAnObject {
        /// The line of the body, from 1.
        line: usize,
        /// The column in the line.
        column: usize,
    },
    /// The invocation carries no message.
    #[error("the invocation has no queue message in \"Data\"; check that its function has a queue trigger")]
    NoMessage,
    /// The invocation carries several values, and no one can tell which is the message.
    #[error(
        "the invocation has {count} values in \"Data\" where one queue message is expected; remove the other \
         input bindings of its function"
    )]
    SeveralValues {
        /// How many values there are.
        count: usize,
    },
}

impl IntoResponse for InvocationError {
    fn into_response(self) -> Response {
        error!(reason = %self, "an invocation could not be decoded");
        Answer::failure(self.to_string()).into_response()
    }
}

/// A JSON object whose values are kept as they were written.
pub(super) type RawMap = BTreeMap<String, Box<RawValue>>;

/// An invocation, opened but not understood.
#[derive(Debug)]
pub(super) struct Envelope {
    pub(super) invocation_id: String,
    pub(super) data: RawMap,
    pub(super) metadata: RawMap,
}

impl Envelope {
    /// Reads and opens the invocation.
    pub(super) async fn read(request: Request) -> Result<Self, InvocationError> {
        let invocation_id = shield::invocation_id(request.headers());
        let body = read_to_end(request.into_body()).await?;
        Self::parse(&body, invocation_id)
    }

    /// Opens the outer object. A part that is missing, or is no object, is taken as empty.
    pub(super) fn parse(body: &[u8], invocation_id: String) -> Result<Self, InvocationError> {
        let mut parts: RawMap = serde_json::from_slice(body)
            .map_err(|error| InvocationError::NotAnObject { line: error.line(), column: error.column() })?;
        let mut part = |name| parts.remove(name).and_then(|part| lenient(&part)).unwrap_or_default();
        Ok(Self { invocation_id, data: part("Data"), metadata: part("Metadata") })
    }
}

/// Reads a body to its end even when it is too large: an answer before the end of the request can
/// break the host's write, and then it never sees the answer.
async fn read_to_end(body: Body) -> Result<Vec<u8>, InvocationError> {
    let mut pieces = body.into_data_stream().map(|piece| piece.map_err(|_| InvocationError::BrokenOff));
    let mut kept = Vec::new();
    let mut length = 0;
    while let Some(piece) = pieces.try_next().await? {
        length += piece.len();
        if length <= LIMIT {
            kept.extend_from_slice(&piece);
        }
    }
    if length <= LIMIT { Ok(kept) } else { Err(InvocationError::TooLarge) }
}

/// Reads a value, or the value in a string that holds JSON: the host writes scalars as strings that
/// hold their JSON text.
pub(super) fn lenient<T>(value: &RawValue) -> Option<T>
where
    T: serde::de::DeserializeOwned,
{
    serde_json::from_str(value.get()).ok().or_else(|| {
        let inner: String = serde_json::from_str(value.get()).ok()?;
        serde_json::from_str(&inner).ok()
    })
}

/// Finds a member without regard to case, the exact name first.
pub(super) fn member<'a>(map: &'a RawMap, name: &str) -> Option<&'a RawValue> {
    let other_case = || map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    map.get(name).or_else(other_case).map(AsRef::as_ref)
}
