//! The timer trigger: wait, run, remember.
//!
//! What must hold: runs of one timer never overlap; after a run the state is written whether it
//! failed or not; a tick missed while the host was down is made up for once, at its next start.

pub(crate) mod monitor;
pub(crate) mod schedule;
pub(crate) mod status;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::sleep;
use tracing::{error, info, warn};

use self::monitor::Monitor;
use self::status::{Reason, Status, at_start};
use crate::envelope::payload::{self, RetryContext, Sys};
use crate::index::{Retry, TimerTrigger};
use crate::invoke::Invoker;
use crate::stopping::Stopping;
use crate::{ambient, error_chain};

/// The wall clock is read at least this often while waiting, since it may be set.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);
/// The pause after the state could not be read.
const STORAGE_PAUSE: Duration = Duration::from_secs(5);

/// The listener of one timer function.
#[derive(Debug)]
pub(crate) struct TimerListener {
    pub(crate) app: Arc<str>,
    pub(crate) function: String,
    pub(crate) trigger: TimerTrigger,
    /// `None` where runs are not remembered.
    pub(crate) monitor: Option<Monitor>,
    pub(crate) invoker: Arc<Invoker>,
}

impl TimerListener {
    /// Fires the timer until the host stops. A run on its way is waited for.
    pub(crate) async fn run(self, mut stopping: Stopping) {
        let stored = tokio::select! {
            stored = self.stored() => stored,
            () = stopping.asked() => return,
        };
        let Some(start) =
            at_start(stored, &self.trigger.schedule, self.trigger.run_on_startup, ambient::now())
        else {
            warn!(app = %self.app, "{} never fires: no day fits its schedule", self.function);
            return;
        };
        let mut status = start.remember.or(stored);
        if let Some(new) = start.remember {
            self.remember(new).await;
        }
        let mut next = start.next;
        let mut reason = start.fire;
        loop {
            if let Some(reason) = reason.replace(Reason::Due) {
                status = self.fire(reason, next, status).await;
                let Some(following) = self.trigger.schedule.next_after(ambient::now()) else { return };
                next = following;
            }
            info!(app = %self.app, "{} fires next at {}", self.function, next.format("%Y-%m-%d %H:%M:%S UTC"));
            tokio::select! {
                () = wait_until(next) => {}
                () = stopping.asked() => return,
            }
        }
    }

    /// Reads the remembered state; storage that cannot be reached is waited for.
    async fn stored(&self) -> Option<Status> {
        let monitor = self.monitor.as_ref()?;
        let mut in_trouble = false;
        loop {
            match monitor.read(&self.function).await {
                Ok(status) => return status,
                Err(error) => {
                    if !std::mem::replace(&mut in_trouble, true) {
                        error!(app = %self.app, "the state of {} cannot be read, so it does not start yet; it is tried again: {}", self.function, error_chain(&error));
                    }
                    sleep(STORAGE_PAUSE).await;
                }
            }
        }
    }

    async fn fire(&self, reason: Reason, due: DateTime<Utc>, before: Option<Status>) -> Option<Status> {
        let started = ambient::now();
        if reason == Reason::PastDue {
            info!(app = %self.app, "{} is past due; it fires now", self.function);
        }
        self.call(reason, before).await;
        self.monitor.as_ref()?;
        // A clock that was set back must not let the same tick fire twice.
        let last = if reason == Reason::Due { started.max(due) } else { started };
        let next = self.trigger.schedule.next_after(last)?;
        let status = Status { last: Some(last), next, updated: Some(last) };
        self.remember(status).await;
        Some(status)
    }

    /// Calls the handler, again after a failure where the function has a retry rule.
    async fn call(&self, reason: Reason, before: Option<Status>) {
        let status = before.filter(|_| self.monitor.is_some());
        let mut retry: Option<RetryContext> = None;
        loop {
            let sys = Sys { function: &self.function, now: ambient::now(), id: ambient::new_id() };
            let payload = payload::timer(
                &self.trigger.binding,
                self.trigger.schedule.is_cron(),
                status,
                reason == Reason::PastDue,
                retry.as_ref(),
                sys,
            );
            let Err(failure) = self.invoker.call(&self.function, &payload).await else { return };
            let count = retry.map_or(0, |retry| retry.count);
            let Some(pause) = self.trigger.retry.as_ref().and_then(|rule| rule.pause(count)) else { return };
            info!(app = %self.app, "{} is repeated in {pause:?}", self.function);
            sleep(pause).await;
            let most = self.trigger.retry.as_ref().and_then(|rule| rule.most);
            retry = Some(RetryContext { count: count + 1, most, error: error_chain(&failure) });
        }
    }

    async fn remember(&self, status: Status) {
        let Some(monitor) = &self.monitor else { return };
        if let Err(error) = monitor.write(&self.function, status).await {
            warn!(app = %self.app, "the state of {} could not be written; after a restart it may fire again: {}", self.function, error_chain(&error));
        }
    }
}

impl Retry {
    /// Returns the pause after so many repetitions, or `None` when there have been enough.
    fn pause(&self, repetitions: u32) -> Option<Duration> {
        if self.most.is_some_and(|most| repetitions >= most) {
            return None;
        }
        let factor = 1_i32.checked_shl(repetitions.min(20)).unwrap_or(i32::MAX);
        let pause = self.first.checked_mul(factor).unwrap_or(TimeDelta::MAX).min(self.longest);
        pause.to_std().ok()
    }
}

async fn wait_until(instant: DateTime<Utc>) {
    while let Ok(remaining) = (instant - ambient::now()).to_std() {
        if remaining.is_zero() {
            return;
        }
        sleep(remaining.min(LONGEST_SLEEP)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let rule = Retry { most: Some(4), first: TimeDelta::seconds(1), longest: TimeDelta::seconds(5) };
        let pauses: Vec<_> = (0..5).map(|count| rule.pause(count).map(|pause| pause.as_secs())).collect();
        assert_eq!(pauses, [Some(1), Some(2), Some(4), Some(5), None]);
        let endless = Retry { most: None, ..rule };
        assert_eq!(endless.pause(u32::MAX), Some(Duration::from_secs(5)));
    }
}
