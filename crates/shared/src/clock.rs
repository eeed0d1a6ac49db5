//! The one place that reads the wall clock.
//!
//! Handlers read it once per request or tick and pass the instant on, so that all decisions of one
//! request see the same time.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, SubsecRound as _, Utc};

/// A clock: the system's, or one that tests set.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<Mutex<DateTime<Utc>>>>);

impl Clock {
    /// Returns the system's clock.
    pub fn system() -> Self {
        Self(None)
    }

    /// Returns a clock that stands still at an instant until it is [set](Self::set).
    pub fn fixed(at: DateTime<Utc>) -> Self {
        Self(Some(Arc::new(Mutex::new(at))))
    }

    /// Returns the present instant, to the microsecond, which is what rows hold.
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            Some(at) => *at.lock().unwrap_or_else(PoisonError::into_inner),
            None => system_now().trunc_subsecs(6),
        }
    }

    /// Sets a fixed clock, and its clones; the system's clock stays as it is.
    pub fn set(&self, to: DateTime<Utc>) {
        if let Some(at) = &self.0 {
            *at.lock().unwrap_or_else(PoisonError::into_inner) = to;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one home of the wall clock")]
fn system_now() -> DateTime<Utc> {
    Utc::now()
}
