//! The suite of [`Queue`].
#![expect(clippy::unwrap_used, reason = "a suite fails by panicking")]

use std::collections::BTreeSet;
use std::time::Duration;

use crate::storage::StorageErrorKind;
use crate::storage::queue::{LONGEST_MESSAGE, Queue};

/// Texts that are easily broken in the XML that the service speaks.
pub const ODD_MESSAGES: [&str; 8] = [
    "{}",
    r#"{"name":"Zoë \"x\" <b>&amp;</b> ]]> 数据 🦀"}"#,
    r#"{"sql":"' or 1=1; --","path":"..\\..\\x"}"#,
    "<QueueMessage><MessageText>x</MessageText></QueueMessage>",
    "&lt;&#10;&#x41;",
    "bGVhdmUgbWUgYXMgSSBhbQ==",
    "%7B%22a%22%3A1%7D",
    "a  b + c",
];

/// Checks an implementation of the queue seam. The queue must not exist when the suite begins:
/// sending has to make it. It ends with the [odd messages](ODD_MESSAGES) and three more in the queue.
///
/// # Panics
///
/// Panics at the first thing that an implementation does differently.
pub async fn queue(queue: &dyn Queue) {
    assert_eq!(queue.depth().await.unwrap(), 0, "a missing queue is an empty one");
    assert_eq!(queue.peek().await.unwrap(), [""; 0], "a missing queue is an empty one");
    let mut ids = BTreeSet::new();
    ids.insert(queue.send("first", Duration::ZERO).await.unwrap());
    queue.create().await.unwrap();
    queue.create().await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), 1, "making a queue that exists empties nothing");
    for text in ODD_MESSAGES {
        ids.insert(queue.send(text, Duration::ZERO).await.unwrap());
    }
    ids.insert(queue.send("later", Duration::from_mins(10)).await.unwrap());
    let longest = "x".repeat(LONGEST_MESSAGE);
    ids.insert(queue.send(&longest, Duration::ZERO).await.unwrap());
    let sent = u64::try_from(ODD_MESSAGES.len()).unwrap() + 3;
    assert_eq!(queue.depth().await.unwrap(), sent, "messages that are not visible yet count too");
    let seen = queue.peek().await.unwrap();
    let visible = ["first"].into_iter().chain(ODD_MESSAGES).chain([longest.as_str()]);
    assert_eq!(seen.iter().map(String::as_str).collect::<BTreeSet<_>>(), visible.collect());
    assert_eq!(queue.depth().await.unwrap(), sent, "looking takes nothing");
    assert_eq!(ids.len() as u64, sent, "every message has an id of its own");
    assert!(!ids.contains(""));

    // Bytes count, not characters.
    for text in [format!("{longest}x"), "é".repeat(LONGEST_MESSAGE / 2 + 1)] {
        let error = queue.send(&text, Duration::ZERO).await.unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::Invalid);
        assert!(!error.is_transient());
    }
    assert_eq!(queue.depth().await.unwrap(), sent, "a refused message is not sent");
}
