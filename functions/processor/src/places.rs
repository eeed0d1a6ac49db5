//! How many dumps run at once: in this program, and on one database server by all programs together.
//!
//! A job that finds no place goes back into the queue as a new message and the present one is
//! acknowledged, so that waiting uses up no deliveries.

use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::models::{BackupJob, DEFAULT_CONCURRENT_BACKUPS, EngineId};
use shared::storage::{ClaimError, Place, PlaceOutcome, StorageError, StorageErrorKind};
use tokio::sync::{Mutex, OwnedSemaphorePermit};
use tokio::time::timeout;

use crate::state::AppState;

/// How long a job waits in line for a place in this program before its message is given back.
const IN_LINE: Duration = Duration::from_secs(5);

/// The pause before a job comes again that found no place.
const FULL_PAUSE: Duration = Duration::from_secs(10);

/// The pause before a job comes again for which the next place is kept.
const NEXT_PAUSE: Duration = Duration::from_secs(2);

/// The right to run one dump. Given back by [`Places::leave`]; when that is not reached, the part in this
/// program is free at once, and the one on the server when its lease has run out.
#[derive(Debug)]
pub(crate) struct Places {
    on_server: Mutex<Option<Place>>,
    _here: OwnedSemaphorePermit,
}

/// What came of asking for a place.
pub(crate) enum Entry {
    Granted(Places),
    /// There is none; the job is to come again after this pause.
    Full(Duration),
}

/// Asks for a place, here and on the server of the job's database.
pub(crate) async fn enter(
    state: &AppState,
    job: &BackupJob,
    now: DateTime<Utc>,
) -> Result<Entry, StorageError> {
    let Ok(Ok(here)) = timeout(IN_LINE, state.places.clone().acquire_owned()).await else {
        return Ok(Entry::Full(FULL_PAUSE));
    };
    let Some((engine, most)) = server(state, job).await? else {
        return Ok(Entry::Granted(Places { on_server: Mutex::new(None), _here: here }));
    };
    Ok(match state.storage.places.take(&engine, most, (&job.id, job.created_at), now).await? {
        PlaceOutcome::Granted(place) => {
            Entry::Granted(Places { on_server: Mutex::new(Some(place)), _here: here })
        }
        PlaceOutcome::Full { is_next } => Entry::Full(if is_next { NEXT_PAUSE } else { FULL_PAUSE }),
    })
}

/// Returns the server of the job's database, and how many dumps it bears at once. A database that belongs
/// to no server that is configured has no such limit.
async fn server(state: &AppState, job: &BackupJob) -> Result<Option<(EngineId, u16)>, StorageError> {
    let database = if_readable(state.storage.databases.get(&job.database_id).await)?;
    let Some(id) = database.and_then(|database| database.value.engine_id) else { return Ok(None) };
    let engine = if_readable(state.storage.engines.get(&id).await)?;
    let most = engine.map_or(DEFAULT_CONCURRENT_BACKUPS, |engine| engine.value.max_concurrent_backups);
    Ok(Some((id, most)))
}

/// Passes over a row that cannot be read: the attempt needs what is in it, and fails with that reason.
fn if_readable<T>(found: Result<Option<T>, StorageError>) -> Result<Option<T>, StorageError> {
    match found {
        Err(error) if error.kind() == StorageErrorKind::Invalid => Ok(None),
        found => found,
    }
}

impl Places {
    /// Keeps the place on the server. Whoever has lost it must stop: somebody else may be dumping there
    /// in its stead.
    pub(crate) async fn keep(&self, state: &AppState, now: DateTime<Utc>) -> Result<(), ClaimError> {
        let mut on_server = self.on_server.lock().await;
        let Some(place) = on_server.as_mut() else { return Ok(()) };
        if state.storage.places.keep(place, now).await? { Ok(()) } else { Err(ClaimError::Lost) }
    }

    /// Gives the place back.
    pub(crate) async fn leave(self, state: &AppState) {
        if let Some(place) = self.on_server.into_inner() {
            state.storage.places.leave(place).await;
        }
    }
}
