//! Running a timer or queue function by hand, now and once.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::TimeDelta;
use tokio::task::JoinSet;
use tracing::warn;

use crate::envelope::payload::{self, QueueMessage, Sys};
use crate::index::{Function, Trigger};
use crate::invoke::Invoker;
use crate::timer::monitor::Monitor;
use crate::{ambient, error_chain};

/// Why a function cannot be run by hand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// There is no such function.
    #[error("there is no function \"{0}\" in this app")]
    Unknown(String),
    /// The function answers requests.
    #[error("\"{0}\" is an HTTP function; call its route instead")]
    Http(String),
}

/// Runs functions by hand.
#[derive(Debug)]
pub(crate) struct Manual {
    pub(crate) app: Arc<str>,
    pub(crate) functions: Arc<Vec<Function>>,
    pub(crate) invoker: Arc<Invoker>,
    pub(crate) monitor: Option<Monitor>,
    pub(crate) runs: Mutex<JoinSet<()>>,
}

impl Manual {
    /// Finds a function; names fit in any case.
    pub(crate) fn find(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|function| function.name.eq_ignore_ascii_case(name))
    }

    /// Starts a run, also of a disabled function. How it goes is in the log. For a queue function
    /// the input is the message; nothing is repeated when it fails.
    pub(crate) fn run(self: Arc<Self>, name: &str, input: String) -> Result<(), RunError> {
        let function = self.find(name).ok_or_else(|| RunError::Unknown(name.to_owned()))?.clone();
        if matches!(function.trigger, Trigger::Http(_)) {
            return Err(RunError::Http(function.name));
        }
        let manual = Arc::clone(&self);
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        while runs.try_join_next().is_some() {}
        runs.spawn(async move {
            let Some(payload) = manual.payload(&function, input).await else { return };
            // The outcome is logged where the call is made.
            let _ = manual.invoker.call(&function.name, &payload).await;
        });
        Ok(())
    }

    /// Waits for all runs that were started. Those still running when this is dropped are broken off.
    pub(crate) async fn finished(&self) {
        let mut runs = std::mem::take(&mut *self.runs.lock().unwrap_or_else(PoisonError::into_inner));
        while runs.join_next().await.is_some() {}
    }

    async fn payload(&self, function: &Function, input: String) -> Option<serde_json::Value> {
        let now = ambient::now();
        let sys = Sys { function: &function.name, now, id: ambient::new_id() };
        match &function.trigger {
            Trigger::Http(_) => None,
            Trigger::Queue(queue) => {
                let message = QueueMessage {
                    id: ambient::new_id().to_string(),
                    pop_receipt: String::new(),
                    body: input.into_bytes(),
                    dequeue_count: 1,
                    inserted: now,
                    expires: now + TimeDelta::days(7),
                    next_visible: now + TimeDelta::minutes(10),
                };
                Some(payload::queue(&queue.binding, queue.binary, &message, sys))
            }
            Trigger::Timer(timer) => {
                let status = match self.monitor.as_ref().filter(|_| timer.use_monitor) {
                    None => None,
                    Some(monitor) => monitor.read(&function.name).await.unwrap_or_else(|error| {
                        warn!(app = %self.app, "the state of {} cannot be read, it runs without: {}", function.name, error_chain(&error));
                        None
                    }),
                };
                Some(payload::timer(&timer.binding, timer.schedule.is_cron(), status, false, None, sys))
            }
        }
    }
}
