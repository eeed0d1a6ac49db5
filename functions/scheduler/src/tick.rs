//! `dynamic_scheduler`: what is due now.

use std::collections::BTreeMap;

use axum::extract::State;
use chrono::{DateTime, Utc};
use custom_handler::{Answer, TimerInvocation};
use shared::effective_policy::PolicyBook;
use shared::models::{Actor, AuditAction, AuditEvent, AuditResource, Backup, Database, Lane, Tier};
use shared::schedule::{Plan, Recorded, due};
use shared::storage::{Reservation, SlotState, StorageError};

use crate::history::{self, Failed};
use crate::queueing;
use crate::state::AppState;

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
    match tick(&state).await {
        Ok(report) => {
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

/// Runs one tick: all reads first, then the decision for each database, then the queueing.
pub async fn tick(state: &AppState) -> Result<TickReport, StorageError> {
    let now = state.clock.now();
    let storage = &state.storage;
    let ended = end_stuck(state, now).await;
    storage.policies.seed(now).await?;
    let mut databases = storage.databases.list().await?;
    databases.retain(|database| database.enabled);
    let book = PolicyBook::new(storage.policies.list().await?, &storage.engines.list().await?);
    let mut slots = storage.slots.all().await?;
    let mut earlier = history::of_unknown(storage, &databases, &slots, now).await?;
    let failed = Failed::read(storage, now).await?;

    let mut report = TickReport { databases: databases.len(), ended, ..TickReport::default() };
    for database in &databases {
        let mut slots = slots.remove(&database.id).unwrap_or_default();
        let known = earlier.remove(&database.id).unwrap_or_default();
        let reservations = decide(database, &book, &slots, known, &failed, now);
        match queueing::serve(state, database, &mut slots, reservations).await {
            Ok(queued) => report.queued += queued,
            Err(error) => {
                report.failed += 1;
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    database_id = %database.id,
                    "what is due for a database could not be queued; the next tick tries again"
                );
            }
        }
    }
    Ok(report)
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
        if runs(plan, *lane) && failed.may_be_served_again(reservation, now) {
            reservations.insert(*lane, reservation.again(now));
        }
    }
    // A slot that is due now takes the place of an older one that failed.
    for due in due(plan, &recorded, database.updated_at, now) {
        reservations.insert(due.lane, Reservation::new(&database.id, due.lane, due.slot, now));
    }
    reservations
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
    match state.storage.backups.end_stuck(&*state.storage.blobs, now).await {
        Ok(ended) => {
            for backup in &ended {
                tracing::warn!(backup_id = %backup.id, database_id = %backup.database_id, status = %backup.status(), "a backup was ended: its processor was lost");
                state.storage.audit.record(&Actor::system(), lost(backup), now).await;
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
