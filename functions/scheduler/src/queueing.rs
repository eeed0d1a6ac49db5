//! From a reservation to a message: slot, record, message, mark, in this order.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::models::{BackupJob, Cause, Database, DatabaseId, Lane};
use shared::storage::{Reservation, SlotState, StorageError, StorageErrorKind};

use crate::state::AppState;

/// Serves one database: what an earlier tick has reserved but perhaps not queued, and what is due
/// now. Returns how many jobs were queued.
///
/// A job that was queued already may be sent again; its claim lets it have its effect once.
pub(crate) async fn serve(
    state: &AppState,
    database: &Database,
    slots: &mut SlotState,
    reservations: BTreeMap<Lane, Reservation>,
) -> Result<usize, StorageError> {
    let reservations: Vec<(Lane, Reservation)> = reservations.into_iter().collect();
    // Something is stored for a database at its first sight, be it nothing: it is then not new any more.
    let storage = &state.storage;
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
        queue(state, database, *lane, reservation).await?;
    }
    let lanes: Vec<Lane> = open.iter().map(|(lane, _)| *lane).collect();
    if !lanes.is_empty() {
        storage.slots.mark_queued(&database.id, slots, &lanes).await?;
    }
    Ok(lanes.len())
}

async fn queue(
    state: &AppState,
    database: &Database,
    lane: Lane,
    reservation: &Reservation,
) -> Result<(), StorageError> {
    let ids = (reservation.job_id.clone(), reservation.backup_id.clone());
    let cause = Cause::Scheduled { lane, slot: reservation.slot };
    let job = BackupJob::new(database, cause, ids, reservation.created_at);
    match state.storage.backups.insert(&job.record()).await {
        // A tick that died before it could note the message had made the record.
        Err(error) if error.kind() != StorageErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    state.storage.jobs.send(&job, share(&database.id, state.jitter)).await?;
    tracing::info!(
        database_id = %database.id,
        job_id = %job.id,
        lane = lane.as_str(),
        slot = %reservation.slot,
        "a backup is queued"
    );
    Ok(())
}

/// Returns the pause of a database: the same at each tick, and spread evenly over databases, so that
/// the jobs of one slot do not all start at once.
fn share(database: &DatabaseId, longest: Duration) -> Duration {
    // FNV-1a: stable for ever, unlike the hasher of the standard library.
    let hash = database.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Duration::from_secs(hash % (longest.as_secs() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_database_has_its_own_pause_and_keeps_it() {
        let longest = Duration::from_secs(299);
        let pauses: Vec<u64> = (0..3000)
            .filter_map(|number| format!("db-{number}").parse().ok())
            .map(|id| share(&id, longest).as_secs())
            .collect();
        assert_eq!(pauses.len(), 3000);
        assert!(pauses.iter().all(|pause| *pause <= 299));
        for minute in 0..5 {
            let in_it = pauses.iter().filter(|pause| **pause / 60 == minute).count();
            assert!((450..=750).contains(&in_it), "{in_it} of 3000 in minute {minute}");
        }
        let id = "orders".parse().ok();
        assert_eq!(id.map(|id| share(&id, longest)), Some(Duration::from_secs(172)));
        let id = "orders".parse().ok();
        assert_eq!(id.map(|id| share(&id, Duration::ZERO)), Some(Duration::ZERO));
    }
}
