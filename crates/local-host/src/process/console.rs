//! The lines that a handler writes.
//!
//! A line on stdout is information. A line on stderr is an error unless it contains "warn". Two
//! prefixes are taken away: one marks lines for the host's own log, one output for tools.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tracing::{debug, error, info, warn};

const HOST_LOG: &str = "LanguageWorkerConsoleLog";
const TOOLING: &str = "azfuncjsonlog:";
const REMEMBERED: usize = 3;

/// From which stream a line came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output.
    Out,
    /// Standard error. The flag tells whether it is for errors only.
    Err { for_errors: bool },
}

/// How a line is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Debug,
    Info,
    Warning,
    Error,
}

/// The last lines of a stream, for the report of a crash.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastLines(Arc<Mutex<VecDeque<String>>>);

impl LastLines {
    /// Returns the lines joined by `" | "`.
    pub(crate) fn joined(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join(" | ")
    }

    fn push(&self, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == REMEMBERED {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }
}

/// Logs all lines of a stream until it ends, and remembers the last ones.
pub(crate) async fn follow(app: Arc<str>, stream: Stream, reader: impl AsyncRead + Unpin, last: LastLines) {
    let mut reader = BufReader::new(reader);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match reader.read_until(b'\n', &mut bytes).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&bytes);
        let line = text.trim_end_matches(['\n', '\r']);
        if line.is_empty() {
            continue;
        }
        last.push(line);
        let (level, line) = classify(stream, line);
        match level {
            Level::Debug => debug!(app = %app, "{line}"),
            Level::Info => info!(app = %app, "{line}"),
            Level::Warning => warn!(app = %app, "{line}"),
            Level::Error => error!(app = %app, "{line}"),
        }
    }
}

fn classify(stream: Stream, line: &str) -> (Level, &str) {
    if let Some(rest) = line.strip_prefix(TOOLING) {
        return (Level::Debug, rest);
    }
    let line = line.strip_prefix(HOST_LOG).unwrap_or(line);
    let level = match stream {
        Stream::Out | Stream::Err { for_errors: false } => Level::Info,
        Stream::Err { for_errors: true } if line.to_ascii_lowercase().contains("warn") => Level::Warning,
        Stream::Err { for_errors: true } => Level::Error,
    };
    (level, line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_and_words_decide_the_level() {
        let errors = Stream::Err { for_errors: true };
        assert_eq!(classify(Stream::Out, "error: x"), (Level::Info, "error: x"));
        assert_eq!(classify(errors, "x"), (Level::Error, "x"));
        assert_eq!(classify(errors, "WARNING: x"), (Level::Warning, "WARNING: x"));
        assert_eq!(classify(Stream::Err { for_errors: false }, "x"), (Level::Info, "x"));
        assert_eq!(classify(Stream::Out, "LanguageWorkerConsoleLog x"), (Level::Info, " x"));
        assert_eq!(classify(Stream::Out, "azfuncjsonlog:{}"), (Level::Debug, "{}"));
    }

    #[tokio::test]
    async fn remembers_the_last_three_lines() {
        let last = LastLines::default();
        let input: &[u8] = b"one\ntwo\r\n\nthree\nf\xffour";
        follow("app".into(), Stream::Out, input, last.clone()).await;
        assert_eq!(last.joined(), "two | three | f\u{fffd}our");
    }
}
