//! `PUT /backup-policies/{id}`: changes a policy.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::models::{AuditAction, AuditEvent, AuditResource, BackupPolicy, PolicyId, Tier};
use shared::storage::StorageErrorKind;

use crate::actor::Caller;
use crate::error::ApiError;
use crate::if_match::{IfMatch, Version};
use crate::json::Members;
use crate::path::Id;
use crate::references;
use crate::requests::policy::PolicyFields;
use crate::state::{AppState, Now};
use crate::views::policy::PolicyView;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    message: String,
    policy: PolicyView,
}

/// Changes the members that the body has. When somebody else changes the policy at the same time, the
/// change is made once more on what they left; then it is given up.
pub(crate) async fn update(
    State(state): State<AppState>,
    caller: Caller,
    Now(now): Now,
    Id(id): Id<PolicyId>,
    if_match: IfMatch,
    body: Members,
) -> Result<(Version, Json<Answer>), ApiError> {
    let fields = PolicyFields::read(&body)?;
    for _ in 0..2 {
        let current = references::policy(&state, &id).await?;
        if_match.check(&current.etag)?;
        let policy = fields.clone().update(current.value.clone(), now)?;
        match state.storage.policies.update(&policy, &current.etag).await {
            // With If-Match, the next round finds another version and says so.
            Err(error) if error.kind() == StorageErrorKind::Changed => {}
            Err(error) => return Err(error.into()),
            Ok(etag) => {
                state.storage.audit.record(&caller.actor, updated(&current.value, &policy), now).await;
                let message = format!("The backup policy {} is changed.", policy.name);
                return Ok((etag.into(), Json(Answer { message, policy: PolicyView::from(&policy) })));
            }
        }
    }
    Err(ApiError::Conflict("Somebody else keeps changing this policy; load it again and repeat.".to_owned()))
}

fn updated(before: &BackupPolicy, after: &BackupPolicy) -> AuditEvent {
    let texts = [
        ("name", before.name != after.name),
        ("description", before.description != after.description),
        ("time_zone", before.time_zone != after.time_zone),
    ];
    let tiers = Tier::ALL.iter().map(|tier| (tier.as_str(), before.tier(*tier) != after.tier(*tier)));
    let fields: Vec<&str> =
        texts.into_iter().chain(tiers).filter(|(_, differs)| *differs).map(|(name, _)| name).collect();
    AuditEvent::new(AuditAction::PolicyUpdated, AuditResource::Policy, after.id.as_str(), &after.name)
        .with("updated_fields", fields)
        .with("summary", after.summary())
}
