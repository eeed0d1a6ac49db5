//! `GET /system-status`: the numbers of the dashboard and of the status page.
//!
//! Dashboards ask every 30 seconds for two periods at once, so what takes reading is kept for a minute.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use shared::models::BackupStatus;
use shared::storage::{BackupFilter, HealthReport, LastTick, Storage, StorageError, StorageErrorKind};

use crate::figures::Files;
use crate::query::Query;
use crate::state::{AppState, Now};
use crate::texts::size_text;

/// How far back the numbers go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Period {
    Day,
    Week,
    Month,
    All,
}

impl Period {
    /// Reads a period; what is none counts as a day.
    fn read(text: Option<&str>) -> Self {
        match text {
            Some("7d") => Self::Week,
            Some("30d") => Self::Month,
            Some("all") => Self::All,
            Some(_) | None => Self::Day,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Day => "1d",
            Self::Week => "7d",
            Self::Month => "30d",
            Self::All => "all",
        }
    }

    fn start(self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let days = match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 30,
            Self::All => return None,
        };
        Some(now - TimeDelta::days(days))
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    status: &'static str,
    timestamp: DateTime<Utc>,
    storage: Stored,
    backups: Numbers,
    services: Services,
    /// The client programs of databases on the machine of the api; those that dump are the processor's.
    tools: Vec<ToolView>,
    /// What the scheduler did last; `null` before its first tick.
    scheduler: Option<Scheduler>,
    /// What the health monitor saw last; `null` before its first look.
    health: Option<Health>,
}

/// A client program that is installed.
#[derive(Debug, Serialize)]
struct ToolView {
    name: &'static str,
    version: String,
}

#[derive(Debug, Serialize)]
struct Scheduler {
    last_tick_at: DateTime<Utc>,
    #[serde(flatten)]
    tick: LastTick,
}

#[derive(Debug, Serialize)]
struct Health {
    status: &'static str,
    checked_at: DateTime<Utc>,
    #[serde(flatten)]
    report: HealthReport,
}

#[derive(Debug, Serialize)]
struct Stored {
    total_size_bytes: u64,
    total_size_formatted: String,
    backup_count: u64,
}

#[derive(Debug, Serialize)]
struct Numbers {
    period: &'static str,
    today: u64,
    completed: u64,
    failed: u64,
    /// `null` when nothing has ended.
    success_rate: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Services {
    api: Service,
    storage: Service,
    databases: DatabasesService,
}

#[derive(Debug, Serialize)]
struct Service {
    status: &'static str,
    message: String,
}

#[derive(Debug, Serialize)]
struct DatabasesService {
    #[serde(flatten)]
    service: Service,
    total: usize,
    enabled: usize,
}

/// How many backups of a period ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    today: u64,
    completed: u64,
    failed: u64,
}

/// Tells how the system is. A part that fails is said to be unhealthy, with numbers of zero.
pub(crate) async fn status(State(state): State<AppState>, Now(now): Now, query: Query) -> Json<Answer> {
    let period = Period::read(query.text("period"));
    // The whole history can only be told when it is counted, so that question waits for the count.
    let _asking = (!matches!(period, Period::All)).then(|| state.storage.ask());
    let (files, ended, databases, installed, scheduler, health) = futures::join!(
        state.figures.files(&state.storage, now),
        state.figures.ended(&state.storage, period, now),
        state.storage.databases.list(),
        state.tools.installed(),
        state.storage.watch.last_tick(),
        state.storage.watch.last_health(),
    );
    let storage = match (&files, &ended) {
        (Ok(_), Ok(_)) => healthy("The storage account answers."),
        (Err(error), _) => unhealthy("The backup files cannot be listed", error),
        (_, Err(error)) => unhealthy("The backup history cannot be read", error),
    };
    let databases = match &databases {
        Ok(list) => {
            let enabled = list.iter().filter(|database| database.enabled).count();
            let message = format!("{enabled} of {} databases are enabled.", list.len());
            DatabasesService { service: healthy(message), total: list.len(), enabled }
        }
        Err(error) => {
            let service = unhealthy("The configurations cannot be read", error);
            DatabasesService { service, total: 0, enabled: 0 }
        }
    };
    let services = Services { api: healthy("The API answers."), storage, databases };
    let all = [services.api.status, services.storage.status, services.databases.service.status];
    let status = if all.iter().all(|status| *status == "healthy") { "healthy" } else { "degraded" };
    let Files { total, .. } = files.unwrap_or_default();
    let Ended { today, completed, failed } = ended.unwrap_or_default();
    Json(Answer {
        status,
        timestamp: now,
        storage: Stored {
            total_size_bytes: total.bytes,
            total_size_formatted: size_text(total.bytes),
            backup_count: total.count,
        },
        backups: Numbers {
            period: period.as_str(),
            today,
            completed,
            failed,
            success_rate: success_rate(completed, failed),
        },
        services,
        tools: installed
            .into_iter()
            .map(|tool| ToolView { name: tool.tool, version: tool.version })
            .collect(),
        scheduler: known(scheduler).map(|(last_tick_at, tick)| Scheduler { last_tick_at, tick }),
        health: known(health).map(|(checked_at, report)| {
            let status = if report.is_healthy() { "healthy" } else { "warning" };
            Health { status, checked_at, report }
        }),
    })
}

/// Returns what the scheduler has noted. That it cannot be read says nothing about the system that the
/// services do not say.
fn known<T>(noted: Result<Option<T>, StorageError>) -> Option<T> {
    noted.unwrap_or_else(|error| {
        tracing::warn!(error = &error as &dyn std::error::Error, "the notes of the scheduler cannot be read");
        None
    })
}

fn healthy(message: impl Into<String>) -> Service {
    Service { status: "healthy", message: message.into() }
}

/// Says what is wrong, without what storage said: it names hosts and requests.
fn unhealthy(what: &str, error: &StorageError) -> Service {
    tracing::warn!(error = error as &dyn std::error::Error, what, "a part of the system is unhealthy");
    let why = match error.kind() {
        StorageErrorKind::Unavailable => "the storage account cannot be reached or is busy",
        StorageErrorKind::Denied => "access is denied; check the key or the roles of this service",
        StorageErrorKind::NotFound
        | StorageErrorKind::AlreadyExists
        | StorageErrorKind::Changed
        | StorageErrorKind::Invalid => "the answer of the storage account is not understood; see the log",
    };
    Service { status: "unhealthy", message: format!("{what}: {why}.") }
}

/// Returns the share of good ones in percent, with one decimal.
fn success_rate(completed: u64, failed: u64) -> Option<f64> {
    let ended = completed + failed;
    #[expect(clippy::cast_precision_loss, reason = "counts of backups are far below 2^52")]
    let rate = || (completed as f64 * 1000.0 / ended as f64).round() / 10.0;
    (ended > 0).then(rate)
}

/// Counts the backups of a period. Whole days are summed up; of the day in which the period begins, the
/// records are looked at.
pub(crate) async fn count(
    storage: &Storage,
    period: Period,
    now: DateTime<Utc>,
) -> Result<Ended, StorageError> {
    let start = period.start(now);
    let counts = match start {
        Some(start) => storage.backups.counts_since(start.date_naive()).await?,
        None => storage.backups.counts().await?,
    };
    let mut ended = Ended::default();
    let mut begins_within = false;
    for (group, tally) in counts.groups() {
        if group.day == now.date_naive() {
            ended.today += tally.count;
        }
        let finished = matches!(group.status, BackupStatus::Completed | BackupStatus::Failed);
        begins_within |= finished && start.is_some_and(|start| group.day == start.date_naive());
        if start.is_none_or(|start| group.day > start.date_naive()) {
            ended.add(group.status, tally.count);
        }
    }
    if let Some(start) = start.filter(|_| begins_within) {
        let filter = BackupFilter {
            statuses: vec![BackupStatus::Completed, BackupStatus::Failed],
            from: Some(start),
            before: start.date_naive().succ_opt().map(|day| day.and_time(chrono::NaiveTime::MIN).and_utc()),
            ..BackupFilter::default()
        };
        for backup in storage.backups.list(&filter).await? {
            ended.add(backup.status(), 1);
        }
    }
    Ok(ended)
}

impl Ended {
    fn add(&mut self, status: BackupStatus, count: u64) {
        match status {
            BackupStatus::Completed => self.completed += count,
            BackupStatus::Failed => self.failed += count,
            BackupStatus::Pending | BackupStatus::InProgress | BackupStatus::Cancelled => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_has_one_decimal_and_none_without_ends() {
        assert_eq!(success_rate(0, 0), None);
        assert_eq!(success_rate(2, 1), Some(66.7));
        assert_eq!(success_rate(1, 0), Some(100.0));
        assert_eq!(success_rate(0, 5), Some(0.0));
    }

    #[test]
    fn what_is_no_period_counts_as_a_day() {
        let read = |text| Period::read(text).as_str();
        assert_eq!([None, Some(""), Some("1y"), Some("7D"), Some("1d")].map(read), ["1d"; 5]);
        assert_eq!([Some("7d"), Some("30d"), Some("all")].map(read), ["7d", "30d", "all"]);
    }
}
