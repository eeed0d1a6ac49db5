//! Scripts of failures: which call of which kind goes wrong, and how.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Fault, StorageError};

/// What is to go wrong, and how often each kind of call has come. Clones share both.
pub(super) struct Script<Call>(Arc<Mutex<State<Call>>>);

struct State<Call> {
    calls: BTreeMap<Call, u64>,
    faults: BTreeMap<(Call, u64), Fault>,
}

impl<Call: Copy + Ord> Script<Call> {
    /// Makes the `nth` call of one kind go wrong, counted from 1.
    pub(super) fn add(&self, call: Call, nth: u64, fault: Fault) {
        self.state().faults.insert((call, nth), fault);
    }

    /// Returns how many calls of one kind have come.
    pub(super) fn calls(&self, call: Call) -> u64 {
        self.state().calls.get(&call).copied().unwrap_or_default()
    }

    /// Counts a call and does its work, or what the script has in its place.
    pub(super) async fn play<T>(
        &self,
        call: Call,
        operation: &'static str,
        work: impl Future<Output = Result<T, StorageError>> + Send,
    ) -> Result<T, StorageError> {
        let fail =
            |kind| StorageError::new(kind, operation, "a thing in storage").because("the test asked for it");
        match self.fault(call) {
            None => work.await,
            Some(Fault::Refuse(kind)) => Err(fail(kind)),
            Some(Fault::Lose(kind)) => {
                work.await?;
                Err(fail(kind))
            }
            Some(Fault::Hang) => std::future::pending().await,
        }
    }

    fn fault(&self, call: Call) -> Option<Fault> {
        let mut state = self.state();
        let count = state.calls.entry(call).or_default();
        *count += 1;
        let nth = *count;
        state.faults.get(&(call, nth)).copied()
    }

    fn state(&self) -> MutexGuard<'_, State<Call>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Call> Clone for Script<Call> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<Call> Default for Script<Call> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State { calls: BTreeMap::new(), faults: BTreeMap::new() })))
    }
}

impl<Call> fmt::Debug for Script<Call> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}
