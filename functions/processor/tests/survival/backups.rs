//! Backups.

use std::fs;
use std::time::Duration;

use shared::models::BackupStatus;
use shared::storage::Life;

use crate::world::World;

const FUNCTION: &str = "backup_processor";

/// Looks at what a processor has left that died over a message, or did not, and lets the host go on.
async fn goes_on(world: &World, message: &str, died: bool, when: &str) {
    // A file that is there is whole, and there is never more than one.
    assert!(world.files().await.len() <= 1, "{when}");
    world.let_start(None);
    // The host delivers a message again that was not acknowledged.
    world.drain(FUNCTION, if died { vec![message.to_owned()] } else { Vec::new() }).await;
    world.is_whole(1, when).await;
    // Late, once more: nothing changes.
    world.drain(FUNCTION, vec![message.to_owned()]).await;
    world.is_whole(1, when).await;
    assert!(world.records().await[0].retry_count <= 1, "{when}");
    if !died {
        assert_eq!(world.leases().await, 0, "{when}");
    }
}

#[tokio::test]
async fn a_processor_that_dies_between_any_two_effects_leaves_one_whole_backup() {
    let mut effects = 0;
    let mut points;
    loop {
        let world = World::new().await;
        let message = world.queued("1").await;
        let life = Life::of(effects);
        let died = world.deliver(&life, FUNCTION, &message).await.is_none();
        points = life.names();
        goes_on(&world, &message, died, &format!("before {:?} of {points:?}", points.last())).await;
        if !died {
            break;
        }
        effects += 1;
    }
    insta::assert_snapshot!(points.join("\n"), @"
    insert backupleases
    upsert backupdays
    update backuphistory
    create container blob
    update backuphistory
    stage blob
    update backupleases
    update backuphistory
    commit blob
    upsert backupdays
    insert backupindex
    update backuphistory
    delete backupleases
    insert auditlogs
    ");
}

#[tokio::test]
async fn a_processor_that_dies_when_it_starts_a_client_program_leaves_one_whole_backup() {
    let mut starts = 0;
    let mut points;
    loop {
        let world = World::new().await;
        let message = world.queued("1").await;
        world.let_start(Some(starts));
        let died = world.deliver(&Life::endless(), FUNCTION, &message).await.is_none();
        points = world.starts();
        assert!(!died || world.files().await.is_empty(), "a file without a dump");
        goes_on(&world, &message, died, &format!("at {:?}", points.last())).await;
        if !died {
            break;
        }
        starts += 1;
    }
    insta::assert_snapshot!(points.join("\n"), @"
    mysql --version
    mysql --defaults-file
    mysqldump --version
    mysql --defaults-file
    mysql --defaults-file
    mysqldump --defaults-file
    ");
}

#[tokio::test]
async fn a_message_that_comes_twice_at_once_is_one_backup() {
    for seed in 0..16 {
        let world = World::new().await;
        let message = world.queued("1").await;
        let [one, two] = [seed * 31, seed * 77 + 5].map(|seed| Life::endless().among_others(seed));
        let (one, two) =
            tokio::join!(world.deliver(&one, FUNCTION, &message), world.deliver(&two, FUNCTION, &message));
        assert_eq!((one, two), (Some(200), Some(200)), "seed {seed}");
        world.drain(FUNCTION, Vec::new()).await;
        world.is_whole(1, &format!("seed {seed}")).await;
        assert_eq!(world.records().await[0].retry_count, 0, "seed {seed}: waiting is no retry");
    }
}

#[tokio::test]
async fn a_message_that_becomes_visible_while_its_dump_runs_waits_and_starts_no_second_dump() {
    let world = World::new().await;
    let message = world.queued("1").await;
    fs::write(world.file("wait"), "").unwrap();
    let life = Life::endless();
    let dumping = world.deliver(&life, FUNCTION, &message);
    let meanwhile = async {
        while !world.starts().iter().any(|start| start.starts_with("mysqldump --defaults")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // The host of another instance has it now, and then again.
        for _ in 0..2 {
            assert_eq!(world.deliver(&Life::endless(), FUNCTION, &message).await, Some(200));
            let waiting = world.queue.take();
            assert_eq!(waiting.len(), 1, "it waits in the queue");
            assert!(waiting[0].1 >= Duration::from_secs(1));
        }
        assert_eq!(world.records().await[0].status(), BackupStatus::InProgress);
        fs::remove_file(world.file("wait")).unwrap();
    };
    assert_eq!(tokio::join!(dumping, meanwhile).0, Some(200));
    let dumps = world.starts().iter().filter(|start| start.starts_with("mysqldump --defaults")).count();
    assert_eq!(dumps, 1);
    world.drain(FUNCTION, vec![message]).await;
    world.is_whole(1, "after the dump").await;
}
