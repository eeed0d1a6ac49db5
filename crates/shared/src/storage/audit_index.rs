//! What is in the audit log, by day: enough to count what matches a filter without reading the log.
//!
//! The index holds the records up to an instant some time ago; the rest, the tail, is read each time.
//! Whole days are kept in a table of their own, so that a program that starts need not read the log
//! again. The table may be deleted at any time; it is then made anew.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};

use super::audit_filter::{ACTION, AuditFilter, RESOURCE_TYPE, STATUS, TRAITS, USER_EMAIL, USER_ID, traits};
use super::rows::Reader;
use super::table::{Entity, Key, Properties, Value};
use crate::models::AuditRecord;

/// The partition of the days in the index's table.
pub(super) const DAYS: &str = "days";
/// A property takes 32 Ki units of UTF-16, of which a character has two at most.
const PIECE: usize = 15_000;
/// A row takes 1 MiB; days that would not fit are read from the log again.
const MOST_PIECES: usize = 30;

/// What is in the log.
#[derive(Debug, Default)]
pub(super) struct Index {
    texts: Vec<Arc<str>>,
    known: HashMap<Arc<str>, u32>,
    days: BTreeMap<NaiveDate, Day>,
    /// Every record before this instant is in the index, and no other.
    pub(super) settled: Option<DateTime<Utc>>,
    /// The last day that is in the table.
    pub(super) stored: Option<NaiveDate>,
}

#[derive(Debug, Default)]
struct Day {
    records: Vec<[u32; TRAITS]>,
    /// How many of them are in the partition of a month.
    of_month: usize,
}

/// How many records of a day match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Matching {
    pub(super) day: NaiveDate,
    pub(super) count: usize,
    /// Whether some of the day's records may be in the partition of its month.
    pub(super) has_month: bool,
}

/// How many records there are of each kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditStats {
    /// All of them.
    pub total: usize,
    /// By action; only those that occur.
    pub by_action: BTreeMap<String, usize>,
    /// By the kind of thing.
    pub by_resource_type: BTreeMap<String, usize>,
    /// By whether it worked.
    pub by_status: BTreeMap<String, usize>,
    /// By user id and e-mail address.
    pub by_user: BTreeMap<(String, String), usize>,
}

impl AuditStats {
    pub(super) fn add(&mut self, traits: &[&str; TRAITS]) {
        self.total += 1;
        *self.by_action.entry(traits[ACTION].to_owned()).or_default() += 1;
        *self.by_resource_type.entry(traits[RESOURCE_TYPE].to_owned()).or_default() += 1;
        *self.by_status.entry(traits[STATUS].to_owned()).or_default() += 1;
        let user = (traits[USER_ID].to_owned(), traits[USER_EMAIL].to_owned());
        *self.by_user.entry(user).or_default() += 1;
    }
}

impl Index {
    /// Adds a record of a day.
    pub(super) fn add(&mut self, day: NaiveDate, of_month: bool, record: &AuditRecord) {
        let row = traits(record).map(|text| self.intern(text));
        let day = self.days.entry(day).or_default();
        day.records.push(row);
        day.of_month += usize::from(of_month);
    }

    /// Counts what matches, newest day first.
    pub(super) fn count(&self, filter: &AuditFilter) -> Vec<Matching> {
        // Each text is looked at once, however many records have it.
        let conditions: Vec<(&'static [usize], Vec<bool>)> = filter
            .conditions()
            .iter()
            .map(|condition| {
                let accepted = self.texts.iter().map(|text| condition.accepts(text)).collect();
                (condition.places, accepted)
            })
            .collect();
        let holds = |row: &[u32; TRAITS]| {
            conditions
                .iter()
                .all(|(places, accepted)| places.iter().any(|place| accepted[row[*place] as usize]))
        };
        self.days
            .iter()
            .rev()
            .filter(|(day, _)| filter.covers(**day))
            .map(|(day, of_day)| Matching {
                day: *day,
                count: of_day.records.iter().filter(|row| holds(row)).count(),
                has_month: of_day.of_month > 0,
            })
            .filter(|matching| matching.count > 0)
            .collect()
    }

    /// Adds up what there is of each kind.
    pub(super) fn stats(&self, filter: &AuditFilter) -> AuditStats {
        let mut stats = AuditStats::default();
        for (_, of_day) in self.days.iter().filter(|(day, _)| filter.covers(**day)) {
            for row in &of_day.records {
                stats.add(&row.map(|text| &*self.texts[text as usize]));
            }
        }
        stats
    }

    /// Returns the rows of the days that are over and not stored yet, in their order.
    pub(super) fn unstored(&self, before: NaiveDate) -> Vec<Entity> {
        let missing = |day: &NaiveDate| *day < before && self.stored.is_none_or(|stored| *day > stored);
        self.days.iter().filter(|(day, _)| missing(day)).map(|(day, of_day)| self.row(*day, of_day)).collect()
    }

    fn row(&self, day: NaiveDate, of_day: &Day) -> Entity {
        let mut local: HashMap<u32, usize> = HashMap::new();
        let mut texts: Vec<&str> = Vec::new();
        let records: Vec<[usize; TRAITS]> = of_day
            .records
            .iter()
            .map(|row| {
                row.map(|text| {
                    *local.entry(text).or_insert_with(|| {
                        texts.push(&self.texts[text as usize]);
                        texts.len() - 1
                    })
                })
            })
            .collect();
        let json = serde_json::to_string(&(texts, records)).unwrap_or_default();
        let letters: Vec<char> = json.chars().collect();
        let pieces: Vec<String> = letters.chunks(PIECE).map(|piece| piece.iter().collect()).collect();
        let of_month = i32::try_from(of_day.of_month).unwrap_or(i32::MAX);
        let mut properties: Properties = [("of_month".to_owned(), Value::Int32(of_month))].into();
        if pieces.len() <= MOST_PIECES {
            for (number, piece) in pieces.into_iter().enumerate() {
                properties.insert(format!("piece{number:02}"), piece.into());
            }
        }
        Entity::new(Key::new(DAYS, day.to_string()), properties)
    }

    /// Takes a stored day over; `Some` is a day that has to be read from the log.
    pub(super) fn take(&mut self, row: &Entity) -> Option<NaiveDate> {
        let day: NaiveDate = row.key.row.parse().ok()?;
        let pieces = row.properties.iter().filter(|(name, _)| name.starts_with("piece"));
        let json: String = pieces
            .filter_map(
                |(_, piece)| if let Value::String(piece) = piece { Some(piece.as_str()) } else { None },
            )
            .collect();
        let Ok((texts, records)) = serde_json::from_str::<(Vec<String>, Vec<[usize; TRAITS]>)>(&json) else {
            return Some(day);
        };
        if records.iter().flatten().any(|text| *text >= texts.len()) {
            return Some(day);
        }
        let texts: Vec<u32> = texts.iter().map(|text| self.intern(text)).collect();
        let records = records.into_iter().map(|row| row.map(|text| texts[text])).collect();
        let of_month = Reader(row).number("of_month").unwrap_or(0_u32) as usize;
        self.days.insert(day, Day { records, of_month });
        None
    }

    fn intern(&mut self, text: &str) -> u32 {
        if let Some(known) = self.known.get(text) {
            return *known;
        }
        let id = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        let text: Arc<str> = text.into();
        self.texts.push(Arc::clone(&text));
        self.known.insert(text, id);
        id
    }
}
