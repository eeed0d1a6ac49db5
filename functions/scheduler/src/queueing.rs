//! From a reservation to a message: slot, record, message, mark, in this order.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use shared::models::{Backup, BackupJob, BackupStatus, Cause, Database, DatabaseId, Lane};
use shared::schedule::BELIEVED_AHEAD;
use shared::storage::{Reservation, SlotState, StorageError, StorageErrorKind};

use crate::state::AppState;

/// How long a reservation whose record was never made keeps its time.
const LATE: TimeDelta = TimeDelta::minutes(30);

/// How far the clocks of two schedulers may differ that see the same record.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::minutes(1);

/// A database with something to reserve or to queue.
#[derive(Debug)]
pub(crate) struct Work {
    database: Database,
    slots: SlotState,
    reservations: BTreeMap<Lane, Reservation>,
}

impl Work {
    /// Takes up a database that has something due, something that an earlier tick has reserved but perhaps
    /// not queued, or nothing stored yet; `None` when there is nothing to do for it.
    pub(crate) fn of(
        database: Database,
        slots: SlotState,
        reservations: BTreeMap<Lane, Reservation>,
    ) -> Option<Self> {
        let work = Self { database, slots, reservations };
        (!work.reservations.is_empty() || !work.slots.is_stored() || work.is_begun()).then_some(work)
    }

    /// Tells whether an earlier tick, or another one at this moment, has begun to serve it.
    pub(crate) fn is_begun(&self) -> bool {
        self.slots.lanes.values().any(|reservation| !reservation.queued)
    }
}

/// Serves one database: what an earlier tick has reserved but perhaps not queued, and what is due
/// now. Returns how many jobs were queued.
///
/// Something is written under the version that was read before anything is sent, be it what is reserved
/// already: of two schedulers that see the same, one goes on.
pub(crate) async fn serve(
    state: &AppState,
    work: Work,
    now: DateTime<Utc>,
) -> (DatabaseId, Result<usize, StorageError>) {
    let Work { database, mut slots, reservations } = work;
    let served = reserve_and_queue(state, &database, &mut slots, reservations, now).await;
    (database.id, served)
}

async fn reserve_and_queue(
    state: &AppState,
    database: &Database,
    slots: &mut SlotState,
    reservations: BTreeMap<Lane, Reservation>,
    now: DateTime<Utc>,
) -> Result<usize, StorageError> {
    let storage = &state.storage;
    let mut reserved: BTreeMap<Lane, Reservation> = open(slots).into_iter().collect();
    reserved.extend(reservations);
    let reserved: Vec<(Lane, Reservation)> = reserved.into_iter().collect();
    // Something is stored for a database at its first sight, be it nothing: it is then not new any more.
    if !storage.slots.reserve(&database.id, slots, &reserved).await? {
        tracing::info!(database_id = %database.id, "another scheduler serves this database at this moment");
        return Ok(0);
    }
    let open = open(slots);
    let mut queued = 0;
    // The highest tier first: it is the one that must not be missed.
    for (lane, reservation) in open.iter().rev() {
        let (undone, made) = undone(state, reservation, now).await?;
        if undone != *reservation
            && !storage.slots.reserve(&database.id, slots, &[(*lane, undone.clone())]).await?
        {
            tracing::info!(database_id = %database.id, "another scheduler serves this database at this moment");
            return Ok(queued);
        }
        queued += usize::from(queue(state, database, (*lane, &undone), made, now).await?);
    }
    let lanes: Vec<Lane> = open.into_iter().map(|(lane, _)| lane).collect();
    if !lanes.is_empty() {
        storage.slots.mark_queued(&database.id, slots, &lanes).await?;
    }
    Ok(queued)
}

/// Returns what is reserved and not known to be queued, the lowest tier first.
fn open(slots: &SlotState) -> Vec<(Lane, Reservation)> {
    let open = slots.lanes.iter().filter(|(_, reservation)| !reservation.queued);
    open.map(|(lane, reservation)| (*lane, reservation.clone())).collect()
}

/// Returns a reservation of the same slot whose job has not been done before its time, with its record if
/// there is one.
///
/// A scheduler whose clock was ahead has served slots that were still to come. Such a backup has no data
/// of the time of its slot, so when the slot comes it is served again.
async fn undone(
    state: &AppState,
    reservation: &Reservation,
    now: DateTime<Utc>,
) -> Result<(Reservation, Option<Backup>), StorageError> {
    let mut reservation = reservation.clone();
    loop {
        let made = state.storage.backups.made_for(&reservation.job_id).await?;
        if !made.as_ref().is_some_and(|record| is_early(record, reservation.slot, now)) {
            return Ok((reservation, made));
        }
        reservation = reservation.again(now);
    }
}

/// Tells whether a backup has ended that was made before its slot by a clock that was ahead: its record is
/// of a time that is still to come, or the processor, whose clock was right, had ended it long before.
fn is_early(record: &Backup, slot: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    let ended_at = record.run().finished_at.unwrap_or(record.created_at);
    record.is_finished() && (record.created_at > now + CLOCKS_DIFFER || ended_at + BELIEVED_AHEAD < slot)
}

/// Makes the record of a job and sends its message; `false` when that was done before.
///
/// A record that is there is the one of a tick that died before it could note the message, or of one whose
/// clock was far ahead. While it is pending, its message may be missing and is sent again: the claim lets it
/// have its effect once.
async fn queue(
    state: &AppState,
    database: &Database,
    (lane, reservation): (Lane, &Reservation),
    made: Option<Backup>,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let ids = (reservation.job_id.clone(), reservation.backup_id.clone());
    let cause = Cause::Scheduled { lane, slot: reservation.slot };
    let backups = &state.storage.backups;
    let created_at = match &made {
        Some(record) if record.status() != BackupStatus::Pending => return Ok(false),
        Some(record) => record.created_at,
        // A record that is made as an old one would soon be taken for one that nobody works on.
        None if reservation.created_at + LATE < now => now,
        None => reservation.created_at,
    };
    let job = BackupJob::new(database, cause, ids, created_at);
    if made.is_none() {
        match backups.insert(&job.record()).await {
            // The answer to our own write was lost.
            Err(error) if error.kind() != StorageErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    state.storage.jobs.send(&job, share(&database.id, state.jitter)).await?;
    tracing::info!(
        database_id = %database.id,
        job_id = %job.id,
        lane = lane.as_str(),
        slot = %reservation.slot,
        "a backup is queued"
    );
    Ok(true)
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
