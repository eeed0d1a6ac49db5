//! From a reservation to a message: slot, record, message, mark, in this order.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::models::{BackupJob, Cause, Database, Lane};
use shared::storage::{Reservation, SlotState, Storage, StorageError, StorageErrorKind};

/// Serves one database: what an earlier tick has reserved but perhaps not queued, and what is due
/// now. Returns how many jobs were queued.
///
/// A job that was queued already may be sent again; its claim lets it have its effect once.
pub(crate) async fn serve(
    storage: &Storage,
    database: &Database,
    slots: &mut SlotState,
    reservations: BTreeMap<Lane, Reservation>,
) -> Result<usize, StorageError> {
    let reservations: Vec<(Lane, Reservation)> = reservations.into_iter().collect();
    // Something is stored for a database at its first sight, be it nothing: it is then not new any more.
    let to_store = !reservations.is_empty() || !slots.is_stored();
    if to_store && !storage.slots.reserve(&database.id, slots, &reservations).await? {
        tracing::info!(database_id = %database.id, "another scheduler serves this database at this moment");
        return Ok(0);
    }
    let mut open: Vec<(Lane, Reservation)> = slots
        .lanes
        .iter()
        .filter(|(_, reservation)| !reservation.queued)
        .map(|(lane, reservation)| (*lane, reservation.clone()))
        .collect();
    // The highest tier first: it is the one that must not be missed.
    open.sort_by_key(|(lane, _)| std::cmp::Reverse(*lane));
    for (lane, reservation) in &open {
        queue(storage, database, *lane, reservation).await?;
    }
    let lanes: Vec<Lane> = open.iter().map(|(lane, _)| *lane).collect();
    if !lanes.is_empty() {
        storage.slots.mark_queued(&database.id, slots, &lanes).await?;
    }
    Ok(lanes.len())
}

async fn queue(
    storage: &Storage,
    database: &Database,
    lane: Lane,
    reservation: &Reservation,
) -> Result<(), StorageError> {
    let ids = (reservation.job_id.clone(), reservation.backup_id.clone());
    let cause = Cause::Scheduled { lane, slot: reservation.slot };
    let job = BackupJob::new(database, cause, ids, reservation.created_at);
    match storage.backups.insert(&job.record()).await {
        // A tick that died before it could note the message had made the record.
        Err(error) if error.kind() != StorageErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    storage.jobs.send(&job, Duration::ZERO).await?;
    tracing::info!(
        database_id = %database.id,
        job_id = %job.id,
        lane = lane.as_str(),
        slot = %reservation.slot,
        "a backup is queued"
    );
    Ok(())
}
