//! The storage emulator, private to a test.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::api::PATIENCE;
use crate::stack::{free_port, root};

const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A storage emulator with a folder of its own. Ends with the value.
pub struct Azurite {
    ports: [u16; 3],
    folder: tempfile::TempDir,
    process: Option<Child>,
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
        let mut azurite = Self { ports, folder, process: None };
        azurite.restart().await;
        azurite
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

    /// Kills the emulator with `SIGKILL`; its data stay.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Returns the connection string of the emulator's account.
    pub fn connection_string(&self) -> String {
        let [blob, queue, table] = self.ports.map(|port| format!("http://127.0.0.1:{port}/devstoreaccount1"));
        format!(
            "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={KEY};BlobEndpoint={blob};QueueEndpoint={queue};TableEndpoint={table};"
        )
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        self.kill();
    }
}

#[expect(clippy::disallowed_methods, reason = "the tests read where Azurite is")]
fn program() -> PathBuf {
    let given = std::env::var_os("AZURITE").map(PathBuf::from);
    given.unwrap_or_else(|| root().join(".local/node/node_modules/.bin/azurite"))
}
