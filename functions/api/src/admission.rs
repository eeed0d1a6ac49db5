//! From an identity to a user: who is registered, who becomes the first administrator, and what
//! becomes of strangers.

use std::error::Error;

use chrono::{DateTime, TimeDelta, Utc};
use shared::models::{
    AccessRequest, AccessRequestId, Actor, AuditAction, AuditEvent, AuditResource, Resolution, User,
    UserRole, same_email,
};
use shared::storage::{StorageError, StorageErrorKind};

use crate::error::ApiError;
use crate::identity::Identity;
use crate::state::AppState;

/// How seldom one identity's refusals are written into the audit log.
const REFUSALS_APART: TimeDelta = TimeDelta::hours(1);
/// How long a rejected applicant has to wait before asking again.
const REJECTION_HOLDS: TimeDelta = TimeDelta::hours(24);
/// How seldom the time of a user's last sign-in is written.
const LOGINS_APART: TimeDelta = TimeDelta::minutes(15);

/// A user who may come in.
#[derive(Debug, Clone)]
pub(crate) struct Admitted {
    pub user: User,
    /// Whether this very request made the user the first administrator.
    pub is_first_run: bool,
}

/// Finds the user of an identity, or refuses it.
pub(crate) async fn admit(
    state: &AppState,
    identity: &Identity,
    ip_address: Option<String>,
    now: DateTime<Utc>,
) -> Result<Admitted, ApiError> {
    let actor = Actor { user_id: identity.object_id.to_string(), email: identity.email.clone(), ip_address };
    let admitted = match state.storage.users.get(&identity.object_id).await? {
        Some(known) => Admitted { user: known.value, is_first_run: false },
        None => match newcomer(state, identity, &actor, now).await? {
            Some(admitted) => admitted,
            // Another request of the same person may have been let in meanwhile.
            None => match state.storage.users.get(&identity.object_id).await? {
                Some(known) => Admitted { user: known.value, is_first_run: false },
                None => return Err(refuse_stranger(state, identity, &actor, now).await?),
            },
        },
    };
    if !admitted.user.enabled {
        return Err(refuse_disabled(state, &admitted.user, &actor, now).await);
    }
    note_login(state, &admitted.user, now).await;
    Ok(admitted)
}

/// Finds out whether somebody without a user of the own id has one that waits, or is the first of all.
async fn newcomer(
    state: &AppState,
    identity: &Identity,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<Option<Admitted>, ApiError> {
    let users = &state.storage.users;
    let registered = users.list().await?;
    for pending in registered.iter().filter(|user| user.is_pending() && user.has_email(&identity.email)) {
        if let Some(user) = take_over(state, pending, identity, now).await? {
            return Ok(Some(Admitted { user, is_first_run: false }));
        }
    }
    if !registered.is_empty() || !users.is_empty().await? {
        return Ok(None);
    }
    if !users.reserve_first_admin(&identity.object_id, now).await? {
        // Whoever reserved it is about to be stored, or was just now.
        return if users.is_empty().await? {
            Err(ApiError::NotReady(
                "The first administrator is being set up; try again in a moment.".to_owned(),
            ))
        } else {
            Ok(None)
        };
    }
    // Asked again, so that a request that was held up for long does not make a second one.
    if !users.is_empty().await? && users.get(&identity.object_id).await?.is_none() {
        return Ok(None);
    }
    let (user, is_first_run) = insert_or_get(state, first_admin(identity, now)).await?;
    if is_first_run {
        let event =
            AuditEvent::new(AuditAction::UserLogin, AuditResource::User, user.id.as_str(), &user.email)
                .with("event", "first_admin_created");
        state.storage.audit.record(actor, event, now).await;
    }
    Ok(Some(Admitted { user, is_first_run }))
}

/// Gives a user who was registered by e-mail to the identity that owns the address.
///
/// The registration is reserved before the user is stored and deleted after it, so that a death in
/// between loses nothing: the next request goes on. `None` when another identity was faster.
async fn take_over(
    state: &AppState,
    pending: &User,
    identity: &Identity,
    now: DateTime<Utc>,
) -> Result<Option<User>, ApiError> {
    if !state.storage.users.reserve_pending(&pending.id, &identity.object_id).await? {
        return Ok(None);
    }
    let user = User {
        id: identity.object_id.clone(),
        email: identity.email.clone(),
        name: identity.name.clone(),
        updated_at: now,
        ..pending.clone()
    };
    let (user, _) = insert_or_get(state, user).await?;
    state.storage.users.delete(&pending.id).await?;
    Ok(Some(user))
}

/// Stores a user and tells whether this call did it; of two first calls at once, one did.
pub(crate) async fn insert_or_get(state: &AppState, user: User) -> Result<(User, bool), ApiError> {
    match state.storage.users.insert(&user).await {
        Ok(()) => Ok((user, true)),
        Err(error) if error.kind() == StorageErrorKind::AlreadyExists => {
            let stored = state.storage.users.get(&user.id).await?;
            let stored = stored.ok_or_else(|| crate::path::not_found(&user.id))?;
            Ok((stored.value, false))
        }
        Err(error) => Err(error.into()),
    }
}

fn first_admin(identity: &Identity, now: DateTime<Utc>) -> User {
    User {
        id: identity.object_id.clone(),
        email: identity.email.clone(),
        name: identity.name.clone(),
        role: UserRole::Admin,
        enabled: true,
        dark_mode: false,
        page_size: 25,
        created_at: now,
        updated_at: now,
        last_login: None,
        created_by: None,
    }
}

/// Refuses somebody who is not registered, and notes the wish for access.
async fn refuse_stranger(
    state: &AppState,
    identity: &Identity,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<ApiError, StorageError> {
    if state.storage.settings.get(now).await?.access_requests_enabled {
        request_access(state, identity, actor, now).await?;
    }
    let refused = ApiError::NotRegistered(identity.email.clone());
    let reason = refused.to_string();
    audit_refusal(state, "login_denied_not_registered", &reason, actor, now).await;
    Ok(refused)
}

async fn request_access(
    state: &AppState,
    identity: &Identity,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let requests = state.storage.access_requests.list().await?;
    let same = |request: &&AccessRequest| {
        request.azure_ad_id == identity.object_id.as_str() || same_email(&request.email, &identity.email)
    };
    let earlier: Vec<&AccessRequest> = requests.iter().filter(same).collect();
    let holds = |request: &&AccessRequest| match &request.resolution {
        Resolution::Pending => true,
        Resolution::Approved { .. } => false,
        Resolution::Rejected { at, .. } => at.is_some_and(|at| now - at < REJECTION_HOLDS),
    };
    if earlier.iter().any(holds) {
        return Ok(());
    }
    // Two requests at once derive the same id, and one of them stores it.
    let nth = earlier.len().to_string();
    let request = AccessRequest {
        id: AccessRequestId::derived(&["access request", identity.object_id.as_str(), &nth]),
        email: identity.email.clone(),
        name: identity.name.clone(),
        azure_ad_id: identity.object_id.to_string(),
        requested_at: now,
        resolution: Resolution::Pending,
    };
    match state.storage.access_requests.insert(&request).await {
        Err(error) if error.kind() == StorageErrorKind::AlreadyExists => return Ok(()),
        other => other?,
    }
    let id = request.id.as_str();
    let event = AuditEvent::new(AuditAction::UserLogin, AuditResource::AccessRequest, id, request.email)
        .with("event", "access_request_created");
    state.storage.audit.record(actor, event, now).await;
    Ok(())
}

async fn refuse_disabled(state: &AppState, user: &User, actor: &Actor, now: DateTime<Utc>) -> ApiError {
    let refused = ApiError::AccountDisabled(user.email.clone());
    let reason = refused.to_string();
    audit_refusal(state, "login_denied_disabled", &reason, actor, now).await;
    refused
}

/// Writes a refusal into the audit log, unless one of the same identity was written not long ago. That
/// it cannot be noted does not turn a refusal into anything else.
async fn audit_refusal(state: &AppState, event: &str, reason: &str, actor: &Actor, now: DateTime<Utc>) {
    let noted = state.storage.access_requests.note_refusal(event, &actor.user_id, REFUSALS_APART, now).await;
    match noted {
        Ok(false) => {}
        Ok(true) => {
            let record = AuditEvent::new(
                AuditAction::UserLogin,
                AuditResource::User,
                actor.user_id.as_str(),
                actor.email.as_str(),
            )
            .with("event", event)
            .failed(reason);
            state.storage.audit.record(actor, record, now).await;
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn Error, event, "a refused sign-in could not be noted");
        }
    }
}

/// Notes that a user is here, now and then; that it cannot be noted stops nobody.
async fn note_login(state: &AppState, user: &User, now: DateTime<Utc>) {
    if user.last_login.is_some_and(|at| now - at < LOGINS_APART) {
        return;
    }
    if let Err(error) = state.storage.users.note_login(&user.id, now).await {
        tracing::warn!(error = &error as &dyn Error, "the time of a sign-in could not be noted");
    }
}
