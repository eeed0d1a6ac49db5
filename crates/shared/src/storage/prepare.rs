//! Making what is missing in storage, while a program already serves.

use std::time::Duration;

use super::Storage;
use crate::clock::Clock;

impl Storage {
    /// Makes what is missing, again and again until storage is there, in a task of its own.
    ///
    /// The Functions host allows a program 30 seconds to answer, so nothing waits for this; what is
    /// used before it exists is made by its own operation.
    pub fn prepare_in_background(&self, clock: &Clock) {
        let (storage, clock) = (self.clone(), clock.clone());
        tokio::spawn(async move {
            let mut pause = Duration::from_secs(1);
            while let Err(error) = storage.prepare(clock.now()).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "storage is not ready; trying again in {} s",
                    pause.as_secs()
                );
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_mins(1));
            }
            tracing::info!("storage is ready");
        });
    }
}
