//! Tests of what the scheduler remembers: two schedulers at once, crashes in between, damaged rows.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::filter::PARTITION;
use super::table::{Key, Query, Table as _, Value, query_all};
use super::{
    Fault, FaultyTable, Filter, MemoryTable, Reservation, SlotState, Slots, StorageErrorKind, TableCall,
};
use crate::models::{DatabaseId, Lane, Tier};

const DAILY: Lane = Lane::Tier(Tier::Daily);
const WEEKLY: Lane = Lane::Tier(Tier::Weekly);

fn slots() -> (Slots, FaultyTable) {
    let table = FaultyTable::new(MemoryTable::default());
    (Slots { table: Arc::new(table.clone()) }, table)
}

fn database() -> DatabaseId {
    "db-1".parse().unwrap()
}

fn at(hours: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::hours(hours)
}

fn reservation(lane: Lane, hours: i64) -> (Lane, Reservation) {
    (lane, Reservation::new(&database(), lane, at(hours), at(hours) + TimeDelta::microseconds(90_000_001)))
}

async fn state(slots: &Slots) -> SlotState {
    slots.all().await.unwrap().remove(&database()).unwrap_or_default()
}

#[test]
fn a_slot_has_one_job_whoever_computes_it() {
    let (_, first) = reservation(DAILY, 2);
    let again = Reservation::new(&database(), DAILY, at(2), at(7));
    assert_eq!((&first.job_id, &first.backup_id), (&again.job_id, &again.backup_id));
    let others = [
        Reservation::new(&database(), WEEKLY, at(2), at(7)),
        Reservation::new(&database(), Lane::Schedule, at(2), at(7)),
        Reservation::new(&database(), DAILY, at(3), at(7)),
        Reservation::new(&"db-2".parse().unwrap(), DAILY, at(2), at(7)),
    ];
    for other in others {
        assert_ne!(other.job_id, first.job_id);
        assert_ne!(other.backup_id, first.backup_id);
    }
}

#[tokio::test]
async fn reservations_of_all_lanes_are_remembered_apart() {
    let (slots, _) = slots();
    let lanes = Tier::ALL.iter().map(|tier| Lane::Tier(*tier)).chain([Lane::Schedule]);
    let reserved: Vec<_> = lanes.zip(1..).map(|(lane, hours)| reservation(lane, hours)).collect();
    let mut first = SlotState::default();
    assert!(slots.reserve(&database(), &mut first, &reserved).await.unwrap());
    assert_eq!(first.lanes, reserved.iter().cloned().collect());
    assert_eq!(state(&slots).await.lanes, first.lanes, "to the microsecond");

    let mut later = state(&slots).await;
    assert!(slots.reserve(&database(), &mut later, &[reservation(DAILY, 30)]).await.unwrap());
    let now = state(&slots).await;
    assert_eq!(now.lanes[&DAILY], reservation(DAILY, 30).1);
    assert_eq!(now.lanes[&WEEKLY], first.lanes[&WEEKLY], "other lanes stay");
    slots.forget(&database()).await.unwrap();
    slots.forget(&database()).await.unwrap();
    assert!(slots.all().await.unwrap().is_empty());
}

#[tokio::test]
async fn of_two_schedulers_one_serves() {
    let (slots, _) = slots();
    for hours in [2, 26] {
        // Both have read the same, the first time nothing at all.
        let (mut one, mut two) = (state(&slots).await, state(&slots).await);
        let won = slots.reserve(&database(), &mut one, &[reservation(DAILY, hours)]).await.unwrap();
        let lost = slots.reserve(&database(), &mut two, &[reservation(DAILY, hours)]).await.unwrap();
        assert_eq!((won, lost), (true, false));
        assert!(
            two.lanes.get(&DAILY).is_none_or(|found| found.slot != at(hours)),
            "the loser has nothing to send"
        );
        slots.mark_queued(&database(), &mut one, &[DAILY]).await.unwrap();
        assert!(one.lanes[&DAILY].queued && state(&slots).await.lanes[&DAILY].queued);
    }
}

#[tokio::test]
async fn a_crash_before_the_message_is_made_up_for() {
    let (slots, _) = slots();
    let mut before = SlotState::default();
    slots.reserve(&database(), &mut before, &[reservation(DAILY, 2), reservation(WEEKLY, 3)]).await.unwrap();
    // It sent the daily job and died before the weekly one.
    slots.mark_queued(&database(), &mut before, &[DAILY]).await.unwrap();
    drop(before);
    let mut after = state(&slots).await;
    let open: Vec<Lane> =
        after.lanes.iter().filter(|(_, found)| !found.queued).map(|(lane, _)| *lane).collect();
    assert_eq!(open, [WEEKLY]);
    assert_eq!(after.lanes[&WEEKLY], reservation(WEEKLY, 3).1, "the same job is sent");
    slots.mark_queued(&database(), &mut after, &open).await.unwrap();
    // A new slot of the lane is open again.
    assert!(slots.reserve(&database(), &mut after, &[reservation(WEEKLY, 171)]).await.unwrap());
    assert!(!state(&slots).await.lanes[&WEEKLY].queued);
}

#[tokio::test]
async fn a_mark_that_comes_late_hides_no_newer_slot() {
    let (slots, _) = slots();
    let mut slow = SlotState::default();
    slots.reserve(&database(), &mut slow, &[reservation(DAILY, 2)]).await.unwrap();
    let mut fast = state(&slots).await;
    slots.reserve(&database(), &mut fast, &[reservation(DAILY, 26)]).await.unwrap();
    slots.mark_queued(&database(), &mut slow, &[DAILY]).await.unwrap();
    let now = state(&slots).await;
    assert_eq!((now.lanes[&DAILY].slot, now.lanes[&DAILY].queued), (at(26), false));
    // Neither does one for a database that was forgotten bring it back.
    slots.forget(&database()).await.unwrap();
    slots.mark_queued(&database(), &mut fast, &[DAILY]).await.unwrap();
    assert!(slots.all().await.unwrap().is_empty());
}

#[tokio::test]
async fn lost_answers_lose_no_slot() {
    for fault in [Fault::Lose(StorageErrorKind::Unavailable), Fault::Lose(StorageErrorKind::AlreadyExists)] {
        let (slots, table) = slots();
        table.fail_next(TableCall::Insert, fault);
        let reserved = slots.reserve(&database(), &mut SlotState::default(), &[reservation(DAILY, 2)]).await;
        assert!(!reserved.unwrap_or(false));
        let mut next_tick = state(&slots).await;
        assert!(!next_tick.lanes[&DAILY].queued, "the next tick sends it");
        table.fail_next(TableCall::Merge, Fault::Refuse(StorageErrorKind::Unavailable));
        assert!(slots.mark_queued(&database(), &mut next_tick, &[DAILY]).await.is_err());
        assert!(!next_tick.lanes[&DAILY].queued);
    }
}

#[tokio::test]
async fn what_cannot_be_read_counts_as_never_served() {
    let (slots, table) = slots();
    let mut state_of_one = SlotState::default();
    slots
        .reserve(&database(), &mut state_of_one, &[reservation(DAILY, 2), reservation(WEEKLY, 3)])
        .await
        .unwrap();
    let row = query_all(&table, &Query::matching(Filter::eq(PARTITION, "slots"))).await.unwrap().remove(0);
    let damages: [(&str, Value); 4] = [
        ("daily_slot", "soon".into()),
        ("daily_job_id", "a/b".into()),
        ("daily_backup_id", "".into()),
        ("daily_created_at", 7.into()),
    ];
    for (name, value) in damages {
        let whole = row.properties[name].clone();
        table.insert_or_merge(&row.key, &[(name.to_owned(), value)].into()).await.unwrap();
        let found = state(&slots).await;
        assert_eq!(found.lanes.keys().copied().collect::<Vec<_>>(), [WEEKLY], "{name}");
        table.insert_or_merge(&row.key, &[(name.to_owned(), whole)].into()).await.unwrap();
    }
    table.insert_or_merge(&Key::new("slots", "no id"), &[("x".to_owned(), 1.into())].into()).await.unwrap();
    let all = slots.all().await.unwrap();
    assert_eq!(all.keys().collect::<Vec<_>>(), [&database()]);
    // A lane that could not be read is served anew.
    table.insert_or_merge(&row.key, &[("daily_slot".to_owned(), "soon".into())].into()).await.unwrap();
    let mut broken = state(&slots).await;
    assert!(slots.reserve(&database(), &mut broken, &[reservation(DAILY, 26)]).await.unwrap());
    assert_eq!(state(&slots).await.lanes[&DAILY], reservation(DAILY, 26).1);
}
