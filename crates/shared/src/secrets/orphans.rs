//! Secrets of the vault that nobody has any more, because a program died before it could forget them.
//!
//! What must stay true: nothing is deleted by a guess. A vault may serve another installation too, or people,
//! so what no row names is only told, unless somebody asks for its deletion. The password of a restore that is
//! known here and has ended is nobody's for certain.

use chrono::{DateTime, TimeDelta, Utc};

use super::forget::{ForgetError, delete_unnamed};
use super::{Secrets, vault};
use crate::models::{DatabaseId, EngineId, RestoreId};
use crate::storage::Storage;

/// How old a secret must be: that of a request which is being served has no row yet.
const GRACE: TimeDelta = TimeDelta::days(1);

/// A secret that no row names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// Its name in the vault.
    pub name: String,
    /// When it was last written.
    pub written_at: DateTime<Utc>,
}

/// What was found of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Orphans {
    /// Those that are still there.
    pub found: Vec<Orphan>,
    /// Those that were deleted. The vault keeps them for a while, as it does all that is deleted.
    pub removed: Vec<String>,
    /// Those that could not be deleted, and why.
    pub failed: Vec<String>,
}

impl Secrets {
    /// Looks for secrets that no row names, and deletes them if it is to `remove` them. `None` without a
    /// vault. Passwords of restores that have ended are deleted in any case.
    pub async fn sweep(
        &self,
        storage: &Storage,
        remove: bool,
        now: DateTime<Utc>,
    ) -> Result<Option<Orphans>, ForgetError> {
        let Some(vault) = &self.vault else { return Ok(None) };
        // The vault first: what is written between the two readings is then in neither, or too young.
        let known = vault.names().await?;
        let named = storage.secret_names().await?;
        let mut orphans = Orphans::default();
        for orphan in known.into_iter().filter_map(|known| orphan(known, now)) {
            if named.contains(&orphan.name.to_lowercase()) {
                continue;
            }
            if !remove && !is_of_ended_restore(storage, &orphan.name).await? {
                orphans.found.push(orphan);
                continue;
            }
            match delete_unnamed(vault, storage, &orphan.name).await {
                Ok(true) => orphans.removed.push(orphan.name),
                Ok(false) => {}
                Err(error) => {
                    let cause: &dyn std::error::Error = &error;
                    tracing::warn!(error = cause, name = orphan.name, "a secret could not be deleted");
                    orphans.failed.push(format!("{}: {error}", orphan.name));
                }
            }
        }
        Ok(Some(orphans))
    }
}

/// Takes a name that looks like one of ours and is old enough.
fn orphan(known: vault::KnownName, now: DateTime<Utc>) -> Option<Orphan> {
    let written_at = known.written_at.filter(|at| *at + GRACE <= now)?;
    let name = known.name;
    let is_ours = name.strip_prefix("database-").is_some_and(|id| id.parse::<DatabaseId>().is_ok())
        || name.strip_prefix("engine-").is_some_and(|id| id.parse::<EngineId>().is_ok())
        || name.strip_prefix("restore-").is_some_and(|id| id.parse::<RestoreId>().is_ok());
    is_ours.then_some(Orphan { name, written_at })
}

/// Tells whether a name is that of the password of a restore that is known here and has ended.
async fn is_of_ended_restore(storage: &Storage, name: &str) -> Result<bool, ForgetError> {
    let Some(id) = name.strip_prefix("restore-").and_then(|id| id.parse::<RestoreId>().ok()) else {
        return Ok(false);
    };
    // A row that cannot be read is not known to have ended.
    let found = storage.restores.get(&id).await.ok().flatten();
    Ok(found.is_some_and(|found| found.value.is_finished()))
}
