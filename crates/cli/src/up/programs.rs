//! Finding the programs of the database servers, and running them as a user that they accept.
//!
//! Database servers refuse to run as root, or should. When this program runs as root (a container, a
//! build machine), they run as the users that their packages made for them; otherwise as its own user.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::error::UpError;

/// Folders of servers, which are often not on a user's `PATH`.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
const POSTGRESQL_VERSIONS: &str = "/usr/lib/postgresql";

/// The operating-system user that a server runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Account {
    /// The user that runs this program.
    Own,
    /// The user of the server's package, because this program runs as root.
    Package {
        user: u32,
        group: u32,
        /// Whether that user may not enter the checkout (one below /root, say). The program then gets
        /// the single capability of root that opens the way.
        shut_out: bool,
    },
}

impl Account {
    /// Finds the user for a server whose package made the user `name`; `folder` is where its data lies.
    pub(super) async fn of(name: &str, folder: &Path) -> Result<Self, UpError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Own);
        }
        let number = async |what: &str| {
            let text = run(command("id").args([what, name]), "looking up the server's user", "").await?;
            text.trim().parse::<u32>().map_err(|_| UpError::Missing {
                name: format!("the user {name}"),
                remedy: "run scripts/setup, which installs the servers",
            })
        };
        let (user, group) = (number("-u").await?, number("-g").await?);
        let open = Self::Package { user, group, shut_out: false };
        let may_enter = open
            .command(Path::new("test"))
            .arg("-x")
            .arg(folder)
            .stdin(Stdio::null())
            .status()
            .await
            .map_err(|source| UpError::Start { program: "setpriv".to_owned(), source })?;
        Ok(Self::Package { user, group, shut_out: !may_enter.success() })
    }

    /// Gives the user for a server that accepts root, though as a last resort. The capability does not
    /// serve such a server when it asks the kernel with access(2), which ignores capabilities.
    pub(super) fn or_own_if_shut_out(self) -> Self {
        match self {
            Self::Own | Self::Package { shut_out: true, .. } => Self::Own,
            Self::Package { .. } => self,
        }
    }

    /// Whether the server will run as root.
    pub(super) fn is_root(&self) -> bool {
        *self == Self::Own && rustix::process::geteuid().is_root()
    }

    /// Begins a command that runs as this user.
    pub(super) fn command(&self, program: &Path) -> Command {
        match self {
            Self::Own => command(program),
            Self::Package { user, group, shut_out } => {
                let mut command = command("setpriv");
                command.arg(format!("--reuid={user}")).arg(format!("--regid={group}")).arg("--clear-groups");
                if *shut_out {
                    command.args(["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]);
                }
                command.arg("--").arg(program);
                command
            }
        }
    }

    /// Gives a file or folder to this user.
    pub(super) fn give(&self, path: &Path) -> Result<(), UpError> {
        match *self {
            Self::Own => Ok(()),
            Self::Package { user, group, .. } => chown(path, Some(user), Some(group))
                .map_err(UpError::file(path, "given to the server's user")),
        }
    }
}

/// Begins a command; the one place of `dilux up` that does.
#[expect(clippy::disallowed_methods, reason = "servers are no dump tools: they outlive this program")]
pub(super) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    // Servers and clients print in one language, and read no settings of the user by accident.
    command.env("LC_ALL", "C.UTF-8").kill_on_drop(false);
    command
}

/// Finds a program of MariaDB, or of PostgreSQL in its newest installed version.
pub(super) fn find(names: &[&str]) -> Result<PathBuf, UpError> {
    let mut folders = postgresql_folders();
    folders.extend(FOLDERS.map(PathBuf::from));
    names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|path| fs::metadata(path).is_ok_and(|file| file.is_file() && file.mode() & 0o111 != 0))
        .ok_or_else(|| UpError::Missing {
            name: format!("the program {}", names.join(" or ")),
            remedy: "run scripts/setup, or use --no-samples to do without sample servers",
        })
}

/// Runs a command to its end with a text on its standard input; gives what it printed.
pub(super) async fn run(command: &mut Command, doing: &'static str, input: &str) -> Result<String, UpError> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let start = |source| UpError::Start { program: program.clone(), source };
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(start)?;
    let stdin = child.stdin.take();
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A program that stops reading tells why in its output and exit code.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    let output = output.map_err(start)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said =
        String::from_utf8_lossy(if output.stderr.is_empty() { &output.stdout } else { &output.stderr })
            .trim()
            .to_owned();
    let said = if said.is_empty() { output.status.to_string() } else { said };
    Err(UpError::Failed { program, doing, said })
}

/// The folders of all installed PostgreSQL versions, the newest first.
fn postgresql_folders() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(POSTGRESQL_VERSIONS) else { return Vec::new() };
    let mut versions: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    versions.sort_unstable_by(|left, right| right.cmp(left));
    versions
        .into_iter()
        .map(|version| Path::new(POSTGRESQL_VERSIONS).join(version.to_string()).join("bin"))
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn a_missing_program_is_named_with_the_remedy() {
        let text = find(&["no-such-server"]).unwrap_err().to_string();
        assert!(text.contains("no-such-server") && text.contains("scripts/setup"), "{text}");
    }

    #[tokio::test]
    async fn a_failing_program_is_quoted() {
        let mut failing = command("bash");
        failing.args(["-c", "cat >&2; exit 3"]);
        let text = run(&mut failing, "being tried", "no such table").await.unwrap_err().to_string();
        assert_eq!(text, "bash failed while being tried: no such table");
    }

    #[tokio::test]
    async fn a_program_that_does_not_read_its_input_is_no_problem() {
        let input = "x".repeat(1 << 20);
        assert_eq!(run(&mut command("true"), "being tried", &input).await.unwrap(), "");
    }
}
