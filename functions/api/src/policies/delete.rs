//! `DELETE /backup-policies/{id}`: deletes a policy that nobody uses.

use std::error::Error;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::models::{AuditAction, AuditEvent, AuditResource, BackupPolicy, PolicyId};
use shared::storage::{StorageError, Versioned};

use crate::actor::Caller;
use crate::error::ApiError;
use crate::if_match::{self, IfMatch};
use crate::path::{Id, not_found};
use crate::references;
use crate::state::{AppState, Now};
use crate::texts::counted;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    message: String,
}

/// Deletes it if no database and no engine has chosen it. One that is chosen at this very moment leaves
/// a choice of nothing behind, for which the default policy holds.
pub(crate) async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    Now(now): Now,
    Id(id): Id<PolicyId>,
    if_match: IfMatch,
) -> Result<Json<Answer>, ApiError> {
    let Versioned { value: policy, etag } = references::policy(&state, &id).await?;
    if_match.check(&etag)?;
    if policy.is_system {
        return Err(ApiError::Invalid(format!(
            "The backup policy {} cannot be deleted: every installation has it.",
            policy.name
        )));
    }
    match uses(&state, &id).await.map_err(|error| unknown(&error))? {
        (0, 0) => {}
        (databases, engines) => {
            let users = [counted(databases, "database"), counted(engines, "server")];
            return Err(ApiError::Invalid(format!(
                "The backup policy {} is used by {}; choose another policy there first.",
                policy.name,
                users.join(" and ")
            )));
        }
    }
    let deleted = if if_match.is_given() {
        state.storage.policies.delete_version(&id, &etag).await.map_err(if_match::changed)?
    } else {
        state.storage.policies.delete(&id).await?
    };
    if !deleted {
        return Err(not_found(&id));
    }
    state.storage.audit.record(&caller.actor, event(&policy), now).await;
    Ok(Json(Answer { message: format!("The backup policy {} is deleted.", policy.name) }))
}

async fn uses(state: &AppState, id: &PolicyId) -> Result<(usize, usize), StorageError> {
    let databases = state.storage.databases.count_with_policy(id).await?;
    Ok((databases, state.storage.engines.count_with_policy(id).await?))
}

/// Makes the error of a use that cannot be found out: then nothing is deleted, whatever the reason.
fn unknown(error: &StorageError) -> ApiError {
    tracing::warn!(error = error as &dyn Error, "the use of a policy cannot be found out");
    let text = "Whether the policy is used cannot be found out at the moment, so it is not deleted; try again later.";
    ApiError::NotReady(text.to_owned())
}

fn event(policy: &BackupPolicy) -> AuditEvent {
    let BackupPolicy { id, name, .. } = policy;
    AuditEvent::new(AuditAction::PolicyDeleted, AuditResource::Policy, id.as_str(), name)
        .with("description", policy.description.as_deref())
        .with("summary", policy.summary())
        .with("is_system", policy.is_system)
}
