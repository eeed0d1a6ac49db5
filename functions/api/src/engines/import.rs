//! `POST /engines/{id}/databases`: configures databases of a server.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use secrecy::SecretString;
use serde::Serialize;
use shared::connection::for_engine;
use shared::models::{AuthMethod, Credentials, Database, Engine, EngineId};
use shared::secrets::SecretOwner;
use shared::storage::StorageErrorKind;

use crate::actor::Caller;
use crate::databases;
use crate::error::ApiError;
use crate::json::Members;
use crate::path::Id;
use crate::references;
use crate::request_id::RequestId;
use crate::requests::import::{Import, Source, Wish};
use crate::state::{AppState, Now};
use crate::views::database::DatabaseView;

#[derive(Debug, Default, Serialize)]
pub(crate) struct Answer {
    /// Only when nothing could be configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<RequestId>,
    created: Vec<DatabaseView>,
    errors: Vec<NotCreated>,
    total_created: usize,
    total_errors: usize,
}

/// A database that was not configured.
#[derive(Debug, Serialize)]
pub(crate) struct NotCreated {
    database: String,
    error: String,
}

/// Configures each of the databases by itself. A request which did not end may be sent again: what it
/// has configured is then among the errors.
pub(crate) async fn import(
    State(state): State<AppState>,
    caller: Caller,
    Now(now): Now,
    Id(id): Id<EngineId>,
    request_id: RequestId,
    body: Members,
) -> Result<(StatusCode, Json<Answer>), ApiError> {
    let import = Import::read(&body)?;
    let engine = references::engine(&state, &id).await?.value;
    let password = own_password(&state, &engine, &import).await?;
    let source = Source {
        engine: &engine,
        use_engine_credentials: import.use_engine_credentials,
        compression: state.storage.settings.get(now).await?.default_compression,
        created_by: &caller.actor.email,
        now,
    };
    let mut known = configured(&state, &id).await?;
    let mut answer = Answer::default();
    for wish in &import.wishes {
        match create(&state, wish, source, password.as_ref(), &mut known).await {
            Ok(database) => {
                let event = databases::create::created(&database).with("from_discovery", true);
                state.storage.audit.record(&caller.actor, event, now).await;
                answer.created.push(DatabaseView::from(&database));
            }
            Err(ApiError::Invalid(error)) => {
                answer.errors.push(NotCreated { database: wish.name.to_string(), error });
            }
            // Nothing is there yet, so the whole request has failed.
            Err(error) if answer.created.is_empty() => return Err(error),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "an import was broken off");
                let error = "could not be stored; import it again in a moment".to_owned();
                let done = answer.created.len() + answer.errors.len();
                answer.errors.extend(
                    import
                        .wishes
                        .iter()
                        .skip(done)
                        .map(|wish| NotCreated { database: wish.name.to_string(), error: error.clone() }),
                );
                break;
            }
        }
    }
    answer.total_created = answer.created.len();
    answer.total_errors = answer.errors.len();
    if answer.total_created > 0 {
        return Ok((StatusCode::CREATED, Json(answer)));
    }
    answer.error = Some("None of the databases could be imported.".to_owned());
    answer.request_id = Some(request_id);
    Ok((StatusCode::BAD_REQUEST, Json(answer)))
}

/// Reads the engine's password when each database is to have it as its own; refused without one.
async fn own_password(
    state: &AppState,
    engine: &Engine,
    import: &Import,
) -> Result<Option<SecretString>, ApiError> {
    if import.use_engine_credentials {
        return Ok(None);
    }
    // What signs an engine in otherwise is a token, which is this service's own and nobody's password, or a
    // connection string, which only the engine may have.
    match engine.login.auth_method {
        None | Some(AuthMethod::UserPassword) => {}
        Some(AuthMethod::ManagedIdentity | AuthMethod::AzureAd | AuthMethod::ConnectionString) => {
            return Err(ApiError::field(
                "use_engine_credentials",
                "must be true for this server: it has no password that a database could have as its own",
            ));
        }
    }
    Ok(Some(for_engine(engine, &state.secrets).await?.password))
}

/// Returns the names that are configured for the engine.
async fn configured(state: &AppState, id: &EngineId) -> Result<BTreeSet<String>, ApiError> {
    let databases = state.storage.databases.list().await?;
    let own = databases.into_iter().filter(|database| database.engine_id.as_ref() == Some(id));
    Ok(own.map(|database| database.database_name.to_string()).collect())
}

/// Configures one database; `Invalid` when that one cannot be.
async fn create(
    state: &AppState,
    wish: &Wish,
    source: Source<'_>,
    password: Option<&SecretString>,
    known: &mut BTreeSet<String>,
) -> Result<Database, ApiError> {
    if known.contains(wish.name.as_str()) {
        return Err(ApiError::Invalid("is configured for this server already".to_owned()));
    }
    if let Some(policy) = &wish.policy_id {
        references::check_policy(state, policy).await?;
    }
    let mut database = wish.database(source);
    if let (Credentials::Own(login), Some(password)) = (&mut database.credentials, password) {
        login.password = state.secrets.keep(SecretOwner::Database(&database.id), password.clone()).await?;
    }
    match state.storage.databases.insert(&database).await {
        // The id is new: it is our own row, whose answer was lost on its way.
        Err(error) if error.kind() == StorageErrorKind::AlreadyExists => {}
        other => drop(other?),
    }
    known.insert(wish.name.to_string());
    Ok(database)
}
