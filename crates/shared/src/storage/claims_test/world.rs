//! What the tests of claims stand on: two tables, a job, and time that is told.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::models::{
    Artifact, Backup, BackupId, BackupJob, BackupState, BackupStatus, DatabaseType, Failure, JobId,
    PlannedBlob, Tier, TriggeredBy, Warnings,
};
use crate::storage::rows::Row as _;
use crate::storage::table::{Query, Table, query_all};
use crate::storage::{Claim, ClaimOutcome, Claims, FaultyTable, MemoryTable, StorageError};

/// How long a claim holds in these tests.
pub(in crate::storage) const TTL: TimeDelta = TimeDelta::seconds(120);

/// Two tables, each in memory and wrapped so that its calls can fail.
#[derive(Debug, Clone)]
pub(in crate::storage) struct World {
    pub(in crate::storage) history: FaultyTable,
    pub(in crate::storage) leases: FaultyTable,
    pub(in crate::storage) claims: Claims,
    memory: [MemoryTable; 2],
}

impl World {
    pub(in crate::storage) fn new() -> Self {
        let memory = [MemoryTable::default(), MemoryTable::default()];
        let [history, leases] = memory.clone().map(FaultyTable::new);
        let claims = claims(Arc::new(history.clone()), Arc::new(leases.clone()));
        Self { history, leases, claims, memory }
    }

    /// Claims on the same rows, without the failures of this world.
    pub(in crate::storage) fn healthy(&self) -> Claims {
        let [history, leases] = self.memory.clone();
        claims(Arc::new(history), Arc::new(leases))
    }

    /// Claims a job that must be free.
    pub(in crate::storage) async fn granted(&self, job: &BackupJob, now: DateTime<Utc>) -> Claim {
        granted(self.claims.claim(job, now).await)
    }

    /// Reads the one record of the history.
    pub(in crate::storage) async fn record(&self) -> Backup {
        let records = self.records().await;
        assert_eq!(records.len(), 1, "{records:?}");
        records.into_iter().next().unwrap()
    }

    pub(in crate::storage) async fn records(&self) -> Vec<Backup> {
        let rows = query_all(&self.memory[0], &Query::default()).await.unwrap();
        rows.iter().map(|row| Backup::from_entity(row).unwrap()).collect()
    }

    /// Changes the state of the one record behind everybody's back.
    pub(in crate::storage) async fn set_state(&self, state: BackupState) {
        let record = Backup { state, ..self.record().await };
        let entity = record.entity();
        self.memory[0].insert_or_merge(&entity.key, &entity.properties).await.unwrap();
    }

    pub(in crate::storage) async fn leases(&self) -> usize {
        query_all(&self.memory[1], &Query::default()).await.unwrap().len()
    }
}

pub(in crate::storage) fn claims(history: Arc<dyn Table>, leases: Arc<dyn Table>) -> Claims {
    Claims { history, leases, ttl: TTL.to_std().unwrap_or(Duration::MAX) }
}

pub(in crate::storage) fn granted(outcome: Result<ClaimOutcome, StorageError>) -> Claim {
    match outcome.unwrap() {
        ClaimOutcome::Granted(claim) => *claim,
        other @ (ClaimOutcome::Finished(_) | ClaimOutcome::Busy(_)) => panic!("not granted: {other:?}"),
    }
}

pub(in crate::storage) fn busy(outcome: Result<ClaimOutcome, StorageError>) -> DateTime<Utc> {
    match outcome.unwrap() {
        ClaimOutcome::Busy(until) => until,
        other @ (ClaimOutcome::Finished(_) | ClaimOutcome::Granted(_)) => panic!("not busy: {other:?}"),
    }
}

pub(in crate::storage) fn finished(outcome: Result<ClaimOutcome, StorageError>) -> BackupStatus {
    match outcome.unwrap() {
        ClaimOutcome::Finished(backup) => backup.status(),
        other @ (ClaimOutcome::Busy(_) | ClaimOutcome::Granted(_)) => panic!("not finished: {other:?}"),
    }
}

/// A job of the database `db`.
pub(in crate::storage) fn job(id: &str) -> BackupJob {
    job_of("db", id)
}

pub(in crate::storage) fn job_of(database: &str, id: &str) -> BackupJob {
    BackupJob {
        id: id.parse::<JobId>().unwrap(),
        backup_id: Some(format!("record-of-{id}").parse::<BackupId>().unwrap()),
        database_id: database.parse().unwrap(),
        database_name: "Orders".to_owned(),
        database_type: DatabaseType::Mysql,
        host: "db1".to_owned(),
        port: 3306,
        target_database: "orders".to_owned(),
        username: "backup".to_owned(),
        compression: true,
        backup_destination: None,
        triggered_by: TriggeredBy::Scheduler,
        tier: Some(Tier::Daily),
        created_at: at(0),
        scheduled_at: None,
    }
}

/// The instant so many seconds after the jobs were made.
pub(in crate::storage) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_764_928_800 + seconds, 0).unwrap()
}

pub(in crate::storage) fn artifact() -> Artifact {
    Artifact {
        blob_name: "mysql/db/20251205_100000.sql.gz".to_owned(),
        blob_url: Some("http://127.0.0.1:10000/a/backups/mysql/db/20251205_100000.sql.gz".to_owned()),
        container: Some("backups".parse().unwrap()),
        bytes: Some(3_000_000_000),
        format: Some("sql.gz".to_owned()),
        sha256: Some("e3b0c442".to_owned()),
        consistency: None,
        warnings: Warnings::default(),
        globals: None,
    }
}

pub(in crate::storage) fn planned(name: &str) -> PlannedBlob {
    PlannedBlob { container: "backups".parse().unwrap(), name: name.to_owned() }
}

pub(in crate::storage) fn failure(message: &str) -> Failure {
    Failure::new("Test", message)
}
