//! Where everything lies: one git-ignored folder below the checkout, in which each service has its own
//! folder. Deleting the folder of a service is the way to start that service afresh.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::error::UpError;

/// How much of the end of a log goes into an error text, in bytes.
const TAIL: u64 = 3000;

/// The checkout and its folder for local data.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    root: PathBuf,
    local: PathBuf,
}

impl Place {
    /// Finds the checkout and makes the folder for local data.
    pub(crate) fn at(root: &Path) -> Result<Self, UpError> {
        let root = fs::canonicalize(root).map_err(UpError::file(root, "found"))?;
        let local = root.join(".local");
        let place = Self { root, local };
        place.folder("")?;
        place.private_folder("log")?;
        Ok(place)
    }

    /// The folder for local data.
    pub(crate) fn local(&self) -> &Path {
        &self.local
    }

    /// A path in the checkout.
    pub(super) fn in_checkout(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A path in the folder for local data.
    pub(super) fn in_local(&self, path: &str) -> PathBuf {
        self.local.join(path)
    }

    /// Makes a folder below the one for local data, unless it is there. Others may enter it, since the
    /// database servers may run as other users than this program.
    pub(super) fn folder(&self, path: &str) -> Result<PathBuf, UpError> {
        self.make(path, 0o755)
    }

    /// Makes a folder that only its owner may enter, unless it is there.
    pub(super) fn private_folder(&self, path: &str) -> Result<PathBuf, UpError> {
        self.make(path, 0o700)
    }

    /// Where a service's output goes.
    pub(super) fn log(&self, service: &str) -> PathBuf {
        self.local.join("log").join(format!("{service}.log"))
    }

    /// Opens a service's log for a new run; the log of the run before is kept beside it.
    pub(super) fn new_log(&self, service: &str) -> Result<File, UpError> {
        let path = self.log(service);
        match fs::rename(&path, path.with_extension("log.old")) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(UpError::file(path, "moved away")(error)),
        }
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(UpError::file(&path, "written"))
    }

    /// Reads the end of a service's log; an unreadable log is an empty one, since this is for the text
    /// of an error that matters more.
    pub(super) fn log_tail(&self, service: &str) -> String {
        let read = || -> io::Result<String> {
            let mut file = File::open(self.log(service))?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
        };
        read().unwrap_or_default()
    }

    /// Takes the lock that lets one `dilux up` work here at a time. It is held until the file is
    /// dropped, at the latest when the process ends in whatever way.
    pub(super) fn lock(&self) -> Result<File, UpError> {
        let path = self.local.join("up.lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(UpError::file(&path, "opened"))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                Err(UpError::AlreadyUp { from: " or just starting, from another terminal".to_owned() })
            }
            Err(TryLockError::Error(error)) => Err(UpError::file(path, "locked")(error)),
        }
    }

    fn make(&self, path: &str, mode: u32) -> Result<PathBuf, UpError> {
        let path = self.local.join(path);
        DirBuilder::new().recursive(true).mode(mode).create(&path).map_err(UpError::file(&path, "made"))?;
        Ok(path)
    }
}

/// Writes a file that only its owner can read, by rename, so that a reader sees all of it or nothing.
pub(super) fn write_private(path: &Path, content: &[u8]) -> Result<(), UpError> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    let write = || -> io::Result<()> {
        match fs::remove_file(&fresh) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        // Created anew, since the mode given here does not change a file that exists.
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    write().map_err(UpError::file(path, "written"))
}

/// Deletes a file; one that is not there is as good.
pub(super) fn remove(path: &Path) -> Result<(), UpError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(UpError::file(path, "deleted")(error)),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn private_files_are_private_even_when_they_were_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwords");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write_private(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn only_one_can_hold_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::at(folder.path()).unwrap();
        let first = place.lock().unwrap();
        assert!(matches!(place.lock(), Err(UpError::AlreadyUp { .. })));
        drop(first);
        assert!(place.lock().is_ok());
    }

    #[test]
    fn the_log_before_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::at(folder.path()).unwrap();
        place.new_log("thing").unwrap().write_all(b"first run\n").unwrap();
        place.new_log("thing").unwrap().write_all(b"second run\n").unwrap();
        assert_eq!(place.log_tail("thing"), "second run");
        assert_eq!(fs::read(place.in_local("log/thing.log.old")).unwrap(), b"first run\n");
    }
}
