//! The three function apps, run by one `local-host`.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::error::UpError;
use super::options::Ports;
use super::place::Place;
use super::process::Stopping;
use super::programs::command;
use super::rest::Rest;
use super::running::{Look, Running, Service};

const NAME: &str = "apps";

/// Starts the apps and waits until all three answer. Their storage is the emulator, whatever the shell
/// or a settings file says: what runs here must not reach for an account in the cloud.
pub(super) async fn start(
    place: &Place,
    ports: &Ports,
    rest: &Rest,
    running: &mut Running,
) -> Result<(), UpError> {
    let here = env::current_exe().map_err(UpError::file("/proc/self/exe", "read"))?;
    let program = here.with_file_name("local-host");
    if !program.exists() {
        return Err(UpError::Missing {
            name: program.display().to_string(),
            remedy: "build it with `cargo build --workspace`",
        });
    }
    let apps = [("api", ports.api), ("scheduler", ports.scheduler), ("processor", ports.processor)];
    let storage = ports.storage_connection_string();
    let mut host = command(program);
    // A handler that is asked first can finish its sentence, which the real host does not allow it.
    host.arg("--term-first=10");
    for (app, port) in apps {
        let folder = place.in_checkout("target/apps").join(app);
        if !folder.join("host.json").exists() {
            return Err(UpError::Missing {
                name: folder.display().to_string(),
                remedy: "run scripts/package",
            });
        }
        host.arg("--app").arg(with_port(&folder, port));
    }
    host.env("AzureWebJobsStorage", &storage)
        .env("STORAGE_CONNECTION_STRING", &storage)
        .env("ENVIRONMENT", "development")
        .env("AUTH_MODE", "mock");
    for variable in [
        "STORAGE_ACCOUNT_NAME",
        "STORAGE_BLOB_ENDPOINT",
        "STORAGE_QUEUE_ENDPOINT",
        "STORAGE_TABLE_ENDPOINT",
        "STORAGE_PUBLIC_URL",
        "KEY_VAULT_NAME",
        "KEYVAULT_URL",
    ] {
        host.env_remove(variable);
    }

    let service = Service {
        name: NAME,
        ports: &apps.map(|(_, port)| port),
        stopping: Stopping::Terminate,
        patience: Duration::from_mins(1),
    };
    running.start(service, &mut host)?;
    running
        .wait_ready(NAME, async || match all_answer(rest, &apps).await {
            Ok(()) => Look::Ready,
            Err(error) => Look::NotYet(error.to_string()),
        })
        .await
}

async fn all_answer(rest: &Rest, apps: &[(&'static str, u16)]) -> Result<(), UpError> {
    rest.health().await?;
    for (_, port) in apps {
        rest.host_status(*port).await?;
    }
    Ok(())
}

fn with_port(folder: &Path, port: u16) -> OsString {
    let mut text = folder.as_os_str().to_owned();
    text.push(format!(":{port}"));
    text
}
