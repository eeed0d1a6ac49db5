//! Failed sign-ins, counted by address. Only those who fail are slowed down.
//!
//! A question to Microsoft Graph is charged to its address before it is asked, and given back when it was
//! worth asking: however many come at once, no more than [`MOST_QUESTIONS`] of a window are in vain.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Semaphore;

/// How many failures of an address in one window are answered as such.
const MOST_FAILURES: u32 = 30;
/// How many questions to Microsoft Graph an address may ask in vain in one window: more than it may fail, so
/// that somebody with a good token gets in where others behind the same address fail.
const MOST_QUESTIONS: usize = 90;
const WINDOW: TimeDelta = TimeDelta::minutes(1);
/// How many addresses are remembered.
const MOST_ADDRESSES: usize = 10_000;

/// How often addresses have failed.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<HashMap<IpAddr, Window>>);

#[derive(Debug)]
struct Window {
    began: DateTime<Utc>,
    failures: u32,
    questions: Arc<Questions>,
}

/// The questions of an address in one window.
#[derive(Debug)]
struct Questions {
    turns: Semaphore,
    in_vain: AtomicUsize,
}

/// A question that an address is charged with. It was in vain unless it is given back.
#[derive(Debug)]
pub(super) struct Question(Option<Arc<Questions>>);

/// Who asks a question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker<'a> {
    pub failures: &'a Failures,
    pub address: Option<IpAddr>,
}

impl Asker<'_> {
    /// Charges the address with a question; `None` when too many were in vain. Where those that are being
    /// asked may use up what is left, this waits for what becomes of them.
    pub(super) async fn question(self, now: DateTime<Utc>) -> Option<Question> {
        // One that is not known is not counted: it would be everybody's.
        let Some(address) = self.address.map(network) else { return Some(Question(None)) };
        let questions = Arc::clone(&window(&mut self.failures.windows(), address, now).questions);
        questions.turns.acquire().await.ok()?.forget();
        Some(Question(Some(questions)))
    }
}

impl Question {
    /// Takes the charge back: the question was answered with somebody, or was not asked, or nobody answers.
    pub(super) fn give_back(mut self) {
        if let Some(questions) = self.0.take() {
            questions.turns.add_permits(1);
        }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        let Some(questions) = self.0.take() else { return };
        if questions.in_vain.fetch_add(1, Ordering::Relaxed) + 1 == MOST_QUESTIONS {
            questions.turns.close();
        }
    }
}

impl Window {
    fn begin(now: DateTime<Utc>) -> Self {
        let questions = Questions { turns: Semaphore::new(MOST_QUESTIONS), in_vain: AtomicUsize::new(0) };
        Self { began: now, failures: 0, questions: Arc::new(questions) }
    }

    fn is_over(&self, now: DateTime<Utc>) -> bool {
        now - self.began >= WINDOW
    }
}

impl Failures {
    /// Counts a failure. An address that is not known is not counted: it would be everybody's.
    pub(super) fn count(&self, address: Option<IpAddr>, now: DateTime<Utc>) {
        let Some(address) = address.map(network) else { return };
        let mut windows = self.windows();
        let window = window(&mut windows, address, now);
        window.failures = window.failures.saturating_add(1);
    }

    /// Returns for how many seconds an address has to wait, if it has failed too often.
    pub(super) fn wait(&self, address: Option<IpAddr>, now: DateTime<Utc>) -> Option<u64> {
        let windows = self.windows();
        let window = windows.get(&network(address?))?;
        let left = (window.began + WINDOW - now).num_seconds() + 1;
        let too_often = window.failures > MOST_FAILURES && !window.is_over(now);
        too_often.then(|| u64::try_from(left).unwrap_or(1))
    }

    fn windows(&self) -> MutexGuard<'_, HashMap<IpAddr, Window>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the window of an address, a new one if there is none that holds. The oldest makes room.
fn window(windows: &mut HashMap<IpAddr, Window>, address: IpAddr, now: DateTime<Utc>) -> &mut Window {
    if windows.len() >= MOST_ADDRESSES && !windows.contains_key(&address) {
        windows.retain(|_, window| !window.is_over(now));
        let oldest = windows.iter().min_by_key(|(_, window)| window.began).map(|(address, _)| *address);
        if windows.len() >= MOST_ADDRESSES {
            oldest.and_then(|address| windows.remove(&address));
        }
    }
    let window = windows.entry(address).or_insert_with(|| Window::begin(now));
    if window.is_over(now) {
        *window = Window::begin(now);
    }
    window
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
        assert_eq!(failures.windows().len(), MOST_ADDRESSES);
    }

    #[tokio::test]
    async fn questions_that_were_worth_it_are_free_and_those_in_vain_are_counted() {
        let failures = Failures::default();
        let asker = Asker { failures: &failures, address: Some(IpAddr::from([203, 0, 113, 7])) };
        for _ in 0..=MOST_QUESTIONS {
            asker.question(at(0)).await.map_or_else(|| panic!("no turn"), Question::give_back);
        }
        let mut open = Vec::new();
        for _ in 0..MOST_QUESTIONS {
            open.extend(asker.question(at(1)).await);
        }
        // One more waits for what becomes of those, and gets the turn of one that was worth it.
        let (more, ()) = tokio::join!(asker.question(at(1)), async {
            open.pop().into_iter().for_each(Question::give_back);
        });
        open.extend(more);
        assert_eq!(open.len(), MOST_QUESTIONS);
        let (more, ()) = tokio::join!(asker.question(at(1)), async { open.clear() });
        assert!(more.is_none(), "all were in vain");
        assert!(asker.question(at(59)).await.is_none());
        assert!(Asker { address: None, ..asker }.question(at(59)).await.is_some());
        assert!(asker.question(at(60)).await.is_some(), "a new window begins");
    }
}
