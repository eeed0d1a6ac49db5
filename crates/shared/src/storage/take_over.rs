//! Taking over the history of an earlier system: rows whose key is the id alone, or counts another time
//! than that of the backup, move to the key that today's rows have.
//!
//! Everything may run meanwhile, and it can be killed at any instant and started again. What must stay
//! true:
//!
//! - The copy is there before its original goes, so a record can be seen twice, and never not at all.
//! - The original goes only as the very version that was copied. A copy notes that version, so that a run
//!   after a kill knows whether the original has changed since.
//! - An original that somebody else has deleted takes its copy with it. Whether it was somebody else is
//!   asked *before* the own deletion is sent, since a deletion whose answer was lost finds nothing either.
//! - What may be in somebody's hands (unfinished, or being deleted) is left to a later run, and what
//!   cannot be read is left for good.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::backups::Backups;
use super::repository::delete_if;
use super::rows::{Reader, Row as _, history_key, instant_in};
use super::table::{ETag, Entity, Expect, Key, Query};
use super::{StorageError, StorageErrorKind};
use crate::models::Backup;

/// How many rows are moved at a time.
const AT_ONCE: usize = 16;

/// How often a row is read again when somebody else changes it at the same time.
const TRIES: usize = 5;

/// How far the time in a key may be from that of its row: earlier systems rounded it.
const ROUNDED: TimeDelta = TimeDelta::seconds(1);

/// The property by which a copy names the version of its original.
const COPY_OF: &str = "copy_of_version";

/// What a take-over has seen of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakenOver {
    /// Rows that were looked at.
    pub seen: u64,
    /// Rows that were moved, or are to be.
    pub moved: u64,
    /// Rows that stay as they are, though something is to be said of them.
    pub left: Vec<LeftAlone>,
}

/// A row that was left alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftAlone {
    /// Which row, by table and key.
    pub row: String,
    /// Why.
    pub why: String,
}

/// What is to become of a row.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It has the key that it should have.
    Stays,
    /// It is to have this key.
    Moves(Key),
    /// It must not be touched.
    Left(String),
}

impl Backups {
    /// Looks at every row of the history and, when it is to `apply`, moves those of earlier systems.
    pub async fn take_over(
        &self,
        apply: bool,
        mut progress: impl FnMut(&TakenOver),
    ) -> Result<TakenOver, StorageError> {
        let mut so_far = TakenOver::default();
        let mut from = None;
        loop {
            let page = self.rows.query(&Query::default(), from.as_ref()).await?;
            so_far.seen += page.entities.len() as u64;
            let mut moves = Vec::new();
            for row in page.entities {
                match verdict(&row) {
                    Verdict::Stays => {}
                    Verdict::Left(why) => so_far.leave(&row.key, why),
                    Verdict::Moves(to) => moves.push((row, to)),
                }
            }
            if apply {
                self.move_rows(moves, &mut so_far).await?;
            } else {
                so_far.moved += moves.len() as u64;
            }
            progress(&so_far);
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(so_far),
            }
        }
    }

    async fn move_rows(&self, moves: Vec<(Entity, Key)>, so_far: &mut TakenOver) -> Result<(), StorageError> {
        // The counts of these days are called in question once for all of them, before they are wrong.
        let keys = moves.iter().flat_map(|(row, to)| [&row.key, to]);
        let days: BTreeSet<Key> = keys.map(|key| Key::new(&key.partition, "")).collect();
        for day in &days {
            self.days.touch(day).await?;
        }
        let moves: Vec<_> = moves
            .into_iter()
            .map(async |(row, to)| Ok::<_, StorageError>((row.key.clone(), self.move_row(row, &to).await?)))
            .collect();
        let outcomes: Vec<_> = stream::iter(moves).buffer_unordered(AT_ONCE).try_collect().await?;
        for (key, left) in outcomes {
            match left {
                None => so_far.moved += 1,
                Some(why) => so_far.leave(&key, why),
            }
        }
        Ok(())
    }

    /// Moves one row; returns why it was left alone, if it was.
    async fn move_row(&self, mut row: Entity, to: &Key) -> Result<Option<String>, StorageError> {
        for _ in 0..TRIES {
            // Entries come before the row that they name.
            self.index.note_new(to, &row.properties).await?;
            let copy = match self.copy(&row, to).await {
                Err(error) if is_race(&error) => continue,
                copy => copy?,
            };
            // Asked before the deletion, whose own answer may be lost.
            let Some(now) = self.rows.get(&row.key).await? else {
                self.take_back(&row, to, copy).await?;
                return Ok(Some("it was deleted by somebody else meanwhile".to_owned()));
            };
            if now.etag == row.etag {
                let expect = row.etag.clone().map_or(Expect::Any, Expect::Version);
                match self.rows.delete(&row.key, &expect).await {
                    Err(error) if error.kind() == StorageErrorKind::Changed => continue,
                    Err(error) if error.kind() != StorageErrorKind::NotFound => return Err(error),
                    Ok(()) | Err(_) => {}
                }
                self.index.forget(&row.key, &row.properties).await?;
                return Ok(None);
            }
            row = now;
            if let Verdict::Left(why) = verdict(&row) {
                self.take_back(&row, to, copy).await?;
                return Ok(Some(why));
            }
        }
        Ok(Some("somebody else keeps changing it; run this again".to_owned()))
    }

    /// Makes the copy of a row, or brings up to date the one that an earlier run has made.
    async fn copy(&self, row: &Entity, to: &Key) -> Result<ETag, StorageError> {
        let version = row.etag.as_ref().map(|etag| etag.0.clone()).unwrap_or_default();
        let mut properties = row.properties.clone();
        properties.insert(COPY_OF.to_owned(), version.as_str().into());
        match self.rows.insert(&Entity::new(to.clone(), properties.clone())).await {
            Err(error) if error.kind() == StorageErrorKind::AlreadyExists => {}
            made => return made,
        }
        let Some(copy) = self.rows.get(to).await? else {
            return Err(StorageError::new(StorageErrorKind::NotFound, "copy to", to.to_string()));
        };
        let read = Reader(&copy);
        let copied = read.text(COPY_OF);
        let etag = copy.etag.clone().unwrap_or_else(|| ETag("*".to_owned()));
        if copied == Some(version.as_str()) {
            return Ok(etag);
        }
        if copied.is_none() {
            // Not ours: another tool has begun this move, and what is there has been in use since.
            properties.retain(|name, _| name.starts_with("pinned_"));
        }
        if read.text("pinned_at").is_some() {
            properties.retain(|name, _| !name.starts_with("pinned_"));
        }
        if properties.is_empty() {
            return Ok(etag);
        }
        self.rows.merge(to, &properties, &Expect::Version(etag)).await
    }

    /// Removes the copy of a row that is not to be moved after all.
    async fn take_back(&self, row: &Entity, to: &Key, copy: ETag) -> Result<(), StorageError> {
        match delete_if(&*self.rows, to, &Expect::Version(copy)).await {
            Err(error) if is_race(&error) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => self.index.forget(to, &row.properties).await,
        }
    }
}

impl TakenOver {
    fn leave(&mut self, key: &Key, why: String) {
        self.left.push(LeftAlone { row: format!("backup history {key}"), why });
    }
}

fn is_race(error: &StorageError) -> bool {
    match error.kind() {
        StorageErrorKind::AlreadyExists | StorageErrorKind::Changed | StorageErrorKind::NotFound => true,
        StorageErrorKind::Unavailable | StorageErrorKind::Denied | StorageErrorKind::Invalid => false,
    }
}

/// Decides what is to become of a row.
fn verdict(row: &Entity) -> Verdict {
    let backup = match Backup::from_entity(row) {
        Ok(backup) => backup,
        Err(error) => return Verdict::Left(format!("{}: {}", error.property, error.problem)),
    };
    let to = history_key(backup.created_at, backup.id.as_str());
    let has_time = instant_in(&row.key.row).is_some_and(|at| (at - backup.created_at).abs() <= ROUNDED);
    if has_time && row.key.partition == to.partition {
        return Verdict::Stays;
    }
    if to.check().is_err() {
        return Verdict::Left("its id has characters that no key may have".to_owned());
    }
    if !backup.is_finished() {
        return Verdict::Left("it has not ended yet; run this again when it has".to_owned());
    }
    if backup.marks.deletion_begun_at.is_some() {
        return Verdict::Left("its deletion has begun; delete it again, or let retention do so".to_owned());
    }
    Verdict::Moves(to)
}
