//! The storage emulator.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::net::TcpStream;

use super::error::UpError;
use super::options::Ports;
use super::place::Place;
use super::process::Stopping;
use super::programs::command;
use super::running::{Look, Running, Service};

const NAME: &str = "Azurite";

/// Starts Azurite and waits until it accepts connections on its three ports.
pub(super) async fn start(place: &Place, ports: &Ports, running: &mut Running) -> Result<(), UpError> {
    let script = place.in_local("node/node_modules/azurite/dist/src/azurite.js");
    if !script.exists() {
        return Err(UpError::Missing { name: script.display().to_string(), remedy: "run scripts/setup" });
    }
    // Private, since the emulator keeps configuration rows, passwords included, in plain files.
    let data = place.private_folder("azurite")?;
    let numbers = [ports.azurite_blobs, ports.azurite_queues, ports.azurite_tables];
    let mut azurite = command("node");
    azurite.arg(script).arg("--location").arg(data);
    for (service, port) in ["blob", "queue", "table"].into_iter().zip(numbers) {
        azurite
            .arg(format!("--{service}Host"))
            .arg("127.0.0.1")
            .arg(format!("--{service}Port"))
            .arg(port.to_string());
    }
    // It knows older versions of the storage protocol than the vendor's crates speak.
    azurite.args(["--skipApiVersionCheck", "--silent", "--disableTelemetry"]);

    let service = Service {
        name: NAME,
        ports: &numbers,
        stopping: Stopping::Terminate,
        patience: Duration::from_secs(20),
    };
    running.start(service, &mut azurite)?;
    running
        .wait_ready(NAME, async || {
            for port in numbers {
                if let Err(error) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                    return Look::NotYet(format!("port {port}: {error}"));
                }
            }
            Look::Ready
        })
        .await
}
