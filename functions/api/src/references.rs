//! Things that a request refers to, found or refused.

use shared::effective_policy::PolicyBook;
use shared::models::{
    BackupPolicy, DEFAULT_POLICY, Database, DatabaseId, DatabaseType, Engine, EngineId, Host, PolicyId, User,
    UserId,
};
use shared::storage::Versioned;

use crate::error::ApiError;
use crate::path::not_found;
use crate::state::AppState;

/// Finds a database; 404 when there is none.
pub(crate) async fn database(state: &AppState, id: &DatabaseId) -> Result<Versioned<Database>, ApiError> {
    state.storage.databases.get(id).await?.ok_or_else(|| not_found(id))
}

/// Finds an engine; 404 when there is none.
pub(crate) async fn engine(state: &AppState, id: &EngineId) -> Result<Versioned<Engine>, ApiError> {
    state.storage.engines.get(id).await?.ok_or_else(|| not_found(id))
}

/// Finds a backup policy; 404 when there is none.
pub(crate) async fn policy(state: &AppState, id: &PolicyId) -> Result<Versioned<BackupPolicy>, ApiError> {
    state.storage.policies.get(id).await?.ok_or_else(|| not_found(id))
}

/// Finds a user; 404 when there is none.
pub(crate) async fn user(state: &AppState, id: &UserId) -> Result<Versioned<User>, ApiError> {
    state.storage.users.get(id).await?.ok_or_else(|| not_found(id))
}

/// Finds an engine by a text from a body; a text that no engine can be called by is a 404 as well.
pub(crate) async fn named_engine(state: &AppState, id: &str) -> Result<Engine, ApiError> {
    let id: EngineId =
        id.parse().map_err(|_| ApiError::NotFound("The engine of this engine_id".to_owned()))?;
    Ok(engine(state, &id).await?.value)
}

/// Reads what decides about the policies of databases.
pub(crate) async fn policy_book(state: &AppState) -> Result<PolicyBook, ApiError> {
    let engines = state.storage.engines.list().await?;
    Ok(PolicyBook::new(state.storage.policies.list().await?, &engines))
}

/// Refuses a host that this service may not connect to, as far as its text tells, and one that servers of
/// this kind do not have. The addresses of a name are looked at when it is connected to.
pub(crate) fn check_host(
    state: &AppState,
    host: &Host,
    kind: impl Into<DatabaseType>,
) -> Result<(), ApiError> {
    if host.instance().is_some() && !kind.into().is_sql_server() {
        return Err(ApiError::field("host", "names an instance, which SQL Server alone has"));
    }
    state.config.targets.judge_written(host.machine()).map_err(|refusal| ApiError::field("host", refusal))
}

/// Refuses a policy that does not exist. Those that every installation has are made first when they
/// are missing, as on an account that was empty a moment ago.
pub(crate) async fn check_policy(state: &AppState, id: &PolicyId) -> Result<(), ApiError> {
    if id.as_str() == DEFAULT_POLICY || state.storage.policies.get(id).await?.is_some() {
        return Ok(());
    }
    state.storage.policies.seed(state.clock.now()).await?;
    if state.storage.policies.get(id).await?.is_some() {
        return Ok(());
    }
    Err(ApiError::field("policy_id", format!("there is no backup policy {id}; choose one of the list")))
}
