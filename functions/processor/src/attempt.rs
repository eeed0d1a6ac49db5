//! One attempt at a backup: from the configuration as it is now to a committed blob.

use std::pin::pin;
use std::sync::OnceLock;
use std::time::Duration;

use archive::{Compression, Destination, Progress};
use dump::{Dump, DumpError, Target};
use futures::TryStreamExt as _;
use futures::future::{Either, select};
use shared::connection::{self, Connection};
use shared::models::{Artifact, Backup, CompressionFormat, Database, DumpProgress, Engine, PlannedBlob};
use shared::storage::{BlobAddress, Claim, ClaimError, StorageError, StorageErrorKind, committed};
use tokio::sync::{Mutex, Notify};
use tokio::time::timeout;

use crate::artifact;
use crate::error::AttemptError;
use crate::globals;
use crate::places::Places;
use crate::state::AppState;
use crate::twin;

/// How often a running attempt shows that it lives, at least.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Makes the backup that `claim` stands for.
///
/// The claim and the places are kept alive from here on, and the claim is extended once more right before
/// the commit. When either is lost, the dump is killed and nothing is committed.
pub(crate) async fn attempt(
    state: &AppState,
    claim: &mut Claim,
    places: &Places,
) -> Result<Artifact, AttemptError> {
    places.keep(state, state.clock.now()).await?;
    let progress = Progress::default();
    let claim = Mutex::new(claim);
    let stop = Notify::new();
    let beside = OnceLock::new();
    let made = run(state, &claim, places, &progress, &stop, &beside).await;
    if let (Err(_), Some(planned)) = (&made, beside.get()) {
        globals::sweep(state, planned).await;
    }
    made
}

/// Makes the backup and shows signs of life meanwhile.
async fn run(
    state: &AppState,
    claim: &Mutex<&mut Claim>,
    places: &Places,
    progress: &Progress,
    stop: &Notify,
    beside: &OnceLock<PlannedBlob>,
) -> Result<Artifact, AttemptError> {
    let making = pin!(make(state, claim, progress, beside));
    let heartbeat = pin!(heartbeat(state, claim, places, progress, stop));
    match select(making, heartbeat).await {
        Either::Left((made, heartbeat)) => {
            // A heartbeat that is being written is let end, so that the record's version is known.
            stop.notify_one();
            let _ = heartbeat.await;
            made
        }
        Either::Right((Err(lost), _)) => Err(lost.into()),
        Either::Right((Ok(()), making)) => making.await,
    }
}

/// Dumps, compresses, uploads and commits. Where something is stored beside the dump, `beside` tells.
async fn make(
    state: &AppState,
    claim: &Mutex<&mut Claim>,
    progress: &Progress,
    beside: &OnceLock<PlannedBlob>,
) -> Result<Artifact, AttemptError> {
    let blobs = &*state.storage.blobs;
    let (backup, attempt) = {
        let claim = claim.lock().await;
        (claim.backup.clone(), claim.attempt_bytes())
    };
    let (database, engine) = configuration(state, &backup).await?;
    let engine = engine.as_ref();
    let compression = compression(&database);
    let twin = twin::copy(state, claim, &backup, (&database, engine), compression, beside).await?;
    if let Some(artifact) = twin {
        return Ok(artifact);
    }
    let (dump, target) = begin(state, &backup, &database, engine).await?;
    tracing::info!(tool = dump.tool(), server = dump.server_version(), "the dump has begun");

    let remarks = dump.remarks();
    let container = database.backup_destination.as_ref().unwrap_or(&state.config.names.container);
    blobs.create_container(container.as_str()).await?;
    let planned = artifact::free_name(blobs, &database, container, compression, state.clock.now()).await?;
    state.storage.claims.plan(&mut **claim.lock().await, &planned).await?;

    let globals = if database.options.roles.are_included() {
        let _ = beside.set(planned.clone());
        let of = (&backup, &database);
        Some(globals::store(state, of, &target, &planned, compression, attempt).await?)
    } else {
        None
    };
    let mut metadata = artifact::metadata_of(&backup, &database);
    metadata.extend(dump.origin().metadata());
    globals::name_in(&mut metadata, globals.as_ref());
    let address = BlobAddress::from(&planned);
    let destination = Destination { store: blobs, address: &address, attempt, metadata };
    let confirm = || async {
        let mut claim = claim.lock().await;
        let (now, claims) = (state.clock.now(), &state.storage.claims);
        let left = claim.holds_for(now);
        in_time(left, claims.begin_commit(&mut claim, now)).await?;
        // The blob tells it too, for the case that nobody lives to write the record.
        Ok::<_, AttemptError>(committed::remarks(remarks.consistency(), &remarks.warnings()))
    };
    let dump = dump.map_err(AttemptError::Dump);
    let stored = archive::store(dump, compression, destination, progress, confirm).await?;
    Ok(artifact::stored(blobs, &planned, stored, &remarks, globals))
}

/// Begins the dump. A password that the server refuses may be one that was remembered and has changed
/// since: it is then read again, and tried once more if it is another one.
async fn begin(
    state: &AppState,
    backup: &Backup,
    database: &Database,
    engine: Option<&Engine>,
) -> Result<(Dump, Target), AttemptError> {
    let secrets = &state.secrets;
    let connection =
        connection::for_database(database, engine, secrets).await.map_err(AttemptError::Connection)?;
    let (tools, options, limits) = (&state.tools, &database.options, state.limits(&database.options));
    let mut target = target_of(database, &connection);
    let begun = dump::dump_with(tools, &target, options, &limits).await;
    let begun = match begun {
        Err(error @ DumpError::AuthenticationFailed { .. }) => {
            match renewed(state, backup, database, &connection).await {
                Some(renewed) => {
                    target = target_of(database, &renewed);
                    dump::dump_with(tools, &target, options, &limits).await
                }
                None => Err(error),
            }
        }
        begun => begun,
    };
    begun.map(|dump| (dump, target)).map_err(AttemptError::Dump)
}

/// Reads again how the database is signed in to, from its row on, which names the password. `None` when that
/// brings nothing new, or leads elsewhere: the next backup goes there.
async fn renewed(
    state: &AppState,
    backup: &Backup,
    database: &Database,
    refused: &Connection,
) -> Option<Connection> {
    let (now, engine) = configuration(state, backup).await.ok()?;
    let renewed = connection::renewed_for_database(&now, engine.as_ref(), &state.secrets, refused).await?;
    let is_there = now.database_name == database.database_name
        && renewed.database_type == refused.database_type
        && renewed.endpoint == refused.endpoint;
    is_there.then_some(renewed)
}

/// Returns how the dumps of a database are compressed.
fn compression(database: &Database) -> Compression {
    let level = database.options.compression_level;
    match database.options.format() {
        _ if !database.compression => Compression::None,
        CompressionFormat::Gzip => {
            level.map_or(Compression::default(), |level| Compression::Gzip { level: level.into() })
        }
        // The level that zstd itself takes.
        CompressionFormat::Zstd => Compression::Zstd { level: level.unwrap_or(3).into() },
    }
}

/// Waits for a call that must come back while the claim holds; one that does not has lost it.
pub(crate) async fn in_time(
    left: Duration,
    call: impl Future<Output = Result<(), ClaimError>>,
) -> Result<(), ClaimError> {
    timeout(left, call).await.unwrap_or(Err(ClaimError::Lost))
}

/// Reads the configuration of the database, and of its engine, as it is now.
async fn configuration(
    state: &AppState,
    backup: &Backup,
) -> Result<(Database, Option<Engine>), AttemptError> {
    let database = state.storage.databases.get(&backup.database_id).await.map_err(unreadable)?;
    let database = database.ok_or(AttemptError::ConfigurationGone)?.value;
    let engine = match &database.engine_id {
        Some(id) => state.storage.engines.get(id).await.map_err(unreadable)?.map(|engine| engine.value),
        None => None,
    };
    Ok((database, engine))
}

/// Tells a row that cannot be read from a storage that fails.
fn unreadable(error: StorageError) -> AttemptError {
    if error.kind() != StorageErrorKind::Invalid {
        return error.into();
    }
    tracing::error!(error = &error as &dyn std::error::Error, "a configuration cannot be read");
    AttemptError::ConfigurationUnreadable
}

fn target_of(database: &Database, connection: &Connection) -> Target {
    Target {
        kind: connection.database_type,
        host: connection.endpoint.host.to_string(),
        port: connection.endpoint.port,
        tls: connection.endpoint.tls.clone(),
        username: connection.username.to_string(),
        password: connection.password.clone(),
        proof: connection.proof,
        database: database.database_name.to_string(),
    }
}

/// Shows signs of life until it is told to stop; ends with an error when the claim or a place is lost.
async fn heartbeat(
    state: &AppState,
    claim: &Mutex<&mut Claim>,
    places: &Places,
    progress: &Progress,
    stop: &Notify,
) -> Result<(), ClaimError> {
    let every = HEARTBEAT.min(state.config.jobs.claim / 4);
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = stop.notified() => return Ok(()),
        }
        let mut claim = claim.lock().await;
        let now = state.clock.now();
        let come =
            DumpProgress { dumped_bytes: progress.dumped_bytes(), uploaded_bytes: progress.stored_bytes() };
        let left = claim.holds_for(now);
        in_time(left, state.storage.claims.keep_alive(&mut claim, come, now)).await?;
        in_time(claim.holds_for(now), places.keep(state, now)).await?;
    }
}
