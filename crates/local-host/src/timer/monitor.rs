//! Where the states of timers are kept: one blob for each timer, at the place and in the notation
//! of the real host.

use azure_core::http::{RequestContent, StatusCode};
use bytes::Bytes;

use super::status::Status;
use crate::storage::Storage;

const CONTAINER: &str = "azure-webjobs-hosts";

/// The states of an app's timers.
#[derive(Debug, Clone)]
pub(crate) struct Monitor {
    storage: Storage,
    host_id: String,
}

impl Monitor {
    /// Keeps states in `storage`, apart from those of other host ids.
    pub(crate) fn new(storage: Storage, host_id: &str) -> Self {
        Self { storage, host_id: host_id.to_owned() }
    }

    /// Reads the state of a timer. One that cannot be understood counts as none.
    pub(crate) async fn read(&self, function: &str) -> azure_core::Result<Option<Status>> {
        let blob = self.storage.blob(&self.path(function).each_ref().map(String::as_str))?;
        match blob.download(None).await {
            Ok(download) => {
                let bytes = download.body.collect().await?;
                Ok(serde_json::from_slice(&bytes).ok().as_ref().and_then(Status::from_json))
            }
            Err(error) if error.http_status() == Some(StatusCode::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the state of a timer, making the container if it is missing.
    pub(crate) async fn write(&self, function: &str, status: Status) -> azure_core::Result<()> {
        let blob = self.storage.blob(&self.path(function).each_ref().map(String::as_str))?;
        let body = Bytes::from(status.to_json().to_string());
        match blob.upload(RequestContent::from(body.clone().into()), None).await {
            Err(error) if error.http_status() == Some(StatusCode::NotFound) => {
                match self.storage.container(CONTAINER)?.create(None).await {
                    Err(error) if error.http_status() != Some(StatusCode::Conflict) => return Err(error),
                    Ok(_) | Err(_) => {}
                }
                blob.upload(RequestContent::from(body.into()), None).await.map(drop)
            }
            outcome => outcome.map(drop),
        }
    }

    fn path(&self, function: &str) -> [String; 5] {
        let folder = format!("Host.Functions.{function}");
        [CONTAINER.to_owned(), "timers".to_owned(), self.host_id.clone(), folder, "status".to_owned()]
    }
}
