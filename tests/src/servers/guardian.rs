//! Private servers that end with the test, however it ends.
//!
//! A small shell waits for the end of its input, which comes when the test process is gone, even by
//! `kill -9`; then it kills the server and removes its folder.

use std::ffi::OsStr;
use std::fs;
use std::mem;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const GUARDIAN: &str = r#"
folder=$1; log=$2; shift 2
"$@" >"$log" 2>&1 </dev/null &
server=$!
cat >/dev/null
kill -9 $server 2>/dev/null
wait $server 2>/dev/null
rm -rf "$folder"
"#;

/// Makes a folder that belongs to the user under which a server will run.
pub(super) fn folder(user: &str) -> PathBuf {
    let folder = tempfile::Builder::new().prefix("dilux-test-server-").tempdir().unwrap().keep();
    give_to(user, &folder);
    folder
}

/// Makes a file or folder belong to the user under which a server will run, and readable to nobody else.
pub(super) fn give_to(user: &str, path: &Path) {
    if is_root() {
        run(Command::new("chown").arg(user).arg(path));
    }
    run(Command::new("chmod").arg("u=rwX,go=").arg(path));
}

/// Returns a command that runs as the user, when the test itself runs as root; servers refuse to.
pub(super) fn as_user(user: &str, program: impl AsRef<OsStr>) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args([format!("--reuid={user}"), format!("--regid={user}"), "--init-groups".to_owned()])
        .arg(program);
    command
}

/// Starts a server whose folder goes away with it.
pub(super) fn start(server: &Command, folder: &Path) {
    let mut guardian = Command::new("sh");
    guardian.args(["-c", GUARDIAN, "guardian"]).arg(folder).arg(folder.join("server.log"));
    guardian.arg(server.get_program()).args(server.get_args());
    guardian.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let child = guardian.spawn().unwrap();
    // Never closed by us: the kernel does it at our end.
    mem::forget(child);
}

/// Runs a program and returns what it wrote; fails the test if it fails.
pub(super) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} could not be started: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {}\n{text}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Compares two descriptions line by line and shows the first differences, cut to a readable length.
pub fn assert_same(before: &str, after: &str) {
    let cut = |line: Option<&str>| line.map(|line| line.chars().take(600).collect::<String>());
    let (mut one, mut two) = (before.lines(), after.lines());
    let mut heading = None;
    loop {
        let (left, right) = (one.next(), two.next());
        assert!(left == right, "under {heading:?}:\n before: {:?}\n after:  {:?}", cut(left), cut(right));
        match left {
            None => return,
            Some(line) if line.contains('\t') => heading = cut(left),
            Some(_) => {}
        }
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| std::os::unix::fs::MetadataExt::uid(&process) == 0)
}
