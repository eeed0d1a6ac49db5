//! The queue trigger: fetch, lease, renew, run, then delete, retry or poison.
//!
//! What must hold: a message is deleted only after a successful answer, or after its copy is in the
//! poison queue; while a message runs its lease is renewed, always with the newest receipt; a host
//! that dies leaves the message to come back when the lease ends.

pub(crate) mod fate;
pub(crate) mod messages;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{error, info, warn};

use self::fate::{Fate, Pause};
use self::messages::{Delivery, Messages, is_lost};
use crate::envelope::payload::{self, QueueMessage, Sys};
use crate::host_json::QueueConfig;
use crate::index::QueueTrigger;
use crate::invoke::Invoker;
use crate::stopping::Stopping;
use crate::{ambient, error_chain};

/// The pause before a failed renewal is tried again.
const RENEWAL_RETRY: Duration = Duration::from_secs(5);

/// How long messages are hidden while they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease {
    /// For how long.
    pub(crate) length: Duration,
    /// After how long the time starts anew.
    pub(crate) renewal: Duration,
}

/// The listener of one queue function.
#[derive(Debug)]
pub(crate) struct QueueListener {
    pub(crate) app: Arc<str>,
    pub(crate) function: String,
    pub(crate) trigger: QueueTrigger,
    pub(crate) queue: Messages,
    /// `None` for a queue that is itself a poison queue.
    pub(crate) poison: Option<Messages>,
    pub(crate) config: QueueConfig,
    pub(crate) lease: Lease,
    pub(crate) invoker: Arc<Invoker>,
}

impl QueueListener {
    /// Runs messages until the host stops, then waits for those that are running.
    pub(crate) async fn run(self: Arc<Self>, mut stopping: Stopping) {
        let mut running = JoinSet::new();
        let mut pause = Pause::new(self.config.max_polling_interval);
        let mut in_trouble = false;
        while !stopping.is_asked() {
            while running.try_join_next().is_some() {}
            if running.len() > self.config.new_batch_threshold {
                tokio::select! {
                    _ = running.join_next() => {}
                    () = stopping.asked() => {}
                }
                continue;
            }
            let found = self.fetch(&mut in_trouble).await;
            if stopping.is_asked() {
                self.give_back(found).await;
                break;
            }
            let length = if found.is_empty() {
                pause.after_nothing(ambient::fraction())
            } else {
                pause.after_messages()
            };
            for delivery in found {
                let listener = Arc::clone(&self);
                running.spawn(async move { listener.process(delivery).await });
            }
            tokio::select! {
                () = sleep(length) => {}
                () = stopping.asked() => {}
            }
        }
        while running.join_next().await.is_some() {}
    }

    async fn fetch(&self, in_trouble: &mut bool) -> Vec<Delivery> {
        match self.queue.fetch(self.config.batch_size, self.lease.length).await {
            Ok(found) => {
                if std::mem::take(in_trouble) {
                    info!(app = %self.app, "the queue {} can be read again", self.queue.name);
                }
                found
            }
            Err(error) => {
                if !std::mem::replace(in_trouble, true) {
                    error!(app = %self.app, "the queue {} cannot be read; it is tried again: {}", self.queue.name, error_chain(&error));
                }
                Vec::new()
            }
        }
    }

    /// Makes messages visible again that were fetched while the host began to stop.
    async fn give_back(&self, found: Vec<Delivery>) {
        for delivery in found {
            let _ = self.queue.hide(&delivery.id, &delivery.pop_receipt, Duration::ZERO).await;
        }
    }

    async fn process(&self, delivery: Delivery) {
        let count = delivery.dequeue_count;
        let most = self.config.max_dequeue_count;
        let Some(body) = self.decode(&delivery.text) else {
            error!(app = %self.app, "a message in {} is not base64 although messageEncoding says so", self.queue.name);
            let fate = if self.poison.is_some() { Fate::Poison } else { Fate::Leave };
            return self.settle(fate, &delivery, &delivery.pop_receipt).await;
        };
        if !fate::is_tried(count, most, self.poison.is_some()) {
            return self.settle(Fate::Poison, &delivery, &delivery.pop_receipt).await;
        }
        let message = QueueMessage {
            id: delivery.id.clone(),
            pop_receipt: delivery.pop_receipt.clone(),
            body,
            dequeue_count: count,
            inserted: delivery.inserted,
            expires: delivery.expires,
            next_visible: delivery.next_visible,
        };
        let sys = Sys { function: &self.function, now: ambient::now(), id: ambient::new_id() };
        let payload = payload::queue(&self.trigger.binding, self.trigger.binary, &message, sys);
        let (done, is_done) = oneshot::channel::<()>();
        let call = async {
            let outcome = self.invoker.call(&self.function, &payload).await;
            drop(done);
            outcome.is_ok()
        };
        let (succeeded, receipt) = tokio::join!(call, self.renew(&delivery, is_done));
        let fate = fate::after_try(succeeded, count, most, self.poison.is_some());
        self.settle(fate, &delivery, &receipt).await;
    }

    /// Renews the lease until the message is done and returns the newest receipt. A renewal on its
    /// way is waited for, since it changes the receipt.
    async fn renew(&self, delivery: &Delivery, mut is_done: oneshot::Receiver<()>) -> String {
        let mut receipt = delivery.pop_receipt.clone();
        let mut wait = self.lease.renewal;
        loop {
            tokio::select! {
                _ = &mut is_done => return receipt,
                () = sleep(wait) => {}
            }
            match self.queue.hide(&delivery.id, &receipt, self.lease.length).await {
                Ok(renewed) => {
                    receipt = renewed;
                    wait = self.lease.renewal;
                }
                Err(error) if is_lost(&error) => {
                    warn!(app = %self.app, "message {} in {} is no longer leased to this host; it may run twice", delivery.id, self.queue.name);
                    let _ = is_done.await;
                    return receipt;
                }
                Err(error) => {
                    warn!(app = %self.app, "the lease of message {} in {} could not be renewed; it is tried again: {}", delivery.id, self.queue.name, error_chain(&error));
                    wait = self.lease.renewal.min(RENEWAL_RETRY);
                }
            }
        }
    }

    async fn settle(&self, fate: Fate, delivery: &Delivery, receipt: &str) {
        let (id, queue) = (&delivery.id, &self.queue.name);
        let outcome = match (fate, &self.poison) {
            (Fate::Leave, _) | (Fate::Poison, None) => {
                warn!(app = %self.app, "message {id} failed; it comes back to {queue} when its lease ends");
                Ok(())
            }
            (Fate::Delete, _) => self.queue.delete(id, receipt).await,
            (Fate::Release, _) => {
                info!(app = %self.app, "message {id} comes back to {queue} after {:?} (try {} of {})", self.config.retry_delay, delivery.dequeue_count, self.config.max_dequeue_count);
                self.queue.hide(id, receipt, self.config.retry_delay).await.map(drop)
            }
            (Fate::Poison, Some(poison)) => {
                warn!(app = %self.app, "message {id} goes from {queue} to {} after {} tries", poison.name, delivery.dequeue_count);
                match poison.send(&delivery.text).await {
                    Ok(()) => self.queue.delete(id, receipt).await,
                    Err(error) => Err(error),
                }
            }
        };
        if let Err(error) = outcome {
            warn!(app = %self.app, "message {id} in {queue} could not be settled, it comes back when its lease ends: {}", error_chain(&error));
        }
    }

    fn decode(&self, text: &str) -> Option<Vec<u8>> {
        if self.config.base64 { STANDARD.decode(text).ok() } else { Some(text.as_bytes().to_vec()) }
    }
}

/// Returns the name of the poison queue, unless the queue is one itself.
pub(crate) fn poison_name(queue: &str) -> Option<String> {
    (!queue.ends_with("-poison")).then(|| format!("{queue}-poison"))
}
