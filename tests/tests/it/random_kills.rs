//! `kill -9` of whatever runs, at instants that nobody has chosen.
//!
//! What is killed, and when, is another thing each time; what must be true afterwards is not: every job has
//! one record that has ended, every completed one has one whole file, and there is no other file.

use std::collections::BTreeSet;
use std::time::Duration;

use end_to_end::servers::{mariadb, postgresql};
use end_to_end::stack::Stack;
use serde_json::Value;
use shared::clock::Clock;
use tokio::time::sleep;

use crate::kills::{Blobs as _, ROWS, ROWS_OF_POSTGRESQL};
use crate::plain_tools::gunzip;

/// How often everything is backed up, and how many processes die meanwhile.
const ROUNDS: usize = 3;
const DEATHS: usize = 7;

/// Numbers between 0 and one below a limit that differ from run to run.
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        Self(u64::from(Clock::system().now().timestamp_subsec_nanos()) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap()).unwrap()
    }
}

/// Kills the host in one of eight cases, else one of the processes below it. Returns whom.
async fn kill_somebody(stack: &mut Stack, chance: &mut Chance) -> String {
    sleep(Duration::from_millis(50 + u64::try_from(chance.below(800)).unwrap())).await;
    let all = stack.processes();
    if all.is_empty() || chance.below(8) == 0 {
        stack.kill_host();
        stack.start_host();
        return "host".to_owned();
    }
    let one = &all[chance.below(all.len())];
    one.kill();
    one.name.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_at_whatever_instant_nothing_is_lost_and_nothing_is_half() {
    let (mariadb, postgresql) = (mariadb::Server::get(), postgresql::Server::get());
    let mut stack = Stack::start().await;
    let mut databases = Vec::new();
    for name in ["e2e_random_1", "e2e_random_2"] {
        mariadb.create(name);
        mariadb.sql(name, ROWS);
        databases.push(stack.api.create_database(name, &mariadb.as_client(), name).await);
    }
    postgresql.create("e2e_random_3");
    postgresql.sql("e2e_random_3", ROWS_OF_POSTGRESQL);
    databases.push(stack.api.create_database("e2e_random_3", &postgresql.as_client(), "e2e_random_3").await);

    let mut chance = Chance::new();
    let (mut jobs, mut killed) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        stack.api.wait_until_healthy().await;
        for database in &databases {
            jobs.push((database.clone(), stack.api.trigger(database).await));
        }
        for _ in 0..DEATHS {
            killed.push(kill_somebody(&mut stack, &mut chance).await);
        }
        // A host ends when an app of it has died for the third time; the platform then starts another one.
        stack.kill_host();
        stack.start_host();
        stack.api.wait_until_healthy().await;
        for (database, job) in &jobs {
            stack.api.wait_for_end(database, job).await;
        }
    }

    let mut files = BTreeSet::new();
    for (database, job) in &jobs {
        let record = stack.api.record(database, job).await.unwrap();
        match record["status"].as_str() {
            Some("completed") => {
                let blob = record["blob_name"].as_str().unwrap();
                let sql = gunzip(&stack.api.download(blob).await);
                let end = String::from_utf8_lossy(&sql[sql.len() - 200..]).into_owned();
                let whole = end.contains("-- Dump completed") || end.contains("dump complete\n");
                assert!(whole, "{killed:?}: {record} {end}");
                assert!(files.insert(blob.to_owned()), "{killed:?}: two records share {blob}");
            }
            Some("failed") => {
                assert!(record["error_message"].as_str().is_some_and(|text| !text.is_empty()), "{record}");
                assert_eq!(record["blob_name"], Value::Null, "{record}");
            }
            _ => panic!("{killed:?}: {record}"),
        }
    }
    let stored: BTreeSet<String> = stack.blobs().await.into_iter().collect();
    assert_eq!(stored, files, "{killed:?}");
    assert!(!files.is_empty(), "{killed:?}: nothing was ever completed");
}
