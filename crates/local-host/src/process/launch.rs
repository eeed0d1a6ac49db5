//! Starting a handler so that it cannot outlive the host.
//!
//! A handler runs in its own process group, so that Ctrl-C in a terminal reaches the host alone. It
//! is killed when its `Child` is dropped; for the case that the host itself is killed, it is
//! started through `setpriv`, where that exists, with a parent-death signal. The kernel sends that
//! signal when the *thread* that started the child ends, so one thread that lives as long as the
//! host starts all of them.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::ambient;

/// Why a handler could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    #[error(
        "the handler's program \"{0}\" is neither in the app folder nor on PATH; build it or correct host.json"
    )]
    NotFound(String),
    #[error("the handler's program {0} is not executable; set its execute permission")]
    NotExecutable(PathBuf),
    #[error("the handler's working directory {0} is not there; correct workingDirectory in host.json")]
    NoFolder(PathBuf),
    #[error("no free port on the loopback interface could be found")]
    Port(#[source] io::Error),
    #[error("the system could not start the handler")]
    Spawn(#[source] io::Error),
}

/// A handler's command line, folder and environment.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    /// The program as `host.json` names it.
    pub(crate) executable: String,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
    /// The app folder.
    pub(crate) app_dir: PathBuf,
    /// The folder in which it runs.
    pub(crate) folder: PathBuf,
    /// The search path for programs.
    pub(crate) path: String,
}

impl Launch {
    /// Describes the process; `variables` come on top of the inherited environment.
    pub(crate) fn command<'a>(
        &self,
        variables: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Command, LaunchError> {
        let program = self.program()?;
        if !self.folder.is_dir() {
            return Err(LaunchError::NoFolder(self.folder.clone()));
        }
        let mut command = match search("setpriv", &self.path) {
            Some(setpriv) if cfg!(target_os = "linux") => {
                let mut command = ambient::command(&setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(program);
                command
            }
            Some(_) | None => ambient::command(&program),
        };
        command
            .args(&self.arguments)
            .current_dir(&self.folder)
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        Ok(command)
    }

    /// Finds the program: a relative name counts from the app folder if such a file is there, else
    /// it is looked up on the search path.
    fn program(&self) -> Result<PathBuf, LaunchError> {
        let local = self.app_dir.join(&self.executable);
        if local.is_file() {
            return if is_executable(&local) { Ok(local) } else { Err(LaunchError::NotExecutable(local)) };
        }
        search(&self.executable, &self.path).ok_or_else(|| LaunchError::NotFound(self.executable.clone()))
    }
}

fn search(name: &str, path: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return None;
    }
    std::env::split_paths(path).map(|folder| folder.join(name)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// The thread that starts handlers. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Nursery(mpsc::Sender<(Command, oneshot::Sender<io::Result<Child>>)>);

impl Nursery {
    /// Starts the thread. Must be called inside a runtime.
    pub(crate) fn open() -> io::Result<Self> {
        let (sender, requests) = mpsc::channel::<(Command, oneshot::Sender<_>)>();
        let runtime = Handle::current();
        std::thread::Builder::new().name("local-host-nursery".to_owned()).spawn(move || {
            let _entered = runtime.enter();
            for (mut command, reply) in requests {
                // Where nobody waits any more the child is dropped, and so killed.
                let _ = reply.send(command.spawn());
            }
        })?;
        Ok(Self(sender))
    }

    /// Starts a process.
    pub(crate) async fn start(&self, command: Command) -> Result<Child, LaunchError> {
        let (reply, child) = oneshot::channel();
        let gone = || LaunchError::Spawn(io::Error::other("the thread that starts processes has ended"));
        self.0.send((command, reply)).map_err(|_| gone())?;
        child.await.map_err(|_| gone())?.map_err(LaunchError::Spawn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(app_dir: &Path, executable: &str) -> Launch {
        Launch {
            executable: executable.to_owned(),
            arguments: Vec::new(),
            app_dir: app_dir.to_path_buf(),
            folder: app_dir.to_path_buf(),
            path: "/usr/bin:/bin".to_owned(),
        }
    }

    #[test]
    fn finds_programs_in_the_app_folder_and_on_the_path() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("api");
        assert!(matches!(launch(folder.path(), "api").program(), Err(LaunchError::NotFound(_))));
        std::fs::write(&file, "#!/bin/sh\n")?;
        assert!(matches!(launch(folder.path(), "api").program(), Err(LaunchError::NotExecutable(_))));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755))?;
        assert!(launch(folder.path(), "api").program().is_ok_and(|program| program == file));
        assert!(launch(folder.path(), "sh").program().is_ok_and(|program| program.is_absolute()));
        assert!(launch(folder.path(), "no/such").program().is_err());
        Ok(())
    }
}
