//! Processes that outlive the program that started them: telling whether one is still the one it was,
//! and ending it.
//!
//! A number alone does not name a process, since numbers are used again; number, start time and boot
//! together do. No process is signalled before that check, and the signal goes through a handle that was
//! opened before the check, so it cannot reach a newcomer with the same number.

use std::fmt;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use super::error::UpError;

const POLL: Duration = Duration::from_millis(50);
/// How long a killed process may take to vanish.
const PATIENCE_AFTER_KILL: Duration = Duration::from_secs(10);

/// Names one process of the present boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    pid: u32,
    /// Start time in clock ticks since boot, as the kernel tells it.
    started: u64,
}

/// How a program wants to be asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stopping {
    /// SIGTERM.
    Terminate,
    /// SIGINT; for PostgreSQL: end sessions and close the files properly, without waiting for clients.
    Interrupt,
}

impl ProcessId {
    /// Names the process that has this number now; `None` when there is none.
    pub(crate) fn of(pid: u32) -> Result<Option<Self>, UpError> {
        let stat = match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) => stat,
            // The second kind appears when the process ends between opening and reading.
            Err(error) if is_gone(&error) => return Ok(None),
            Err(source) => return Err(UpError::Process { pid, action: "looked at", source }),
        };
        Ok(start_time(&stat).map(|started| Self { pid, started }))
    }

    /// Whether this very process still runs. One that ended and only waits to be noticed by its parent
    /// does not.
    pub(crate) fn is_alive(self) -> Result<bool, UpError> {
        Ok(Self::of(self.pid)? == Some(self))
    }

    /// Asks the process to end, waits, and kills it with its whole process group when it takes longer
    /// than `patience`. A process that is gone is a success.
    pub(crate) async fn stop(self, how: Stopping, patience: Duration) -> Result<(), UpError> {
        let signal = match how {
            Stopping::Terminate => Signal::TERM,
            Stopping::Interrupt => Signal::INT,
        };
        if !self.signal(signal)? || self.ends_within(patience).await? {
            return Ok(());
        }
        self.kill_group()?;
        if self.ends_within(PATIENCE_AFTER_KILL).await? {
            return Ok(());
        }
        Err(UpError::Immortal { pid: self.pid })
    }

    /// Sends a signal; tells whether there was still somebody to receive it.
    fn signal(self, signal: Signal) -> Result<bool, UpError> {
        let failed =
            |error: Errno| UpError::Process { pid: self.pid, action: "signalled", source: error.into() };
        let handle = match pidfd_open(self.raw(), PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(Errno::SRCH) => return Ok(false),
            Err(error) => return Err(failed(error)),
        };
        if !self.is_alive()? {
            return Ok(false);
        }
        match pidfd_send_signal(&handle, signal) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    /// Kills the process and, if it leads a process group, the rest of the group.
    fn kill_group(self) -> Result<(), UpError> {
        if self.signal(Signal::KILL)? {
            // Not a group leader is as good as done: the process itself was reached above.
            let _ = kill_process_group(self.raw(), Signal::KILL);
        }
        Ok(())
    }

    async fn ends_within(self, patience: Duration) -> Result<bool, UpError> {
        let start = Instant::now();
        loop {
            if !self.is_alive()? {
                return Ok(true);
            }
            if start.elapsed() >= patience {
                return Ok(false);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn raw(self) -> Pid {
        i32::try_from(self.pid).ok().and_then(Pid::from_raw).unwrap_or(Pid::INIT)
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.pid)
    }
}

/// Reads the kernel's name for the present boot.
pub(super) fn boot_id() -> Result<String, UpError> {
    let path = "/proc/sys/kernel/random/boot_id";
    let text = fs::read_to_string(path).map_err(UpError::file(path, "read"))?;
    Ok(text.trim().to_owned())
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

/// Takes the start time from a line of `/proc/PID/stat`; `None` for a process that ended already. The
/// second field is the program's name in brackets and may itself hold blanks and brackets; the state is
/// the first field after it and the start time the twentieth (proc(5), fields 3 and 22).
fn start_time(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::super::programs::command;
    use super::*;

    #[test]
    fn start_time_is_found_behind_a_nasty_name() {
        let stat = "42 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21";
        assert_eq!(start_time(stat), Some(4711));
        assert_eq!(start_time(&stat.replace(") S ", ") Z ")), None);
    }

    #[tokio::test]
    async fn a_process_is_stopped_by_its_signal() {
        let mut child = command("sleep").arg("600").process_group(0).kill_on_drop(true).spawn().unwrap();
        let process = ProcessId::of(child.id().unwrap()).unwrap().unwrap();
        assert!(process.is_alive().unwrap());
        process.stop(Stopping::Terminate, Duration::from_secs(30)).await.unwrap();
        assert!(!process.is_alive().unwrap());
        assert!(!child.wait().await.unwrap().success());
    }

    #[tokio::test]
    async fn a_stubborn_process_is_killed_with_its_group() {
        let mut child = command("bash")
            .args(["-c", "trap '' TERM; echo ready; while :; do sleep 1; done"])
            .stdout(std::process::Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        tokio::io::AsyncReadExt::read_exact(child.stdout.as_mut().unwrap(), &mut ready).await.unwrap();
        let process = ProcessId::of(child.id().unwrap()).unwrap().unwrap();
        process.stop(Stopping::Terminate, Duration::from_millis(200)).await.unwrap();
        assert!(!process.is_alive().unwrap());
        assert!(!child.wait().await.unwrap().success());
    }

    #[tokio::test]
    async fn another_process_with_the_same_number_is_left_alone() {
        let mut child = command("sleep").arg("600").kill_on_drop(true).spawn().unwrap();
        let process = ProcessId::of(child.id().unwrap()).unwrap().unwrap();
        let earlier = ProcessId { started: process.started - 1, ..process };
        earlier.stop(Stopping::Terminate, Duration::from_secs(1)).await.unwrap();
        assert!(process.is_alive().unwrap());
        child.kill().await.unwrap();
    }
}
