//! `GET /users`.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::models::{AccessRequest, Resolution, User};

use crate::error::ApiError;
use crate::query::Query;
use crate::state::AppState;
use crate::views::user::UserView;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    users: Vec<UserView>,
    count: usize,
    total_count: usize,
    page: usize,
    page_size: usize,
    has_more: bool,
    pending_requests_count: usize,
}

/// Lists a page of the users that match, by e-mail address.
pub(crate) async fn list(State(state): State<AppState>, query: Query) -> Result<Json<Answer>, ApiError> {
    let page = query.clamped("page", 1..=usize::MAX)?.unwrap_or(1);
    let page_size = query.clamped("page_size", 1..=200)?.unwrap_or(50);
    let enabled = match query.text("status") {
        None => None,
        Some("active") => Some(true),
        Some("disabled") => Some(false),
        Some(_) => return Err(ApiError::field("status", "use active or disabled")),
    };
    let search = query.text("search").map(str::to_lowercase);
    let mut users = state.storage.users.list().await?;
    users.retain(|user| matches(user, enabled, search.as_deref()));
    users.sort_by_key(|user| (user.email.to_lowercase(), user.id.clone()));
    let requests = state.storage.access_requests.list().await?;
    let pending = |request: &&AccessRequest| request.resolution == Resolution::Pending;
    let total_count = users.len();
    let users: Vec<UserView> = users
        .into_iter()
        .skip((page - 1).saturating_mul(page_size))
        .take(page_size)
        .map(UserView::from)
        .collect();
    Ok(Json(Answer {
        count: users.len(),
        users,
        total_count,
        page,
        page_size,
        has_more: page.saturating_mul(page_size) < total_count,
        pending_requests_count: requests.iter().filter(pending).count(),
    }))
}

fn matches(user: &User, enabled: Option<bool>, search: Option<&str>) -> bool {
    let found = |part: &str| [&user.email, &user.name].iter().any(|text| text.to_lowercase().contains(part));
    enabled.is_none_or(|enabled| user.enabled == enabled) && search.is_none_or(found)
}
