//! `GET /databases/{id}/schedule`: when a database is backed up next, and why then.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::effective_policy::PolicyBook;
use shared::models::{Database, DatabaseId, Lane, PolicyId, Tier};
use shared::schedule::{Due, Plan, due, lanes, next_slots_of, words};
use shared::storage::SlotState;

use crate::error::ApiError;
use crate::path::Id;
use crate::references;
use crate::state::{AppState, Now};

/// How many slots of each lane are shown.
const SHOWN: usize = 10;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    database_id: DatabaseId,
    enabled: bool,
    /// What the database runs by, in words.
    why: String,
    policy_id: Option<PolicyId>,
    schedule: Option<String>,
    time_zone: Option<&'static str>,
    next_backup_at: Option<DateTime<Utc>>,
    tiers: Vec<LaneView>,
}

/// One lane: a tier of the policy, or the schedule of the database, which has no tier.
#[derive(Debug, Serialize)]
struct LaneView {
    tier: Option<Tier>,
    why: String,
    /// The last slot that was served.
    last_slot: Option<DateTime<Utc>>,
    /// A slot that has come and is served at the next tick.
    due_slot: Option<DateTime<Utc>>,
    next: Vec<SlotView>,
}

#[derive(Debug, Serialize)]
struct SlotView {
    at: DateTime<Utc>,
    /// The same in the zone of the plan.
    local: String,
}

/// Shows what the scheduler would do if nothing changed.
pub(crate) async fn schedule(
    State(state): State<AppState>,
    Now(now): Now,
    Id(id): Id<DatabaseId>,
) -> Result<Json<Answer>, ApiError> {
    let database = references::database(&state, &id).await?.value;
    let book = references::policy_book(&state).await?;
    let slots = state.storage.slots.get(&id).await?;
    Ok(Json(answer(&database, &book, &slots, now)))
}

fn answer(database: &Database, book: &PolicyBook, slots: &SlotState, now: DateTime<Utc>) -> Answer {
    let plan = book.plan(database);
    let tiers = plan.map(|plan| views(plan, database, slots, now)).unwrap_or_default();
    let first = tiers.iter().filter_map(|lane| lane.next.first()).map(|slot| slot.at).min();
    let policy_id = match plan {
        Some(Plan::Tiers(policy)) => Some(policy.id.clone()),
        Some(Plan::Cron(_)) | None => None,
    };
    Answer {
        database_id: database.id.clone(),
        enabled: database.enabled,
        why: why(plan, database, book),
        policy_id,
        schedule: database.schedule.as_ref().map(ToString::to_string),
        time_zone: plan.map(|plan| plan.zone().name()),
        next_backup_at: first.filter(|_| database.enabled),
        tiers,
    }
}

fn views(plan: Plan<'_>, database: &Database, slots: &SlotState, now: DateTime<Utc>) -> Vec<LaneView> {
    let recorded = slots.recorded();
    let due = if database.enabled { due(plan, &recorded, database.updated_at, now) } else { Vec::new() };
    let view = |lane: Lane| LaneView {
        tier: match lane {
            Lane::Tier(tier) => Some(tier),
            Lane::Schedule => None,
        },
        why: words(plan, lane),
        last_slot: recorded.get(lane),
        due_slot: due.iter().find(|due: &&Due| due.lane == lane).map(|due| due.slot),
        next: next_slots_of(plan, lane, now, SHOWN).into_iter().map(|at| slot(plan, at)).collect(),
    };
    lanes(plan).into_iter().map(view).collect()
}

fn slot(plan: Plan<'_>, at: DateTime<Utc>) -> SlotView {
    SlotView { at, local: at.with_timezone(&plan.zone()).to_rfc3339() }
}

fn why(plan: Option<Plan<'_>>, database: &Database, book: &PolicyBook) -> String {
    let runs_by = match plan {
        None => "There is no backup policy, so nothing runs.".to_owned(),
        Some(Plan::Cron(_)) => "The database has a schedule of its own, which decides alone.".to_owned(),
        Some(Plan::Tiers(policy)) if lanes(Plan::Tiers(policy)).is_empty() => {
            format!("All tiers of the policy {} are switched off, so nothing runs.", policy.name)
        }
        Some(Plan::Tiers(policy)) if book.is_inherited(database) => {
            format!("The tiers of the policy {} decide, which is the one of its engine.", policy.name)
        }
        Some(Plan::Tiers(policy)) => format!("The tiers of the policy {} decide.", policy.name),
    };
    if database.enabled { runs_by } else { format!("The database is disabled, so nothing runs. {runs_by}") }
}
