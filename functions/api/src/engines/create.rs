//! `POST /engines`: configures a server.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use shared::models::{AuditAction, AuditEvent, AuditResource, Engine, EngineId};
use shared::secrets::SecretOwner;
use shared::storage::StorageErrorKind;

use super::delete::forget_secrets;
use super::discovery;
use crate::actor::Caller;
use crate::error::ApiError;
use crate::if_match::Version;
use crate::json::Members;
use crate::references;
use crate::requests::engine::{EngineDraft, NewEngine};
use crate::state::{AppState, Now};
use crate::trust;
use crate::views::engine::{DiscoveredView, EngineView};

/// How long listing the databases may hold up the answer; the client programs' start included.
const DISCOVERY_LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    engine: EngineView,
    #[serde(skip_serializing_if = "Option::is_none")]
    discovered_databases: Option<Vec<DiscoveredView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    discovery_error: Option<String>,
}

/// Stores a new engine, and lists its databases when asked to. That these cannot be listed does not
/// undo the engine.
pub(crate) async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Now(now): Now,
    body: Members,
) -> Result<(StatusCode, Option<Version>, Json<Answer>), ApiError> {
    let new = NewEngine::read(&body, EngineId::random(), caller.actor.email.clone(), now)?;
    let NewEngine { draft, discover } = new;
    if let Some(policy) = &draft.engine.policy_id {
        references::check_policy(&state, policy).await?;
    }
    references::check_host(&state, &draft.engine.endpoint.host, draft.engine.engine_type)?;
    trust::check_engine(&caller, None, &draft)?;
    refuse_duplicate(&state, &draft.engine).await?;
    let EngineDraft { mut engine, new_password, new_connection_string } = draft;
    if let Some(password) = new_password {
        engine.login.password = state.secrets.keep(SecretOwner::Engine(&engine.id), password).await?;
    }
    if let Some(text) = new_connection_string {
        let owner = SecretOwner::EngineConnectionString(&engine.id);
        match state.secrets.keep(owner, text).await {
            Ok(kept) => engine.connection_string = kept,
            Err(error) => {
                forget_secrets(&state, &engine).await;
                return Err(error.into());
            }
        }
    }
    let inserted = match state.storage.engines.insert(&engine).await {
        // The id is new: it is our own row, whose answer was lost on its way.
        Err(error) if error.kind() == StorageErrorKind::AlreadyExists => None,
        other => Some(other?),
    };
    state.storage.audit.record(&caller.actor, created(&engine), now).await;
    let discovered = if discover && engine.has_usable_credentials() {
        Some(discovery::discover(&state, &mut engine, DISCOVERY_LIMIT, now).await)
    } else {
        None
    };
    // A discovery notes its time on the engine, so that the version is another one by now.
    let version = inserted.filter(|_| discovered.is_none()).map(Version::from);
    let (discovered_databases, discovery_error) = match discovered {
        None => (None, None),
        Some(Ok(databases)) => (Some(databases), None),
        Some(Err(error)) => (None, Some(error.text())),
    };
    let engine = EngineView::new(&engine, 0);
    Ok((StatusCode::CREATED, version, Json(Answer { engine, discovered_databases, discovery_error })))
}

/// Refuses a server that is configured already.
async fn refuse_duplicate(state: &AppState, new: &Engine) -> Result<(), ApiError> {
    let same = |known: &Engine| {
        known.engine_type == new.engine_type
            && known.endpoint.port == new.endpoint.port
            && known.endpoint.host.as_str().eq_ignore_ascii_case(new.endpoint.host.as_str())
    };
    match state.storage.engines.list().await?.into_iter().find(same) {
        None => Ok(()),
        Some(known) => Err(ApiError::Conflict(format!(
            "The {} server {}:{} is configured already, as {}.",
            known.engine_type, known.endpoint.host, known.endpoint.port, known.name
        ))),
    }
}

fn created(engine: &Engine) -> AuditEvent {
    AuditEvent::new(AuditAction::Create, AuditResource::Engine, engine.id.as_str(), engine.name.as_str())
        .with("engine_id", engine.id.as_str())
        .with("engine_type", engine.engine_type.as_str())
        .with("host", engine.endpoint.host.as_str())
        .with("port", engine.endpoint.port)
}
