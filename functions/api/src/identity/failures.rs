//! Failed sign-ins, counted by address. Only those who fail are slowed down.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

/// How many failures of an address in one window are answered as such.
const MOST_FAILURES: u32 = 30;
const WINDOW: TimeDelta = TimeDelta::minutes(1);
/// How many addresses are remembered.
const MOST_ADDRESSES: usize = 10_000;

/// How often addresses have failed.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<HashMap<IpAddr, Window>>);

#[derive(Debug, Clone, Copy)]
struct Window {
    began: DateTime<Utc>,
    failures: u32,
}

impl Window {
    fn is_over(&self, now: DateTime<Utc>) -> bool {
        now - self.began >= WINDOW
    }
}

impl Failures {
    /// Counts a failure. An address that is not known is not counted: it would be everybody's.
    pub(super) fn count(&self, address: Option<IpAddr>, now: DateTime<Utc>) {
        let Some(address) = address.map(network) else { return };
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= MOST_ADDRESSES && !windows.contains_key(&address) {
            windows.retain(|_, window| !window.is_over(now));
            let oldest = windows.iter().min_by_key(|(_, window)| window.began).map(|(address, _)| *address);
            if windows.len() >= MOST_ADDRESSES {
                oldest.and_then(|address| windows.remove(&address));
            }
        }
        let window = windows.entry(address).or_insert(Window { began: now, failures: 0 });
        if window.is_over(now) {
            *window = Window { began: now, failures: 0 };
        }
        window.failures = window.failures.saturating_add(1);
    }

    /// Returns for how many seconds an address has to wait, if it has failed too often.
    pub(super) fn wait(&self, address: Option<IpAddr>, now: DateTime<Utc>) -> Option<u64> {
        let windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.get(&network(address?))?;
        let left = (window.began + WINDOW - now).num_seconds() + 1;
        let too_often = window.failures > MOST_FAILURES && !window.is_over(now);
        too_often.then(|| u64::try_from(left).unwrap_or(1))
    }
}

/// Returns what one customer of a provider has: an address, or 64 bits of the newer kind.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn the_address_that_failed_too_often_waits_for_the_rest_of_the_minute() {
        let failures = Failures::default();
        let [one, other] = [1_u32, 2].map(|bits| Some(IpAddr::from(bits.to_be_bytes())));
        for _ in 0..MOST_FAILURES {
            failures.count(one, at(0));
        }
        assert_eq!(failures.wait(one, at(0)), None);
        failures.count(one, at(10));
        assert_eq!(failures.wait(one, at(10)), Some(51));
        assert_eq!(failures.wait(other, at(10)), None);
        assert_eq!(failures.wait(None, at(10)), None);
        assert_eq!(failures.wait(one, at(60)), None);
        failures.count(one, at(60));
        assert_eq!(failures.wait(one, at(60)), None, "a new window begins");
    }

    #[test]
    fn neighbours_of_the_newer_kind_are_one_and_memory_is_bounded() {
        let failures = Failures::default();
        for n in 0..=u64::from(MOST_FAILURES) {
            failures.count(Some(Ipv6Addr::from_bits((7 << 64) | u128::from(n)).into()), at(0));
        }
        assert!(failures.wait(Some(Ipv6Addr::from_bits(7 << 64).into()), at(0)).is_some());
        for n in 0..10_500_u32 {
            failures.count(Some(IpAddr::from(n.to_be_bytes())), at(1));
        }
        assert_eq!(failures.0.lock().unwrap_or_else(PoisonError::into_inner).len(), MOST_ADDRESSES);
    }
}
