//! What comes of asking for a claim, and of ending one, when nothing goes wrong.

use chrono::TimeDelta;

use super::world::{TTL, World, artifact, at, busy, failure, finished, job, job_of, planned};
use crate::clock::Clock;
use crate::models::{BackupState, BackupStatus, DumpProgress};
use crate::storage::{Backups, ClaimOutcome, MemoryBlobs, STUCK_AFTER, TableCall, jobs};

#[tokio::test]
async fn a_free_job_is_granted_and_its_record_begins() {
    let world = World::new();
    let claim = world.granted(&job("1"), at(5)).await;
    assert_eq!((claim.earlier_plan.clone(), claim.last_failure.clone()), (None, None));
    let record = world.record().await;
    assert_eq!(record, claim.backup);
    assert_eq!((record.created_at, record.retry_count), (at(0), 0));
    let BackupState::InProgress(attempt) = record.state else { panic!("{record:?}") };
    assert_eq!((attempt.started_at, attempt.heartbeat_at), (Some(at(5)), Some(at(5))));
}

#[tokio::test]
async fn the_record_that_the_sender_made_is_used() {
    let world = World::new();
    let job = job("1");
    let sent = Backups::over(world.history.clone(), Clock::system());
    sent.insert(&job.record()).await.unwrap();
    let claim = world.granted(&job, at(5)).await;
    assert_eq!(claim.backup.id, job.record().id);
    assert_eq!(world.records().await.len(), 1);
}

#[tokio::test]
async fn a_completed_job_is_finished_for_ever() {
    let world = World::new();
    let claim = world.granted(&job("1"), at(0)).await;
    let backup = world.claims.complete(claim, artifact(), at(90)).await.unwrap();
    assert_eq!(backup.artifact(), Some(&artifact()));
    assert_eq!(backup.run().seconds, Some(90.0));
    assert_eq!(world.record().await, backup);
    assert_eq!(world.leases().await, 0);
    for delivery in [90, 91, 100_000] {
        assert_eq!(finished(world.claims.claim(&job("1"), at(delivery)).await), BackupStatus::Completed);
    }
    assert_eq!(world.record().await, backup);
}

#[tokio::test]
async fn a_failed_job_is_finished_and_frees_its_database() {
    let world = World::new();
    let claim = world.granted(&job("1"), at(0)).await;
    let backup = world.claims.fail(claim, failure("no such database"), at(3)).await.unwrap();
    assert_eq!(backup.failure(), Some(&failure("no such database")));
    assert_eq!(finished(world.claims.claim(&job("1"), at(4)).await), BackupStatus::Failed);
    world.granted(&job("2"), at(4)).await;
}

#[tokio::test]
async fn one_database_has_one_dump_at_a_time() {
    let world = World::new();
    let claim = world.granted(&job("1"), at(0)).await;
    // The same job again, and another one of the same database.
    assert_eq!(busy(world.claims.claim(&job("1"), at(10)).await), at(0) + TTL);
    assert_eq!(busy(world.claims.claim(&job("2"), at(10)).await), at(0) + TTL);
    // Another database is free.
    let other = world.granted(&job_of("other", "3"), at(10)).await;
    world.claims.complete(claim, artifact(), at(20)).await.unwrap();
    let second = world.granted(&job("2"), at(20)).await;
    for claim in [other, second] {
        world.claims.complete(claim, artifact(), at(30)).await.unwrap();
    }
    assert_eq!(world.leases().await, 0);
}

#[tokio::test]
async fn a_failed_attempt_is_counted_and_explained_to_the_next() {
    let world = World::new();
    let mut claim = world.granted(&job("1"), at(0)).await;
    world.claims.plan(&mut claim, &planned("first")).await.unwrap();
    let waiting = world.claims.retry_later(claim, failure("the network broke")).await.unwrap();
    assert_eq!((waiting.status(), waiting.retry_count), (BackupStatus::Pending, 1));
    assert_eq!(world.record().await, waiting);
    assert_eq!(waiting.failure(), Some(&failure("the network broke")));

    // The database is free in between.
    let other = world.granted(&job("2"), at(10)).await;
    world.claims.complete(other, artifact(), at(20)).await.unwrap();

    let mut claim = world.granted(&job("1"), at(60)).await;
    assert_eq!(claim.backup.retry_count, 1);
    assert_eq!(claim.last_failure, Some(failure("the network broke")));
    assert_eq!(claim.earlier_plan, Some(planned("first")), "it may have been committed after all");
    world.claims.plan(&mut claim, &planned("second")).await.unwrap();
    world.claims.retry_later(claim, failure("again")).await.unwrap();

    let claim = world.granted(&job("1"), at(360)).await;
    assert_eq!(claim.backup.retry_count, 2);
    assert_eq!(claim.earlier_plan, Some(planned("second")));
    let done = world.claims.complete(claim, artifact(), at(400)).await.unwrap();
    assert_eq!((done.failure(), done.retry_count), (None, 2));
    let records = world.records().await;
    assert!(records.contains(&done), "what failed before is gone from the row: {records:?}");
}

#[tokio::test]
async fn a_long_attempt_that_failed_just_now_is_not_stuck() {
    let world = World::new();
    let mut claim = world.granted(&job("1"), at(0)).await;
    world.claims.keep_alive(&mut claim, DumpProgress::default(), at(7000)).await.unwrap();
    world.claims.retry_later(claim, failure("the network broke")).await.unwrap();
    let history = Backups::over(world.history.clone(), Clock::system());
    assert!(history.end_stuck(&MemoryBlobs::default(), at(7300)).await.unwrap().is_empty());
    assert_eq!(history.end_stuck(&MemoryBlobs::default(), at(7000) + STUCK_AFTER).await.unwrap().len(), 1);
}

/// Its message comes back and finds that others are at work, for longer than a record may be silent.
#[tokio::test]
async fn a_job_whose_processor_died_is_not_stuck_while_its_message_waits() {
    for finds_a_place in [true, false] {
        let world = World::new();
        let first = job("1");
        drop(world.granted(&first, at(0)).await);
        let mut other = world.granted(&job(if finds_a_place { "2" } else { "3" }), at(0) + TTL).await;
        let mut now = at(0) + TTL;
        while now < at(0) + STUCK_AFTER * 2 {
            now += TTL / 2;
            if finds_a_place {
                world.claims.keep_alive(&mut other, DumpProgress::default(), now).await.unwrap();
                busy(world.claims.claim(&first, now).await);
            } else {
                world.claims.waits(&first, now).await;
            }
        }
        let history = Backups::over(world.history.clone(), Clock::system());
        let ended = history.end_stuck(&MemoryBlobs::default(), now).await.unwrap();
        let first = first.record().id;
        assert!(ended.iter().all(|backup| backup.id != first), "{finds_a_place}: {ended:?}");
    }
}

#[tokio::test]
async fn a_message_that_comes_twice_notes_nothing_while_its_twin_works() {
    let world = World::new();
    let mut claim = world.granted(&job("1"), at(0)).await;
    // The lease lives, and the record was not written to for a while.
    for seconds in [100, 200, 300] {
        world.claims.confirm(&mut claim, at(seconds)).await.unwrap();
    }
    let before = world.history.calls(TableCall::Merge);
    let still_held = at(300) + TTL - TimeDelta::seconds(1);
    world.claims.waits(&job("1"), still_held).await;
    busy(world.claims.claim(&job("1"), still_held).await);
    assert_eq!(world.history.calls(TableCall::Merge), before);
    assert_eq!(world.record().await, claim.backup);
    world.claims.complete(claim, artifact(), still_held).await.unwrap();
    world.claims.waits(&job("1"), at(9000)).await;
    assert_eq!(world.record().await.status(), BackupStatus::Completed);
}

#[tokio::test]
async fn a_message_without_a_record_makes_one_however_often_it_comes() {
    let text = r#"{"id":"11af80c1-ba02-4ed0-a558-46f590ee7d79","database_id":"db","database_name":"Orders",
        "database_type":"mysql","host":"db1","port":3306,"database_name_target":"orders","username":"backup",
        "password_secret_name":null,"compression":true,"backup_destination":null,"triggered_by":"scheduler",
        "tier":"daily","created_at":"2025-12-05T10:00:00.024751","scheduled_at":"2025-12-05T10:00:00"}"#;
    let world = World::new();
    let claim = world.granted(&jobs::decode(text, at(1)).unwrap(), at(1)).await;
    let again = jobs::decode(text, at(2)).unwrap();
    busy(world.claims.claim(&again, at(2)).await);
    world.claims.complete(claim, artifact(), at(3)).await.unwrap();
    assert_eq!(
        finished(world.claims.claim(&jobs::decode(text, at(9)).unwrap(), at(9)).await),
        BackupStatus::Completed
    );
    // Put back into the queue, as a busy job is, it is still the same.
    let sent_on = jobs::decode(&jobs::encode(&again), at(10)).unwrap();
    assert_eq!(finished(world.claims.claim(&sent_on, at(10)).await), BackupStatus::Completed);
    assert_eq!(world.record().await.job_id, again.id);
}

#[tokio::test]
async fn two_claims_upload_under_different_names() {
    let world = World::new();
    let first = world.granted(&job("1"), at(0)).await;
    let second = world.granted(&job_of("other", "2"), at(0)).await;
    assert_ne!(first.attempt_bytes(), second.attempt_bytes());
    assert_ne!(first.attempt_bytes(), [0; 16]);
}

#[tokio::test]
async fn progress_is_recorded_with_each_sign_of_life() {
    let world = World::new();
    let mut claim = world.granted(&job("1"), at(0)).await;
    world.claims.plan(&mut claim, &planned("blob")).await.unwrap();
    let progress = DumpProgress { dumped_bytes: 5_000_000_000, uploaded_bytes: 700 };
    world.claims.keep_alive(&mut claim, progress, at(30)).await.unwrap();
    let BackupState::InProgress(attempt) = world.record().await.state else { panic!("it runs") };
    assert_eq!((attempt.heartbeat_at, attempt.started_at), (Some(at(30)), Some(at(0))));
    assert_eq!((attempt.progress, attempt.planned), (progress, Some(planned("blob"))));
}

#[tokio::test]
async fn an_unreadable_record_is_an_error_and_keeps_nobody_away() {
    use crate::storage::table::Table as _;
    let world = World::new();
    let entity = crate::storage::rows::Row::entity(&job("1").record());
    let broken = [("status".to_owned(), "resting".into())].into();
    world.history.insert_or_merge(&entity.key, &broken).await.unwrap();
    let error = world.claims.claim(&job("1"), at(0)).await.unwrap_err();
    assert!(!error.is_transient());
    assert_eq!(world.leases().await, 0);
    assert!(matches!(world.claims.claim(&job("2"), at(0)).await.unwrap(), ClaimOutcome::Granted(_)));
}
