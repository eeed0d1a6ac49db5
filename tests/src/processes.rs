//! Real processes: finding the descendants of one, watching their memory, and killing them.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// A process of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub id: u32,
    /// The name of its program's file.
    pub name: String,
}

impl Process {
    /// Kills it with `SIGKILL`. One that has ended already is fine.
    pub fn kill(&self) {
        kill(self.id);
    }

    /// Tells whether it still runs.
    pub fn is_alive(&self) -> bool {
        fs::read_to_string(format!("/proc/{}/stat", self.id)).is_ok_and(|stat| !stat.contains(") Z "))
    }

    /// Returns the most memory that it has ever held, in bytes.
    pub fn peak_memory(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
    }
}

/// Kills a process with `SIGKILL`. One that has ended already is fine.
pub fn kill(id: u32) {
    if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        // Gone already is as good as killed now.
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Returns the children of a process, and theirs.
pub fn descendants(of: u32) -> Vec<Process> {
    let all: Vec<(u32, u32, String)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| describe(&entry.ok()?.path()))
        .collect();
    let mut found = Vec::new();
    let mut open = vec![of];
    while let Some(parent) = open.pop() {
        for (id, _, name) in all.iter().filter(|(_, ppid, _)| *ppid == parent) {
            open.push(*id);
            found.push(Process { id: *id, name: name.clone() });
        }
    }
    found
}

/// Returns id, parent and program of the process that a folder of `/proc` stands for.
fn describe(folder: &Path) -> Option<(u32, u32, String)> {
    let id: u32 = folder.file_name()?.to_str()?.parse().ok()?;
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    // The program's name stands in parentheses and may itself hold some.
    let (_, rest) = stat.rsplit_once(") ")?;
    let parent = rest.split_whitespace().nth(1)?.parse().ok()?;
    let program = fs::read_link(folder.join("exe")).ok()?;
    let name = program.file_name()?.to_string_lossy().trim_end_matches(" (deleted)").to_owned();
    Some((id, parent, name))
}
