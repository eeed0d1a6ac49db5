//! Every write, in turn, refused or done without an answer: what is left lets the next delivery go on.

use chrono::{DateTime, Utc};

use super::world::{TTL, World, artifact, at, failure, job, planned};
use crate::models::{BackupStatus, DumpProgress};
use crate::storage::{ClaimError, ClaimOutcome, Fault, StorageErrorKind, TableCall};

const WRITES: [TableCall; 3] = [TableCall::Insert, TableCall::Merge, TableCall::Delete];
const CALLS: [TableCall; 4] = [TableCall::Get, TableCall::Insert, TableCall::Merge, TableCall::Delete];

/// How an attempt ends that nothing disturbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Complete,
    Fail,
    RetryLater,
}

/// Lets one whole attempt run, as the processor does, and stops where it fails.
async fn attempt(world: &World, now: DateTime<Utc>, ending: Ending) -> Result<(), ClaimError> {
    let ClaimOutcome::Granted(mut claim) = world.claims.claim(&job("1"), now).await? else { return Ok(()) };
    world.claims.plan(&mut claim, &planned("blob")).await?;
    world.claims.keep_alive(&mut claim, DumpProgress::default(), now).await?;
    match ending {
        Ending::Complete => world.claims.complete(*claim, artifact(), now).await.map(drop),
        Ending::Fail => world.claims.fail(*claim, failure("gone"), now).await.map(drop),
        Ending::RetryLater => world.claims.retry_later(*claim, failure("later")).await.map(drop),
    }
}

/// Breaks each call of the first attempt in each way, and lets the message come again until it is
/// done: that must be soon, with one record, and with nothing left over.
#[tokio::test(start_paused = true)]
async fn the_next_deliveries_bring_the_job_to_its_end() {
    let kind = StorageErrorKind::Unavailable;
    let mut broken = 0;
    for ending in [Ending::Complete, Ending::Fail, Ending::RetryLater] {
        for fault in [Fault::Refuse(kind), Fault::Lose(kind)] {
            for call in CALLS {
                for nth in 1..=4 {
                    for in_history in [true, false] {
                        let world = World::new();
                        let table = if in_history { &world.history } else { &world.leases };
                        let faulty = table.clone().with(call, nth, fault);
                        let case = format!("{ending:?}, {fault:?}, {call:?} {nth}, history {in_history}");
                        let first = attempt(&world, at(0), ending).await;
                        if faulty.calls(call) < nth {
                            assert!(first.is_ok(), "{case}: {first:?}");
                            continue;
                        }
                        broken += 1;
                        let deliveries = deliver_until_done(&world, at(1)).await;
                        assert!(deliveries <= 3, "{case}: {deliveries} further deliveries");
                        let record = world.record().await;
                        let status = record.status();
                        let expected = if ending == Ending::Fail {
                            vec![BackupStatus::Failed, BackupStatus::Completed]
                        } else {
                            vec![BackupStatus::Completed]
                        };
                        assert!(expected.contains(&status), "{case}: {status}");
                        assert!(record.retry_count <= 1, "{case}: {} retries", record.retry_count);
                        // A lease may be left behind, but it holds nobody up.
                        world.granted(&job("2"), at(2) + TTL * 4).await;
                    }
                }
            }
        }
    }
    assert!(broken >= 60, "only {broken} calls were broken");
}

/// Delivers the message, with time for leases to run out in between, and completes the work when it
/// is granted. Returns how many deliveries it took until the job was found finished or was completed.
async fn deliver_until_done(world: &World, mut now: DateTime<Utc>) -> u32 {
    for delivery in 1..10 {
        match world.claims.claim(&job("1"), now).await.unwrap() {
            ClaimOutcome::Granted(claim) => {
                world.claims.complete(*claim, artifact(), now).await.unwrap();
                return delivery;
            }
            ClaimOutcome::Finished(_) => return delivery,
            ClaimOutcome::Busy(until) => {
                assert!(until <= now + TTL);
                now = until;
            }
        }
    }
    panic!("the job never comes to an end");
}

/// The vendor's client repeats a write whose answer was lost; what comes back then is that the row
/// exists already or has changed. Such a write was ours, so the attempt goes on as if nothing were.
#[tokio::test(start_paused = true)]
async fn a_write_that_was_repeated_on_its_way_disturbs_nothing() {
    let repeated = |call| match call {
        TableCall::Insert => Fault::Lose(StorageErrorKind::AlreadyExists),
        TableCall::Delete => Fault::Lose(StorageErrorKind::NotFound),
        TableCall::Merge
        | TableCall::InsertOrMerge
        | TableCall::Create
        | TableCall::Get
        | TableCall::Query => Fault::Lose(StorageErrorKind::Changed),
    };
    for ending in [Ending::Complete, Ending::Fail, Ending::RetryLater] {
        for call in WRITES {
            for nth in 1..=3 {
                for in_history in [true, false] {
                    let world = World::new();
                    let table = if in_history { &world.history } else { &world.leases };
                    let _ = table.clone().with(call, nth, repeated(call));
                    let case = format!("{ending:?}, {call:?} {nth}, history {in_history}");
                    attempt(&world, at(0), ending).await.unwrap_or_else(|error| panic!("{case}: {error}"));
                    let record = world.record().await;
                    let expected = match ending {
                        Ending::Complete => (BackupStatus::Completed, 0),
                        Ending::Fail => (BackupStatus::Failed, 0),
                        Ending::RetryLater => (BackupStatus::Pending, 1),
                    };
                    assert_eq!((record.status(), record.retry_count), expected, "{case}");
                    assert_eq!(world.leases().await, 0, "{case}");
                }
            }
        }
    }
}

/// The dump is done and stored, so its end is worth the wait of a minute.
#[tokio::test(start_paused = true)]
async fn the_end_is_recorded_when_storage_comes_back_within_a_minute() {
    for fault in [Fault::Refuse(StorageErrorKind::Unavailable), Fault::Lose(StorageErrorKind::Unavailable)] {
        let world = World::new();
        let claim = world.granted(&job("1"), at(0)).await;
        for nth in 2..=5 {
            let _ = world.history.clone().with(TableCall::Merge, nth, fault);
        }
        let done = world.claims.complete(claim, artifact(), at(60)).await.unwrap();
        assert_eq!(world.record().await, done);
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_that_cannot_be_recorded_leaves_its_plan() {
    let world = World::new();
    let mut claim = world.granted(&job("1"), at(0)).await;
    world.claims.plan(&mut claim, &planned("committed")).await.unwrap();
    for nth in 3..=20 {
        let _ =
            world.history.clone().with(TableCall::Merge, nth, Fault::Refuse(StorageErrorKind::Unavailable));
    }
    let ended = world.claims.complete(claim, artifact(), at(60)).await;
    assert!(matches!(ended, Err(ClaimError::Storage(_))));
    let claim = super::world::granted(world.healthy().claim(&job("1"), at(61)).await);
    assert_eq!(claim.earlier_plan, Some(planned("committed")));
}
