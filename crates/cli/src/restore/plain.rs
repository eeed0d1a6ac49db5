//! From the blob into a file of plain SQL.
//!
//! What must stay true: a file of the wanted name is a whole backup whose checksums are right. Until that
//! is known, the bytes go to a file beside it, which is removed when anything fails.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use archive::{Content, Progress};
use futures::TryStreamExt as _;
use shared::storage::Storage;
use tokio::fs::{self, OpenOptions};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::error::RestoreError;
use super::load::Backup;
use super::watch::watched;
use crate::ending::print;
use crate::text::size;

/// The name that stands for standard output.
const STANDARD_OUTPUT: &str = "-";

/// Writes the backup, and says so.
pub(super) async fn into_file(
    storage: &Storage,
    backup: &Backup,
    path: &Path,
    even_if_it_exists: bool,
) -> Result<(), RestoreError> {
    let began = Instant::now();
    let place = place(path, even_if_it_exists).await?;
    let progress = Progress::default();
    let opened = archive::open(storage.blobs.as_ref(), backup.address(), &progress).await?;
    let written = match watched(&progress, backup.bytes(), write(opened.content, &place, path)).await {
        Some(written) => written?,
        None => return Err(RestoreError::Interrupted("stopped; nothing whole was written")),
    };
    let seconds = began.elapsed().as_secs_f64();
    let name = if matches!(place, Place::StandardOutput) {
        "standard output".into()
    } else {
        path.display().to_string()
    };
    let text = format!("written  {} to {name}  {} of SQL  {seconds:.1} s\n", backup.address(), size(written));
    if matches!(place, Place::StandardOutput) {
        eprint!("{text}");
        return Ok(());
    }
    print(&text).map_err(RestoreError::Print)
}

/// Where the bytes go.
enum Place {
    /// To whoever reads our output.
    StandardOutput,
    /// To a device or a pipe, which cannot be replaced by a file.
    Special,
    /// To a file beside the wanted one.
    Beside(Part),
}

async fn place(path: &Path, even_if_it_exists: bool) -> Result<Place, RestoreError> {
    if path.as_os_str() == STANDARD_OUTPUT {
        return Ok(Place::StandardOutput);
    }
    match fs::metadata(path).await {
        Ok(file) if is_special(&file) => return Ok(Place::Special),
        Ok(_) if !even_if_it_exists => return Err(RestoreError::Exists(path.to_owned())),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(path)(error)),
    }
    let mut name = OsString::from(path);
    name.push(".part");
    Ok(Place::Beside(Part(PathBuf::from(name))))
}

fn is_special(file: &std::fs::Metadata) -> bool {
    let kind = file.file_type();
    kind.is_char_device() || kind.is_fifo()
}

/// A file that is not whole yet; it goes away with this value.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // After success it has another name; and nobody could do anything about a failure.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Writes everything, and gives the file its name in the end. Returns the number of bytes.
async fn write(content: Content, place: &Place, path: &Path) -> Result<u64, RestoreError> {
    match place {
        Place::StandardOutput => copy(content, tokio::io::stdout(), path).await,
        Place::Special => {
            let file = OpenOptions::new().write(true).open(path).await.map_err(failed(path))?;
            copy(content, file, path).await
        }
        Place::Beside(Part(part)) => {
            // Rows may be secret: for nobody else, until the owner says so.
            match fs::remove_file(part).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(part)(error)),
                Ok(()) | Err(_) => {}
            }
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(0o600);
            let mut file = options.open(part).await.map_err(failed(part))?;
            let written = copy(content, &mut file, part).await?;
            file.sync_all().await.map_err(failed(part))?;
            fs::rename(part, path).await.map_err(failed(path))?;
            Ok(written)
        }
    }
}

async fn copy(
    mut content: Content,
    mut to: impl AsyncWrite + Unpin,
    path: &Path,
) -> Result<u64, RestoreError> {
    let mut written = 0;
    while let Some(piece) = content.try_next().await? {
        to.write_all(&piece).await.map_err(failed(path))?;
        written += piece.len() as u64;
    }
    to.flush().await.map_err(failed(path))?;
    Ok(written)
}

/// Makes the error of a file, or of standard output.
fn failed(path: &Path) -> impl FnOnce(io::Error) -> RestoreError {
    let is_file = path.as_os_str() != STANDARD_OUTPUT;
    let path = if is_file { path.to_owned() } else { PathBuf::from("standard output") };
    move |source| {
        if !is_file && source.kind() == io::ErrorKind::BrokenPipe {
            RestoreError::Closed
        } else {
            RestoreError::Write { path, source }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use archive::OpenError;
    use bytes::Bytes;
    use futures::StreamExt as _;
    use futures::stream;

    use super::*;

    fn content(pieces: Vec<Result<Bytes, OpenError>>) -> Content {
        stream::iter(pieces).boxed()
    }

    async fn written(
        path: &Path,
        over: bool,
        pieces: Vec<Result<Bytes, OpenError>>,
    ) -> Result<u64, RestoreError> {
        let place = place(path, over).await?;
        write(content(pieces), &place, path).await
    }

    #[tokio::test]
    async fn a_whole_backup_gets_its_name_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.sql");
        let pieces = || vec![Ok(Bytes::from_static(b"SELECT ")), Ok(Bytes::from_static(b"1;\n"))];
        assert_eq!(written(&path, false, pieces()).await.unwrap(), 10);
        assert_eq!(std::fs::read(&path).unwrap(), b"SELECT 1;\n");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

        assert!(matches!(written(&path, false, pieces()).await, Err(RestoreError::Exists(_))));
        assert!(written(&path, true, pieces()).await.is_ok());
    }

    #[tokio::test]
    async fn a_backup_that_breaks_off_leaves_nothing_and_spares_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.sql");
        std::fs::write(&path, "before").unwrap();
        let broken =
            vec![Ok(Bytes::from_static(b"SELECT ")), Err(OpenError::Length { expected: 10, found: 7 })];
        assert!(matches!(written(&path, true, broken).await, Err(RestoreError::Open(_))));
        assert_eq!(std::fs::read(&path).unwrap(), b"before");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn devices_are_written_to_as_they_are() {
        assert_eq!(
            written(Path::new("/dev/null"), false, vec![Ok(Bytes::from_static(b"x"))]).await.unwrap(),
            1
        );
        assert!(written(Path::new("/nowhere/x.sql"), false, vec![]).await.is_err());
    }
}
