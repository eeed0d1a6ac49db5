//! Certificates for servers that encrypt, and an authority that has signed them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use shared::models::Authorities;

use super::guardian::{give_to, run};

/// An authority, and what a server named `localhost` needs.
pub struct Certificates {
    folder: tempfile::TempDir,
}

impl Certificates {
    /// Makes a new authority and a certificate for `localhost`, and for that name only.
    pub fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let openssl = |arguments: &str| {
            run(Command::new("openssl").args(arguments.split(' ')).current_dir(folder.path()));
        };
        openssl("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=Authority");
        openssl("req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=server");
        fs::write(folder.path().join("names"), "subjectAltName=DNS:localhost").unwrap();
        openssl(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile names",
        );
        Self { folder }
    }

    /// Returns the authority.
    pub fn authority(&self) -> Authorities {
        fs::read_to_string(self.folder.path().join("ca.pem")).unwrap().parse().unwrap()
    }

    /// Copies the server's certificate and key to a folder of its user, and returns where they are.
    pub(super) fn install(&self, folder: &Path, user: &str) -> (PathBuf, PathBuf) {
        let place = |name: &str| {
            let path = folder.join(name);
            fs::copy(self.folder.path().join(name), &path).unwrap();
            give_to(user, &path);
            path
        };
        (place("server.pem"), place("server.key"))
    }
}
