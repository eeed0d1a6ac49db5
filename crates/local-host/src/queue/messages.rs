//! The calls to storage that the queue loop needs.

use std::fmt;
use std::time::Duration;

use azure_core::http::StatusCode;
use azure_core::http::headers::HeaderName;
use azure_core::time::OffsetDateTime;
use azure_storage_queue::QueueClient;
use azure_storage_queue::models::{
    QueueClientReceiveMessagesOptions, QueueMessage as OutgoingMessage, ReceivedMessage,
};
use chrono::{DateTime, Utc};

/// The receipt after an update is in this header only.
const POP_RECEIPT: HeaderName = HeaderName::from_static("x-ms-popreceipt");

/// A message as the service delivers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// The message's id.
    pub(crate) id: String,
    /// The receipt of this delivery.
    pub(crate) pop_receipt: String,
    /// The text, encoded or not.
    pub(crate) text: String,
    /// How often it was delivered, this time included.
    pub(crate) dequeue_count: i64,
    /// When it was sent.
    pub(crate) inserted: DateTime<Utc>,
    /// When it is thrown away.
    pub(crate) expires: DateTime<Utc>,
    /// When it is seen again.
    pub(crate) next_visible: DateTime<Utc>,
}

/// A queue.
pub(crate) struct Messages {
    /// The queue's name.
    pub(crate) name: String,
    client: QueueClient,
}

impl Messages {
    /// Wraps a client.
    pub(crate) fn new(name: &str, client: QueueClient) -> Self {
        Self { name: name.to_owned(), client }
    }

    /// Fetches up to `most` messages and hides them for `lease`. A queue that does not exist is
    /// like an empty one.
    pub(crate) async fn fetch(&self, most: usize, lease: Duration) -> azure_core::Result<Vec<Delivery>> {
        let options = QueueClientReceiveMessagesOptions {
            number_of_messages: i32::try_from(most).ok(),
            visibility_timeout: Some(seconds(lease)),
            ..QueueClientReceiveMessagesOptions::default()
        };
        match self.client.receive_messages(Some(options)).await {
            Ok(response) => {
                let messages = response.into_model()?.items.unwrap_or_default();
                Ok(messages.into_iter().filter_map(Delivery::new).collect())
            }
            Err(error) if is_missing(&error) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Hides a message for `duration` from now on and returns its new receipt.
    pub(crate) async fn hide(
        &self,
        id: &str,
        receipt: &str,
        duration: Duration,
    ) -> azure_core::Result<String> {
        let response = self.client.update_message(id, receipt, seconds(duration), None).await?;
        Ok(response.headers().get_optional_string(&POP_RECEIPT).unwrap_or_else(|| receipt.to_owned()))
    }

    /// Deletes a message.
    pub(crate) async fn delete(&self, id: &str, receipt: &str) -> azure_core::Result<()> {
        self.client.delete_message(id, receipt, None).await.map(drop)
    }

    /// Sends a message, making the queue if it is missing. It lives for the service's default of
    /// seven days.
    pub(crate) async fn send(&self, text: &str) -> azure_core::Result<()> {
        let message = || OutgoingMessage { message_text: Some(text.to_owned()) }.try_into();
        match self.client.send_message(message()?, None).await {
            Err(error) if is_missing(&error) => {
                self.client.create(None).await?;
                self.client.send_message(message()?, None).await.map(drop)
            }
            outcome => outcome.map(drop),
        }
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Delivery {
    fn new(message: ReceivedMessage) -> Option<Self> {
        Some(Self {
            id: message.message_id?,
            pop_receipt: message.pop_receipt?,
            text: message.message_text.unwrap_or_default(),
            dequeue_count: message.dequeue_count.unwrap_or(1),
            inserted: instant(message.insertion_time),
            expires: instant(message.expiration_time),
            next_visible: instant(message.time_next_visible),
        })
    }
}

/// Tells whether a call failed because the message is no longer ours: deleted, or delivered anew.
pub(crate) fn is_lost(error: &azure_core::Error) -> bool {
    matches!(error.http_status(), Some(StatusCode::NotFound | StatusCode::BadRequest))
}

fn is_missing(error: &azure_core::Error) -> bool {
    error.http_status() == Some(StatusCode::NotFound)
}

fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}

fn instant(date: Option<OffsetDateTime>) -> DateTime<Utc> {
    date.and_then(|date| DateTime::from_timestamp(date.unix_timestamp(), date.nanosecond()))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}
