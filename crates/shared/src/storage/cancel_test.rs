//! Tests of cancelling: of a backup and its cancellation one comes first, and the other finds out.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeMap;

use super::claims_test::world::{World, artifact, at, finished, granted, job, planned};
use super::{
    Backups, BlobAddress, BlobStore as _, CancelOutcome, ClaimError, CommitOptions, Fault, MemoryBlobs,
    StorageErrorKind, TableCall, committed,
};
use crate::clock::Clock;
use crate::models::{BackupId, BackupStatus};

fn backups(world: &World) -> Backups {
    Backups::over(world.history.clone(), Clock::fixed(at(0)))
}

fn id() -> BackupId {
    "record-of-1".parse().unwrap()
}

/// Stores a blob as an attempt at a job does.
async fn commit(blobs: &MemoryBlobs, name: &str, job: &str) {
    let blob = BlobAddress::from(&planned(name));
    blobs.create_container("backups").await.unwrap();
    blobs.stage(&blob, b"one", "x".into()).await.unwrap();
    let metadata = BTreeMap::from([(committed::JOB_ID.to_owned(), job.to_owned())]);
    let options = CommitOptions { metadata, ..CommitOptions::default() };
    blobs.commit(&blob, &[b"one".to_vec()], &options).await.unwrap();
}

async fn names(blobs: &MemoryBlobs) -> Vec<String> {
    blobs.list("backups", "", None, 100).await.unwrap().blobs.into_iter().map(|blob| blob.name).collect()
}

#[tokio::test]
async fn a_pending_backup_never_starts() {
    let (world, blobs) = (World::new(), MemoryBlobs::default());
    backups(&world).insert(&job("1").record()).await.unwrap();
    let outcome = backups(&world).cancel(&id(), &blobs, at(5)).await.unwrap();
    let CancelOutcome::Cancelled { backup, before } = outcome else { panic!("{outcome:?}") };
    assert_eq!((before, backup.status()), (BackupStatus::Pending, BackupStatus::Cancelled));
    assert_eq!(*backup, world.record().await);
    assert_eq!((backup.run().started_at, backup.run().finished_at), (None, Some(at(5))));
    assert_eq!(finished(world.claims.claim(&job("1"), at(6)).await), BackupStatus::Cancelled);
    let again = backups(&world).cancel(&id(), &blobs, at(7)).await.unwrap();
    assert_eq!(again, CancelOutcome::Finished(backup));
    let unknown = backups(&world).cancel(&"none".parse().unwrap(), &blobs, at(7)).await.unwrap();
    assert_eq!(unknown, CancelOutcome::NotFound);
}

#[tokio::test]
async fn a_running_backup_finds_out_at_its_next_sign_of_life_and_frees_its_database() {
    let (world, blobs) = (World::new(), MemoryBlobs::default());
    let mut claim = world.granted(&job("1"), at(0)).await;
    world.claims.plan(&mut claim, &planned("a")).await.unwrap();
    let outcome = backups(&world).cancel(&id(), &blobs, at(5)).await.unwrap();
    assert!(
        matches!(outcome, CancelOutcome::Cancelled { before: BackupStatus::InProgress, .. }),
        "{outcome:?}"
    );
    let lost = world.claims.keep_alive(&mut claim, crate::models::DumpProgress::default(), at(6)).await;
    assert!(matches!(lost, Err(ClaimError::Lost)), "{lost:?}");
    let record = world.record().await;
    assert_eq!((record.status(), record.run().started_at), (BackupStatus::Cancelled, Some(at(0))));
    // The next job of the database need not wait for the lease to run out.
    let next = job("2");
    assert_eq!(granted(world.claims.claim(&next, at(7)).await).backup.job_id, next.id);
}

#[tokio::test]
async fn of_a_commit_and_a_cancellation_the_first_one_wins() {
    // The cancellation comes first: nothing is committed, and no end of the attempt changes the record.
    let (world, blobs) = (World::new(), MemoryBlobs::default());
    let mut claim = world.granted(&job("1"), at(0)).await;
    world.claims.plan(&mut claim, &planned("a")).await.unwrap();
    backups(&world).cancel(&id(), &blobs, at(5)).await.unwrap();
    let late = world.claims.begin_commit(&mut claim, at(5)).await;
    assert!(matches!(late, Err(ClaimError::Lost)), "{late:?}");
    assert!(matches!(world.claims.complete(claim, artifact(), at(6)).await, Err(ClaimError::Lost)));
    assert_eq!(world.record().await.status(), BackupStatus::Cancelled);

    // The commit comes first: the backup will be complete, and is.
    let world = World::new();
    let mut claim = world.granted(&job("1"), at(0)).await;
    world.claims.plan(&mut claim, &planned("a")).await.unwrap();
    world.claims.begin_commit(&mut claim, at(5)).await.unwrap();
    assert_eq!(backups(&world).cancel(&id(), &blobs, at(5)).await.unwrap(), CancelOutcome::Committing);
    world.claims.complete(claim, artifact(), at(6)).await.unwrap();
    let late = backups(&world).cancel(&id(), &blobs, at(7)).await.unwrap();
    assert!(matches!(late, CancelOutcome::Finished(_)), "{late:?}");

    // The commit failed, so the job will come again; now it can be cancelled.
    let world = World::new();
    let mut claim = world.granted(&job("1"), at(0)).await;
    world.claims.begin_commit(&mut claim, at(5)).await.unwrap();
    world.claims.retry_later(claim, super::claims_test::world::failure("storage")).await.unwrap();
    let outcome = backups(&world).cancel(&id(), &blobs, at(6)).await.unwrap();
    assert!(matches!(outcome, CancelOutcome::Cancelled { before: BackupStatus::Pending, .. }), "{outcome:?}");

    // The processor died in its commit; whoever takes over can be cancelled.
    let world = World::new();
    let mut claim = world.granted(&job("1"), at(0)).await;
    world.claims.begin_commit(&mut claim, at(5)).await.unwrap();
    drop(claim);
    world.granted(&job("1"), at(1000)).await;
    let outcome = backups(&world).cancel(&id(), &blobs, at(1001)).await.unwrap();
    assert!(matches!(outcome, CancelOutcome::Cancelled { .. }), "{outcome:?}");
}

#[tokio::test]
async fn what_a_dead_attempt_had_committed_is_deleted() {
    for dies in [false, true] {
        let world = World::new();
        let blobs = MemoryBlobs::default();
        let mut claim = world.granted(&job("1"), at(0)).await;
        world.claims.plan(&mut claim, &planned("a")).await.unwrap();
        commit(&blobs, "a", "1").await;
        commit(&blobs, "a.globals", "1").await;
        commit(&blobs, "of another job", "2").await;
        drop(claim);
        let mut faulty = super::FaultyBlobs::new(blobs.clone());
        if dies {
            faulty = faulty.with(super::BlobCall::Delete, 1, Fault::Refuse(StorageErrorKind::Unavailable));
        }
        // That its file stays for now makes it no less cancelled.
        let cancelled = backups(&world).cancel(&id(), &faulty, at(5)).await.unwrap();
        assert!(matches!(cancelled, CancelOutcome::Cancelled { .. }), "{cancelled:?}");
        assert_eq!(names(&blobs).await.len(), if dies { 3 } else { 1 });
        assert_eq!(world.record().await.status(), BackupStatus::Cancelled);
        // Its file is no file of the history, and goes when the message of the job comes.
        assert_eq!(backups(&world).known_files().await.unwrap().planned, []);
        let record = world.record().await;
        backups(&world).discard_cancelled(&record, &blobs).await.unwrap();
        assert_eq!(names(&blobs).await, ["of another job"]);
        // Repeated, it has ended.
        let again = backups(&world).cancel(&id(), &blobs, at(6)).await.unwrap();
        assert!(matches!(again, CancelOutcome::Finished(_)), "{again:?}");
    }
}

#[tokio::test]
async fn a_backup_that_was_not_cancelled_keeps_its_file() {
    let (world, blobs) = (World::new(), MemoryBlobs::default());
    let mut claim = world.granted(&job("1"), at(0)).await;
    world.claims.plan(&mut claim, &planned("a")).await.unwrap();
    commit(&blobs, "a", "1").await;
    let record = world.record().await;
    backups(&world).discard_cancelled(&record, &blobs).await.unwrap();
    world.claims.complete(claim, artifact(), at(5)).await.unwrap();
    let record = world.record().await;
    backups(&world).discard_cancelled(&record, &blobs).await.unwrap();
    assert_eq!(names(&blobs).await, ["a"]);
}

#[tokio::test]
async fn a_cancellation_whose_answer_was_lost_is_one() {
    let (world, blobs) = (World::new(), MemoryBlobs::default());
    backups(&world).insert(&job("1").record()).await.unwrap();
    world.history.fail_next(TableCall::Merge, Fault::Lose(StorageErrorKind::Changed));
    let outcome = backups(&world).cancel(&id(), &blobs, at(5)).await.unwrap();
    assert!(matches!(outcome, CancelOutcome::Cancelled { before: BackupStatus::Pending, .. }), "{outcome:?}");
    // A sign of life comes in between: the version changes, the record is looked at again.
    let world = World::new();
    world.granted(&job("1"), at(0)).await;
    world.history.fail_next(TableCall::Merge, Fault::Refuse(StorageErrorKind::Changed));
    let outcome = backups(&world).cancel(&id(), &blobs, at(5)).await.unwrap();
    assert!(
        matches!(outcome, CancelOutcome::Cancelled { before: BackupStatus::InProgress, .. }),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_request_with_a_name_has_one_job_wherever_it_is_asked() {
    let world = World::new();
    let backups = backups(&world);
    let database = "db".parse().unwrap();
    let first = backups.reserve_request(&database, "k", at(0)).await.unwrap();
    assert!(!first.repeated && first.answered.is_none());
    let second = backups.reserve_request(&database, "k", at(60)).await.unwrap();
    assert!(second.repeated);
    assert_eq!(
        (&second.job_id, &second.backup_id, second.created_at),
        (&first.job_id, &first.backup_id, at(0))
    );
    for (other, name) in [("db", "K"), ("db2", "k")] {
        let other = backups.reserve_request(&other.parse().unwrap(), name, at(0)).await.unwrap();
        assert_ne!(other.job_id, first.job_id);
    }
    // One that came to nothing is made anew later, with the same ids.
    let later = backups.reserve_request(&database, "k", at(3600)).await.unwrap();
    assert_eq!((later.job_id.clone(), later.created_at), (first.job_id.clone(), at(3600)));
    backups.note_answer(&later, &"another".parse().unwrap()).await.unwrap();
    let answered = backups.reserve_request(&database, "k", at(9999)).await.unwrap();
    assert_eq!(answered.answered.map(|id| id.to_string()).as_deref(), Some("another"));
}
