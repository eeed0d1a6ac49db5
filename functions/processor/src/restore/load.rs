//! From a blob to a database: questions, proof, load, exchange.

use std::error::Error;
use std::sync::atomic::Ordering;

use archive::{Opened, Progress};
use dump::{Closing, DumpError, Limits, Origin, Plan, Target};
use futures::TryStreamExt as _;
use shared::models::{CheckResult, DatabaseName, DatabaseType, Restore, RestoreMode, RestorePhase};
use shared::storage::{BlobAddress, BlobProperties, MarkError};

use super::error::RestoreEnd;
use super::record::Record;
use super::target;
use crate::state::AppState;

/// Runs a restore to its end. What it has made when it fails is left for [`clean_up`].
pub(super) async fn load(state: &AppState, record: &Record<'_>) -> Result<(), RestoreEnd> {
    record.enter(RestorePhase::Checking).await?;
    let restore = record.restore().await;
    let target = target::find(state, &restore).await?;
    let properties = recorded(state, &restore).await?;
    ask(state, record, &restore, &target, &properties).await?;

    let progress = record.enter(RestorePhase::Verifying).await?;
    prove(state, &restore, &progress).await?;
    note_proved(state, &restore).await;

    let progress = record.enter(RestorePhase::Loading).await?;
    let target = target::find_again(state, &restore, target).await;
    let work = work_name(&restore)?;
    record.change(|restore| restore.work_database = Some(work.clone())).await?;
    let loaded = Target { database: work.to_string(), ..target.clone() };
    let like = (restore.mode == RestoreMode::Replace).then_some(restore.database.as_str());
    dump::create_database(&state.tools, &loaded, like, &limits(state))
        .await
        .map_err(server("making the database"))?;
    record.has_made.store(true, Ordering::Relaxed);
    record.change(|restore| restore.has_made = true).await?;
    let opened = open(state, &restore, &progress).await?;
    let restored = dump::restore(&state.tools, &loaded, opened.content, &limits(state), |_| {})
        .await
        .map_err(RestoreEnd::Load)?;
    record.change(|restore| restore.adapted = restored.adapted.iter().collect()).await?;
    tracing::info!(bytes = restored.bytes, server = restored.server_version, "the backup is loaded");

    record.enter(RestorePhase::Exchanging).await?;
    let target = target::find_again(state, &restore, target).await;
    exchange(state, record, &restore, &target, &work).await
}

/// Returns the database that a restore loads into. MySQL cannot rename a database, so a new one has its name
/// from the beginning.
fn work_name(restore: &Restore) -> Result<DatabaseName, RestoreEnd> {
    if restore.database_type == DatabaseType::Mysql && restore.mode == RestoreMode::New {
        return Ok(restore.database.clone());
    }
    restore
        .beside()
        .parse()
        .map_err(|_| RestoreEnd::Refused("the id of the restore cannot be used".to_owned()))
}

pub(super) fn limits(state: &AppState) -> Limits {
    // A server may work for long on one index without taking a byte.
    Limits { stall: state.config.jobs.deadline, deadline: state.config.jobs.deadline, ..Limits::default() }
}

fn address(restore: &Restore) -> BlobAddress {
    BlobAddress::new(restore.container.as_str(), &restore.blob_name)
}

/// Compares the blob with what was recorded of it.
async fn recorded(state: &AppState, restore: &Restore) -> Result<BlobProperties, RestoreEnd> {
    let found = state.storage.blobs.properties(&address(restore)).await?;
    let found = found.ok_or_else(|| RestoreEnd::NotTheOne("it does not exist any more".to_owned()))?;
    if let Some(bytes) = restore.blob_bytes.filter(|bytes| *bytes != found.bytes) {
        return Err(RestoreEnd::NotTheOne(format!("it has {} bytes instead of {bytes}", found.bytes)));
    }
    let sha256 = found.metadata.get(archive::metadata::SHA256);
    if let (Some(recorded), Some(found)) = (&restore.sha256, sha256)
        && !recorded.eq_ignore_ascii_case(found)
    {
        return Err(RestoreEnd::NotTheOne(format!("its SHA-256 is {found} instead of {recorded}")));
    }
    Ok(found)
}

/// Asks all that can be known beforehand; what may go wrong is remarked.
async fn ask(
    state: &AppState,
    record: &Record<'_>,
    restore: &Restore,
    target: &Target,
    properties: &BlobProperties,
) -> Result<(), RestoreEnd> {
    let origin = Origin::read(&properties.metadata);
    let plan = Plan { backup: restore.database_type, origin: &origin, target, mode: restore.mode };
    let checks = dump::preflight(&state.tools, &plan, &limits(state)).await;
    let of = |result| checks.iter().filter(move |check| check.result == result);
    for check in of(CheckResult::Warn) {
        record.remarks.warn(format!("{}: {}", check.name, check.message));
    }
    let failed: Vec<String> =
        of(CheckResult::Fail).map(|check| format!("{}: {}", check.name, check.message)).collect();
    if failed.is_empty() { Ok(()) } else { Err(RestoreEnd::Refused(failed.join("; "))) }
}

/// Reads the whole backup: its digest, its compressed data and its closing line have to be right.
async fn prove(state: &AppState, restore: &Restore, progress: &Progress) -> Result<(), RestoreEnd> {
    let mut opened = open(state, restore, progress).await?;
    let mut closing = Closing::default();
    while let Some(piece) = opened.content.try_next().await.map_err(RestoreEnd::Unproved)? {
        closing.push(&piece);
    }
    if closing.is_closed(restore.database_type) { Ok(()) } else { Err(RestoreEnd::NotClosed) }
}

/// Notes on the record of the backup that it is whole, so that retention keeps the newest such one.
async fn note_proved(state: &AppState, restore: &Restore) {
    let noted = async {
        let Some(backup) = state.storage.backups.find(&restore.backup_id).await? else { return Ok(()) };
        state.storage.backups.note_verified(&backup, state.clock.now()).await.map(drop)
    };
    let noted: Result<(), MarkError> = noted.await;
    if let Err(error) = noted {
        tracing::warn!(error = &error as &dyn Error, backup_id = %restore.backup_id, "that the backup is whole could not be noted");
    }
}

async fn open(state: &AppState, restore: &Restore, progress: &Progress) -> Result<Opened, RestoreEnd> {
    archive::open(&*state.storage.blobs, &address(restore), progress).await.map_err(RestoreEnd::Unproved)
}

/// Puts the loaded database into its place.
async fn exchange(
    state: &AppState,
    record: &Record<'_>,
    restore: &Restore,
    target: &Target,
    work: &DatabaseName,
) -> Result<(), RestoreEnd> {
    let limits = limits(state);
    let loaded = Target { database: work.to_string(), ..target.clone() };
    match restore.mode {
        RestoreMode::New if loaded.database == target.database => Ok(()),
        RestoreMode::New => dump::rename_database(&state.tools, &loaded, &target.database, &limits)
            .await
            .map_err(server("giving the loaded database its name")),
        RestoreMode::Replace => dump::exchange_databases(
            &state.tools,
            target,
            &loaded.database,
            &restore.aside(),
            &limits,
            &record.remarks,
        )
        .await
        .map_err(server("putting the loaded database into its place")),
    }
}

fn server(doing: &'static str) -> impl FnOnce(DumpError) -> RestoreEnd {
    move |source| RestoreEnd::Server { doing, source }
}

/// Finds out what became of a restore that broke off while it exchanged databases: `Some(true)` when the
/// loaded database is in its place, `Some(false)` when the old one is, `None` when it cannot be told.
pub(super) async fn was_exchanged(state: &AppState, restore: &Restore) -> Option<bool> {
    let work = restore.work_database.as_ref()?;
    if *work == restore.database {
        return Some(true);
    }
    let target = target::find(state, restore).await.ok()?;
    let names = dump::discover(&state.tools, &target, &limits(state)).await.ok()?;
    let there = |name: &str| names.iter().any(|known| known == name);
    match (there(work.as_str()), there(&restore.aside())) {
        // The loaded database has got another name, or was emptied and dropped.
        (false, _) => Some(true),
        (true, false) => Some(false),
        // PostgreSQL renames both at once, so the old one could not be aside.
        (true, true) => None,
    }
}

/// Lets everybody into the old database again, which an exchange that broke off has left in its place.
pub(super) async fn let_everybody_in(state: &AppState, record: &Record<'_>) {
    let restore = record.restore().await;
    if restore.mode != RestoreMode::Replace || !restore.database_type.is_sql_server() {
        return;
    }
    let done = async {
        let target = target::find(state, &restore).await?;
        dump::let_everybody_in(&state.tools, &target, &limits(state)).await.map_err(server("letting in"))
    };
    if let Err(error) = done.await {
        record.remarks.warn(format!(
            "\"{}\" may let in one session at a time, until somebody says ALTER DATABASE … SET MULTI_USER: {error}",
            restore.database
        ));
    }
}

/// Drops what a restore that failed has made, unless that is wanted, and says what there is now.
///
/// A database is dropped only if this restore is known to have made it: this processor has, the one before
/// it has noted so, or its name is one that nobody else gives.
pub(super) async fn clean_up(state: &AppState, record: &Record<'_>) -> String {
    let restore = record.restore().await;
    let Some(work) = &restore.work_database else { return String::new() };
    let old = match restore.mode {
        RestoreMode::New => "",
        RestoreMode::Replace => " The old database is in its place.",
    };
    let is_own =
        record.has_made.load(Ordering::Relaxed) || restore.has_made || work.as_str() == restore.beside();
    if !is_own {
        return format!("A half-made database \"{work}\" may be there; look at it and drop it by hand.{old}");
    }
    if restore.keep_failed {
        return format!("The half-made database is left as \"{work}\", as asked for.{old}");
    }
    let dropped = async {
        let target = Target { database: work.to_string(), ..target::find(state, &restore).await? };
        let there = dump::discover(&state.tools, &target, &limits(state)).await.map_err(server("looking"))?;
        if !there.contains(&target.database) {
            return Ok(());
        }
        dump::drop_database(&state.tools, &target, &limits(state)).await.map_err(server("dropping it"))
    };
    match dropped.await {
        Ok(()) => format!("The half-made database \"{work}\" was dropped.{old}"),
        Err(error) => {
            format!("The half-made database \"{work}\" could not be dropped ({error}); drop it by hand.{old}")
        }
    }
}
