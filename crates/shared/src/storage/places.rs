//! Places: how many dumps one database server bears at once, over all processors together.
//!
//! Each place is a lease of its own, numbered from 1 to as many as the server bears, so two processors
//! never hold the same one and the limit holds whatever they race for. A processor that dies leaves its
//! place to run out.
//!
//! Whoever finds none comes again later, in whatever order chance has it. So that nobody waits for ever,
//! the oldest of those who have waited long takes the turn: while it shows signs of life, the next place
//! is its.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::filter::{Filter, PARTITION, ROW};
use super::leases::{Lease, Leases, holds, time_delta};
use super::rows::{Reader, date_time};
use super::table::{Entity, Expect, Key, Properties, Query, query_all};
use super::{StorageError, StorageErrorKind};
use crate::models::{EngineId, JobId};

/// How long a job waits in no order before it may have the turn.
const PATIENCE: TimeDelta = TimeDelta::minutes(5);

/// How long the turn is kept for somebody who does not come back for it. Longer than a job that is asked
/// to come soon is usually on its way, and than the host takes to deliver the message of a dead processor.
const TURN: TimeDelta = TimeDelta::minutes(2);

/// The row of the turn, beside those of the places.
const TURN_ROW: &str = "turn";

/// Gives out places.
#[derive(Debug, Clone)]
pub struct Places {
    pub(super) leases: Leases,
    pub(super) ttl: Duration,
}

/// A place for one dump.
#[derive(Debug)]
pub struct Place(Lease);

/// What came of asking for a place.
#[derive(Debug)]
pub enum PlaceOutcome {
    /// There is one, to be given back.
    Granted(Place),
    /// All are taken, or the free one is somebody else's.
    Full {
        /// Whether the next one is kept for the job that asked, so that it should come again soon.
        is_next: bool,
    },
}

/// Who has the turn.
struct Turn {
    job: JobId,
    since: DateTime<Utc>,
    /// Whether it is kept, or may be taken by anybody.
    is_kept: bool,
    row: Entity,
}

impl Places {
    /// Asks for one of the `most` places on a server, for a job that has been there since `since`.
    pub async fn take(
        &self,
        engine: &EngineId,
        most: u16,
        (job, since): (&JobId, DateTime<Utc>),
        now: DateTime<Utc>,
    ) -> Result<PlaceOutcome, StorageError> {
        let partition = format!("place.{engine}");
        let query = Query::matching(Filter::eq(PARTITION, partition.as_str()));
        let rows = query_all(&*self.leases.table, &query).await?;
        let turn = rows.iter().find(|row| row.key.row == TURN_ROW).and_then(|row| turn(row, now));
        let ttl = time_delta(self.ttl);
        // Places beyond the limit count too: it may have been lowered while they were in use.
        let taken: Vec<&str> = rows
            .iter()
            .filter(|row| row.key.row != TURN_ROW && holds(row, ttl, now))
            .map(|row| row.key.row.as_str())
            .collect();
        let is_next = turn.as_ref().is_some_and(|turn| turn.job == *job);
        let kept = usize::from(!is_next && turn.as_ref().is_some_and(|turn| turn.is_kept));
        if taken.len() + kept < usize::from(most) {
            for number in (1..=most).map(|number| number.to_string()) {
                if taken.contains(&number.as_str()) {
                    continue;
                }
                let key = Key::new(partition.as_str(), number);
                if let Some(lease) = self.leases.take_at(key, self.ttl, now).await? {
                    if let Some(turn) = turn.filter(|_| is_next) {
                        self.end(turn.row).await;
                    }
                    return Ok(PlaceOutcome::Granted(Place(lease)));
                }
            }
        }
        let is_next = self.wait(&partition, turn, (job, since), now).await?;
        Ok(PlaceOutcome::Full { is_next })
    }

    /// Keeps a place for longer when half of its time is over; `false` when it was lost.
    pub async fn keep(&self, place: &mut Place, now: DateTime<Utc>) -> Result<bool, StorageError> {
        if !place.0.is_ageing(now) {
            return Ok(true);
        }
        match self.leases.extend(&mut place.0, now).await {
            Err(error) if place.0.holds_until() > now => {
                tracing::warn!(%error, "the place on the database server was not extended; it still holds");
                Ok(true)
            }
            other => other,
        }
    }

    /// Gives a place back. When that fails it runs out by itself.
    pub async fn leave(&self, place: Place) {
        self.leases.give_back(place.0).await;
    }

    /// Gives up the turn of a job that has ended without a place, so that the next one is nobody's. Its
    /// database, and with it the server, may be gone. When that fails the turn runs out by itself.
    pub async fn give_up(&self, job: &JobId) {
        let filter = Filter::And(vec![Filter::eq(ROW, TURN_ROW), Filter::eq("job_id", job.as_str())]);
        match query_all(&*self.leases.table, &Query::matching(filter)).await {
            Ok(rows) => {
                for row in rows {
                    self.end(row).await;
                }
            }
            Err(error) => tracing::warn!(%error, "a turn could not be looked for; it runs out by itself"),
        }
    }

    /// Takes the turn for a job that has waited for long, or keeps it; tells whether the job has it.
    async fn wait(
        &self,
        partition: &str,
        turn: Option<Turn>,
        (job, since): (&JobId, DateTime<Utc>),
        now: DateTime<Utc>,
    ) -> Result<bool, StorageError> {
        if now - since < PATIENCE {
            return Ok(false);
        }
        let is_behind =
            |turn: &Turn| turn.is_kept && turn.job != *job && (turn.since, &turn.job) < (since, job);
        if turn.as_ref().is_some_and(is_behind) {
            return Ok(false);
        }
        let key = Key::new(partition, TURN_ROW);
        let properties = Properties::from([
            ("job_id".to_owned(), job.as_str().into()),
            ("since".to_owned(), date_time(since)),
            ("expires_at".to_owned(), date_time(now + TURN)),
        ]);
        let table = &self.leases.table;
        let written = match turn {
            Some(turn) => {
                table.merge(&key, &properties, &turn.row.etag.map_or(Expect::Any, Expect::Version)).await
            }
            None => table.insert_or_merge(&key, &properties).await,
        };
        match written {
            Ok(_) => Ok(true),
            Err(error) if is_race(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives the turn to whoever asks next. When that fails it runs out by itself.
    async fn end(&self, turn: Entity) {
        let expect = turn.etag.map_or(Expect::Any, Expect::Version);
        if let Err(error) = self.leases.table.delete(&turn.key, &expect).await
            && !is_race(&error)
        {
            tracing::warn!(%error, "a turn could not be given back; it runs out by itself");
        }
    }
}

/// Reads the turn; one that cannot be read is nobody's.
fn turn(row: &Entity, now: DateTime<Utc>) -> Option<Turn> {
    let reader = Reader(row);
    Some(Turn {
        job: reader.parse("job_id").ok()?,
        since: reader.instant("since")?,
        is_kept: holds(row, TURN, now),
        row: row.clone(),
    })
}

fn is_race(error: &StorageError) -> bool {
    matches!(
        error.kind(),
        StorageErrorKind::AlreadyExists | StorageErrorKind::Changed | StorageErrorKind::NotFound
    )
}
