//! `PUT /engines/{id}`: changes a server, and its databases with it when asked to.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use shared::models::{AuditAction, AuditEvent, AuditResource, Engine, EngineId};
use shared::secrets::SecretOwner;
use shared::storage::table::ETag;
use shared::storage::{StorageErrorKind, Versioned};

use super::apply::{self, Applied, What};
use super::delete::forget_secrets;
use crate::actor::Caller;
use crate::error::ApiError;
use crate::if_match::{IfMatch, Version};
use crate::json::{Given, Members};
use crate::path::Id;
use crate::references;
use crate::requests::engine::{EngineDraft, EngineFields};
use crate::state::{AppState, Now};
use crate::trust;
use crate::views::engine::EngineView;

/// Members that say nothing about what somebody changed.
const NOT_CHANGES: [&str; 3] = ["updated_at", "password_secret_name", "discovery_enabled"];

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    engine: EngineView,
    #[serde(flatten)]
    applied: Applied,
}

/// Changes the members that the body has, and then the databases. The engine comes first: what its
/// databases are to follow is then there, and the same request may be sent again if it did not end.
pub(crate) async fn update(
    State(state): State<AppState>,
    caller: Caller,
    Now(now): Now,
    Id(id): Id<EngineId>,
    if_match: IfMatch,
    body: Members,
) -> Result<(Version, Json<Answer>), ApiError> {
    let fields = EngineFields::read(&body)?;
    if let Given::Value(policy) = &fields.policy_id {
        references::check_policy(&state, policy).await?;
    }
    let what = What { credentials: fields.apply_credentials, policy: fields.apply_policy };
    let mut refused = None;
    let mut outcome = Ok(None);
    for _ in 0..2 {
        outcome = attempt(&state, &caller, &id, &if_match, fields.clone(), &mut refused, now).await;
        if !matches!(outcome, Ok(None)) {
            break;
        }
    }
    if let (Ok(None) | Err(_), Some(engine)) = (&outcome, &refused) {
        forget_secrets(&state, engine).await;
    }
    let (etag, engine) = outcome?.ok_or_else(|| {
        ApiError::Conflict("Somebody else keeps changing this server; load it again and repeat.".to_owned())
    })?;
    let (applied, count) = apply::apply(&state, &caller.actor, &engine, what, now).await?;
    Ok((etag.into(), Json(Answer { engine: EngineView::new(&engine, count), applied })))
}

/// Makes the change once; `None` when somebody else was faster. What was not stored for that reason is then
/// in `refused`: its secrets may be such as no row names.
async fn attempt(
    state: &AppState,
    caller: &Caller,
    id: &EngineId,
    if_match: &IfMatch,
    fields: EngineFields,
    refused: &mut Option<Engine>,
    now: DateTime<Utc>,
) -> Result<Option<(ETag, Engine)>, ApiError> {
    let current = references::engine(state, id).await?;
    if_match.check(&current.etag)?;
    let draft = fields.update(current.value.clone(), now)?;
    trust::check_engine(caller, Some(&current.value), &draft)?;
    let secrets = [
        ("password", draft.new_password.is_some()),
        ("connection_string", draft.new_connection_string.is_some()),
    ];
    let has_new = secrets.iter().any(|(_, is_new)| *is_new);
    let etag = if has_new { pinned(state, &current).await? } else { current.etag };
    let engine = keep_secrets(state, draft).await?;
    match state.storage.engines.update(&engine, &etag).await {
        // With If-Match, the next round finds another version and says so.
        Err(error)
            if matches!(
                error.kind(),
                StorageErrorKind::Changed | StorageErrorKind::AlreadyExists | StorageErrorKind::NotFound
            ) =>
        {
            *refused = Some(engine);
            Ok(None)
        }
        Err(error) => {
            // It may be stored all the same.
            *refused = None;
            Err(error.into())
        }
        Ok(etag) => {
            let event = updated(&current.value, &engine, &secrets);
            state.storage.audit.record(&caller.actor, event, now).await;
            Ok(Some((etag, engine)))
        }
    }
}

/// Notes in the row of an earlier system which versions of its secrets it means, and returns the row's
/// version: once new ones are in the vault, that could not be told any more.
async fn pinned(state: &AppState, current: &Versioned<Engine>) -> Result<ETag, ApiError> {
    let mut engine = current.value.clone();
    let owner = SecretOwner::Engine(&engine.id);
    let password = state.secrets.pin(owner, &engine.login.password).await?;
    let owner = SecretOwner::EngineConnectionString(&engine.id);
    let text = state.secrets.pin(owner, &engine.connection_string).await?;
    if password.is_none() && text.is_none() {
        return Ok(current.etag.clone());
    }
    engine.login.password = password.unwrap_or(engine.login.password);
    engine.connection_string = text.unwrap_or(engine.connection_string);
    Ok(state.storage.engines.update(&engine, &current.etag).await?)
}

/// Keeps the new secrets of a draft and notes where they are. Those that are kept in another place than
/// the present one move there.
async fn keep_secrets(state: &AppState, draft: EngineDraft) -> Result<Engine, ApiError> {
    let EngineDraft { mut engine, new_password, new_connection_string } = draft;
    if let Some(password) = new_password {
        engine.login.password = state.secrets.keep(SecretOwner::Engine(&engine.id), password).await?;
    }
    if let Some(text) = new_connection_string {
        let owner = SecretOwner::EngineConnectionString(&engine.id);
        engine.connection_string = state.secrets.keep(owner, text).await?;
    }
    state.secrets.settle_engine(&mut engine).await?;
    Ok(engine)
}

fn updated(before: &Engine, after: &Engine, secrets: &[(&str, bool)]) -> AuditEvent {
    let (before, shown) = (shown(before), shown(after));
    let members = shown.as_object().into_iter().flatten();
    let changed = members
        .filter(|(name, value)| before[name.as_str()] != **value && !NOT_CHANGES.contains(&name.as_str()))
        .map(|(name, _)| name.as_str());
    let secrets = secrets.iter().filter(|(_, is_new)| *is_new).map(|(name, _)| *name);
    let fields: Vec<&str> = changed.chain(secrets).collect();
    AuditEvent::new(AuditAction::Update, AuditResource::Engine, after.id.as_str(), after.name.as_str())
        .with("engine_id", after.id.as_str())
        .with("engine_type", after.engine_type.as_str())
        .with("updated_fields", fields)
}

/// Renders what answers show, in which there is no secret.
fn shown(engine: &Engine) -> Value {
    serde_json::to_value(EngineView::new(engine, 0)).unwrap_or_default()
}
