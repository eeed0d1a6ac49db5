//! The private folder of a tool: its home, and the place of the files that it is given.
//!
//! Only its owner can enter it, and it goes away with the value. What a killed process has left behind is
//! removed by the next one.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use rustix::fs::OFlags;
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

/// What the names of these folders begin with; the number of the process follows.
const PREFIX: &str = "dilux-tool-";

/// Between its making and its lock, a folder looks as if nobody had it; so the youngest are left alone.
const YOUNG: Duration = Duration::from_secs(5);

/// A folder that only this process, and what it starts, can use.
#[derive(Debug)]
pub(crate) struct PrivateFolder {
    folder: TempDir,
    /// The folder itself, locked. The lock goes with the process, however that ends.
    _lock: File,
}

impl PrivateFolder {
    /// Makes an empty folder with mode 0700.
    pub(crate) fn create() -> io::Result<Self> {
        let place = std::env::temp_dir();
        sweep(&place, YOUNG);
        let folder = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-", process::id()))
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(place)?;
        let lock = File::open(folder.path())?;
        lock.lock()?;
        Ok(Self { folder, _lock: lock })
    }

    /// Returns where it is.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the option file, with mode 0600, and returns where it is.
    pub(crate) fn write_option_file(&self, text: &SecretString) -> io::Result<PathBuf> {
        self.write("client.cnf", text.expose_secret())
    }

    /// Writes the certificates of authorities and returns where they are.
    pub(crate) fn write_authorities(&self, text: &str) -> io::Result<PathBuf> {
        self.write("authorities.pem", text)
    }

    /// Writes a script, with mode 0600, and returns where it is.
    pub(crate) fn write_script(&self, text: &str) -> io::Result<PathBuf> {
        self.write("script.sql", text)
    }

    /// Writes a token, with mode 0600, and returns where it is.
    ///
    /// The one program that takes a token from a file reads two bytes a character there, the lower one first.
    pub(crate) fn write_token(&self, token: &SecretString) -> io::Result<PathBuf> {
        let bytes: Vec<u8> = token.expose_secret().encode_utf16().flat_map(u16::to_le_bytes).collect();
        self.write_bytes("token", &bytes)
    }

    fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        self.write_bytes(name, text.as_bytes())
    }

    fn write_bytes(&self, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.path().join(name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(bytes)?;
        Ok(path)
    }
}

/// Removes what tools of processes that were killed have left behind: folders with passwords in them. Every
/// tool that starts does the same; a program that starts need not wait for the first one.
pub fn remove_left_behind() {
    sweep(&std::env::temp_dir(), YOUNG);
}

/// Removes the folders that no living process has locked. Numbers of processes would not tell: they come
/// again, and those of other containers are not seen from here.
fn sweep(place: &Path, age: Duration) {
    let Ok(entries) = fs::read_dir(place) else { return };
    for entry in entries.filter_map(Result::ok) {
        if !entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX)) {
            continue;
        }
        // Somebody else's folder can be neither opened nor removed, and need not be.
        let Some(folder) = open(&entry.path()) else { continue };
        let is_old = folder
            .metadata()
            .and_then(|folder| folder.modified())
            .is_ok_and(|changed| changed.elapsed().is_ok_and(|elapsed| elapsed >= age));
        if is_old && folder.try_lock().is_ok() && fs::remove_dir_all(entry.path()).is_ok() {
            tracing::info!(folder = %entry.path().display(), "removed what a killed process had left behind");
        }
    }
}

/// Opens a folder. The place is for everybody, so anything may have such a name: a pipe, which would be
/// waited for without an end, or a link to elsewhere, is not opened.
fn open(path: &Path) -> Option<File> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
    OpenOptions::new().read(true).custom_flags(flags.bits().try_into().ok()?).open(path).ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

    use super::*;

    #[test]
    fn folder_and_file_are_for_the_owner_only_and_go_away() {
        let folder = PrivateFolder::create().unwrap();
        let file = folder.write_option_file(&"[client]\n".into()).unwrap();
        assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let path = folder.path().to_owned();
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn only_folders_that_nobody_has_any_more_are_swept() {
        let place = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = place.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        // A number that has come again: the process lives, but the folder is not its own.
        let dead = make(&format!("dilux-tool-{}-abc", process::id()));
        fs::write(dead.join("client.cnf"), "[client]\n").unwrap();
        let alive = make("dilux-tool-4000000000-abc");
        let lock = File::open(&alive).unwrap();
        lock.lock().unwrap();
        let other = make("another-4000000000-abc");
        sweep(place.path(), Duration::from_hours(1));
        assert!(dead.exists(), "too young");
        sweep(place.path(), Duration::ZERO);
        assert!(!dead.exists());
        assert!(alive.exists());
        assert!(other.exists());
        drop(lock);
        sweep(place.path(), Duration::ZERO);
        assert!(!alive.exists());
    }

    #[test]
    fn what_is_no_folder_is_neither_waited_for_nor_followed() {
        let (place, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| place.path().join(name);
        rustix::fs::mkfifoat(rustix::fs::CWD, at("dilux-tool-1-pipe"), rustix::fs::Mode::RUSR).unwrap();
        fs::write(at("dilux-tool-1-file"), "").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), at("dilux-tool-1-link")).unwrap();
        sweep(place.path(), Duration::ZERO);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 3);
        assert!(elsewhere.path().exists());
    }
}
