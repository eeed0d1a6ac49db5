//! `restore_poison`: messages of restores that the host has given up.

use std::time::Duration;

use axum::extract::State;
use custom_handler::{Answer, QueueInvocation};
use shared::models::{BackupStatus, Failure, RestoreId};
use shared::storage::{RestoreClaim, StorageError, restores};

use super::record::Record;
use super::{abandoned, finish};
use crate::state::AppState;

/// Ends the restore of a message that was given up.
pub(crate) async fn restore_poison(State(state): State<AppState>, message: QueueInvocation) -> Answer {
    let Some(id) = restores::decode(&message.body) else {
        tracing::error!(bytes = message.body.len(), "a message that is no restore is dropped");
        return Answer::success().with_log("dropped: the message names no restore");
    };
    match end(&state, &id).await {
        Ok(line) => Answer::success().with_log(line),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, restore_id = %id, "the restore could not be ended");
            Answer::failure(error.to_string())
        }
    }
}

async fn end(state: &AppState, id: &RestoreId) -> Result<String, StorageError> {
    let now = state.clock.now();
    match state.storage.restores.claim(id, now).await? {
        RestoreClaim::Unknown => Ok(format!("there is no restore {id}")),
        RestoreClaim::Finished(restore) => Ok(format!("restore {id} has ended already: {}", restore.status)),
        // Somebody still works on it; it comes again.
        RestoreClaim::Busy(until) => {
            let pause = (until - now).to_std().unwrap_or_default().max(Duration::from_secs(1));
            state.storage.jobs.send_restore(id, pause).await?;
            Ok(format!("restore {id} is given one more chance"))
        }
        RestoreClaim::Abandoned(found) => abandoned(state, *found).await,
        RestoreClaim::Granted(found) => {
            let failure = Failure::new(
                "GivenUp",
                "The restore was delivered too often without coming to an end, because its processor crashed or \
                 storage failed. Nothing was written.",
            );
            let record = Record::new(state, *found);
            finish(state, &record, BackupStatus::Failed, Some(failure), None).await
        }
    }
}
