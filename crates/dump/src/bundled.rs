//! Client programs that came in the package of an app.
//!
//! Some hosting plans unpack every file without the permission to be executed, and mount the package
//! read-only. Programs that lack the permission are therefore copied, with the libraries beside them,
//! into a folder of our own below the temporary one, and run from there.

use std::fs::{self, Permissions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// What the names of the copies begin with; a number follows that stands for the originals.
const PREFIX: &str = "dilux-bundle-";

/// Returns the folder to run the programs of `bin` from: `bin` itself, or that of an executable copy.
pub(crate) fn executable(bin: PathBuf) -> PathBuf {
    match copy_if_needed(&bin, &std::env::temp_dir()) {
        Ok(Some(copy)) => copy,
        Ok(None) => bin,
        Err(error) => {
            tracing::warn!(%error, folder = %bin.display(), "the client programs of the package cannot be prepared");
            bin
        }
    }
}

/// Copies the folder around `bin` to `place`, if a program in `bin` may not be executed.
fn copy_if_needed(bin: &Path, place: &Path) -> io::Result<Option<PathBuf>> {
    let (Some(bundle), Some(name)) = (bin.parent(), bin.file_name()) else { return Ok(None) };
    let programs = match fs::read_dir(bin) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        programs => programs?,
    };
    let mut lacks = false;
    for program in programs {
        let file = fs::metadata(program?.path())?;
        lacks |= file.is_file() && file.permissions().mode() & 0o111 == 0;
    }
    if !lacks {
        return Ok(None);
    }
    let mut state = DefaultHasher::new();
    describe(bundle, &mut state)?;
    let copy = place.join(format!("{PREFIX}{:016x}", state.finish()));
    // Under a name of its own first, so that what has the final name is whole, whoever was killed.
    let made = tempfile::Builder::new()
        .prefix(PREFIX)
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(place)?;
    if !is_ours(&copy, made.path()) {
        copy_all(bundle, made.path())?;
        match fs::rename(made.path(), &copy) {
            Ok(()) => drop(made.keep()),
            // Another process was faster, or somebody else has taken the name: the latter is not used.
            Err(_) if is_ours(&copy, made.path()) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(copy.join(name)))
}

/// Tells whether a folder is there that nobody else can have written to. `mine` is one that we made.
fn is_ours(folder: &Path, mine: &Path) -> bool {
    let (Ok(folder), Ok(mine)) = (fs::symlink_metadata(folder), fs::symlink_metadata(mine)) else {
        return false;
    };
    folder.is_dir() && folder.uid() == mine.uid() && folder.permissions().mode() & 0o777 == 0o700
}

/// Takes in names, sizes and times of all files, so that another package has another copy.
fn describe(folder: &Path, state: &mut DefaultHasher) -> io::Result<()> {
    folder.hash(state);
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    entries.sort();
    for path in entries {
        let file = fs::metadata(&path)?;
        if file.is_dir() {
            describe(&path, state)?;
        } else {
            (path, file.len(), file.mtime(), file.mtime_nsec()).hash(state);
        }
    }
    Ok(())
}

fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if fs::metadata(&source)?.is_dir() {
            fs::create_dir(&target)?;
            copy_all(&source, &target)?;
        } else {
            fs::copy(&source, &target)?;
            fs::set_permissions(&target, Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

    use super::*;

    fn bundle(root: &Path, mode: u32) -> PathBuf {
        let bin = root.join("tools/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(root.join("tools/lib")).unwrap();
        fs::write(root.join("tools/lib/libpq.so.5"), "library").unwrap();
        fs::write(bin.join("psql"), "program").unwrap();
        fs::set_permissions(bin.join("psql"), Permissions::from_mode(mode)).unwrap();
        bin
    }

    #[test]
    fn programs_that_may_run_stay_where_they_are() {
        let (root, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_eq!(copy_if_needed(&root.path().join("tools/bin"), place.path()).unwrap(), None);
        assert_eq!(copy_if_needed(&bundle(root.path(), 0o755), place.path()).unwrap(), None);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn programs_that_may_not_run_are_copied_once_with_their_libraries() {
        let (root, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let bin = bundle(root.path(), 0o644);
        let copy = copy_if_needed(&bin, place.path()).unwrap().unwrap();
        assert_eq!(fs::metadata(copy.join("psql")).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::read_to_string(copy.join("../lib/libpq.so.5")).unwrap(), "library");
        assert_eq!(copy_if_needed(&bin, place.path()).unwrap().unwrap(), copy);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing half-made stays");
        fs::write(bin.join("psql"), "a newer program").unwrap();
        let newer = copy_if_needed(&bin, place.path()).unwrap().unwrap();
        assert_eq!(fs::read_to_string(newer.join("psql")).unwrap(), "a newer program");
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_not_used() {
        let (root, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let bin = bundle(root.path(), 0o644);
        let copy = copy_if_needed(&bin, place.path()).unwrap().unwrap();
        fs::set_permissions(copy.parent().unwrap(), Permissions::from_mode(0o777)).unwrap();
        assert!(copy_if_needed(&bin, place.path()).is_err());
    }
}
