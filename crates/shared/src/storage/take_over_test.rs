//! Take-overs of an account with every old form of row, killed at every instant.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::rows::{Row as _, history_key, id_in};
use super::table::{Entity, Key, Properties, Query, Table, Value, query_all};
use super::take_over::TakenOver;
use super::{BackupFilter, LeftAlone, Life, MemoryBlobs, MemoryTable, Mortal, Signer, Storage, StorageError};
use crate::config::{Config, Source};
use crate::models::{Artifact, Backup, BackupState, DatabaseType, Failure, Marks, Pin, Run, TriggeredBy};

/// The tables of one account, which outlive the programs that use them.
#[derive(Clone, Default)]
struct Account {
    history: MemoryTable,
    config: MemoryTable,
    engines: MemoryTable,
    others: MemoryTable,
}

impl Account {
    /// Opens the account for a program that may die.
    fn open(&self, life: &Life) -> Storage {
        let config = Config::read(&Source::of(&[])).unwrap();
        let jobs = Storage::memory(&config).0.jobs;
        let table = |name: &str| -> Arc<dyn Table> {
            let table: Arc<dyn Table> = Arc::new(match name {
                "backuphistory" => self.history.clone(),
                "databaseconfigs" => self.config.clone(),
                "engines" => self.engines.clone(),
                _ => self.others.clone(),
            });
            Arc::new(Mortal::new(name, table, life))
        };
        Storage::assemble(&config, table, jobs, Arc::new(MemoryBlobs::default()), Signer::None)
    }

    fn open_for_good(&self) -> Storage {
        self.open(&Life::endless())
    }

    /// Fills it as earlier systems did.
    async fn legacy() -> Self {
        let account = Self::default();
        let mut rows = Vec::new();
        // The oldest: the id alone is the key, sizes are small numbers, texts are missing.
        let mut oldest = row("a-0000-0000-0000-000000000001", 1, completed());
        oldest.properties.insert("file_size_bytes".to_owned(), Value::Int32(7));
        oldest.properties.insert("duration_seconds".to_owned(), Value::Int32(0));
        for missing in ["container_name", "sha256", "consistency", "warnings", "heartbeat_at"] {
            oldest.properties.remove(missing);
        }
        rows.push(by_id(oldest));
        let mut dated = row("b-0000-0000-0000-000000000002", 2, completed());
        dated.properties.insert("created_at".to_owned(), Value::DateTime(at(2)));
        rows.push(by_id(dated));
        rows.push(by_id(row("c-0000-0000-0000-000000000003", 30, failed())));
        // In local time, in another partition, and rounded.
        let mut local = row("d-4", 4, completed());
        local.key.row = history_key(at(6), "d-4").row;
        let mut elsewhere = row("e-5", 5, completed());
        elsewhere.key.partition = "backup".to_owned();
        let mut rounded = row("f-6", 6, completed());
        rounded.key.row = history_key(at(6) + TimeDelta::microseconds(3), "f-6").row;
        rows.extend([local, elsewhere, rounded, row("g-7", 7, completed())]);
        // What is in somebody's hands, and what cannot be read.
        rows.push(by_id(row(
            "h-0000-0000-0000-000000000008",
            8,
            BackupState::Pending { last_failure: None },
        )));
        let mut going = by_id(row("i-0000-0000-0000-000000000009", 9, completed()));
        going.properties.insert("deletion_begun_at".to_owned(), "2025-01-01T00:00:00".into());
        let mut undated = by_id(row("j-0000-0000-0000-000000000010", 10, completed()));
        undated.properties.insert("created_at".to_owned(), "soon".into());
        let mut odd = by_id(row("k-0000-0000-0000-000000000011", 11, completed()));
        odd.properties.insert("status".to_owned(), "paused".into());
        rows.extend([going, undated, odd]);
        for row in rows {
            account.history.insert(&row).await.unwrap();
        }
        for (table, id, name) in [
            (&account.config, "e-old", "Old"),
            (&account.config, "e-both", "Stale"),
            (&account.engines, "e-both", "Fresh"),
        ] {
            table.insert(&engine(id, name)).await.unwrap();
        }
        let mut broken = engine("e-broken", "Broken");
        broken.properties.insert("engine_type".to_owned(), "oracle".into());
        account.config.insert(&broken).await.unwrap();
        account
    }

    /// Everything that the take-over is about, without the notes that it makes for itself.
    async fn rows(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let mut rows = BTreeMap::new();
        for (name, table) in [("history", &self.history), ("old", &self.config), ("engines", &self.engines)] {
            for mut row in query_all(table, &Query::default()).await.unwrap() {
                row.properties.remove("copy_of_version");
                let texts = row.properties.iter().map(|(name, value)| (name.clone(), format!("{value:?}")));
                rows.insert(format!("{name} {}", row.key), texts.collect());
            }
        }
        rows
    }

    async fn ids(&self) -> Vec<String> {
        let rows = query_all(&self.history, &Query::default()).await.unwrap();
        let mut ids: Vec<String> = rows.iter().map(|row| id_in(&row.key.row).to_owned()).collect();
        ids.sort();
        ids.dedup();
        ids
    }
}

fn at(hours: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::hours(hours)
}

fn completed() -> BackupState {
    let run = Run::between(at(0), at(0) + TimeDelta::seconds(5));
    let artifact = Artifact {
        blob_name: "mysql/db/x.sql.gz".to_owned(),
        blob_url: None,
        container: None,
        bytes: Some(7),
        format: None,
        sha256: None,
        consistency: None,
        warnings: crate::models::Warnings::default(),
        globals: None,
    };
    BackupState::Completed { run, artifact: Some(artifact) }
}

fn failed() -> BackupState {
    BackupState::Failed { run: Run::between(at(0), at(1)), failure: Failure::new("X", "it failed") }
}

fn row(id: &str, hours: i64, state: BackupState) -> Entity {
    let backup = Backup {
        id: id.parse().unwrap(),
        job_id: format!("job-{id}").parse().unwrap(),
        database_id: "db".parse().unwrap(),
        database_name: "Orders".to_owned(),
        database_type: DatabaseType::Mysql,
        triggered_by: TriggeredBy::Scheduler,
        tier: None,
        created_at: at(hours),
        retry_count: 0,
        state,
        marks: Marks::default(),
    };
    backup.entity()
}

fn by_id(mut row: Entity) -> Entity {
    row.key.row = id_in(&row.key.row).to_owned();
    row
}

fn engine(id: &str, name: &str) -> Entity {
    let texts = [("name", name), ("engine_type", "mysql"), ("host", "db"), ("password", "p")];
    let mut properties: Properties =
        texts.map(|(name, text)| (name.to_owned(), Value::from(text))).into_iter().collect();
    properties.insert("port".to_owned(), Value::Int32(3306));
    Entity::new(Key::new("engine", id), properties)
}

async fn take_over(storage: &Storage, apply: bool) -> Result<(TakenOver, TakenOver), StorageError> {
    let history = storage.backups.take_over(apply, |_| {}).await?;
    Ok((history, storage.engines.take_over(apply).await?))
}

fn shown(left: &[LeftAlone]) -> String {
    let mut lines: Vec<String> = left.iter().map(|left| format!("{}: {}\n", left.row, left.why)).collect();
    lines.sort();
    lines.concat()
}

#[tokio::test]
async fn every_old_row_moves_or_is_named() {
    let account = Account::legacy().await;
    let storage = account.open_for_good();
    let before = account.rows().await;
    let (planned, planned_engines) = take_over(&storage, false).await.unwrap();
    assert_eq!(account.rows().await, before, "nothing is written without being asked for");

    let (history, engines) = take_over(&storage, true).await.unwrap();
    assert_eq!((history.moved, engines.moved), (5, 2));
    assert_eq!((planned.moved, planned_engines.moved), (history.moved, engines.moved));
    assert_eq!(planned.left, history.left);
    insta::assert_snapshot!(shown(&history.left), @r#"
    backup history (2024-10-04, h-0000-0000-0000-000000000008): it has not ended yet; run this again when it has
    backup history (2024-10-04, i-0000-0000-0000-000000000009): its deletion has begun; delete it again, or let retention do so
    backup history (2024-10-04, j-0000-0000-0000-000000000010): created_at: missing or no date and time
    backup history (2024-10-04, k-0000-0000-0000-000000000011): status: "paused" is not a known backup status; use one of: pending, in_progress, completed, failed, cancelled
    "#);
    insta::assert_snapshot!(shown(&engines.left), @r#"engine (engine, e-broken): engine_type: "oracle" is not a known engine type; use one of: mysql, postgresql, sqlserver"#);
    let keys: Vec<String> = account.rows().await.into_keys().collect();
    insta::assert_snapshot!(keys.join("\n"), @"
    engines (engine, e-both)
    engines (engine, e-old)
    history (2024-10-04, 3138098723999999999_g-7)
    history (2024-10-04, 3138098759999999969_f-6)
    history (2024-10-04, 3138098795999999999_e-5)
    history (2024-10-04, 3138098831999999999_d-4)
    history (2024-10-04, 3138098903999999999_b-0000-0000-0000-000000000002)
    history (2024-10-04, 3138098939999999999_a-0000-0000-0000-000000000001)
    history (2024-10-04, h-0000-0000-0000-000000000008)
    history (2024-10-04, i-0000-0000-0000-000000000009)
    history (2024-10-04, j-0000-0000-0000-000000000010)
    history (2024-10-04, k-0000-0000-0000-000000000011)
    history (2024-10-05, 3138097895999999999_c-0000-0000-0000-000000000003)
    old (engine, e-broken)
    ");
    let fresh = storage.engines.get(&"e-both".parse().unwrap()).await.unwrap().unwrap().value;
    assert_eq!(fresh.name, "Fresh");
    let list = storage.backups.list(&BackupFilter::default()).await.unwrap();
    assert_eq!(list.len(), 9, "all but the two that cannot be read");

    let after = account.rows().await;
    let (again, engines_again) = take_over(&storage, true).await.unwrap();
    assert_eq!((again.moved, engines_again.moved), (0, 0));
    assert_eq!(account.rows().await, after);
}

#[tokio::test]
async fn a_take_over_that_is_killed_anywhere_is_ended_by_the_next_one() {
    let whole = Account::legacy().await;
    take_over(&whole.open_for_good(), true).await.unwrap();
    let (expected, ids) = (whole.rows().await, whole.ids().await);
    let mut effects = 0;
    loop {
        let account = Account::legacy().await;
        let life = Life::of(effects);
        let storage = account.open(&life);
        let lived = life.live(take_over(&storage, true)).await.is_some();
        assert_eq!(account.ids().await, ids, "killed after {effects} effects");
        take_over(&account.open_for_good(), true).await.unwrap();
        assert_eq!(account.rows().await, expected, "killed after {effects} effects");
        if lived {
            break;
        }
        effects += 1;
    }
    assert!(effects > 20, "there were that many instants: {effects}");
}

#[tokio::test]
async fn what_people_do_between_a_kill_and_the_next_run_counts() {
    let pin = Pin { at: at(100), by: "ann".to_owned() };
    let mut effects = 0;
    loop {
        let account = Account::legacy().await;
        let life = Life::of(effects);
        let storage = account.open(&life);
        let lived = life.live(take_over(&storage, true)).await.is_some();
        let storage = account.open_for_good();
        let [kept, gone] =
            ["a-0000-0000-0000-000000000001", "b-0000-0000-0000-000000000002"].map(|id| id.parse().unwrap());
        let kept = storage.backups.find(&kept).await.unwrap().unwrap();
        let gone = storage.backups.find(&gone).await.unwrap().unwrap();
        storage.backups.pin(&kept, &pin).await.unwrap();
        storage.remove(&gone, at(101)).await.unwrap();
        take_over(&storage, true).await.unwrap();
        let list = storage.backups.list(&BackupFilter::default()).await.unwrap();
        assert_eq!(list.len(), 8, "killed after {effects} effects");
        assert!(!list.iter().any(|backup| backup.id == gone.id), "killed after {effects} effects");
        let found = storage.backups.find(&kept.id).await.unwrap().unwrap();
        assert_eq!(found.marks.pinned, Some(pin.clone()), "killed after {effects} effects");
        if lived {
            break;
        }
        effects += 1;
    }
    assert!(effects > 20, "there were that many instants: {effects}");
}

#[tokio::test]
async fn a_backup_with_two_rows_counts_once_for_retention() {
    let account = Account::default();
    let mut pinned = by_id(row("a-0000-0000-0000-000000000001", 1, completed()));
    pinned.properties.insert("pinned_at".to_owned(), "2025-01-01T00:00:00".into());
    account.history.insert(&pinned).await.unwrap();
    account.history.insert(&row("a-0000-0000-0000-000000000001", 1, completed())).await.unwrap();
    let holdings = account.open_for_good().backups.holdings(None).await.unwrap();
    let records: Vec<_> = holdings.into_values().flatten().collect();
    assert_eq!(records.iter().map(|record| record.is_pinned).collect::<Vec<_>>(), [true]);
}
