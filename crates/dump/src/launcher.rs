//! The program started again as a launcher, so that a tool never outlives us.
//!
//! When a process is killed, its children live on: a `pg_dump` without a reader would hold its locks
//! and its connection until somebody notices. Linux can send a signal to a child when its parent dies, but
//! the child has to ask for it between its birth and the start of the tool. Instead of code in that
//! delicate place, the program itself is started with a reserved first argument; it asks, makes sure that
//! the parent has not died already, and then turns into the tool.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::process::{Command, exit};

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// The first argument that makes a program the launcher. Nobody types this.
const RESERVED: &str = "--dilux-launch-tool-for";

/// The exit status of a launcher that could not start its tool; shells use it for the same case.
const NOT_STARTED: i32 = 127;

/// Turns this process into a database tool if it was started as a launcher; returns otherwise.
///
/// To be called before anything else in `main`, while the process has one thread.
pub fn run_if_asked() {
    let mut arguments = env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(RESERVED)) {
        return;
    }
    let problem = launch(arguments);
    eprintln!("dilux-backup: {problem}");
    exit(NOT_STARTED);
}

/// Returns the arguments for a launcher that starts `tool` as a child of the process `parent`.
pub(crate) fn arguments(parent: u32, tool: &OsStr) -> [OsString; 3] {
    [RESERVED.into(), parent.to_string().into(), tool.to_owned()]
}

/// Asks for the death signal and becomes the tool; returns what went wrong.
#[expect(clippy::disallowed_methods, reason = "this process does not start another, it becomes the tool")]
fn launch(mut arguments: impl Iterator<Item = OsString>) -> String {
    let parent = arguments.next().and_then(|text| text.to_str()?.parse().ok()).and_then(Pid::from_raw);
    let (Some(parent), Some(tool)) = (parent, arguments.next()) else {
        return "the launcher was started with wrong arguments".to_owned();
    };
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return format!("the death signal could not be set: {error}");
    }
    // A parent that died before the line above sends no signal any more.
    if getppid() != Some(parent) {
        return "the process that wanted the tool has ended".to_owned();
    }
    let error = Command::new(&tool).args(arguments).exec();
    format!("{} could not be started: {error}", tool.display())
}
