//! The audit log: pages, counts and statistics over both kinds of partitions, and records that wait.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde_json::json;

use super::priority::Priority;
use super::rows::{Row as _, audit_month_key};
use super::table::{Entity, Key, Query, Table, query_all};
use super::{
    AuditFilter, AuditLog, AuditStats, Fault, FaultyTable, MemoryTable, StorageError, StorageErrorKind,
    TableCall,
};
use crate::models::{Actor, AuditAction, AuditEvent, AuditId, AuditRecord, AuditResource, AuditStatus};

fn now() -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2026-01-02T10:00:00Z").map(|at| at.with_timezone(&Utc)).unwrap_or_default()
}

/// Makes a record that differs from others in everything that filters look at.
fn record(n: usize, timestamp: DateTime<Utc>) -> AuditRecord {
    let kind = ["mysql", "postgresql"][n % 2];
    let details = json!({"database_type": kind, "engine_id": format!("engine-{}", n % 3), "n": n});
    let engine = json!({"engine_type": "mysql"});
    let details = if n.is_multiple_of(5) { engine } else { details };
    AuditRecord {
        id: format!("{n:05}").parse().unwrap_or_else(|_| AuditId::random()),
        timestamp,
        user_id: format!("user-{}", n % 4),
        user_email: format!("User{}@Example.org", n % 4),
        action: AuditAction::ALL[n % 7].as_str().to_owned(),
        resource_type: AuditResource::ALL[n % 3].as_str().to_owned(),
        resource_id: format!("thing-{n}"),
        resource_name: format!("Größe {}", n % 6),
        details: details.as_object().cloned(),
        status: AuditStatus::ALL[usize::from(n.is_multiple_of(11))],
        error_message: None,
        ip_address: None,
    }
}

/// Puts a record where the earlier system would have.
fn of_month(record: &AuditRecord) -> Entity {
    let bound = audit_month_key(record.timestamp);
    let row = format!("{}_{}", bound.trim_end_matches('`'), record.id);
    Entity::new(Key::new(record.timestamp.format("%Y%m").to_string(), row), record.entity().properties)
}

struct World {
    log: FaultyTable,
    index: FaultyTable,
    audit: AuditLog,
    records: Vec<AuditRecord>,
}

impl World {
    fn new() -> Self {
        let (log, index) =
            (FaultyTable::new(MemoryTable::default()), FaultyTable::new(MemoryTable::default()));
        let audit = AuditLog::new(Arc::new(log.clone()), Arc::new(index.clone()), Priority::default());
        Self { log, index, audit, records: Vec::new() }
    }

    /// Fills both kinds of partitions, from some months ago until just now.
    async fn filled() -> Result<Self, StorageError> {
        let mut world = Self::new();
        for n in 0..2600_usize {
            let minutes = i64::try_from(n * n / 97).unwrap_or_default();
            world.put(record(n, now() - TimeDelta::minutes(minutes)), n % 3 == 1).await?;
        }
        Ok(world)
    }

    async fn put(&mut self, record: AuditRecord, in_month: bool) -> Result<(), StorageError> {
        let entity = if in_month { of_month(&record) } else { record.entity() };
        self.log.insert(&entity).await?;
        self.records.push(record);
        Ok(())
    }

    /// Starts the program again.
    fn restart(&mut self) {
        self.audit =
            AuditLog::new(Arc::new(self.log.clone()), Arc::new(self.index.clone()), Priority::default());
    }

    fn expected(&self, matches: impl Fn(&AuditRecord) -> bool) -> Vec<AuditRecord> {
        let mut records: Vec<AuditRecord> =
            self.records.iter().filter(|record| matches(record)).cloned().collect();
        records.sort_by(|a, b| b.timestamp.cmp(&a.timestamp).then_with(|| a.id.cmp(&b.id)));
        records
    }

    async fn check(
        &self,
        filter: &AuditFilter,
        at: DateTime<Utc>,
        matches: impl Fn(&AuditRecord) -> bool,
    ) -> Result<(), StorageError> {
        let expected = self.expected(matches);
        for (offset, limit) in
            [(0, 50), (7, 1), (120, 500), (expected.len().saturating_sub(3), 50), (9999, 50)]
        {
            let page = self.audit.list(filter, offset, limit, at).await?;
            assert_eq!(page.total, expected.len(), "{filter:?}");
            let wanted: Vec<&AuditRecord> = expected.iter().skip(offset).take(limit).collect();
            let found: Vec<&AuditRecord> = page.records.iter().collect();
            assert_eq!(found, wanted, "{filter:?} from {offset}");
        }
        Ok(())
    }
}

fn day(text: &str) -> Option<NaiveDate> {
    text.parse().ok()
}

#[tokio::test]
async fn pages_are_what_reading_everything_would_give() -> Result<(), StorageError> {
    let mut world = World::filled().await?;
    // Cold, warm, and after another program has stored the index.
    for _ in 0..3 {
        let all = AuditFilter::default();
        world.check(&all, now(), |_| true).await?;
        let user = AuditFilter { user_id: Some("user-2".to_owned()), ..AuditFilter::default() };
        world.check(&user, now(), |record| record.user_id == "user-2").await?;
        let action = AuditFilter { action: Some(AuditAction::BackupFailed), ..AuditFilter::default() };
        world.check(&action, now(), |record| record.action == "backup_failed").await?;
        let resource = AuditFilter { resource: Some(AuditResource::Engine), ..AuditFilter::default() };
        world.check(&resource, now(), |record| record.resource_type == "engine").await?;
        let failed = AuditFilter { status: Some(AuditStatus::Failed), ..AuditFilter::default() };
        world.check(&failed, now(), |record| record.status == AuditStatus::Failed).await?;
        let name =
            AuditFilter { resource_name: Some("GRÖSSE 3".replace("SS", "ß")), ..AuditFilter::default() };
        world.check(&name, now(), |record| record.resource_name == "Größe 3").await?;
        let search = AuditFilter { search: Some("THING-12".to_owned()), ..AuditFilter::default() };
        world.check(&search, now(), |record| record.resource_id.contains("thing-12")).await?;
        let kind = AuditFilter { database_type: Some("mysql".to_owned()), ..AuditFilter::default() };
        let of_kind = |record: &AuditRecord| {
            let text = serde_json::to_string(&record.details).unwrap_or_default();
            text.contains(r#"_type":"mysql""#)
        };
        world.check(&kind, now(), of_kind).await?;
        let both = AuditFilter {
            from: day("2025-12-05"),
            through: day("2025-12-20"),
            engine_id: Some("engine-1".to_owned()),
            ..AuditFilter::default()
        };
        let between = |record: &AuditRecord| {
            let date = record.timestamp.date_naive();
            Some(date) >= both.from
                && Some(date) <= both.through
                && record
                    .details
                    .as_ref()
                    .is_some_and(|details| details.get("engine_id") == Some(&"engine-1".into()))
        };
        world.check(&both, now(), between).await?;
        world.restart();
    }
    Ok(())
}

#[tokio::test]
async fn what_happens_meanwhile_is_seen_at_once_and_counted_once() -> Result<(), StorageError> {
    let mut world = World::filled().await?;
    let all = AuditFilter::default();
    let mut at = now();
    world.check(&all, at, |_| true).await?;
    for n in 0..40_usize {
        // Across midnight, the turn of the index and days without a record.
        at += TimeDelta::minutes([1, 35, 200, 3000][n % 4]);
        world.put(record(10_000 + n, at), false).await?;
        world.check(&all, at, |_| true).await?;
        if n % 9 == 8 {
            world.restart();
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_program_that_starts_does_not_read_the_log_again() -> Result<(), StorageError> {
    let mut world = World::filled().await?;
    world.audit.warm_up(now()).await?;
    world.restart();
    let before = world.log.calls(TableCall::Query);
    world.audit.list(&AuditFilter::default(), 0, 10, now()).await?;
    let questions = world.log.calls(TableCall::Query) - before;
    assert!(questions <= 8, "{questions}");
    // A row that cannot be used is read from the log.
    let rows = query_all(&world.index, &Query::default()).await?;
    let days: Vec<&Entity> = rows.iter().filter(|row| row.key.partition == "days").collect();
    assert!(days.len() > 30, "{}", days.len());
    let broken = [("piece00".to_owned(), "[".into())].into();
    world.index.insert_or_merge(&days[3].key, &broken).await?;
    world.restart();
    world.check(&AuditFilter::default(), now(), |_| true).await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_page_is_found_while_the_index_is_made() -> Result<(), StorageError> {
    let world = World::filled().await?;
    let busy = world.audit.busy().await;
    let all = AuditFilter::default();
    let user = AuditFilter {
        user_id: Some("user-2".to_owned()),
        through: day("2025-12-20"),
        ..AuditFilter::default()
    };
    for filter in [&all, &user] {
        let expected = world.expected(|record| {
            let date = record.timestamp.date_naive();
            filter.user_id.as_ref().is_none_or(|user| *user == record.user_id)
                && filter.through.is_none_or(|through| date <= through)
        });
        for (offset, limit) in [(0, 50), (120, 500), (9999, 50)] {
            let page = world.audit.list(filter, offset, limit, now()).await?;
            let wanted: Vec<AuditRecord> = expected.iter().skip(offset).take(limit).cloned().collect();
            assert_eq!(page.records, wanted, "{filter:?} from {offset}");
            assert_eq!(page.total > offset + limit, expected.len() > offset + limit, "{filter:?}");
            assert!(page.total <= expected.len(), "{}", page.total);
        }
    }
    let figures = world.audit.stats(&all, now()).await;
    assert_eq!(figures.map_err(|error| error.kind()).err(), Some(StorageErrorKind::Unavailable));
    drop(busy);
    world.check(&all, now(), |_| true).await
}

#[tokio::test]
async fn statistics_count_every_kind() -> Result<(), StorageError> {
    let world = World::filled().await?;
    let range = AuditFilter { from: day("2025-12-01"), ..AuditFilter::default() };
    let stats = world.audit.stats(&range, now()).await?;
    let expected = world.expected(|record| Some(record.timestamp.date_naive()) >= range.from);
    let count = |matches: &dyn Fn(&&AuditRecord) -> bool| expected.iter().filter(matches).count();
    assert_eq!(stats.total, expected.len());
    assert_eq!(stats.by_action.values().sum::<usize>(), expected.len());
    assert_eq!(stats.by_action["create"], count(&|record| record.action == "create"));
    assert_eq!(stats.by_status["failed"], count(&|record| record.status == AuditStatus::Failed));
    assert_eq!(stats.by_resource_type.len(), 3);
    assert_eq!(stats.by_user.len(), 4);
    assert_eq!(World::new().audit.stats(&range, now()).await?, AuditStats::default());
    Ok(())
}

#[tokio::test]
async fn a_strange_row_is_shown_as_it_is() -> Result<(), StorageError> {
    let world = World::new();
    let mut strange = record(1, now() - TimeDelta::days(3)).entity();
    strange.properties.insert("action".to_owned(), "from_the_future".into());
    strange.properties.insert("details".to_owned(), "{'python': True}".into());
    strange.properties.remove("timestamp");
    world.log.insert(&strange).await?;
    world.log.insert(&Entity::new(Key::new("2025-12-30", "x"), [].into())).await?;
    let page = world.audit.list(&AuditFilter::default(), 0, 10, now()).await?;
    assert_eq!(page.total, 1, "a row without any time cannot be placed");
    assert_eq!(page.records[0].action, "from_the_future");
    assert_eq!(page.records[0].timestamp, now() - TimeDelta::days(3));
    let text = page.records[0].details.as_ref().and_then(|details| details.get("text")).cloned();
    assert_eq!(text, Some("{'python': True}".into()));
    Ok(())
}

#[tokio::test]
async fn storage_that_fails_is_an_error_and_never_an_empty_list() -> Result<(), StorageError> {
    let mut world = World::filled().await?;
    for nth in 1..=6 {
        world.restart();
        let before = world.log.calls(TableCall::Query);
        let log = world.log.clone().with(
            TableCall::Query,
            before + nth,
            Fault::Refuse(StorageErrorKind::Unavailable),
        );
        let outcome = world.audit.list(&AuditFilter::default(), 300, 10, now()).await;
        if log.calls(TableCall::Query) >= before + nth {
            assert_eq!(
                outcome.map_err(|error| error.kind()).err(),
                Some(StorageErrorKind::Unavailable),
                "{nth}"
            );
        }
        world.check(&AuditFilter::default(), now(), |_| true).await?;
    }
    // That the index cannot be stored, only costs time.
    let mut world = World::filled().await?;
    world.index.fail_next(TableCall::InsertOrMerge, Fault::Refuse(StorageErrorKind::Unavailable));
    world.check(&AuditFilter::default(), now(), |_| true).await?;
    world.restart();
    world.index.fail_next(TableCall::Get, Fault::Refuse(StorageErrorKind::Unavailable));
    assert!(world.audit.list(&AuditFilter::default(), 0, 1, now()).await.is_err());
    world.check(&AuditFilter::default(), now(), |_| true).await?;
    Ok(())
}

fn event(n: usize) -> AuditEvent {
    AuditEvent::new(AuditAction::Create, AuditResource::Engine, n.to_string(), n.to_string())
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_stored_is_written_later() -> Result<(), StorageError> {
    let world = World::new();
    let unavailable = StorageErrorKind::Unavailable;
    for nth in 1..=4 {
        let _ = world.log.clone().with(TableCall::Insert, nth, Fault::Refuse(unavailable));
    }
    let _ = world.log.clone().with(TableCall::Insert, 5, Fault::Lose(unavailable));
    for n in 0..3 {
        world.audit.record(&Actor::system(), event(n), now()).await;
    }
    assert_eq!((world.audit.waiting(), world.audit.lost()), (3, 0));
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!((world.audit.waiting(), world.audit.lost()), (0, 0));
    assert_eq!(query_all(&world.log, &Query::default()).await?.len(), 3);
    world.log.fail_next(TableCall::Insert, Fault::Refuse(unavailable));
    world.audit.record(&Actor::system(), event(4), now()).await;
    world.audit.flush().await;
    assert_eq!(query_all(&world.log, &Query::default()).await?.len(), 4);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_bounded_in_number_and_time() {
    let world = World::new();
    for nth in 1..=5000 {
        let _ = world.log.clone().with(TableCall::Insert, nth, Fault::Refuse(StorageErrorKind::Unavailable));
    }
    for n in 0..1010 {
        world.audit.record(&Actor::system(), event(n), now()).await;
    }
    assert_eq!((world.audit.waiting(), world.audit.lost()), (1000, 10));
    tokio::time::sleep(Duration::from_mins(70)).await;
    assert_eq!((world.audit.waiting(), world.audit.lost()), (0, 1010));
    let refused = World::new();
    refused.log.fail_next(TableCall::Insert, Fault::Refuse(StorageErrorKind::Invalid));
    refused.audit.record(&Actor::system(), event(1), now()).await;
    assert_eq!((refused.audit.waiting(), refused.audit.lost()), (0, 1), "this will never succeed");
}
