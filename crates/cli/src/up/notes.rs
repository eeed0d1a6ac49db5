//! The notes about what was started, in `.local/up.json`. They are written after each start and deleted
//! after the last stop, so that whatever happens in between, everything can be found and stopped.

use std::fs;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::UpError;
use super::place::{Place, remove, write_private};
use super::process::{ProcessId, Stopping, boot_id};

/// What was started, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Notes {
    boot: String,
    /// The `dilux up` that waits for Ctrl-C; `None` when all runs in the background.
    supervisor: Option<ProcessId>,
    services: Vec<Noted>,
}

/// One service that was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Noted {
    /// What it is called in texts.
    pub(super) name: String,
    pub(super) process: ProcessId,
    pub(super) stopping: Stopping,
    /// How long it may take to end before it is killed.
    pub(super) patience_seconds: u64,
    pub(super) ports: Vec<u16>,
}

impl Notes {
    /// Begins notes of this boot.
    pub(super) fn begin(supervisor: ProcessId) -> Result<Self, UpError> {
        Ok(Self { boot: boot_id()?, supervisor: Some(supervisor), services: Vec::new() })
    }

    /// Reads the notes; `None` when nothing was started, or all of it before the machine was booted.
    pub(crate) fn read(place: &Place) -> Result<Option<Self>, UpError> {
        let path = place.in_local("up.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(UpError::file(path, "read")(error)),
        };
        let notes: Self = serde_json::from_slice(&text)
            .map_err(|source| UpError::BadNotes { path: path.clone(), source })?;
        if notes.boot == boot_id()? {
            return Ok(Some(notes));
        }
        remove(&path)?;
        Ok(None)
    }

    /// Adds a service and writes the notes.
    pub(super) fn add(&mut self, place: &Place, service: Noted) -> Result<(), UpError> {
        self.services.push(service);
        self.write(place)
    }

    /// Notes that nobody waits any more: all runs in the background from now on.
    pub(super) fn detach(&mut self, place: &Place) -> Result<(), UpError> {
        self.supervisor = None;
        self.write(place)
    }

    /// The `dilux up` that started all this, when it still runs.
    pub(crate) fn living_supervisor(&self) -> Result<Option<ProcessId>, UpError> {
        match self.supervisor {
            Some(process) if process.is_alive()? => Ok(Some(process)),
            Some(_) | None => Ok(None),
        }
    }

    /// Whether all runs in the background, and does so completely.
    pub(super) fn is_complete_in_background(&self) -> Result<bool, UpError> {
        if self.supervisor.is_some() || self.services.is_empty() {
            return Ok(false);
        }
        for service in &self.services {
            if !service.process.is_alive()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Stops everything, the last started first, and deletes the notes. One that cannot be stopped does
    /// not keep the others from being stopped, but keeps the notes.
    pub(crate) async fn stop_all(&self, place: &Place) -> Result<(), UpError> {
        let mut first_error = None;
        for service in self.services.iter().rev() {
            if let Err(error) = service.stop().await {
                first_error.get_or_insert(error);
            }
        }
        match first_error {
            Some(error) => Err(error),
            None => remove(&place.in_local("up.json")),
        }
    }

    fn write(&self, place: &Place) -> Result<(), UpError> {
        let path = place.in_local("up.json");
        let text = serde_json::to_vec_pretty(self)
            .map_err(|source| UpError::BadNotes { path: path.clone(), source })?;
        write_private(&path, &text)
    }
}

impl Noted {
    async fn stop(&self) -> Result<(), UpError> {
        if !self.process.is_alive()? {
            return Ok(());
        }
        println!("dilux: stopping {}", self.name);
        self.process.stop(self.stopping, Duration::from_secs(self.patience_seconds)).await
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use tokio::process::Child;

    use super::super::programs::command;
    use super::*;

    fn sleeper() -> (Child, Noted) {
        let child = command("sleep").arg("600").process_group(0).kill_on_drop(true).spawn().unwrap();
        let process = ProcessId::of(child.id().unwrap()).unwrap().unwrap();
        let noted = Noted {
            name: "sleeper".to_owned(),
            process,
            stopping: Stopping::Terminate,
            patience_seconds: 20,
            ports: vec![1],
        };
        (child, noted)
    }

    fn myself() -> ProcessId {
        ProcessId::of(std::process::id()).unwrap().unwrap()
    }

    #[tokio::test]
    async fn what_was_noted_is_found_and_stopped_by_another() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::at(folder.path()).unwrap();
        let mut notes = Notes::begin(myself()).unwrap();
        let (mut first, noted_first) = sleeper();
        let (mut second, noted_second) = sleeper();
        notes.add(&place, noted_first).unwrap();
        notes.add(&place, noted_second).unwrap();
        assert!(notes.living_supervisor().unwrap().is_some());
        assert!(!notes.is_complete_in_background().unwrap());
        notes.detach(&place).unwrap();

        let found = Notes::read(&place).unwrap().unwrap();
        assert_eq!(found, notes);
        assert!(found.is_complete_in_background().unwrap());
        found.stop_all(&place).await.unwrap();
        assert!(!first.wait().await.unwrap().success());
        assert!(!second.wait().await.unwrap().success());
        assert_eq!(Notes::read(&place).unwrap(), None);
    }

    #[test]
    fn notes_of_another_boot_mean_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::at(folder.path()).unwrap();
        let mut notes = Notes::begin(myself()).unwrap();
        notes.boot = "another".to_owned();
        notes.write(&place).unwrap();
        assert_eq!(Notes::read(&place).unwrap(), None);
    }

    #[test]
    fn notes_that_cannot_be_read_are_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::at(folder.path()).unwrap();
        std::fs::write(place.in_local("up.json"), "{").unwrap();
        assert!(Notes::read(&place).unwrap_err().to_string().contains("up.json"));
    }
}
