//! `health_monitor`: one look at the whole system, as one structured log line, and kept for
//! `/system-status`.

use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use custom_handler::{Answer, TimerInvocation};
use shared::models::{BackupStatus, Database, DatabaseId};
use shared::overdue::overdue;
use shared::storage::{BackupFilter, Check, HealthReport, Storage, StorageError};

use crate::orphans::{self, Orphans};
use crate::state::AppState;

/// How old the last tick may be: three of them may fail.
const TICK_AGE: TimeDelta = TimeDelta::minutes(50);

/// How many names a message lists.
const NAMED: usize = 5;

/// What the monitor saw.
#[derive(Debug, Clone, Default, PartialEq)]
struct Health {
    databases: usize,
    enabled: usize,
    policies: usize,
    completed: usize,
    failed: usize,
    /// How many jobs wait, and how many messages are in the poison queue; `None` where nobody says.
    queues: Option<(u64, u64)>,
    /// The names of databases without a backup for longer than their schedule allows.
    overdue: Vec<String>,
    orphans: Orphans,
    /// How many minutes ago the last tick was; `None` when there was none.
    last_tick: Option<i64>,
}

impl Health {
    /// Returns the share of good ones among the backups that ended in the last 24 hours, in percent;
    /// `None` when none ended.
    fn success_rate(&self) -> Option<f64> {
        let ended = self.completed + self.failed;
        #[expect(clippy::cast_precision_loss, reason = "counts of a day are far below 2^52")]
        let rate = |part: usize, whole: usize| part as f64 * 100.0 / whole as f64;
        (ended > 0).then(|| (rate(self.completed, ended) * 10.0).round() / 10.0)
    }

    /// Judges each thing that was looked at.
    fn report(&self) -> HealthReport {
        let checks = vec![
            check("storage", true, "the storage account answers".to_owned()),
            check("databases", true, format!("{} of {} databases are enabled", self.enabled, self.databases)),
            check("policies", self.policies > 0, format!("there are {} backup policies", self.policies)),
            self.success_check(),
            self.queue_check(),
            self.tick_check(),
            check("overdue", self.overdue.is_empty(), overdue_text(&self.overdue)),
            self.orphan_check(),
        ];
        HealthReport { checks }
    }

    fn success_check(&self) -> Check {
        let rate = self.success_rate();
        let text = rate.map_or_else(
            || "no backup ended in the last 24 hours".to_owned(),
            |rate| format!("{rate} % of the backups of the last 24 hours succeeded"),
        );
        check("success_rate", rate.is_none_or(|rate| rate >= 90.0), text)
    }

    fn queue_check(&self) -> Check {
        match self.queues {
            Some((waiting, given_up)) => check(
                "queue",
                given_up == 0,
                format!("{waiting} jobs wait, {given_up} messages are in the poison queue"),
            ),
            None => {
                check("queue", false, "the messages could not be counted; see the scheduler's log".to_owned())
            }
        }
    }

    /// There may be no tick yet on a new installation. Where the timer does not work, backups are overdue.
    fn tick_check(&self) -> Check {
        match self.last_tick {
            Some(minutes) => check(
                "scheduler",
                minutes <= TICK_AGE.num_minutes(),
                format!("the last tick was {minutes} minutes ago"),
            ),
            None => check("scheduler", true, "there was no tick yet".to_owned()),
        }
    }

    fn orphan_check(&self) -> Check {
        let Orphans { files, records, unseen, examples } = &self.orphans;
        let mut text = if examples.is_empty() {
            "files and records fit together".to_owned()
        } else {
            let examples = examples.join(", ");
            format!("{files} files have no record, {records} records miss their file: {examples}")
        };
        if !unseen.is_empty() {
            text = format!("{text}; not looked at: {}", unseen.join(", "));
        }
        check("orphans", *files == 0 && *records == 0 && unseen.is_empty(), text)
    }
}

fn check(name: &str, ok: bool, message: String) -> Check {
    Check { name: name.to_owned(), ok, message }
}

fn overdue_text(names: &[String]) -> String {
    let shown = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => "every database has the backups that its schedule asks for".to_owned(),
        count if count <= NAMED => format!("overdue: {shown}"),
        count => format!("overdue: {shown} and {} more", count - NAMED),
    }
}

/// Looks at the system, logs what it sees and keeps it.
pub(crate) async fn health_monitor(State(state): State<AppState>, _timer: TimerInvocation) -> Answer {
    let now = state.clock.now();
    if let Err(error) = state.storage.backups.forget_requests(now).await {
        tracing::warn!(%error, "old names of requests could not be forgotten; they are next time");
    }
    match look(&state.storage, now).await {
        Ok(health) => {
            let report = health.report();
            if let Err(error) = state.storage.watch.note_health(now, &report).await {
                tracing::warn!(%error, "what the health monitor saw could not be kept");
            }
            tell(&health, &report)
        }
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                status = "unhealthy",
                "health: storage does not answer"
            );
            note_failure(&state, now).await;
            Answer::failure(error.to_string())
        }
    }
}

/// Notes that storage did not answer, in case that it answers again. The text of the error stays in the log:
/// it names hosts and requests.
async fn note_failure(state: &AppState, now: DateTime<Utc>) {
    let text = "the storage account did not answer when the system was looked at; see the scheduler's log";
    let report = HealthReport { checks: vec![check("storage", false, text.to_owned())] };
    if let Err(error) = state.storage.watch.note_health(now, &report).await {
        tracing::warn!(%error, "that storage does not answer could not be kept");
    }
}

fn tell(health: &Health, report: &HealthReport) -> Answer {
    let Health { databases, enabled, policies, completed, failed, queues, .. } = *health;
    let (waiting, given_up) = queues.unzip();
    let (overdue, orphans) = (health.overdue.len(), health.orphans.files + health.orphans.records);
    let success_rate = health.success_rate();
    let bad = report.checks.iter().filter(|check| !check.ok);
    let warnings: Vec<String> = bad.map(|check| check.message.clone()).collect();
    let status = if report.is_healthy() { "healthy" } else { "warning" };
    tracing::info!(
        status,
        databases,
        enabled,
        policies,
        completed,
        failed,
        success_rate,
        waiting,
        given_up,
        overdue,
        orphans,
        warnings = warnings.join("; "),
        "health"
    );
    warnings.into_iter().fold(Answer::success().with_log(format!("health: {status}")), Answer::with_log)
}

async fn look(storage: &Storage, now: DateTime<Utc>) -> Result<Health, StorageError> {
    storage.policies.seed(now).await?;
    let databases = storage.databases.list().await?;
    let filter = BackupFilter { from: Some(now - TimeDelta::hours(24)), ..BackupFilter::default() };
    let backups = storage.backups.list(&filter).await?;
    let count = |status| backups.iter().filter(|backup| backup.status() == status).count();
    let queues = match storage.jobs.depth().await {
        Ok(depth) => Some(depth),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the messages cannot be counted");
            None
        }
    };
    let overdue = overdue(storage, &databases, now).await?;
    Ok(Health {
        enabled: databases.iter().filter(|database| database.enabled).count(),
        policies: storage.policies.list().await?.len(),
        completed: count(BackupStatus::Completed),
        failed: count(BackupStatus::Failed),
        queues,
        overdue: names(&databases, |id| overdue.contains_key(id)),
        orphans: orphans::find(storage, &databases, now).await?,
        last_tick: storage.watch.last_tick().await?.map(|(at, _)| (now - at).num_minutes()),
        databases: databases.len(),
    })
}

fn names(databases: &[Database], wanted: impl Fn(&DatabaseId) -> bool) -> Vec<String> {
    databases.iter().filter(|database| wanted(&database.id)).map(|database| database.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Health {
        Health {
            databases: 2,
            enabled: 1,
            policies: 3,
            completed: 9,
            failed: 1,
            queues: Some((0, 0)),
            last_tick: Some(7),
            ..Health::default()
        }
    }

    fn warnings(health: &Health) -> String {
        let report = health.report();
        let bad = report.checks.iter().filter(|check| !check.ok);
        bad.map(|check| format!("{}: {}", check.name, check.message)).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn says_what_a_person_should_look_at() {
        assert_eq!(good().success_rate(), Some(90.0));
        assert_eq!(warnings(&good()), "");
        let bad = Health {
            failed: 2,
            queues: Some((0, 1)),
            policies: 0,
            last_tick: Some(51),
            overdue: (1..=7).map(|number| format!("db{number}")).collect(),
            orphans: Orphans {
                files: 1,
                records: 2,
                unseen: vec!["own".to_owned()],
                examples: vec!["backups/a has no record".to_owned(), "backups/b is not there".to_owned()],
            },
            ..good()
        };
        insta::assert_snapshot!(warnings(&bad), @"
        policies: there are 0 backup policies
        success_rate: 81.8 % of the backups of the last 24 hours succeeded
        queue: 0 jobs wait, 1 messages are in the poison queue
        scheduler: the last tick was 51 minutes ago
        overdue: overdue: db1, db2, db3, db4, db5 and 2 more
        orphans: 1 files have no record, 2 records miss their file: backups/a has no record, backups/b is not there; not looked at: own
        ");
        let uncounted = Health { queues: None, ..good() };
        assert_eq!(warnings(&uncounted), "queue: the messages could not be counted; see the scheduler's log");
        assert_eq!(Health { completed: 0, failed: 0, ..good() }.success_rate(), None);
    }
}
