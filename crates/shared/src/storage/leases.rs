//! Leases by name: a thing that one program at a time may do, until it ends or shows no life.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::rows::{Reader, date_time};
use super::table::{ETag, Entity, Expect, Key, Properties, Table};
use super::{StorageError, StorageErrorKind};
use crate::models::ClaimId;

/// The partition of all leases by name; those of databases have their own.
const PARTITION: &str = "named";

/// Gives out leases.
#[derive(Debug, Clone)]
pub struct Leases {
    pub(super) table: Arc<dyn Table>,
}

/// A lease that is ours.
#[derive(Debug)]
pub struct Lease {
    key: Key,
    etag: ETag,
    owner: ClaimId,
    ttl: TimeDelta,
    until: DateTime<Utc>,
}

impl Lease {
    /// Tells whether half of its time is over, so that it should be extended.
    pub fn is_ageing(&self, now: DateTime<Utc>) -> bool {
        self.until - now < self.ttl / 2
    }

    /// Returns when it runs out without being extended.
    pub(super) fn holds_until(&self) -> DateTime<Utc> {
        self.until
    }
}

impl Leases {
    /// Takes a lease; `None` when somebody else has it.
    pub async fn take(
        &self,
        name: &str,
        ttl: Duration,
        now: DateTime<Utc>,
    ) -> Result<Option<Lease>, StorageError> {
        self.take_at(Key::new(PARTITION, name), ttl, now).await
    }

    /// Takes the lease that a row stands for.
    pub(super) async fn take_at(
        &self,
        key: Key,
        ttl: Duration,
        now: DateTime<Utc>,
    ) -> Result<Option<Lease>, StorageError> {
        let owner = ClaimId::random();
        let ttl = time_delta(ttl);
        let until = now + ttl;
        let properties = Properties::from([
            ("owner".to_owned(), owner.as_str().into()),
            ("expires_at".to_owned(), date_time(until)),
        ]);
        let written = match self.table.get(&key).await? {
            None => self.table.insert(&Entity::new(key.clone(), properties)).await,
            Some(found) if holds(&found, ttl, now) => return Ok(None),
            Some(found) => self.take_over(&key, &properties, found).await,
        };
        match written {
            Ok(etag) => Ok(Some(Lease { key, etag, owner, ttl, until })),
            // Somebody was faster, or our own write was repeated because its answer was lost.
            Err(error) if is_race(&error) => {
                let etag = self.own(&key, &owner).await?;
                Ok(etag.map(|etag| Lease { key, etag, owner, ttl, until }))
            }
            Err(error) => Err(error),
        }
    }

    async fn take_over(
        &self,
        key: &Key,
        properties: &Properties,
        found: Entity,
    ) -> Result<ETag, StorageError> {
        self.table.merge(key, properties, &found.etag.map_or(Expect::Any, Expect::Version)).await
    }

    /// Extends a lease; `false` when it was lost.
    pub async fn extend(&self, lease: &mut Lease, now: DateTime<Utc>) -> Result<bool, StorageError> {
        let until = now + lease.ttl;
        let properties = Properties::from([("expires_at".to_owned(), date_time(until))]);
        let mut expect = lease.etag.clone();
        for _ in 0..2 {
            match self.table.merge(&lease.key, &properties, &Expect::Version(expect)).await {
                Ok(etag) => {
                    lease.etag = etag;
                    lease.until = until;
                    return Ok(true);
                }
                Err(error) if is_race(&error) => match self.own(&lease.key, &lease.owner).await? {
                    Some(etag) => expect = etag,
                    None => return Ok(false),
                },
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Gives a lease back. When that fails it runs out by itself.
    pub async fn give_back(&self, lease: Lease) {
        if let Err(error) = self.table.delete(&lease.key, &Expect::Version(lease.etag)).await
            && !is_race(&error)
        {
            tracing::warn!(%error, "a lease could not be given back; it runs out by itself");
        }
    }

    /// Returns the version of a lease if it is ours.
    async fn own(&self, key: &Key, owner: &ClaimId) -> Result<Option<ETag>, StorageError> {
        let found = self.table.get(key).await?;
        let own = found.filter(|lease| Reader(lease).text("owner") == Some(owner.as_str()));
        Ok(own.and_then(|lease| lease.etag))
    }
}

pub(super) fn time_delta(ttl: Duration) -> TimeDelta {
    TimeDelta::from_std(ttl).unwrap_or(TimeDelta::minutes(2))
}

/// Tells whether a lease is somebody's. One that cannot be read counts as run out, and so does one that
/// runs for much longer than leases do: a clock that was far ahead must not keep everybody out until then.
pub(super) fn holds(lease: &Entity, ttl: TimeDelta, now: DateTime<Utc>) -> bool {
    let until = Reader(lease).instant("expires_at");
    until.is_some_and(|until| until > now && until <= now + ttl * 4)
}

fn is_race(error: &StorageError) -> bool {
    match error.kind() {
        StorageErrorKind::AlreadyExists | StorageErrorKind::Changed | StorageErrorKind::NotFound => true,
        StorageErrorKind::Unavailable | StorageErrorKind::Denied | StorageErrorKind::Invalid => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Fault, FaultyTable, MemoryTable, TableCall};
    use super::*;

    const TTL: Duration = Duration::from_mins(2);

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap_or_default()
    }

    fn leases(table: FaultyTable) -> Leases {
        Leases { table: Arc::new(table) }
    }

    #[tokio::test]
    async fn one_at_a_time_has_it_until_it_is_given_back_or_runs_out() -> Result<(), StorageError> {
        let leases = leases(FaultyTable::new(MemoryTable::default()));
        let Some(mut lease) = leases.take("x", TTL, at(0)).await? else { panic!("it is free") };
        assert!(leases.take("x", TTL, at(119)).await?.is_none());
        assert!(leases.take("y", TTL, at(119)).await?.is_some());
        assert!(!lease.is_ageing(at(59)) && lease.is_ageing(at(61)));
        assert!(leases.extend(&mut lease, at(100)).await?);
        assert!(leases.take("x", TTL, at(219)).await?.is_none());
        assert!(leases.take("x", TTL, at(220)).await?.is_some(), "it has run out");
        assert!(!leases.extend(&mut lease, at(221)).await?, "somebody else has it");
        leases.give_back(lease).await;
        assert!(leases.take("x", TTL, at(222)).await?.is_none(), "what is not ours is not given back");
        Ok(())
    }

    #[tokio::test]
    async fn a_clock_that_was_far_ahead_keeps_nobody_out() -> Result<(), StorageError> {
        let leases = leases(FaultyTable::new(MemoryTable::default()));
        assert!(leases.take("x", TTL, at(86_400)).await?.is_some());
        assert!(leases.take("x", TTL, at(0)).await?.is_some());
        Ok(())
    }

    #[tokio::test]
    async fn a_lost_answer_costs_nothing() -> Result<(), StorageError> {
        for call in [TableCall::Insert, TableCall::Merge] {
            let table = FaultyTable::new(MemoryTable::default());
            let leases = leases(table.clone());
            if call == TableCall::Merge {
                assert!(leases.take("x", TTL, at(-1000)).await?.is_some());
            }
            // The client repeats the call, and the service then finds it done.
            table.fail_next(call, Fault::Lose(StorageErrorKind::Changed));
            assert!(leases.take("x", TTL, at(0)).await?.is_some(), "{call:?}");
        }
        Ok(())
    }
}
