//! Which records of the audit log are asked for. Pure.

use chrono::NaiveDate;
use serde_json::{Map, Value as Json};

use super::filter::Filter;
use crate::models::{AuditAction, AuditRecord, AuditResource, AuditStatus};

/// Which records are asked for; all conditions hold together. Texts are compared without regard to case
/// where a part is enough.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Those of this day (UTC) or later.
    pub from: Option<NaiveDate>,
    /// Those of this day (UTC) or earlier.
    pub through: Option<NaiveDate>,
    /// Those of this user.
    pub user_id: Option<String>,
    /// Those of this action.
    pub action: Option<AuditAction>,
    /// Those about this kind of thing.
    pub resource: Option<AuditResource>,
    /// Those that worked, or did not.
    pub status: Option<AuditStatus>,
    /// Those with this part in the thing's name or id, or in the user's e-mail address.
    pub search: Option<String>,
    /// Those whose details name this kind of database or engine.
    pub database_type: Option<String>,
    /// Those whose details name this engine.
    pub engine_id: Option<String>,
    /// Those with this part in the thing's name.
    pub resource_name: Option<String>,
}

/// How many texts of a record filters and statistics look at.
pub(super) const TRAITS: usize = 10;

// Where each of them is.
pub(super) const USER_ID: usize = 0;
pub(super) const USER_EMAIL: usize = 1;
pub(super) const ACTION: usize = 2;
pub(super) const RESOURCE_TYPE: usize = 3;
pub(super) const RESOURCE_ID: usize = 4;
pub(super) const RESOURCE_NAME: usize = 5;
pub(super) const STATUS: usize = 6;
const DATABASE_TYPE: usize = 7;
const ENGINE_TYPE: usize = 8;
const ENGINE_ID: usize = 9;

/// Returns the texts of a record that filters and statistics look at.
pub(super) fn traits(record: &AuditRecord) -> [&str; TRAITS] {
    let detail = |name| text_in(record.details.as_ref(), name);
    [
        &record.user_id,
        &record.user_email,
        &record.action,
        &record.resource_type,
        &record.resource_id,
        &record.resource_name,
        record.status.as_str(),
        detail("database_type"),
        detail("engine_type"),
        detail("engine_id"),
    ]
}

fn text_in<'a>(details: Option<&'a Map<String, Json>>, name: &str) -> &'a str {
    details.and_then(|details| details.get(name)).and_then(Json::as_str).unwrap_or_default()
}

/// A condition on the traits of a record: one of these places holds a text of this kind.
pub(super) struct Condition {
    pub(super) places: &'static [usize],
    wanted: String,
    part_is_enough: bool,
}

impl Condition {
    /// Tells whether a text is of the kind.
    pub(super) fn accepts(&self, text: &str) -> bool {
        if self.part_is_enough { text.to_lowercase().contains(&self.wanted) } else { *text == *self.wanted }
    }
}

impl AuditFilter {
    /// Tells whether a day is asked for.
    pub(super) fn covers(&self, day: NaiveDate) -> bool {
        self.from.is_none_or(|from| day >= from) && self.through.is_none_or(|through| day <= through)
    }

    /// Returns the conditions beside the days.
    pub(super) fn conditions(&self) -> Vec<Condition> {
        let equal = |places, wanted: Option<&str>| {
            wanted.map(|wanted| Condition { places, wanted: wanted.to_owned(), part_is_enough: false })
        };
        let part = |places, wanted: Option<&String>| {
            wanted.map(|wanted| Condition { places, wanted: wanted.to_lowercase(), part_is_enough: true })
        };
        [
            equal(&[USER_ID], self.user_id.as_deref()),
            equal(&[ACTION], self.action.map(AuditAction::as_str)),
            equal(&[RESOURCE_TYPE], self.resource.map(AuditResource::as_str)),
            equal(&[STATUS], self.status.map(AuditStatus::as_str)),
            equal(&[DATABASE_TYPE, ENGINE_TYPE], self.database_type.as_deref()),
            equal(&[ENGINE_ID], self.engine_id.as_deref()),
            part(&[RESOURCE_NAME, USER_EMAIL, RESOURCE_ID], self.search.as_ref()),
            part(&[RESOURCE_NAME], self.resource_name.as_ref()),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Tells whether a record of a day that is asked for matches.
    pub(super) fn matches(&self, record: &AuditRecord) -> bool {
        let traits = traits(record);
        let holds =
            |condition: &Condition| condition.places.iter().any(|place| condition.accepts(traits[*place]));
        self.conditions().iter().all(holds)
    }

    /// Returns what can be left to the service: what every system writes in the same form.
    pub(super) fn of_the_service(&self) -> Vec<Filter> {
        let user = self.user_id.as_deref().map(|id| Filter::eq("user_id", id));
        let action = self.action.map(|action| Filter::eq("action", action.as_str()));
        let resource = self.resource.map(|resource| Filter::eq("resource_type", resource.as_str()));
        [user, action, resource].into_iter().flatten().collect()
    }
}
