//! The password for a target: from a private file, from the environment, or from the person.
//!
//! Never from an argument, since every user of a machine can read those.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read as _, Write as _, stderr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use secrecy::SecretString;
use tokio::sync::oneshot;

use crate::ending::ControlC;

/// The variable that holds the password.
const VARIABLE: &str = "DILUX_TARGET_PASSWORD";

/// The largest file that is read for a password, in bytes; no client takes a longer password.
const LARGEST: u64 = 4096;

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordError {
    /// The file cannot be read.
    #[error("the password file {} cannot be read", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Others may read the file.
    #[error(
        "the password file {0} can be read by other users; run `chmod 600 {0}`, and think of a new password"
    )]
    Open(String),
    /// The file holds no password.
    #[error("the password file {} is empty, too long or not UTF-8; write the password alone into it", .0.display())]
    Unusable(PathBuf),
    /// The variable is not UTF-8.
    #[error("the variable DILUX_TARGET_PASSWORD is not UTF-8; use --password-file or set it again")]
    Variable,
    /// Nobody can be asked.
    #[error(
        "there is no password for {0} and no terminal to ask on; set DILUX_TARGET_PASSWORD or use \
         --password-file"
    )]
    Missing(String),
    /// The terminal failed.
    #[error(
        "the password could not be read from the terminal; set DILUX_TARGET_PASSWORD or use --password-file"
    )]
    Terminal(#[source] io::Error),
    /// Ctrl-C was pressed.
    #[error("no password was entered, so nothing was restored")]
    Interrupted,
}

/// Takes the password from the file if there is one, else from the variable, else from the person at the
/// terminal. `server` is shown to that person.
pub(super) async fn password(file: Option<&Path>, server: &str) -> Result<SecretString, PasswordError> {
    if let Some(path) = file {
        return from_file(path);
    }
    match from_environment()? {
        Some(password) => Ok(password),
        None => ask(server).await,
    }
}

/// Reads the variable just as it is: the configuration would trim it.
#[expect(clippy::disallowed_methods, reason = "a password may begin or end with a space")]
fn from_environment() -> Result<Option<SecretString>, PasswordError> {
    match std::env::var(VARIABLE) {
        Ok(password) => Ok(Some(password.into())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(PasswordError::Variable),
    }
}

fn from_file(path: &Path) -> Result<SecretString, PasswordError> {
    let failed = |source| PasswordError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
        return Err(PasswordError::Open(path.display().to_string()));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    let is_short = u64::try_from(bytes.len()).is_ok_and(|length| length <= LARGEST);
    let text = String::from_utf8(bytes).ok().filter(|_| is_short);
    let text = text.as_deref().map(without_line_end).filter(|text| !text.is_empty());
    text.map(SecretString::from).ok_or_else(|| PasswordError::Unusable(path.to_owned()))
}

/// Asks on the terminal, without showing what is typed.
async fn ask(server: &str) -> Result<SecretString, PasswordError> {
    let missing = || PasswordError::Missing(server.to_owned());
    if !stderr().is_terminal() {
        return Err(missing());
    }
    let terminal = File::options().read(true).write(true).open("/dev/tty").map_err(|_| missing())?;
    let mut control_c = ControlC::listen();
    let silence = Silence::begin(&terminal).map_err(PasswordError::Terminal)?;
    eprint!("Password for {server}: ");
    let reader = terminal.try_clone().map_err(PasswordError::Terminal)?;
    let (send, answer) = oneshot::channel();
    // A thread of its own, which the end of the program does not wait for.
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(reader).read_line(&mut line);
        // Nobody listens any more after Ctrl-C.
        let _ = send.send(read.map(|_| SecretString::from(without_line_end(&line))));
    });
    let answer = tokio::select! {
        answer = answer => answer,
        () = control_c.pressed() => return Err(PasswordError::Interrupted),
    };
    drop(silence);
    match answer {
        Ok(Ok(password)) => Ok(password),
        Ok(Err(error)) => Err(PasswordError::Terminal(error)),
        Err(_) => Err(PasswordError::Interrupted),
    }
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Silence {
    terminal: File,
    before: Termios,
}

impl Silence {
    fn begin(terminal: &File) -> io::Result<Self> {
        let terminal = terminal.try_clone()?;
        let before = tcgetattr(&terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // There is nobody to tell: the terminal has gone away then.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
        let _ = writeln!(self.terminal);
    }
}

/// Takes the end of the line off, and nothing else.
fn without_line_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::fs::{self, Permissions};

    use secrecy::ExposeSecret as _;

    use super::*;

    fn read(content: &[u8], mode: u32) -> Result<String, PasswordError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        from_file(&path).map(|password| password.expose_secret().to_owned())
    }

    #[test]
    fn a_file_loses_only_the_end_of_its_line() {
        assert_eq!(read(b" pa ss \r\n", 0o600).unwrap(), " pa ss ");
        assert_eq!(read("gehe\u{f6}m".as_bytes(), 0o400).unwrap(), "geheöm");
        assert_eq!(read(b"two\nlines\n", 0o600).unwrap(), "two\nlines");
    }

    #[test]
    fn files_that_others_can_read_are_refused() {
        for mode in [0o644, 0o640, 0o604, 0o660] {
            assert!(matches!(read(b"s3cret", mode), Err(PasswordError::Open(_))), "{mode:o}");
        }
    }

    #[test]
    fn useless_files_are_refused_without_a_word_of_what_is_in_them() {
        for content in [b"".as_slice(), b"\n", b"s3cret\xff", "s3cret".repeat(1000).as_bytes()] {
            let error = read(content, 0o600).unwrap_err();
            assert!(matches!(error, PasswordError::Unusable(_)));
            assert!(!format!("{error} {error:?}").contains("s3cret"));
        }
        assert!(matches!(from_file(Path::new("/nowhere/password")), Err(PasswordError::File { .. })));
    }
}
