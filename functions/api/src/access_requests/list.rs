//! `GET /access-requests`.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::models::{AccessRequest, AccessRequestId, Resolution};

use crate::error::ApiError;
use crate::query::Query;
use crate::state::AppState;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    requests: Vec<RequestView>,
    count: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct RequestView {
    id: AccessRequestId,
    email: String,
    name: String,
    azure_ad_id: String,
    status: &'static str,
    requested_at: DateTime<Utc>,
}

/// Lists the requests in one state, those that wait unless the query says otherwise, newest first.
pub(crate) async fn list(State(state): State<AppState>, query: Query) -> Result<Json<Answer>, ApiError> {
    let wanted = match query.text("status") {
        None => Some("pending"),
        Some("all") => None,
        Some(status @ ("pending" | "approved" | "rejected")) => Some(status),
        Some(_) => return Err(ApiError::field("status", "use pending, approved, rejected or all")),
    };
    let mut requests = state.storage.access_requests.list().await?;
    requests.retain(|request| wanted.is_none_or(|wanted| status(request) == wanted));
    requests.sort_by(|a, b| b.requested_at.cmp(&a.requested_at).then_with(|| a.id.cmp(&b.id)));
    let requests: Vec<RequestView> = requests.into_iter().map(view).collect();
    Ok(Json(Answer { count: requests.len(), requests }))
}

fn status(request: &AccessRequest) -> &'static str {
    match request.resolution {
        Resolution::Pending => "pending",
        Resolution::Approved { .. } => "approved",
        Resolution::Rejected { .. } => "rejected",
    }
}

fn view(request: AccessRequest) -> RequestView {
    RequestView {
        status: status(&request),
        id: request.id,
        email: request.email,
        name: request.name,
        azure_ad_id: request.azure_ad_id,
        requested_at: request.requested_at,
    }
}
