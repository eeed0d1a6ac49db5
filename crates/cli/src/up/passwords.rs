//! The passwords of the sample servers: made up once, kept in a file that only its owner can read.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::error::UpError;
use super::place::{Place, write_private};

/// Bytes of chance in a password; written in hexadecimal, so that no syntax anywhere needs quoting.
const RANDOM_BYTES: usize = 24;

/// The passwords, by the names they have in the file.
#[derive(Debug)]
pub(super) struct Passwords {
    path: PathBuf,
    known: BTreeMap<String, SecretString>,
}

impl Passwords {
    /// Reads the file; a missing one is an empty one.
    pub(super) fn read(place: &Place) -> Result<Self, UpError> {
        let path = place.in_local("passwords");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(UpError::file(path, "read")(error)),
        };
        let known = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, password)| (key.trim().to_owned(), SecretString::from(password.trim())))
            .collect();
        Ok(Self { path, known })
    }

    /// Whether the file has this password already.
    pub(super) fn knows(&self, key: &str) -> bool {
        self.known.contains_key(key)
    }

    /// Where the passwords are kept.
    pub(super) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// Gives the password of this name; makes one up, and keeps it, when there is none.
    pub(super) fn get_or_make(&mut self, key: &str) -> Result<SecretString, UpError> {
        if let Some(password) = self.known.get(key) {
            return Ok(password.clone());
        }
        let password = random().map_err(UpError::file("/dev/urandom", "read"))?;
        self.known.insert(key.to_owned(), password.clone());
        let mut text =
            String::from("# Passwords of the sample servers that `dilux up` runs on this machine.\n");
        for (key, password) in &self.known {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{key}={}", password.expose_secret());
        }
        write_private(&self.path, text.as_bytes())?;
        Ok(password)
    }
}

fn random() -> io::Result<SecretString> {
    let mut bytes = [0; RANDOM_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")).into())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn a_password_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::at(folder.path()).unwrap();
        let mut first = Passwords::read(&place).unwrap();
        assert!(!first.knows("mariadb_admin"));
        let made = first.get_or_make("mariadb_admin").unwrap();
        let other = first.get_or_make("mariadb_backup").unwrap();

        let mut again = Passwords::read(&place).unwrap();
        assert!(again.knows("mariadb_admin"));
        assert_eq!(again.get_or_make("mariadb_admin").unwrap().expose_secret(), made.expose_secret());
        assert_ne!(made.expose_secret(), other.expose_secret());
        assert_eq!(made.expose_secret().len(), 2 * RANDOM_BYTES);
    }

    #[test]
    fn debug_shows_no_password() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::at(folder.path()).unwrap();
        let mut passwords = Passwords::read(&place).unwrap();
        let made = passwords.get_or_make("mariadb_admin").unwrap();
        assert!(!format!("{passwords:?}").contains(made.expose_secret()));
    }
}
