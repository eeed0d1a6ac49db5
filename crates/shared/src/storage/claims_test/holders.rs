//! Holders that die, live on, or lose what they hold.

use chrono::TimeDelta;

use super::world::{TTL, World, artifact, at, busy, failure, finished, job, planned};
use crate::models::{BackupState, BackupStatus, DumpProgress, Run};
use crate::storage::table::{Expect, Table as _};
use crate::storage::{ClaimError, Fault, StorageErrorKind, TableCall};

const NOTHING_YET: DumpProgress = DumpProgress { dumped_bytes: 0, uploaded_bytes: 0 };

#[tokio::test]
async fn who_dies_is_succeeded_when_the_lease_runs_out() {
    let world = World::new();
    let mut claim = world.granted(&job("1"), at(0)).await;
    world.claims.plan(&mut claim, &planned("maybe committed")).await.unwrap();
    world.claims.keep_alive(&mut claim, NOTHING_YET, at(60)).await.unwrap();
    drop(claim);

    let end = at(60) + TTL;
    assert_eq!(busy(world.claims.claim(&job("1"), end - TimeDelta::microseconds(1)).await), end);
    assert_eq!(busy(world.claims.claim(&job("2"), end - TimeDelta::microseconds(1)).await), end);
    let claim = world.granted(&job("1"), end).await;
    assert_eq!(claim.backup.retry_count, 1, "the silent attempt counts");
    assert_eq!(claim.earlier_plan, Some(planned("maybe committed")));
    // The plan outlives a second death before there is a new one.
    drop(claim);
    let claim = world.granted(&job("1"), end + TTL).await;
    assert_eq!((claim.backup.retry_count, claim.earlier_plan), (2, Some(planned("maybe committed"))));
}

/// A processor whose clock was wrong dies over its claim; the others' clocks are right.
#[tokio::test]
async fn the_lease_of_a_clock_that_was_wrong_keeps_nobody_out_for_long() {
    for (minutes, is_kept) in [(1440, false), (10, false), (5, true), (-5, false), (-1440, false)] {
        for name in ["1", "2"] {
            let world = World::new();
            let wrong = at(0) + TimeDelta::minutes(minutes);
            let mut dead = world.granted(&job("1"), wrong).await;
            let outcome = world.claims.claim(&job(name), at(0)).await;
            if is_kept {
                assert_eq!(busy(outcome), wrong + TTL, "{minutes}");
                continue;
            }
            let claim = super::world::granted(outcome);
            // It was asleep only, and is told so before it could commit.
            let begun = world.claims.begin_commit(&mut dead, wrong).await;
            assert!(matches!(begun, Err(ClaimError::Lost)), "{minutes}");
            world.claims.complete(claim, artifact(), at(1)).await.unwrap();
        }
    }
}

#[tokio::test]
async fn another_job_of_the_database_takes_over_from_the_dead() {
    let world = World::new();
    let mut dead = world.granted(&job("1"), at(0)).await;
    let claim = world.granted(&job("2"), at(0) + TTL).await;
    // The dead one was only asleep: its dump ends, and no blob of it may be committed.
    let kept = world.claims.keep_alive(&mut dead, NOTHING_YET, at(1) + TTL).await;
    assert!(matches!(kept, Err(ClaimError::Lost)));
    // Its own job goes on later.
    assert_eq!(busy(world.claims.claim(&job("1"), at(2) + TTL).await), at(0) + TTL * 2);
    world.claims.complete(claim, artifact(), at(3) + TTL).await.unwrap();
    assert_eq!(world.granted(&job("1"), at(4) + TTL).await.backup.retry_count, 1);
}

#[tokio::test]
async fn whose_record_has_ended_holds_nobody_up() {
    for fails in [false, true] {
        let world = World::new();
        let claim = world.granted(&job("1"), at(0)).await;
        // It dies in the moment between ending the record and giving back the lease.
        world.leases.fail_next(TableCall::Delete, Fault::Refuse(StorageErrorKind::Unavailable));
        let ended = if fails {
            world.claims.fail(claim, failure("no"), at(9)).await
        } else {
            world.claims.complete(claim, artifact(), at(9)).await
        };
        ended.unwrap();
        assert_eq!(world.leases().await, 1);
        world.granted(&job("2"), at(10)).await;
        assert!(
            world
                .claims
                .claim(&job("1"), at(11))
                .await
                .is_ok_and(|outcome| format!("{outcome:?}").starts_with("Finished"))
        );
    }
}

#[tokio::test]
async fn a_deleted_record_does_not_open_the_database_while_its_dump_runs() {
    let world = World::new();
    let mut claim = world.granted(&job("1"), at(0)).await;
    let key = crate::storage::rows::Row::entity(&claim.backup).key;
    world.history.delete(&key, &Expect::Any).await.unwrap();
    assert_eq!(busy(world.claims.claim(&job("2"), at(1)).await), at(0) + TTL);
    let kept = world.claims.keep_alive(&mut claim, NOTHING_YET, at(5)).await;
    assert!(matches!(kept, Err(ClaimError::Lost)));
    let ended = world.claims.complete(claim, artifact(), at(6)).await;
    assert!(matches!(ended, Err(ClaimError::Lost)));
    assert!(
        world.records().await.iter().all(|record| record.job_id.as_str() == "2"),
        "no record comes back from the dead"
    );
    // With the lost claim its lease is gone.
    world.granted(&job("2"), at(7)).await;
}

#[tokio::test]
async fn signs_of_life_keep_others_away_for_as_long_as_they_come() {
    let world = World::new();
    let mut claim = world.granted(&job("1"), at(0)).await;
    for minute in 1..=60 {
        let now = at(minute * 60);
        world.claims.keep_alive(&mut claim, NOTHING_YET, now).await.unwrap();
        assert_eq!(busy(world.claims.claim(&job("2"), now + TTL - TimeDelta::seconds(1)).await), now + TTL);
    }
    assert_eq!(world.claims.complete(claim, artifact(), at(3700)).await.unwrap().run().seconds, Some(3700.0));
}

#[tokio::test]
async fn who_was_succeeded_changes_nothing_any_more() {
    for step in ["keep alive", "plan", "complete", "fail", "retry later"] {
        let world = World::new();
        let mut old = world.granted(&job("1"), at(0)).await;
        let now = at(0) + TTL;
        let new = world.granted(&job("1"), now).await;
        let before = world.record().await;
        let claims = &world.claims;
        let result = match step {
            "keep alive" => claims.keep_alive(&mut old, NOTHING_YET, now).await,
            "plan" => claims.plan(&mut old, &planned("late")).await,
            "complete" => claims.complete(old, artifact(), now).await.map(drop),
            "fail" => claims.fail(old, failure("late"), now).await.map(drop),
            _ => claims.retry_later(old, failure("late")).await.map(drop),
        };
        assert!(matches!(result, Err(ClaimError::Lost)), "{step}: {result:?}");
        assert_eq!(world.record().await, before, "{step}");
        assert_eq!(world.leases().await, 1, "{step}: the lease of the successor stays");
        claims.complete(new, artifact(), now).await.unwrap();
    }
}

#[tokio::test]
async fn a_record_that_was_ended_by_others_is_lost() {
    let run = || Run::between(at(0), at(30));
    let ends = [
        BackupState::Cancelled { run: run(), reason: None },
        BackupState::Failed { run: run(), failure: failure("the worker was lost") },
    ];
    for state in ends {
        for step in ["keep alive", "complete", "retry later"] {
            let world = World::new();
            let mut claim = world.granted(&job("1"), at(0)).await;
            world.set_state(state.clone()).await;
            let result = match step {
                "keep alive" => world.claims.keep_alive(&mut claim, NOTHING_YET, at(40)).await,
                "complete" => world.claims.complete(claim, artifact(), at(40)).await.map(drop),
                _ => world.claims.retry_later(claim, failure("late")).await.map(drop),
            };
            assert!(matches!(result, Err(ClaimError::Lost)), "{step}: {result:?}");
            assert_eq!(world.record().await.state, state, "{step}");
            let status = finished(world.claims.claim(&job("1"), at(41)).await);
            assert!(matches!(status, BackupStatus::Cancelled | BackupStatus::Failed));
        }
    }
}

#[tokio::test]
async fn a_lease_that_vanished_is_lost() {
    let world = World::new();
    let mut claim = world.granted(&job("1"), at(0)).await;
    let successor = world.healthy();
    let second = super::world::granted(successor.claim(&job("1"), at(0) + TTL).await);
    successor.retry_later(second, failure("short")).await.unwrap();
    assert_eq!(world.leases().await, 0);
    let kept = world.claims.keep_alive(&mut claim, NOTHING_YET, at(1) + TTL).await;
    assert!(matches!(kept, Err(ClaimError::Lost)));
    let ended = world.claims.complete(claim, artifact(), at(2) + TTL).await;
    assert!(matches!(ended, Err(ClaimError::Lost)));
    assert_eq!(world.record().await.status(), BackupStatus::Pending);
}

#[tokio::test]
async fn storage_may_stumble_while_the_claim_holds() {
    let world = World::new();
    let mut claim = world.granted(&job("1"), at(0)).await;
    let down = Fault::Refuse(StorageErrorKind::Unavailable);

    world.leases.fail_next(TableCall::Merge, down);
    world.claims.keep_alive(&mut claim, NOTHING_YET, at(30)).await.unwrap();
    // The record alone may stumble too: the lease is what keeps others away.
    world.history.fail_next(TableCall::Merge, down);
    world.claims.keep_alive(&mut claim, NOTHING_YET, at(60)).await.unwrap();
    assert_eq!(busy(world.claims.claim(&job("2"), at(61)).await), at(60) + TTL);

    // Once the claim has run out without a word to storage, nobody may go on.
    world.leases.fail_next(TableCall::Merge, down);
    let kept = world.claims.keep_alive(&mut claim, NOTHING_YET, at(60) + TTL).await;
    assert!(matches!(kept, Err(ClaimError::Storage(_))), "{kept:?}");
}
