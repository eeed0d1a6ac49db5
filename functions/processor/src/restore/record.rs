//! The record of a restore while it runs: changed by its processor, and watched for a wish to stop.

use std::time::Duration;

use archive::Progress;
use dump::Remarks;
use shared::models::{Place, Restore, RestorePhase, RestoreProgress, StoredSecret};
use shared::storage::{StorageErrorKind, Versioned};
use tokio::sync::{Mutex, Notify};

use super::error::RestoreEnd;
use crate::state::AppState;

/// How often a running restore shows that it lives, at least.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// A restore that this processor works on.
pub(super) struct Record<'a> {
    state: &'a AppState,
    restore: Mutex<Versioned<Restore>>,
    /// How far the present phase has come.
    progress: std::sync::Mutex<Progress>,
    /// What has to be known about the outcome.
    pub(super) remarks: Remarks,
    /// Whether the database that is loaded was made by this restore.
    pub(super) has_made: std::sync::atomic::AtomicBool,
}

impl<'a> Record<'a> {
    pub(super) fn new(state: &'a AppState, found: Versioned<Restore>) -> Self {
        Self {
            state,
            restore: Mutex::new(found),
            progress: std::sync::Mutex::default(),
            remarks: Remarks::default(),
            has_made: std::sync::atomic::AtomicBool::new(false),
        }
    }

    /// Returns the restore as it is known here.
    pub(super) async fn restore(&self) -> Restore {
        self.restore.lock().await.value.clone()
    }

    pub(super) async fn phase(&self) -> RestorePhase {
        self.restore.lock().await.value.phase
    }

    pub(super) async fn password(&self) -> StoredSecret {
        match &self.restore.lock().await.value.place {
            Place::Server { password, .. } => password.clone(),
            Place::Engine(_) => StoredSecret::None,
        }
    }

    /// Begins a phase, and returns where its progress is counted.
    pub(super) async fn enter(&self, phase: RestorePhase) -> Result<Progress, RestoreEnd> {
        let progress = Progress::default();
        *self.progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = progress.clone();
        let now = self.state.clock.now();
        let restore = self
            .change(|restore| {
                restore.phase = phase;
                restore.heartbeat_at = Some(now);
                restore.progress = RestoreProgress::default();
            })
            .await?;
        if restore.cancel_requested { Err(RestoreEnd::Cancelled) } else { Ok(progress) }
    }

    /// Changes the record. When somebody has asked to stop in the meantime, that stays in it; when another
    /// processor has taken the restore over, it is lost.
    pub(super) async fn change(&self, change: impl Fn(&mut Restore)) -> Result<Restore, RestoreEnd> {
        let restores = &self.state.storage.restores;
        let mut known = self.restore.lock().await;
        for _ in 0..3 {
            let mut changed = known.value.clone();
            change(&mut changed);
            match restores.update(&changed, &known.etag).await {
                Ok(etag) => {
                    *known = Versioned { value: changed.clone(), etag };
                    return Ok(changed);
                }
                Err(error) if error.kind() == StorageErrorKind::Changed => {
                    let stored = restores.get(&known.value.id).await?.ok_or(RestoreEnd::Lost)?;
                    if stored.value.claim != known.value.claim || stored.value.is_finished() {
                        return Err(RestoreEnd::Lost);
                    }
                    known.value.cancel_requested = stored.value.cancel_requested;
                    known.etag = stored.etag;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(RestoreEnd::Lost)
    }

    /// Shows signs of life until it is told to stop; ends with an error when the restore is lost, or is to
    /// stop. While databases are being exchanged it waits for the end of that, come what may.
    pub(super) async fn keep_alive(&self, stop: &Notify) -> Result<(), RestoreEnd> {
        let ttl = self.state.config.jobs.claim;
        let every = HEARTBEAT.min(ttl / 4);
        let mut last = tokio::time::Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = stop.notified() => return Ok(()),
            }
            let now = self.state.clock.now();
            let progress = self.progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
            let come =
                RestoreProgress { read_bytes: progress.stored_bytes(), sql_bytes: progress.dumped_bytes() };
            let shown = self
                .change(|restore| {
                    restore.heartbeat_at = Some(now);
                    restore.progress = come;
                })
                .await;
            let end = match shown {
                Ok(restore) if restore.cancel_requested => RestoreEnd::Cancelled,
                Ok(_) => {
                    last = tokio::time::Instant::now();
                    continue;
                }
                Err(RestoreEnd::Storage(_)) if last.elapsed() < ttl => continue,
                Err(RestoreEnd::Storage(_)) => RestoreEnd::Lost,
                Err(end) => end,
            };
            if self.phase().await == RestorePhase::Exchanging {
                stop.notified().await;
                return Ok(());
            }
            return Err(end);
        }
    }
}
