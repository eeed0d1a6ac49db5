//! Restores whose message was never sent, or is lost.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use scheduler::{AppState, tick};
use shared::clock::Clock;
use shared::config::{Config, Source};
use shared::models::{
    BackupStatus, Place, Restore, RestoreId, RestoreMode, RestorePhase, RestoreProgress, Run, Warnings,
};
use shared::storage::{
    Fault, FaultyQueue, Jobs, MemoryQueue, QueueCall, Storage, StorageErrorKind, restores,
};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn restore(id: &str) -> Restore {
    Restore {
        id: id.parse().unwrap(),
        backup_id: "b-1".parse().unwrap(),
        database_type: "mysql".parse().unwrap(),
        container: "backups".parse().unwrap(),
        blob_name: "mysql/d/x.sql.gz".to_owned(),
        blob_bytes: None,
        sha256: None,
        place: Place::Engine("e-1".parse().unwrap()),
        database: "shop".parse().unwrap(),
        mode: RestoreMode::New,
        keep_failed: false,
        requested_by: "a@example.org".to_owned(),
        created_at: at("2026-03-04T10:00:00Z"),
        sent_at: None,
        status: BackupStatus::Pending,
        phase: RestorePhase::Waiting,
        failed_in: None,
        cancel_requested: false,
        claim: None,
        heartbeat_at: None,
        progress: RestoreProgress::default(),
        work_database: None,
        has_made: false,
        run: Run::default(),
        failure: None,
        failed_line: None,
        adapted: Warnings::default(),
        warnings: Warnings::default(),
    }
}

/// Runs a tick at each of these times and returns which restores it has sent messages of.
async fn sent(restores: &[Restore], times: &[&str]) -> Vec<Vec<RestoreId>> {
    let config = Config::read(&Source::of(&[])).unwrap();
    let (mut storage, _) = Storage::memory(&config);
    let memory = MemoryQueue::default();
    let other = || Arc::new(MemoryQueue::default());
    // The very first message cannot be sent.
    let refuse = Fault::Refuse(StorageErrorKind::Unavailable);
    let queue = FaultyQueue::new(memory.clone()).with(QueueCall::Send, 1, refuse);
    storage.jobs = Jobs::new(other(), other(), Arc::new(queue));
    storage.prepare(at(times[0])).await.unwrap();
    for restore in restores {
        storage.restores.insert(restore).await.unwrap();
    }
    let state = AppState { storage, clock: Clock::fixed(at(times[0])), jitter: Duration::ZERO };
    let mut all = Vec::new();
    for time in times {
        state.clock.set(at(time));
        tick(&state).await.unwrap();
        all.push(memory.take().iter().filter_map(|(text, _)| restores::decode(text)).collect());
    }
    all
}

#[tokio::test]
async fn a_restore_whose_message_was_never_sent_gets_one_and_only_one() {
    let times =
        ["2026-03-04T10:04:59Z", "2026-03-04T10:15:00Z", "2026-03-04T10:30:00Z", "2026-03-04T10:45:00Z"];
    let unsent = restore("r-1");
    // Too young; refused by the queue; sent; noted as sent.
    let ids = |messages: &[RestoreId]| messages.len();
    let messages = sent(std::slice::from_ref(&unsent), &times).await;
    assert_eq!(messages.iter().map(|messages| ids(messages)).collect::<Vec<_>>(), [0, 0, 1, 0]);
    assert_eq!(messages[2], [unsent.id]);
}

#[tokio::test]
async fn messages_that_are_taken_for_lost_are_sent_again_and_those_of_what_has_ended_never() {
    let sent_at = Some(at("2026-03-04T10:00:01Z"));
    let queued = Restore { sent_at, ..restore("queued") };
    let running = Restore {
        sent_at,
        status: BackupStatus::InProgress,
        heartbeat_at: Some(at("2026-03-04T10:20:00Z")),
        ..restore("running")
    };
    let ended = Restore { status: BackupStatus::Failed, ..restore("ended") };
    let cancelled = Restore { status: BackupStatus::Cancelled, ..restore("cancelled") };
    let refused = restore("refused");
    let times =
        ["2026-03-04T11:15:00Z", "2026-03-04T11:30:00Z", "2026-03-04T11:45:00Z", "2026-03-05T10:01:00Z"];
    let messages = sent(&[queued, running, ended, cancelled, refused], &times).await;
    let names: Vec<String> =
        messages.iter().map(|ids| ids.iter().map(RestoreId::as_str).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(names, ["", "refused running", "", "queued running"]);
}
