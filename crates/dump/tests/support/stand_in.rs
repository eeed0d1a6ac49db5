//! Stand-ins for the client programs: small shell scripts that misbehave in one way each.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dump::{Limits, Target, Tools};
use shared::models::{DatabaseType, Tls};
use tempfile::TempDir;

/// The password that the stand-ins are given.
pub(crate) const PASSWORD: &str = "s3cret 'w\\rd";

/// A folder with a `mysql` that answers, and a `mysqldump` that does what a test wants.
pub(crate) struct StandIn {
    folder: TempDir,
}

impl StandIn {
    /// Makes the programs; `$OUT` is the folder, where the script may leave notes.
    pub(crate) fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stand_in = Self { folder };
        stand_in.install(
            "mysql",
            "mysql  Ver 15.1 Distrib 10.11.19-MariaDB, for x (y)",
            "echo 10.11.19-MariaDB",
        );
        stand_in.install("mysqldump", "mysqldump  Ver 10.19 Distrib 10.11.19-MariaDB, for x (y)", script);
        stand_in
    }

    /// Installs one more program.
    ///
    /// Another process writes it: a file that this process has open for writing, and that a test beside this
    /// one hands on to its own child, could not be started.
    pub(crate) fn install(&self, name: &str, version: &str, script: &str) {
        let text = format!(
            "#!/bin/sh\nif [ \"$1\" = --version ]; then echo '{version}'; exit; fi\nOUT='{}'\n{script}\n",
            self.path().display()
        );
        let status = Command::new("sh")
            .args(["-c", r#"printf %s "$2" >"$1" && chmod 755 "$1""#, "install"])
            .arg(self.path().join(name))
            .arg(text)
            .status();
        assert!(status.unwrap().success());
    }

    /// Returns the folder.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Returns a note that the script has left.
    pub(crate) fn note(&self, name: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.path().join(name)).ok()?;
        text.ends_with('\n').then(|| text.trim_end().to_owned())
    }

    /// Waits for a note.
    pub(crate) fn wait_for_note(&self, name: &str) -> String {
        wait_for(name, || self.note(name))
    }

    /// Returns the tools, and nothing but them.
    pub(crate) fn tools(&self) -> Tools {
        Tools::new(vec![PathBuf::from(self.path())])
    }
}

/// Waits until something is there; fails the test after a long time.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} did not come");
}

/// Waits until a process is gone, or only waits to be reaped.
pub(crate) fn wait_for_end_of(process: &str) {
    wait_for(&format!("the end of process {process}"), || {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        (status.is_empty() || status.contains("State:\tZ")).then_some(())
    });
}

/// Returns a target that only stand-ins can reach.
pub(crate) fn target() -> Target {
    Target {
        kind: DatabaseType::Mysql,
        host: "db.invalid".to_owned(),
        port: 3306,
        tls: Tls::default(),
        username: "app".to_owned(),
        password: PASSWORD.into(),
        proof: shared::connection::Proof::Password,
        database: "shop".to_owned(),
    }
}

/// Returns limits that no working script exceeds, even on a busy machine.
pub(crate) fn patient() -> Limits {
    Limits {
        connect: Duration::from_secs(10),
        stall: Duration::from_mins(2),
        deadline: Duration::from_mins(4),
    }
}
