//! One line on standard error that says how far something has come.
//!
//! On a terminal the line is rewritten in place; elsewhere, in a log for example, it becomes a plain line
//! every few seconds.

use std::io::{IsTerminal as _, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a plain line is written at most.
const PLAIN_PAUSE: Duration = Duration::from_secs(5);

/// How often a command is to bring its line up to date.
pub(crate) const REFRESH: Duration = Duration::from_millis(250);

/// The line, which goes away with this value.
pub(crate) enum ProgressLine {
    /// Rewritten in place.
    Terminal(ProgressBar),
    /// Written now and then.
    Plain {
        /// When the last line was written.
        written: Option<Instant>,
    },
}

impl ProgressLine {
    /// Begins a line.
    pub(crate) fn begin() -> Self {
        if !stderr().is_terminal() {
            return Self::Plain { written: None };
        }
        let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        // What does not fit into the width of the terminal is cut, so that the line stays one line.
        let style = ProgressStyle::with_template("{spinner} {wide_msg}");
        line.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        Self::Terminal(line)
    }

    /// Shows how far it has come; `text` is only asked for when it is shown.
    pub(crate) fn show(&mut self, text: impl FnOnce() -> String) {
        match self {
            Self::Terminal(line) => {
                line.set_message(text());
                line.tick();
            }
            Self::Plain { written } => {
                if written.is_none_or(|written| written.elapsed() >= PLAIN_PAUSE) {
                    eprintln!("dilux: {}", text());
                    *written = Some(Instant::now());
                }
            }
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        match self {
            Self::Terminal(line) => line.finish_and_clear(),
            Self::Plain { .. } => {}
        }
    }
}
