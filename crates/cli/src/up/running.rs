//! The services that were started in this run: starting them, waiting until they can be used, noticing
//! when one ends.

use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};

use super::error::UpError;
use super::notes::{Noted, Notes};
use super::place::Place;
use super::process::{ProcessId, Stopping};

const POLL: Duration = Duration::from_millis(100);
/// How often somebody who waits for a slow service is told what it is about.
const TELL_EVERY: Duration = Duration::from_secs(15);
/// How long a service may take to become ready. Generous: a busy build machine starts databases slowly.
const START_LIMIT: Duration = Duration::from_mins(2);

/// What there is to know about a service before it is started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Service<'a> {
    /// What it is called in texts; in lower case the name of its log.
    pub(super) name: &'static str,
    pub(super) ports: &'a [u16],
    pub(super) stopping: Stopping,
    /// How long it may take to end in good order.
    pub(super) patience: Duration,
}

/// Whether a service can be used yet, as a look at it tells.
pub(super) enum Look {
    /// It can.
    Ready,
    /// Not yet; the text says why, and may be empty.
    NotYet(String),
}

/// The services of this run.
#[derive(Debug)]
pub(super) struct Running {
    place: Place,
    notes: Notes,
    children: Vec<(&'static str, Child)>,
}

impl Running {
    /// Begins with nothing started.
    pub(super) fn begin(place: &Place) -> Result<Self, UpError> {
        let pid = std::process::id();
        let myself = ProcessId::of(pid)?.ok_or(UpError::Process {
            pid,
            action: "found in /proc",
            source: std::io::ErrorKind::NotFound.into(),
        })?;
        Ok(Self { place: place.clone(), notes: Notes::begin(myself)?, children: Vec::new() })
    }

    /// Starts a service in a process group of its own, so that a Ctrl-C in the terminal reaches it only
    /// through us and in order, and notes it.
    pub(super) fn start(&mut self, service: Service<'_>, command: &mut Command) -> Result<(), UpError> {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let failed = |source| UpError::Start { program: program.clone(), source };
        let log = self.place.new_log(&log_name(service.name))?;
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .spawn()
            .map_err(failed)?;
        let process = child.id().map(ProcessId::of).transpose()?.flatten();
        self.children.push((service.name, child));
        // Ended within an instant: there is nothing to note for a stop, and whoever waits for it will tell.
        let Some(process) = process else { return Ok(()) };
        let noted = Noted {
            name: service.name.to_owned(),
            process,
            stopping: service.stopping,
            patience_seconds: service.patience.as_secs(),
            ports: service.ports.to_vec(),
        };
        self.notes.add(&self.place, noted)
    }

    /// Looks at a service until it can be used. Ends at once when the service does.
    pub(super) async fn wait_ready(
        &mut self,
        name: &'static str,
        mut look: impl AsyncFnMut() -> Look,
    ) -> Result<(), UpError> {
        let start = Instant::now();
        let mut told = start;
        loop {
            let reason = match look().await {
                Look::Ready => return Ok(()),
                Look::NotYet(reason) => reason,
            };
            if self.has_ended(name) {
                return Err(self.ended_error(name));
            }
            if start.elapsed() > START_LIMIT {
                return Err(UpError::NotReady {
                    service: name,
                    seconds: START_LIMIT.as_secs(),
                    reason: if reason.is_empty() { reason } else { format!(" ({reason})") },
                    log: self.place.log(&log_name(name)),
                    tail: self.place.log_tail(&log_name(name)),
                });
            }
            if told.elapsed() > TELL_EVERY {
                println!("dilux: still waiting for {name}: {reason}");
                told = Instant::now();
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until a service ends that nobody has asked to end.
    pub(super) async fn first_end(&mut self) -> UpError {
        loop {
            let names: Vec<_> = self.children.iter().map(|(name, _)| *name).collect();
            if let Some(name) = names.into_iter().find(|name| self.has_ended(name)) {
                return self.ended_error(name);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Lets everything run on after this program has ended.
    pub(super) fn detach(mut self) -> Result<(), UpError> {
        self.notes.detach(&self.place)
    }

    /// Stops everything, the last started first.
    pub(super) async fn stop_all(self) -> Result<(), UpError> {
        self.notes.stop_all(&self.place).await
    }

    fn has_ended(&mut self, name: &str) -> bool {
        self.children
            .iter_mut()
            .filter(|(child, _)| *child == name)
            // A child that cannot be asked is as good as lost.
            .any(|(_, child)| child.try_wait().map_or(true, |status| status.is_some()))
    }

    fn ended_error(&self, service: &'static str) -> UpError {
        let log_name = log_name(service);
        UpError::Ended { service, log: self.place.log(&log_name), tail: self.place.log_tail(&log_name) }
    }
}

fn log_name(service: &str) -> String {
    service.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::super::programs::command;
    use super::*;

    const SERVICE: Service<'_> = Service {
        name: "Thing",
        ports: &[],
        stopping: Stopping::Terminate,
        patience: Duration::from_secs(20),
    };

    #[tokio::test]
    async fn a_service_that_ends_early_is_reported_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::at(folder.path()).unwrap();
        let mut running = Running::begin(&place).unwrap();
        running.start(SERVICE, command("bash").args(["-c", "echo no disk >&2; exit 1"])).unwrap();
        let error = running.wait_ready("Thing", async || Look::NotYet(String::new())).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("Thing ended") && text.contains("no disk"), "{text}");
    }

    #[tokio::test]
    async fn all_are_stopped_and_the_notes_are_gone() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::at(folder.path()).unwrap();
        let mut running = Running::begin(&place).unwrap();
        running.start(SERVICE, command("sleep").arg("600")).unwrap();
        running.wait_ready("Thing", async || Look::Ready).await.unwrap();
        assert!(place.in_local("up.json").exists());
        running.stop_all().await.unwrap();
        assert!(!place.in_local("up.json").exists());
    }
}
