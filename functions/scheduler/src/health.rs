//! `health_monitor`: one look at the whole system, as one structured log line.

use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use custom_handler::{Answer, TimerInvocation};
use shared::models::BackupStatus;
use shared::storage::{BackupFilter, Storage, StorageError};

use crate::state::AppState;

/// What the monitor saw.
#[derive(Debug, Clone, PartialEq)]
struct Health {
    databases: usize,
    enabled: usize,
    policies: usize,
    completed: usize,
    failed: usize,
    waiting: u64,
    given_up: u64,
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

    /// Returns what a person should look at.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(rate) = self.success_rate().filter(|rate| *rate < 90.0) {
            warnings.push(format!("only {rate} % of the backups of the last 24 hours succeeded"));
        }
        if self.policies == 0 {
            warnings.push("there is no backup policy".to_owned());
        }
        if self.given_up > 0 {
            warnings.push(format!("{} messages are in the poison queue", self.given_up));
        }
        warnings
    }
}

/// Looks at the system and logs what it sees.
pub(crate) async fn health_monitor(State(state): State<AppState>, _timer: TimerInvocation) -> Answer {
    match look(&state.storage, state.clock.now()).await {
        Ok(health) => report(&health),
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                status = "unhealthy",
                "health: storage does not answer"
            );
            Answer::failure(error.to_string())
        }
    }
}

fn report(health: &Health) -> Answer {
    let Health { databases, enabled, policies, completed, failed, waiting, given_up } = *health;
    let success_rate = health.success_rate();
    let warnings = health.warnings();
    let status = if warnings.is_empty() { "healthy" } else { "warning" };
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
    let (waiting, given_up) = storage.jobs.depth().await?;
    Ok(Health {
        databases: databases.len(),
        enabled: databases.iter().filter(|database| database.enabled).count(),
        policies: storage.policies.list().await?.len(),
        completed: count(BackupStatus::Completed),
        failed: count(BackupStatus::Failed),
        waiting,
        given_up,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Health =
        Health { databases: 2, enabled: 1, policies: 3, completed: 9, failed: 1, waiting: 0, given_up: 0 };

    #[test]
    fn warns_below_ninety_percent_only() {
        assert_eq!(GOOD.success_rate(), Some(90.0));
        assert!(GOOD.warnings().is_empty());
        let bad = Health { failed: 2, given_up: 1, ..GOOD };
        insta::assert_debug_snapshot!(bad.warnings(), @r#"
        [
            "only 81.8 % of the backups of the last 24 hours succeeded",
            "1 messages are in the poison queue",
        ]
        "#);
        assert_eq!(Health { completed: 0, failed: 0, ..GOOD }.success_rate(), None);
    }
}
