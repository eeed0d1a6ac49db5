//! Logs: one line each on stdout, panics on stderr.
//!
//! The host reads each stdout line as information and each stderr line as an error, so only panics
//! (and the last words of [`exit_code`](crate::exit_code)) go to stderr. No line begins with the
//! prefixes that the host takes as commands, because each begins with a brace or a time.

use std::panic::PanicHookInfo;

use tracing::level_filters::LevelFilter;
use tracing::{Level, error};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{Targets, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The target under which panics are logged.
const PANIC: &str = "panic";

/// Crates that write whole requests, signatures included, at their lower levels: never asked for
/// more than warnings, whatever the level of the app is.
const TALKATIVE: [&str; 9] = [
    "azure_core",
    "azure_identity",
    "h2",
    "hyper",
    "hyper_util",
    "reqwest",
    "rustls",
    "tower_http",
    "typespec_client_core",
];

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line, for machines that collect them.
    Json,
    /// Text with colours when stdout is a terminal, for people.
    Text,
}

/// Sets up logging for the whole program, and the hook that logs each panic as one JSON line on
/// stderr. A second call changes nothing.
pub fn init(format: LogFormat, level: Level) {
    let colours = std::io::IsTerminal::is_terminal(&std::io::stdout());
    let subscriber = subscriber(format, level, colours, std::io::stdout, std::io::stderr);
    if subscriber.try_init().is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
}

fn subscriber<Out, Err>(
    format: LogFormat,
    level: Level,
    colours: bool,
    out: Out,
    err: Err,
) -> impl tracing::Subscriber + Send + Sync
where
    Out: for<'a> MakeWriter<'a> + Send + Sync + 'static,
    Err: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(out);
    let lines = match format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
        LogFormat::Text => lines.with_ansi(colours).boxed(),
    };
    let panics = tracing_subscriber::fmt::layer()
        .with_writer(err)
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_filter(filter_fn(|metadata| metadata.target() == PANIC || metadata.is_span()));
    tracing_subscriber::registry().with(lines.with_filter(levels(level))).with(panics)
}

fn levels(level: Level) -> Targets {
    let quiet = TALKATIVE.map(|name| (name, level.min(Level::WARN)));
    Targets::new().with_default(level).with_targets(quiet).with_target(PANIC, LevelFilter::OFF)
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let message = panic.payload_as_str().unwrap_or("no text");
    error!(target: PANIC, place, "panic: {message}");
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::fs::File;
    use std::io::{Read as _, Seek as _};

    use tracing::{debug, info, info_span, warn};

    use super::*;

    /// What a piece of program leaves on the two streams.
    fn logged(format: LogFormat, level: Level, program: impl FnOnce()) -> [String; 2] {
        let files = [tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap()];
        let [out, err] = files.each_ref().map(|file| {
            let file = file.try_clone().unwrap();
            move || file.try_clone().unwrap()
        });
        tracing::subscriber::with_default(subscriber(format, level, false, out, err), program);
        files.map(read)
    }

    fn read(mut file: File) -> String {
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    }

    fn events() {
        let _span = info_span!("invocation", invocation_id = "i-1").entered();
        debug!("details");
        info!(count = 3, "two\nlines");
        info!(target: "hyper::client", "a request with its signature");
        warn!(target: "azure_core::http", "a retry");
        error!(target: PANIC, "panic: lost");
    }

    #[test]
    fn json_lines_hold_the_invocation_and_panics_go_elsewhere() {
        let [out, err] = logged(LogFormat::Json, Level::INFO, events);
        let lines: Vec<serde_json::Value> =
            out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let messages: Vec<_> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
        assert_eq!(messages, ["two\nlines", "a retry"]);
        assert_eq!(lines[0]["count"], 3);
        assert_eq!(lines[0]["spans"][0]["invocation_id"], "i-1");
        let panic: serde_json::Value = serde_json::from_str(&err).unwrap();
        assert_eq!(panic["message"], "panic: lost");
        assert_eq!(panic["spans"][0]["invocation_id"], "i-1");
    }

    #[test]
    fn text_is_for_people() {
        let [out, err] = logged(LogFormat::Text, Level::INFO, events);
        assert!(out.lines().next().unwrap().contains("INFO invocation{invocation_id=\"i-1\"}: "), "{out}");
        assert!(!out.contains("panic"), "{out}");
        assert!(serde_json::from_str::<serde_json::Value>(&err).is_ok(), "{err}");
    }

    #[test]
    fn no_level_opens_up_what_may_hold_secrets_or_hides_a_panic() {
        let [all, _] = logged(LogFormat::Json, Level::TRACE, events);
        assert!(all.contains("details") && all.contains("a retry"), "{all}");
        assert!(!all.contains("signature"), "{all}");
        let [errors, panics] = logged(LogFormat::Json, Level::ERROR, events);
        assert_eq!(errors, "");
        assert!(panics.contains("lost"));
    }
}
