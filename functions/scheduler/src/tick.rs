//! `dynamic_scheduler`: what is due now.

use std::collections::BTreeMap;

use axum::extract::State;
use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use custom_handler::{Answer, TimerInvocation};
use futures::{StreamExt as _, stream, try_join};
use shared::effective_policy::PolicyBook;
use shared::models::{
    Actor, AuditAction, AuditEvent, AuditResource, Backup, Database, DatabaseId, Engine, EngineId, Lane, Tier,
};
use shared::schedule::{Plan, Recorded, due};
use shared::storage::{LastTick, Reservation, SlotState, StorageError};

use crate::history::{self, Failed, Served};
use crate::queueing::{self, Work};
use crate::reconcile;
use crate::restores;
use crate::state::AppState;

/// How many databases are served at once; each of them waits for storage most of the time.
const AT_ONCE: usize = 16;

/// How far back every tick looks for records whose processor was lost. Once a day the whole history is
/// looked through, which may be long.
const LOST_WITHIN: TimeDelta = TimeDelta::days(7);

/// What a tick did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TickReport {
    /// Enabled databases that were looked at.
    pub databases: usize,
    /// Jobs that were queued.
    pub queued: usize,
    /// Databases that could not be served, for a reason that is in the log.
    pub failed: usize,
    /// Records that were ended because their processor was lost.
    pub ended: usize,
}

/// Queues what is due.
pub(crate) async fn dynamic_scheduler(State(state): State<AppState>, timer: TimerInvocation) -> Answer {
    if timer.is_past_due {
        tracing::info!("this tick is late; what was missed is queued once");
    }
    send_lost(&state).await;
    match tick(&state).await {
        Ok(report) => {
            note(&state, report).await;
            let TickReport { databases, queued, failed, ended } = report;
            tracing::info!(databases, queued, failed, ended, "the tick is done");
            let line = format!(
                "{databases} databases, {queued} jobs queued, {failed} failed, {ended} lost jobs ended"
            );
            if failed == 0 { Answer::success().with_log(line) } else { Answer::failure(line) }
        }
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the tick failed; the next one queues what is due"
            );
            Answer::failure(error.to_string())
        }
    }
}

/// Ends and sends anew what was left behind.
pub(crate) async fn reconcile(state: &AppState) {
    end_stuck(state, state.clock.now()).await;
    send_lost(state).await;
}

/// Sends the messages anew that were lost. That it fails must not keep a tick from queueing.
async fn send_lost(state: &AppState) {
    if let Err(error) = reconcile::send_lost(state).await {
        tracing::error!(error = &error as &dyn std::error::Error, "lost messages could not be looked for");
    }
}

/// Notes what the tick did, for whoever asks whether the scheduler lives.
async fn note(state: &AppState, report: TickReport) {
    let TickReport { databases, queued, failed, ended } = report;
    let tick = LastTick { databases, queued, failed, ended };
    if let Err(error) = state.storage.watch.note_tick(state.clock.now(), tick).await {
        tracing::warn!(%error, "the tick could not be noted");
    }
}

/// Runs one tick: all reads first, then the decision for each database, then the queueing.
///
/// What is read comes in pages, never with a question for each database, so that a tick over thousands
/// of databases of which none is due costs a few dozen requests.
pub async fn tick(state: &AppState) -> Result<TickReport, StorageError> {
    let now = state.clock.now();
    let storage = &state.storage;
    let ended = end_stuck(state, now).await;
    restores::send_again(state, now).await;
    storage.policies.seed(now).await?;
    let (databases, policies, engines, mut slots) =
        try_join!(enabled(state), storage.policies.list(), storage.engines.list(), storage.slots.all())?;
    let mut earlier = history::of_unknown(storage, &databases, &slots, now).await?;
    let book = PolicyBook::new(policies, &engines);
    let failed = Failed::read(storage, &served(&databases, &engines, &book, &slots), now).await?;

    let mut report = TickReport { databases: databases.len(), ended, ..TickReport::default() };
    let mut work: Vec<Work> = databases
        .into_iter()
        .filter_map(|database| {
            let slots = slots.remove(&database.id).unwrap_or_default();
            let known = earlier.remove(&database.id).unwrap_or_default();
            let reservations = decide(&database, &book, &slots, known, &failed, now);
            Work::of(database, slots, reservations)
        })
        .collect();
    // What another tick has begun comes last: it may be another scheduler that is at it in this moment.
    work.sort_by_key(Work::is_begun);
    let serving: Vec<_> = work.into_iter().map(|work| queueing::serve(state, work, now)).collect();
    let mut served = stream::iter(serving).buffer_unordered(AT_ONCE);
    while let Some((database, outcome)) = served.next().await {
        match outcome {
            Ok(queued) => report.queued += queued,
            Err(error) => {
                report.failed += 1;
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    database_id = %database,
                    "what is due for a database could not be queued; the next tick tries again"
                );
            }
        }
    }
    Ok(report)
}

async fn enabled(state: &AppState) -> Result<Vec<Database>, StorageError> {
    let mut databases = state.storage.databases.list().await?;
    databases.retain(|database| database.enabled);
    Ok(databases)
}

/// Decides what is to be reserved for one database: what is due, what failed and has rested, and, at
/// the first sight of a database, what an earlier system has served.
fn decide(
    database: &Database,
    book: &PolicyBook,
    slots: &SlotState,
    known: BTreeMap<Lane, Reservation>,
    failed: &Failed,
    now: DateTime<Utc>,
) -> BTreeMap<Lane, Reservation> {
    let Some(plan) = book.plan(database) else { return BTreeMap::new() };
    let mut reservations = known;
    let recorded: Recorded =
        slots.lanes.iter().chain(&reservations).map(|(lane, reserved)| (*lane, reserved.slot)).collect();
    for (lane, reservation) in &slots.lanes {
        if runs(plan, *lane) && failed.has(reservation) {
            reservations.insert(*lane, reservation.again(now));
        }
    }
    // A slot that is due now takes the place of an older one that failed.
    for due in due(plan, &recorded, database.updated_at, now) {
        reservations.insert(due.lane, Reservation::new(&database.id, due.lane, due.slot, now));
    }
    reservations
}

/// Returns the last slot that was served of every lane that still runs.
fn served<'a>(
    databases: &[Database],
    engines: &[Engine],
    book: &PolicyBook,
    slots: &'a BTreeMap<DatabaseId, SlotState>,
) -> Vec<Served<'a>> {
    let changed: BTreeMap<&EngineId, DateTime<Utc>> =
        engines.iter().map(|engine| (&engine.id, engine.updated_at)).collect();
    let of = |database: &Database| {
        let (plan, slots) = book.plan(database).zip(slots.get(&database.id))?;
        let of_engine = database.engine_id.as_ref().and_then(|id| changed.get(id)).copied();
        let changed_at = of_engine.map_or(database.updated_at, |at| at.max(database.updated_at));
        let lanes = slots.lanes.iter().filter(|(lane, _)| runs(plan, **lane));
        Some(lanes.map(|(_, reservation)| Served { reservation, changed_at }).collect::<Vec<_>>())
    };
    databases.iter().filter_map(of).flatten().collect()
}

/// Tells whether a plan still has a lane.
fn runs(plan: Plan<'_>, lane: Lane) -> bool {
    match (plan, lane) {
        (Plan::Tiers(policy), Lane::Tier(tier)) => policy.tier(tier).enabled,
        (Plan::Cron(_), Lane::Schedule) => true,
        (Plan::Tiers(_), Lane::Schedule) | (Plan::Cron(_), Lane::Tier(_)) => false,
    }
}

/// Ends the records whose processor was lost. That it fails must not keep a tick from queueing.
async fn end_stuck(state: &AppState, now: DateTime<Utc>) -> usize {
    let since = (now.hour() != 0).then(|| now - LOST_WITHIN);
    let storage = &state.storage;
    let ended = async {
        let oldest = storage.jobs.oldest(now).await?;
        storage.backups.end_stuck_since(&*storage.blobs, (since, oldest), now).await
    };
    match ended.await {
        Ok(ended) => {
            for backup in &ended {
                tracing::warn!(backup_id = %backup.id, database_id = %backup.database_id, status = %backup.status(), "a backup was ended: its processor was lost");
                storage.audit.record(&Actor::system(), lost(backup), now).await;
            }
            ended.len()
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "lost backups could not be looked for");
            0
        }
    }
}

fn lost(backup: &Backup) -> AuditEvent {
    let action =
        if backup.artifact().is_some() { AuditAction::BackupCompleted } else { AuditAction::BackupFailed };
    let event = AuditEvent::new(action, AuditResource::Backup, backup.id.as_str(), &backup.database_name)
        .with("database_id", backup.database_id.as_str())
        .with("database_alias", backup.database_name.as_str())
        .with("database_type", backup.database_type.as_str())
        .with("job_id", backup.job_id.as_str())
        .with("tier", backup.tier.map(Tier::as_str))
        .with("triggered_by", backup.triggered_by.as_str())
        .with("duration_seconds", backup.run().seconds);
    match (backup.artifact(), backup.failure()) {
        (Some(artifact), _) => {
            event.with("blob_name", artifact.blob_name.as_str()).with("file_size_bytes", artifact.bytes)
        }
        (None, failure) => event.failed(failure.map(|failure| failure.message.clone()).unwrap_or_default()),
    }
}
