//! Audit records that could not be stored: written again, with longer and longer pauses, for an hour.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::StorageErrorKind;
use super::audit_log::append;
use super::table::Table;
use crate::models::AuditRecord;

/// How many records wait at most; beyond that the oldest is given up.
const MOST: usize = 1000;
/// After this time a record is given up, so that the past does not change any more.
const GIVEN_UP_AFTER: Duration = Duration::from_hours(1);
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_mins(2);

/// The records that wait, and the task that writes them while there are any.
#[derive(Debug, Clone)]
pub(super) struct Retries {
    table: Arc<dyn Table>,
    lost: Arc<AtomicU64>,
    queue: Arc<Mutex<Queue>>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(AuditRecord, Instant)>,
    has_task: bool,
}

impl Retries {
    pub(super) fn new(table: Arc<dyn Table>, lost: Arc<AtomicU64>) -> Self {
        Self { table, lost, queue: Arc::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.queue().waiting.len()
    }

    /// Takes a record over.
    pub(super) fn add(&self, record: AuditRecord) {
        let mut queue = self.queue();
        if queue.waiting.len() >= MOST
            && let Some((oldest, _)) = queue.waiting.pop_front()
        {
            self.give_up(&oldest);
        }
        queue.waiting.push_back((record, Instant::now()));
        if !std::mem::replace(&mut queue.has_task, true) {
            tokio::spawn(self.clone().run());
        }
    }

    /// Tries each record once.
    pub(super) async fn flush(&self) {
        for _ in 0..self.len() {
            if !self.try_first().await {
                return;
            }
        }
    }

    async fn run(self) {
        let mut pause = FIRST_PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            while self.try_first().await {
                pause = FIRST_PAUSE;
            }
            let mut queue = self.queue();
            if queue.waiting.is_empty() {
                queue.has_task = false;
                return;
            }
        }
    }

    /// Tries the record that has waited longest; `false` when there is none, or storage is still away.
    async fn try_first(&self) -> bool {
        let Some((record, since)) = self.queue().waiting.front().cloned() else { return false };
        let outcome = append(&*self.table, &record).await;
        let is_over = match &outcome {
            Ok(()) => true,
            Err(error) => error.kind() == StorageErrorKind::Invalid || since.elapsed() >= GIVEN_UP_AFTER,
        };
        if !is_over {
            return false;
        }
        let mut queue = self.queue();
        let before = queue.waiting.len();
        queue.waiting.retain(|(waiting, _)| waiting.id != record.id);
        // Of two that tried it at the same time, one counts it.
        if let Err(error) = outcome
            && queue.waiting.len() < before
        {
            tracing::error!(error = &error as &dyn Error, "an audit record is given up");
            self.give_up(&record);
        }
        true
    }

    fn give_up(&self, record: &AuditRecord) {
        self.lost.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            action = record.action,
            resource_type = record.resource_type,
            resource_id = record.resource_id,
            user = record.user_email,
            at = %record.timestamp,
            "an audit record is lost"
        );
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
