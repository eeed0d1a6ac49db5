//! What has to be known about a dump beside that it is complete.

use std::sync::{Arc, Mutex, PoisonError};

use shared::models::{Consistency, Warnings};

/// A view on what is said about a dump. All of it is known when the stream has ended well.
#[derive(Debug, Clone, Default)]
pub struct Remarks(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    consistency: Option<Consistency>,
    warnings: Vec<String>,
}

/// More is not kept by anybody, and would only take memory.
const MOST: usize = 1000;

impl Remarks {
    /// Returns to which moment the rows belong, where that is known.
    pub fn consistency(&self) -> Option<Consistency> {
        self.lock().consistency
    }

    /// Returns what the dump does not hold, or holds with a reserve; without secrets.
    pub fn warnings(&self) -> Warnings {
        self.lock().warnings.iter().collect()
    }

    /// Notes to which moment the rows belong.
    pub(crate) fn set_consistency(&self, consistency: Consistency) {
        self.lock().consistency = Some(consistency);
    }

    /// Adds a warning.
    pub fn warn(&self, warning: impl Into<String>) {
        let mut content = self.lock();
        if content.warnings.len() < MOST {
            content.warnings.push(warning.into());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
