//! Queues of Azure Storage.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::TokenCredential;
use azure_core::http::{ClientOptions, RequestContent};
use azure_storage_queue::models::{
    QueueClientGetPropertiesResultHeaders as _, QueueClientPeekMessagesOptions,
    QueueClientSendMessageOptions, QueueMessage,
};
use azure_storage_queue::{QueueClient, QueueClientOptions};
use url::Url;

use super::queue::{LONGEST_MESSAGE, MOST_PEEKED, Queue};
use super::{StorageError, StorageErrorKind};

/// Never expires: a job must wait for its processor for as long as it takes.
const NEVER: i32 = -1;

/// One queue of an account.
pub struct AzureQueue {
    name: String,
    client: QueueClient,
}

impl AzureQueue {
    /// Makes a client of the queue `name`; credentials as for
    /// [`AzureTable::new`](super::AzureTable::new).
    pub fn new(
        mut endpoint: Url,
        name: &str,
        credential: Option<Arc<dyn TokenCredential>>,
        options: ClientOptions,
    ) -> Result<Self, StorageError> {
        let path = format!("{}/{name}", endpoint.path().trim_end_matches('/'));
        endpoint.set_path(&path);
        let options = QueueClientOptions { client_options: options, ..QueueClientOptions::default() };
        let client = QueueClient::new(endpoint, credential, Some(options))
            .map_err(|error| StorageError::from_azure(error, "set up the client of queue", name))?;
        Ok(Self { name: name.to_owned(), client })
    }
}

impl fmt::Debug for AzureQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AzureQueue({})", self.name)
    }
}

#[async_trait]
impl Queue for AzureQueue {
    async fn create(&self) -> Result<(), StorageError> {
        match self.client.create(None).await {
            Ok(_) => Ok(()),
            Err(error) => match StorageError::from_azure(error, "create queue", &self.name) {
                error if error.kind() == StorageErrorKind::AlreadyExists => Ok(()),
                error => Err(error),
            },
        }
    }

    async fn send(&self, text: &str, delay: Duration) -> Result<String, StorageError> {
        let operation = "send a message to queue";
        if text.len() > LONGEST_MESSAGE {
            return Err(StorageError::new(StorageErrorKind::Invalid, operation, &self.name)
                .because("the text is longer than 64 KiB"));
        }
        let content = || -> Result<RequestContent<QueueMessage, _>, StorageError> {
            QueueMessage { message_text: Some(text.to_owned()) }
                .try_into()
                .map_err(|error| StorageError::from_azure(error, operation, &self.name))
        };
        let options = || QueueClientSendMessageOptions {
            message_time_to_live: Some(NEVER),
            visibility_timeout: Some(i32::try_from(delay.as_secs()).unwrap_or(i32::MAX)),
            ..QueueClientSendMessageOptions::default()
        };
        let sent = match self.client.send_message(content()?, Some(options())).await {
            Ok(sent) => sent,
            Err(error) => {
                let error = StorageError::from_azure(error, operation, &self.name);
                if error.kind() != StorageErrorKind::NotFound {
                    return Err(error);
                }
                self.create().await?;
                self.client
                    .send_message(content()?, Some(options()))
                    .await
                    .map_err(|error| StorageError::from_azure(error, operation, &self.name))?
            }
        };
        let sent =
            sent.into_model().map_err(|error| StorageError::from_azure(error, operation, &self.name))?;
        let first = sent.items.and_then(|items| items.into_iter().next());
        Ok(first.and_then(|message| message.message_id).unwrap_or_default())
    }

    async fn depth(&self) -> Result<u64, StorageError> {
        let operation = "count the messages of queue";
        let response = match self.client.get_properties(None).await {
            Ok(response) => response,
            Err(error) => {
                let error = StorageError::from_azure(error, operation, &self.name);
                // A queue that nobody has written to yet is an empty one.
                return if error.kind() == StorageErrorKind::NotFound { Ok(0) } else { Err(error) };
            }
        };
        let count = response
            .approximate_messages_count()
            .map_err(|error| StorageError::from_azure(error, operation, &self.name))?;
        Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
    }

    async fn peek(&self) -> Result<Vec<String>, StorageError> {
        let operation = "look at the messages of queue";
        let options = QueueClientPeekMessagesOptions {
            number_of_messages: i32::try_from(MOST_PEEKED).ok(),
            ..QueueClientPeekMessagesOptions::default()
        };
        let peeked = match self.client.peek_messages(Some(options)).await {
            Ok(peeked) => peeked,
            Err(error) => {
                let error = StorageError::from_azure(error, operation, &self.name);
                return if error.kind() == StorageErrorKind::NotFound { Ok(Vec::new()) } else { Err(error) };
            }
        };
        let peeked =
            peeked.into_model().map_err(|error| StorageError::from_azure(error, operation, &self.name))?;
        let texts = peeked.items.unwrap_or_default().into_iter();
        Ok(texts.map(|message| message.message_text.unwrap_or_default()).collect())
    }
}
