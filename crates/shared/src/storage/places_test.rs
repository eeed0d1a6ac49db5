//! Tests of the places on database servers: the limit, what the dead leave behind, and whose turn it is.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::places::{Place, PlaceOutcome, Places};
use super::table::{Key, Properties, Table as _};
use super::{Fault, FaultyTable, Leases, MemoryTable, StorageErrorKind, TableCall};
use crate::models::{EngineId, JobId};

const TTL: Duration = Duration::from_mins(2);

fn places() -> (Places, FaultyTable) {
    let table = FaultyTable::new(MemoryTable::default());
    (Places { leases: Leases { table: Arc::new(table.clone()) }, ttl: TTL }, table)
}

fn engine() -> EngineId {
    "main".parse().unwrap()
}

fn job(name: &str) -> JobId {
    name.parse().unwrap()
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

async fn ask(places: &Places, most: u16, name: &str, now: i64) -> PlaceOutcome {
    places.take(&engine(), most, (&job(name), at(0)), at(now)).await.unwrap()
}

async fn granted(places: &Places, most: u16, name: &str, now: i64) -> Place {
    match ask(places, most, name, now).await {
        PlaceOutcome::Granted(place) => place,
        PlaceOutcome::Full { .. } => panic!("{name} found no place"),
    }
}

/// Asks in vain; tells whether the next place is kept for the job.
async fn refused(places: &Places, most: u16, (name, since): (&str, i64), now: i64) -> bool {
    match places.take(&engine(), most, (&job(name), at(since)), at(now)).await.unwrap() {
        PlaceOutcome::Granted(_) => panic!("{name} found a place"),
        PlaceOutcome::Full { is_next } => is_next,
    }
}

#[tokio::test]
async fn there_are_as_many_as_the_server_bears() {
    let (places, _) = places();
    let first = granted(&places, 2, "a", 0).await;
    let _second = granted(&places, 2, "b", 0).await;
    assert!(!refused(&places, 2, ("c", 0), 1).await);
    let other: EngineId = "other".parse().unwrap();
    let elsewhere = places.take(&other, 1, (&job("d"), at(0)), at(1)).await.unwrap();
    assert!(matches!(elsewhere, PlaceOutcome::Granted(_)), "each server has its own");
    places.leave(first).await;
    granted(&places, 2, "c", 2).await;
}

#[tokio::test]
async fn the_place_of_a_dead_processor_is_free_when_its_lease_has_run_out() {
    let (places, _) = places();
    let mut place = granted(&places, 1, "a", 0).await;
    assert!(places.keep(&mut place, at(61)).await.unwrap());
    assert!(!refused(&places, 1, ("b", 0), 180).await, "a sign of life came at 61");
    let _place_of_b = granted(&places, 1, "b", 181).await;
    assert!(!places.keep(&mut place, at(182)).await.unwrap(), "somebody else is there");
    places.leave(place).await;
    assert!(!refused(&places, 1, ("c", 182), 183).await, "what is not its own is not given back");
}

#[tokio::test]
async fn places_beyond_a_limit_that_was_lowered_count_until_they_are_left() {
    let (places, _) = places();
    let first = granted(&places, 3, "a", 0).await;
    let second = granted(&places, 3, "b", 0).await;
    let third = granted(&places, 3, "c", 0).await;
    places.leave(first).await;
    refused(&places, 1, ("d", 0), 1).await;
    places.leave(second).await;
    refused(&places, 1, ("d", 0), 1).await;
    places.leave(third).await;
    granted(&places, 1, "d", 1).await;
}

#[tokio::test]
async fn storage_that_stumbles_costs_no_place_while_it_holds() {
    let (places, table) = places();
    let mut place = granted(&places, 1, "a", 0).await;
    table.fail_next(TableCall::Merge, Fault::Refuse(StorageErrorKind::Unavailable));
    assert!(places.keep(&mut place, at(100)).await.unwrap());
    table.fail_next(TableCall::Merge, Fault::Refuse(StorageErrorKind::Unavailable));
    assert!(places.keep(&mut place, at(121)).await.is_err(), "nobody knows whose it is now");
}

#[tokio::test]
async fn who_has_waited_long_has_the_next_place() {
    let (places, _) = places();
    let place = granted(&places, 1, "x", 0).await;
    assert!(!refused(&places, 1, ("old", 0), 60).await, "not yet");
    let mut place = place;
    assert!(places.keep(&mut place, at(100)).await.unwrap());
    assert!(places.keep(&mut place, at(200)).await.unwrap());
    assert!(places.keep(&mut place, at(300)).await.unwrap());
    assert!(refused(&places, 1, ("old", 0), 300).await);
    assert!(refused(&places, 1, ("older", -1), 301).await, "who was there before comes first");
    assert!(!refused(&places, 1, ("old", 0), 302).await);
    places.leave(place).await;
    assert!(!refused(&places, 1, ("new", 300), 303).await, "the free place is kept");
    assert!(!refused(&places, 1, ("old", 0), 303).await);
    let place = granted(&places, 1, "older", 304).await;
    // The turn is over with the place, and goes to the next who asks.
    assert!(refused(&places, 1, ("old", 0), 305).await);
    places.leave(place).await;
    // Whoever does not come back keeps the others waiting for a while, and not for ever.
    assert!(!refused(&places, 1, ("new", 300), 424).await);
    granted(&places, 1, "new", 426).await;
}

#[tokio::test]
async fn the_turn_of_a_job_that_has_ended_keeps_nobody_waiting() {
    let (places, table) = places();
    let place = granted(&places, 1, "x", 300).await;
    assert!(refused(&places, 1, ("old", 0), 301).await);
    places.leave(place).await;
    places.give_up(&job("another")).await;
    refused(&places, 1, ("new", 300), 302).await;
    table.fail_next(TableCall::Query, Fault::Refuse(StorageErrorKind::Unavailable));
    places.give_up(&job("old")).await;
    refused(&places, 1, ("new", 300), 303).await;
    places.give_up(&job("old")).await;
    granted(&places, 1, "new", 304).await;
}

#[tokio::test]
async fn a_turn_keeps_one_place_and_no_more() {
    let (places, _) = places();
    let [first, second] = [granted(&places, 2, "x", 300).await, granted(&places, 2, "y", 300).await];
    assert!(refused(&places, 2, ("old", 0), 301).await);
    places.leave(first).await;
    refused(&places, 2, ("new", 300), 302).await;
    places.leave(second).await;
    granted(&places, 2, "new", 303).await;
    granted(&places, 2, "old", 304).await;
}

#[tokio::test]
async fn a_turn_that_cannot_be_read_is_nobodys() {
    let (places, table) = places();
    let broken = Properties::from([("job_id".to_owned(), 7.into())]);
    table.insert_or_merge(&Key::new("place.main", "turn"), &broken).await.unwrap();
    let _place = granted(&places, 1, "x", 300).await;
    assert!(refused(&places, 1, ("old", 0), 301).await);
}

#[tokio::test]
async fn a_lost_answer_costs_no_place() {
    let (places, table) = places();
    table.fail_next(TableCall::Insert, Fault::Lose(StorageErrorKind::AlreadyExists));
    let place = granted(&places, 1, "a", 0).await;
    places.leave(place).await;
    granted(&places, 1, "b", TimeDelta::seconds(1).num_seconds()).await;
}
