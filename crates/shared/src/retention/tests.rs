//! Retention by example, by property, and against a model that only counts.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::models::{BackupPolicy, TierConfig, system_policies};

fn now() -> DateTime<Utc> {
    "2026-03-04T02:00:00Z".parse().unwrap()
}

fn policy(keep_counts: [u32; 5]) -> BackupPolicy {
    let mut policy = system_policies(DateTime::UNIX_EPOCH).remove(0);
    let tiers =
        [&mut policy.hourly, &mut policy.daily, &mut policy.weekly, &mut policy.monthly, &mut policy.yearly];
    for (tier, keep_count) in tiers.into_iter().zip(keep_counts) {
        *tier = TierConfig { enabled: true, keep_count, ..*tier };
    }
    policy
}

/// Builds a completed backup of some days before now.
fn completed(id: &str, tier: Option<Tier>, days: i64) -> Record {
    Record {
        id: id.parse().unwrap(),
        tier,
        status: BackupStatus::Completed,
        created_at: now() - TimeDelta::days(days),
        has_blob: true,
        is_pinned: false,
        is_verified: false,
        is_being_deleted: false,
    }
}

fn shown(rules: &Rules, records: &[Record]) -> String {
    let decisions = retention(rules, records, now());
    decisions
        .iter()
        .map(|decision| format!("{} {}", decision.id, decision.verdict))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn each_tier_keeps_its_newest() {
    let records = [
        completed("d3", Some(Tier::Daily), 3),
        completed("d1", Some(Tier::Daily), 1),
        completed("d2", Some(Tier::Daily), 2),
        completed("w9", Some(Tier::Weekly), 9),
        completed("w400", Some(Tier::Weekly), 400),
        completed("y800", Some(Tier::Yearly), 800),
        completed("y400", Some(Tier::Yearly), 400),
    ];
    insta::assert_snapshot!(shown(&Rules::new(&policy([1, 2, 5, 1, 1]), None, 30), &records), @"
    d3 deleted: the daily tier keeps 2, and there are as many newer ones
    d1 kept: the newest backup of the database
    d2 kept: place 2 of 2 in the daily tier
    w9 kept: place 1 of 5 in the weekly tier
    w400 kept: place 2 of 5 in the weekly tier
    y800 deleted: the yearly tier keeps 1, and there are as many newer ones
    y400 kept: place 1 of 1 in the yearly tier
    ");
}

#[test]
fn a_count_of_zero_deletes_nothing_and_a_tier_that_is_off_is_still_trimmed() {
    let mut policy = policy([0, 1, 0, 0, 0]);
    policy.daily.enabled = false;
    let records = [
        completed("h1", Some(Tier::Hourly), 1),
        completed("h900", Some(Tier::Hourly), 900),
        completed("d2", Some(Tier::Daily), 2),
        completed("d3", Some(Tier::Daily), 3),
    ];
    insta::assert_snapshot!(shown(&Rules::new(&policy, None, 30), &records), @"
    h1 kept: the newest backup of the database
    h900 kept: the hourly tier has no limit
    d2 kept: place 1 of 1 in the daily tier
    d3 deleted: the daily tier keeps 1, and there are as many newer ones
    ");
}

#[test]
fn backups_without_a_tier_go_by_age() {
    let records = [completed("m0", None, 0), completed("m30", None, 30), completed("m31", None, 31)];
    insta::assert_snapshot!(shown(&Rules::new(&policy([1; 5]), None, 30), &records), @"
    m0 kept: the newest backup of the database
    m30 kept: without a tier and not older than 30 days
    m31 deleted: without a tier and older than 30 days
    ");
    insta::assert_snapshot!(shown(&Rules::new(&policy([1; 5]), Some(3650), 30), &records), @"
    m0 kept: the newest backup of the database
    m30 kept: without a tier and not older than 3650 days
    m31 kept: without a tier and not older than 3650 days
    ");
}

#[test]
fn the_newest_that_can_be_restored_stays_however_old_it_is() {
    let empty = Record { has_blob: false, ..completed("empty", None, 400) };
    let records = [completed("m500", None, 500), completed("m501", None, 501), empty];
    insta::assert_snapshot!(shown(&Rules::new(&policy([1; 5]), None, 30), &records), @"
    m500 kept: the newest backup of the database
    m501 deleted: without a tier and older than 30 days
    empty kept: completed without an artifact, which needs a look
    ");
}

#[test]
fn what_is_not_completed_stays_until_it_is_of_no_use() {
    let with =
        |id, status, days| Record { status, has_blob: false, ..completed(id, Some(Tier::Daily), days) };
    let records = [
        with("pending", BackupStatus::Pending, 900),
        with("running", BackupStatus::InProgress, 900),
        with("failed90", BackupStatus::Failed, 90),
        with("failed91", BackupStatus::Failed, 91),
        with("cancelled91", BackupStatus::Cancelled, 91),
    ];
    insta::assert_snapshot!(shown(&Rules::new(&policy([1; 5]), Some(1), 1), &records), @"
    pending kept: not finished
    running kept: not finished
    failed90 kept: failed or stopped not more than 90 days ago
    failed91 deleted: failed or stopped more than 90 days ago
    cancelled91 deleted: failed or stopped more than 90 days ago
    ");
}

#[test]
fn what_is_pinned_and_what_was_proved_stays() {
    let records = [
        completed("d1", Some(Tier::Daily), 1),
        completed("d2", Some(Tier::Daily), 2),
        Record { is_verified: true, ..completed("d3", Some(Tier::Daily), 3) },
        Record { is_verified: true, ..completed("d4", Some(Tier::Daily), 4) },
        Record { is_pinned: true, ..completed("d5", Some(Tier::Daily), 5) },
        Record { is_pinned: true, ..completed("m900", None, 900) },
    ];
    insta::assert_snapshot!(shown(&Rules::new(&policy([1; 5]), None, 30), &records), @"
    d1 kept: the newest backup of the database
    d2 deleted: the daily tier keeps 1, and there are as many newer ones
    d3 kept: the newest backup that was proved to be restorable
    d4 deleted: the daily tier keeps 1, and there are as many newer ones
    d5 kept: pinned
    m900 kept: pinned
    ");
}

#[test]
fn nothing_is_pruned_while_backups_fail() {
    let failed = |id, days| Record {
        status: BackupStatus::Failed,
        has_blob: false,
        ..completed(id, Some(Tier::Daily), days)
    };
    let mut records = vec![
        completed("d5", Some(Tier::Daily), 5),
        completed("d6", Some(Tier::Daily), 6),
        failed("f2", 2),
        failed("f3", 3),
        // Before the last good one, so it does not count.
        failed("f7", 7),
    ];
    let rules = Rules::new(&policy([1; 5]), None, 30);
    assert!(shown(&rules, &records).contains("d6 deleted"));
    records.push(failed("f1", 1));
    insta::assert_snapshot!(shown(&rules, &records), @"
    d5 kept: the newest backup of the database
    d6 kept: nothing is pruned while backups fail, and the last 3 did
    f2 kept: failed or stopped not more than 90 days ago
    f3 kept: failed or stopped not more than 90 days ago
    f7 kept: failed or stopped not more than 90 days ago
    f1 kept: failed or stopped not more than 90 days ago
    ");
}

fn statuses() -> impl Strategy<Value = BackupStatus> {
    prop_oneof![3 => Just(BackupStatus::Completed), 2 => proptest::sample::select(BackupStatus::ALL)]
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let tier = proptest::option::weighted(0.7, proptest::sample::select(Tier::ALL));
    // Few instants, so that several records share one; some of them after now.
    let flags = [0.9, 0.1, 0.2, 0.1].map(proptest::bool::weighted);
    let record = (tier, statuses(), -2_i64..120, flags);
    proptest::collection::vec(record, 0..40).prop_map(|records| {
        let records = records.into_iter().enumerate();
        records
            .map(|(number, (tier, status, days, [has_blob, is_pinned, is_verified, begun]))| Record {
                status,
                has_blob,
                is_pinned,
                is_verified,
                // Nobody can pin what is being deleted.
                is_being_deleted: begun && !is_pinned,
                ..completed(&format!("b{number}"), tier, days)
            })
            .collect()
    })
}

fn rules() -> impl Strategy<Value = Rules> {
    (any::<[u8; 5]>(), any::<[bool; 5]>(), proptest::option::of(1_u16..200), 1_u16..200).prop_map(
        |(counts, enabled, database_days, default_days)| {
            let mut policy = policy(counts.map(|count| u32::from(count % 6)));
            policy.hourly.enabled = enabled[0];
            policy.daily.enabled = enabled[1];
            Rules::new(&policy, database_days, default_days)
        },
    )
}

/// Says whether a record holds a backup that can be relied on.
fn is_stored(record: &Record) -> bool {
    record.status == BackupStatus::Completed && record.has_blob && !record.is_being_deleted
}

/// Says whether a record goes, by counting all that are newer for each.
fn goes(rules: &Rules, records: &[Record], record: &Record) -> bool {
    let restorable = |other: &&Record| is_stored(other);
    let newer = |other: &&Record| (other.created_at, &other.id) > (record.created_at, &record.id);
    let age = (now() - record.created_at).num_days();
    match record.status {
        BackupStatus::Pending | BackupStatus::InProgress => false,
        BackupStatus::Failed | BackupStatus::Cancelled => age > 90,
        BackupStatus::Completed if record.is_being_deleted => true,
        BackupStatus::Completed if !record.has_blob => false,
        BackupStatus::Completed => {
            let newest = records.iter().filter(restorable).filter(newer).count() == 0;
            let rank =
                records.iter().filter(restorable).filter(newer).filter(|other| other.tier == record.tier);
            let beyond = match record.tier {
                None => age > i64::from(rules.untiered_days()),
                Some(tier) => {
                    let keep_count = usize::try_from(rules.keep_count(tier)).unwrap();
                    keep_count > 0 && rank.count() >= keep_count
                }
            };
            let newest_verified = record.is_verified
                && !records.iter().filter(restorable).filter(newer).any(|other| other.is_verified);
            beyond && !newest && !newest_verified && !record.is_pinned && !is_failing(records)
        }
    }
}

/// Says whether the last three or more that ended have failed, by walking back in time.
fn is_failing(records: &[Record]) -> bool {
    let mut ended: Vec<&Record> = records
        .iter()
        .filter(|record| match record.status {
            BackupStatus::Completed => true,
            BackupStatus::Failed => (now() - record.created_at).num_days() <= 90,
            BackupStatus::Pending | BackupStatus::InProgress | BackupStatus::Cancelled => false,
        })
        .collect();
    ended.sort_by_key(|record| (record.created_at, record.id.clone()));
    ended.iter().rev().take_while(|record| record.status == BackupStatus::Failed).count() >= 3
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn agrees_with_the_model_that_counts(rules in rules(), records in records()) {
        let decisions = retention(&rules, &records, now());
        prop_assert_eq!(decisions.len(), records.len());
        for (decision, record) in decisions.iter().zip(&records) {
            prop_assert_eq!(&decision.id, &record.id);
            prop_assert_eq!(decision.verdict.is_delete(), goes(&rules, &records, record), "{:?}", decision);
        }
    }

    #[test]
    fn the_newest_completed_backup_always_stays(rules in rules(), records in records(), years in 0_i64..50) {
        let later = now() + TimeDelta::days(365 * years);
        let decisions = retention(&rules, &records, later);
        let newest = records
            .iter()
            .filter(|record| is_stored(record))
            .map(|record| record.created_at)
            .max();
        if let Some(newest) = newest {
            let stays = decisions.iter().zip(&records).any(|(decision, record)| {
                !decision.verdict.is_delete()
                    && record.created_at == newest
                    && is_stored(record)
            });
            prop_assert!(stays);
        }
    }

    /// A verified one is left whenever there was one, and every pinned one is.
    #[test]
    fn a_proved_backup_and_every_pinned_one_stay(rules in rules(), records in records()) {
        let decisions = retention(&rules, &records, now());
        let left: Vec<&Record> = records
            .iter()
            .zip(&decisions)
            .filter(|(_, decision)| !decision.verdict.is_delete())
            .map(|(record, _)| record)
            .collect();
        let verified = |record: &&Record| is_stored(record) && record.is_verified;
        let newest = records.iter().filter(verified).map(|record| record.created_at).max();
        prop_assert_eq!(left.iter().copied().filter(verified).map(|record| record.created_at).max(), newest);
        let pinned = |record: &&Record| is_stored(record) && record.is_pinned;
        prop_assert_eq!(left.iter().copied().filter(pinned).count(), records.iter().filter(pinned).count());
    }

    #[test]
    fn deciding_again_deletes_nothing_more(rules in rules(), records in records()) {
        let first = retention(&rules, &records, now());
        let left: Vec<_> = records
            .iter()
            .zip(&first)
            .filter(|(_, decision)| !decision.verdict.is_delete())
            .map(|(record, _)| record.clone())
            .collect();
        prop_assert!(!retention(&rules, &left, now()).iter().any(|decision| decision.verdict.is_delete()));
    }

    #[test]
    fn the_order_of_the_records_does_not_matter(
        (rules, records, shuffled) in (rules(), records()).prop_flat_map(|(rules, records)| {
            (Just(rules), Just(records.clone()), Just(records).prop_shuffle())
        })
    ) {
        let deleted = |records: &[Record]| -> BTreeSet<BackupId> {
            let decisions = retention(&rules, records, now()).into_iter();
            decisions.filter(|decision| decision.verdict.is_delete()).map(|decision| decision.id).collect()
        };
        prop_assert_eq!(deleted(&records), deleted(&shuffled));
    }
}
