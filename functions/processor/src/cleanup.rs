//! `cleanup_old_backups`: retention, once a day.

use axum::extract::State;
use custom_handler::{Answer, TimerInvocation};
use shared::prune::{self, Outcome, Pruned};

use crate::state::AppState;

/// Deletes what retention says, of every configured database, enabled or not. What belongs to
/// databases that are not configured any more is never touched.
pub(crate) async fn cleanup_old_backups(State(state): State<AppState>, _timer: TimerInvocation) -> Answer {
    match prune::run(&state.storage, &state.clock).await {
        Ok(Outcome::Done(pruned)) => report(pruned, "retention is done"),
        Ok(Outcome::Stopped(pruned)) => report(pruned, "retention stopped: another run has taken over"),
        Ok(Outcome::Busy) => {
            tracing::info!("another retention run is going on");
            Answer::success().with_log("another retention run is going on")
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "retention failed");
            Answer::failure(error.to_string())
        }
    }
}

fn report(pruned: Pruned, what: &str) -> Answer {
    let Pruned { databases, deleted, kept, refused, failed, paused } = pruned;
    tracing::info!(databases, deleted, kept, refused, failed, paused, "{what}");
    let line = format!(
        "{what}: {databases} databases, {deleted} backups deleted, {kept} kept, {refused} protected, \
         {failed} failed, {paused} databases paused"
    );
    if failed == 0 { Answer::success().with_log(line) } else { Answer::failure(line) }
}
