//! The storage emulator, private to a test.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::time::{Instant, sleep};

use crate::api::PATIENCE;
use crate::stack::{free_port, root};

const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A storage emulator with a folder of its own. Ends with the value.
pub struct Azurite {
    ports: [u16; 3],
    folder: tempfile::TempDir,
    process: Option<Child>,
    certificate: Option<PathBuf>,
}

impl Azurite {
    /// Starts an emulator and waits until it answers.
    ///
    /// # Panics
    ///
    /// When it is not installed or does not start.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("a folder for Azurite: {error}"));
        let ports = [free_port(), free_port(), free_port()];
        let mut azurite = Self { ports, folder, process: None, certificate: None };
        azurite.restart().await;
        azurite
    }

    /// Starts an emulator that takes tokens of the directory, over HTTPS. It reads what a token says, and
    /// checks neither who signed it nor the roles of its owner.
    ///
    /// # Panics
    ///
    /// When it is not installed or does not start.
    pub async fn start_with_tokens() -> Self {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("a folder for Azurite: {error}"));
        let ports = [free_port(), free_port(), free_port()];
        let certificate = folder.path().join("certificate.pem");
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()])
            .unwrap_or_else(|error| panic!("a certificate: {error}"));
        for (path, text) in
            [(certificate.clone(), cert.pem()), (key_file(&certificate), signing_key.serialize_pem())]
        {
            fs::write(path, text).unwrap_or_else(|error| panic!("a certificate: {error}"));
        }
        let mut azurite = Self { ports, folder, process: None, certificate: Some(certificate) };
        azurite.restart().await;
        azurite
    }

    /// Returns the file with the certificate of an emulator that takes tokens.
    pub fn certificate(&self) -> Option<&Path> {
        self.certificate.as_deref()
    }

    /// Returns the variables by which a program finds an emulator that takes tokens.
    pub fn variables(&self) -> Vec<(String, String)> {
        let services = ["BLOB", "QUEUE", "TABLE"].iter().zip(self.ports);
        let endpoint = |(service, port): (&&str, u16)| {
            (format!("STORAGE_{service}_ENDPOINT"), format!("https://127.0.0.1:{port}/devstoreaccount1"))
        };
        let name = ("STORAGE_ACCOUNT_NAME".to_owned(), "devstoreaccount1".to_owned());
        services.map(endpoint).chain([name]).collect()
    }

    /// Starts the emulator on the same data and ports as before.
    ///
    /// # Panics
    ///
    /// When it is not installed or does not start.
    #[expect(clippy::disallowed_methods, reason = "tests start real processes")]
    pub async fn restart(&mut self) {
        let program = program();
        assert!(program.is_file(), "Azurite is missing at {}; run scripts/setup", program.display());
        let mut command = Command::new(program);
        command.args(["--silent", "--skipApiVersionCheck", "--disableTelemetry"]);
        command.arg("--location").arg(self.folder.path());
        for (service, port) in ["blob", "queue", "table"].iter().zip(self.ports) {
            command.args([format!("--{service}Host"), "127.0.0.1".to_owned()]);
            command.args([format!("--{service}Port"), port.to_string()]);
        }
        if let Some(certificate) = &self.certificate {
            command.args(["--oauth", "basic", "--cert"]).arg(certificate);
            command.arg("--key").arg(key_file(certificate));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn();
        self.process = Some(process.unwrap_or_else(|error| panic!("Azurite: {error}")));
        let end = Instant::now() + PATIENCE;
        for port in self.ports {
            while TcpStream::connect(("127.0.0.1", port)).is_err() {
                assert!(Instant::now() < end, "Azurite does not start");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// Returns the folder with all that it keeps.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Kills the emulator with `SIGKILL`; its data stay.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Returns the ports of blobs, queues and tables.
    pub fn ports(&self) -> [u16; 3] {
        self.ports
    }

    /// Returns the connection string of the emulator's account.
    pub fn connection_string(&self) -> String {
        self.connection_string_by(self.ports)
    }

    /// Returns the connection string of the emulator's account for whoever comes to it by other ports.
    pub fn connection_string_by(&self, ports: [u16; 3]) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        let [blob, queue, table] = ports.map(|port| format!("{scheme}://127.0.0.1:{port}/devstoreaccount1"));
        format!(
            "DefaultEndpointsProtocol={scheme};AccountName=devstoreaccount1;AccountKey={KEY};BlobEndpoint={blob};QueueEndpoint={queue};TableEndpoint={table};"
        )
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        self.kill();
    }
}

fn key_file(certificate: &Path) -> PathBuf {
    certificate.with_file_name("key.pem")
}

#[expect(clippy::disallowed_methods, reason = "the tests read where Azurite is")]
fn program() -> PathBuf {
    let given = std::env::var_os("AZURITE").map(PathBuf::from);
    given.unwrap_or_else(|| root().join(".local/node/node_modules/.bin/azurite"))
}
