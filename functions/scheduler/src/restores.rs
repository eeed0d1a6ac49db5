//! Restores that wait in vain: their message was never sent, or is lost.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::state::AppState;

/// Sends the messages of restores again that nobody would come to otherwise. That it fails must not keep a
/// tick from queueing.
///
/// A message that comes twice has its effect once, and a restore that had begun to write is ended by it and
/// not begun again.
pub(crate) async fn send_again(state: &AppState, now: DateTime<Utc>) {
    let restores = &state.storage.restores;
    let waiting = match restores.waiting_in_vain(now).await {
        Ok(waiting) => waiting,
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "restores without a message could not be looked for"
            );
            return;
        }
    };
    for restore in waiting {
        match state.storage.jobs.send_restore(&restore.id, Duration::ZERO).await {
            Ok(_) => {
                tracing::warn!(restore_id = %restore.id, status = %restore.status, "the message of a restore was sent again");
                restores.note_sent(&restore.id, now).await;
            }
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                restore_id = %restore.id,
                "the message of a restore could not be sent again; the next tick tries it"
            ),
        }
    }
}
