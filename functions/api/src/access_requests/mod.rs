//! Strangers' wishes for access, and what administrators make of them.

pub(crate) mod approve;
pub(crate) mod list;
pub(crate) mod reject;

use shared::models::{AccessRequest, AccessRequestId, Resolution};
use shared::storage::Versioned;

use crate::error::ApiError;
use crate::path::not_found;
use crate::state::AppState;

/// Finds a request that waits for an answer.
async fn pending(state: &AppState, id: &AccessRequestId) -> Result<Versioned<AccessRequest>, ApiError> {
    let found = state.storage.access_requests.get(id).await?.ok_or_else(|| not_found(id))?;
    if found.value.resolution == Resolution::Pending { Ok(found) } else { Err(resolved()) }
}

fn resolved() -> ApiError {
    ApiError::Invalid("This access request has been answered already; load the list again.".to_owned())
}
