//! Which policy a database follows, after inheritance and with nothing missing.

use std::collections::BTreeMap;

use crate::models::{BackupPolicy, DEFAULT_POLICY, Database, Engine, EngineId, PolicyId};
use crate::schedule::Plan;

/// The policies and engines that decide, by id.
#[derive(Debug, Clone, Default)]
pub struct PolicyBook {
    policies: BTreeMap<PolicyId, BackupPolicy>,
    engines: BTreeMap<EngineId, Option<PolicyId>>,
    /// The ids of policies and engines that are there and cannot be read.
    unreadable: Unreadable,
}

/// The ids of policies and engines that are there and cannot be read.
#[derive(Debug, Clone, Default)]
pub struct Unreadable {
    /// Those of policies.
    pub policies: Vec<String>,
    /// Those of engines.
    pub engines: Vec<String>,
}

impl PolicyBook {
    /// Makes a book of what is configured.
    pub fn new(policies: Vec<BackupPolicy>, engines: &[Engine]) -> Self {
        Self {
            policies: policies.into_iter().map(|policy| (policy.id.clone(), policy)).collect(),
            engines: engines.iter().map(|engine| (engine.id.clone(), engine.policy_id.clone())).collect(),
            unreadable: Unreadable::default(),
        }
    }

    /// Adds which ones are there and cannot be read.
    #[must_use]
    pub fn knowing(self, unreadable: Unreadable) -> Self {
        Self { unreadable, ..self }
    }

    /// Tells whether nobody can say which policy a database has, because that policy or its engine cannot
    /// be read. [`PolicyBook::of`] has another one for it then, by which it may be backed up, but by which
    /// nothing may be deleted.
    pub fn is_in_doubt(&self, database: &Database) -> bool {
        let engine = database.engine_id.as_ref().filter(|_| database.policy.from_engine);
        let chosen = self.inherited(database).or(database.policy.own.as_ref());
        let chosen = chosen.map_or(DEFAULT_POLICY, PolicyId::as_str);
        engine.is_some_and(|engine| self.unreadable.engines.iter().any(|id| id == engine.as_str()))
            || self.unreadable.policies.iter().any(|id| id == chosen)
    }

    /// Returns what a database runs by: its own schedule, else the tiers of its policy.
    pub fn plan<'a>(&'a self, database: &'a Database) -> Option<Plan<'a>> {
        match &database.schedule {
            Some(schedule) => Some(Plan::Cron(schedule)),
            None => self.of(database).map(Plan::Tiers),
        }
    }

    /// Tells whether the policy of a database is the one of its engine.
    pub fn is_inherited(&self, database: &Database) -> bool {
        self.inherited(database).is_some()
    }

    fn inherited(&self, database: &Database) -> Option<&PolicyId> {
        let engine = database.engine_id.as_ref().filter(|_| database.policy.from_engine)?;
        self.engines.get(engine)?.as_ref()
    }

    /// Returns the policy of a database: its engine's where it takes that and there is one, else its
    /// own, else the default one. A policy that does not exist any more counts as the default one.
    ///
    /// `None` when even that is missing, which the seeding of every program prevents.
    pub fn of(&self, database: &Database) -> Option<&BackupPolicy> {
        let chosen = self.inherited(database).or(database.policy.own.as_ref());
        let found = chosen.and_then(|id| self.policies.get(id));
        if let (Some(id), None) = (chosen, found) {
            tracing::warn!(database_id = %database.id, policy_id = %id, "the policy does not exist; {DEFAULT_POLICY} is used");
        }
        found.or_else(|| self.policies.values().find(|policy| policy.id.as_str() == DEFAULT_POLICY))
    }
}
