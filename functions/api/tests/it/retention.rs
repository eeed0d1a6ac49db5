//! What the preview says is what the next run of retention does.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;
use shared::models::{
    Artifact, Backup, BackupId, BackupJob, BackupState, BackupStatus, Cause, Failure, JobId, Pin, Run, Tier,
    Warnings,
};
use shared::prune::{self, Outcome, Pruned};
use shared::storage::{BackupFilter, BlobAddress};

use crate::support::World;

/// A backup of some history.
#[derive(Debug, Clone)]
struct Past {
    tier: Option<Tier>,
    hours: i64,
    status: BackupStatus,
    is_pinned: bool,
    is_verified: bool,
}

fn past() -> impl Strategy<Value = Past> {
    let status = prop_oneof![
        6 => Just(BackupStatus::Completed),
        2 => proptest::sample::select(BackupStatus::ALL)
    ];
    let tier = proptest::option::weighted(0.7, proptest::sample::select(Tier::ALL));
    let (is_pinned, is_verified) = (proptest::bool::weighted(0.1), proptest::bool::weighted(0.1));
    (tier, 0_i64..3000, status, is_pinned, is_verified).prop_map(
        |(tier, hours, status, is_pinned, is_verified)| Past { tier, hours, status, is_pinned, is_verified },
    )
}

/// A history of either of two databases, and how many of its last backups have failed.
fn histories() -> impl Strategy<Value = [(Vec<Past>, usize); 2]> {
    let history = || (proptest::collection::vec(past(), 0..25), 0_usize..5);
    (history(), history()).prop_map(|(one, two)| [one, two])
}

impl Past {
    async fn store(&self, world: &World, database: &str, number: usize) {
        let now = world.state.clock.now();
        let created_at = now - chrono::TimeDelta::hours(self.hours) - chrono::TimeDelta::minutes(1);
        let configured = world.state.storage.databases.get(&database.parse().unwrap()).await;
        let configured = configured.unwrap().unwrap().value;
        let key = [database, &number.to_string()];
        let ids = (JobId::derived(&key), BackupId::derived(&key));
        let made = BackupJob::new(&configured, Cause::Manual, ids, created_at).record();
        let blob_name = format!("mysql/{database}/{number}.sql.gz");
        let run = Run::between(created_at, created_at);
        let state = match self.status {
            BackupStatus::Completed => {
                world.put(&BlobAddress::new("backups", blob_name.clone()), 1).await;
                let artifact = Artifact {
                    blob_name,
                    blob_url: None,
                    container: None,
                    bytes: Some(1),
                    format: None,
                    sha256: None,
                    consistency: None,
                    warnings: Warnings::default(),
                    globals: None,
                };
                BackupState::Completed { run, artifact: Some(artifact) }
            }
            BackupStatus::Failed => BackupState::Failed { run, failure: Failure::new("Test", "no") },
            BackupStatus::Cancelled => BackupState::Cancelled { run, reason: None },
            BackupStatus::Pending => BackupState::Pending { last_failure: None },
            BackupStatus::InProgress => BackupState::InProgress(shared::models::Attempt::default()),
        };
        let mut backup = Backup { tier: self.tier, state, ..made };
        backup.marks.pinned = self.is_pinned.then(|| Pin { at: now, by: "ann@example.org".to_owned() });
        backup.marks.verified_at = self.is_verified.then_some(now);
        world.state.storage.backups.insert(&backup).await.unwrap();
    }
}

async fn ids(world: &World) -> BTreeSet<String> {
    let backups = world.state.storage.backups.list(&BackupFilter::default()).await.unwrap();
    backups.into_iter().map(|backup| backup.id.to_string()).collect()
}

async fn preview_is_prune(histories: [(Vec<Past>, usize); 2], days: Option<u16>) -> usize {
    let world = World::new();
    world.state.storage.policies.seed(world.state.clock.now()).await.unwrap();
    for ((history, failures), id) in histories.iter().zip(["d-1", "d-2"]) {
        let policy = if id == "d-1" { "development" } else { "production-critical" };
        world.create_database(id, json!({"policy_id": policy, "retention_days": days})).await;
        for (number, past) in history.iter().enumerate() {
            past.store(&world, id, number).await;
        }
        for number in 0..*failures {
            let status = BackupStatus::Failed;
            let failed = Past { tier: None, hours: 0, status, is_pinned: false, is_verified: false };
            failed.store(&world, id, 100 + number).await;
        }
    }
    let before = ids(&world).await;
    let (mut stay, mut go) = (BTreeSet::new(), BTreeSet::new());
    for id in ["d-1", "d-2"] {
        let answer = world.get(&format!("/retention/preview?database_id={id}")).await;
        for decided in answer["backups"].as_array().unwrap() {
            let id = decided["backup_id"].as_str().unwrap().to_owned();
            let set = if decided["decision"] == "delete" { &mut go } else { &mut stay };
            assert!(set.insert(id));
        }
    }
    assert_eq!(ids(&world).await, before, "a preview deletes nothing");
    let outcome = prune::run(&world.state.storage, &world.state.clock).await.unwrap();
    let Outcome::Done(Pruned { deleted, kept, refused: 0, failed: 0, .. }) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!((deleted, kept), (go.len(), stay.len()));
    assert_eq!(ids(&world).await, stay);
    deleted
}

#[test]
fn the_preview_of_any_history_is_what_the_next_run_does() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(24));
    let deleted = std::cell::Cell::new(0);
    let any = (histories(), proptest::option::of(1_u16..100));
    let outcome = runner.run(&any, |(histories, days)| {
        deleted.set(deleted.get() + runtime.block_on(preview_is_prune(histories, days)));
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    assert!(deleted.get() > 50, "only {} were deleted", deleted.get());
}
