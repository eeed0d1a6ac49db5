//! `host.json`: how the app's handler is started, and the settings of HTTP, queues and time-outs.
//!
//! Any key can be overridden by a setting `AzureFunctionsJobHost__section__key`. Keys are found in
//! any case and values may be text, since settings are. Keys that only matter in the cloud are
//! accepted and ignored; what changes how an app runs but is not supported here is refused.
//! <https://learn.microsoft.com/azure/azure-functions/functions-host-json>

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Map, Value};

use crate::{Variables, timespan};

const OVERRIDE_PREFIX: &str = "AzureFunctionsJobHost__";

/// Why `host.json` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HostJsonError {
    /// The file cannot be read.
    #[error("{path} cannot be read; an app folder needs a host.json")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The file is not JSON.
    #[error("{path} is not JSON; correct it")]
    NotJson {
        /// The file.
        path: PathBuf,
        /// Where reading stopped.
        #[source]
        source: serde_json::Error,
    },
    /// A value is missing, has the wrong form, or asks for something that is not supported.
    #[error("host.json: {key} {problem}")]
    Value {
        /// The key's path.
        key: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// What `host.json` says, defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostConfig {
    /// The first part of the path of all HTTP functions, without slashes; may be empty.
    pub(crate) route_prefix: String,
    /// How long an invocation may take; `None` is without end.
    pub(crate) function_timeout: Option<Duration>,
    /// How the handler is started and spoken to.
    pub(crate) custom_handler: CustomHandler,
    /// How queues are read.
    pub(crate) queues: QueueConfig,
}

/// The section `customHandler`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CustomHandler {
    /// The program as written: a path below the app folder, a full path, or a name on `PATH`.
    pub(crate) executable: String,
    /// The program's arguments; the worker path and its arguments come after them.
    pub(crate) arguments: Vec<String>,
    /// The folder in which the program runs, below the app folder when relative.
    pub(crate) working_directory: String,
    /// Whether each line on stderr counts as an error.
    pub(crate) stderr_is_for_errors: bool,
    /// In which form requests of HTTP functions reach the handler.
    pub(crate) forwarding: Forwarding,
    /// How long the handler may take to answer its first request.
    pub(crate) initialization_timeout: Duration,
    /// The port to use instead of a free one.
    pub(crate) port: Option<u16>,
}

/// In which form the request of an HTTP function reaches the handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forwarding {
    /// As JSON, like the invocations of all other functions.
    Envelope,
    /// As (almost) the original request; the answer is collected before it is passed on.
    Forward,
    /// As the original request; request and answer are streamed.
    Proxy,
}

/// The section `extensions.queues`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueueConfig {
    /// How many messages are fetched at once.
    pub(crate) batch_size: usize,
    /// Up to how many running messages a new batch is fetched.
    pub(crate) new_batch_threshold: usize,
    /// The longest pause between two looks at an empty queue.
    pub(crate) max_polling_interval: Duration,
    /// After how long a failed message is seen again.
    pub(crate) retry_delay: Duration,
    /// How often a message is tried.
    pub(crate) max_dequeue_count: i64,
    /// Whether message texts are base64.
    pub(crate) base64: bool,
}

impl HostConfig {
    /// Reads the file of an app and applies the overrides among its settings.
    pub(crate) fn read(app_dir: &Path, settings: &Variables) -> Result<Self, HostJsonError> {
        let path = app_dir.join("host.json");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(source) => return Err(HostJsonError::Unreadable { path, source }),
        };
        match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
            Ok(root) => Self::from_json(root, settings),
            Err(source) => Err(HostJsonError::NotJson { path, source }),
        }
    }

    fn from_json(mut root: Value, settings: &Variables) -> Result<Self, HostJsonError> {
        for (name, value) in settings.iter() {
            if let Some((head, path)) = name.split_at_checked(OVERRIDE_PREFIX.len())
                && head.eq_ignore_ascii_case(OVERRIDE_PREFIX)
            {
                put(&mut root, &path.split("__").collect::<Vec<_>>(), value);
            }
        }
        let root = Section(&root);
        if root.text("version")?.is_some_and(|version| version != "2.0") {
            return Err(wrong("version", "must be \"2.0\""));
        }
        Ok(Self {
            route_prefix: root
                .text("extensions.http.routePrefix")?
                .map_or_else(|| "api".to_owned(), |prefix| prefix.trim_matches('/').to_owned()),
            function_timeout: function_timeout(&root)?,
            custom_handler: custom_handler(&root, settings)?,
            queues: queues(&root)?,
        })
    }
}

fn function_timeout(root: &Section) -> Result<Option<Duration>, HostJsonError> {
    const KEY: &str = "functionTimeout";
    match root.span(KEY)? {
        None => Ok(Some(Duration::from_mins(30))),
        Some(span) if span < TimeDelta::zero() => Ok(None),
        Some(span) if span.is_zero() => Err(wrong(KEY, "must be longer than nothing; \"-1\" is without end")),
        Some(span) => Ok(span.to_std().ok()),
    }
}

fn custom_handler(root: &Section, settings: &Variables) -> Result<CustomHandler, HostJsonError> {
    const EXECUTABLE: &str = "customHandler.description.defaultExecutablePath";
    if root.get("customHandler.http").is_some() {
        return Err(wrong(
            "customHandler.http",
            "is not supported; describe HTTP functions in function folders",
        ));
    }
    let executable = root.text(EXECUTABLE)?.map(|text| settings.expand(&text)).unwrap_or_default();
    if executable.trim().is_empty() {
        return Err(wrong(EXECUTABLE, "is missing; it names the handler's program"));
    }
    let mut arguments = root.list("customHandler.description.arguments")?;
    arguments
        .extend(root.text("customHandler.description.defaultWorkerPath")?.filter(|path| !path.is_empty()));
    arguments.extend(root.list("customHandler.description.workerArguments")?);
    let forwarding = if root.flag("customHandler.enableProxyingHttpRequest")?.unwrap_or(false) {
        Forwarding::Proxy
    } else if root.flag("customHandler.enableForwardingHttpRequest")?.unwrap_or(false) {
        Forwarding::Forward
    } else {
        Forwarding::Envelope
    };
    Ok(CustomHandler {
        executable,
        arguments: arguments.iter().map(|argument| settings.expand(argument)).collect(),
        working_directory: root.text("customHandler.description.workingDirectory")?.unwrap_or_default(),
        stderr_is_for_errors: root
            .flag("customHandler.description.useStdErrorStreamForErrorsOnly")?
            .unwrap_or(true),
        forwarding,
        initialization_timeout: root
            .positive_span("customHandler.initializationTimeout")?
            .unwrap_or(Duration::from_secs(30)),
        port: root
            .number("customHandler.port", 1, u16::MAX.into())?
            .and_then(|port| u16::try_from(port).ok()),
    })
}

fn queues(root: &Section) -> Result<QueueConfig, HostJsonError> {
    const POLLING: &str = "extensions.queues.maxPollingInterval";
    const RETRY: &str = "extensions.queues.visibilityTimeout";
    const ENCODING: &str = "extensions.queues.messageEncoding";
    let size = |key, least, most, default: usize| -> Result<usize, HostJsonError> {
        Ok(root.number(key, least, most)?.and_then(|number| usize::try_from(number).ok()).unwrap_or(default))
    };
    let batch_size = size("extensions.queues.batchSize", 1, 32, 16)?;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let max_polling_interval = root.positive_span(POLLING)?.unwrap_or(Duration::from_secs(2));
    if max_polling_interval < Duration::from_millis(100) {
        return Err(wrong(POLLING, "must be at least 00:00:00.1"));
    }
    let retry_delay = root.span(RETRY)?.unwrap_or_default();
    let retry_delay = retry_delay.to_std().map_err(|_| wrong(RETRY, "must not be negative"))?;
    if retry_delay > Duration::from_hours(7 * 24) {
        return Err(wrong(RETRY, "must be at most seven days; \"24:00:00\" means twenty-four days"));
    }
    let base64 = match root.text(ENCODING)?.as_deref() {
        None => true,
        Some(encoding) if encoding.eq_ignore_ascii_case("base64") => true,
        Some(encoding) if encoding.eq_ignore_ascii_case("none") => false,
        Some(_) => return Err(wrong(ENCODING, "must be \"base64\" or \"none\"")),
    };
    Ok(QueueConfig {
        batch_size,
        new_batch_threshold: size(
            "extensions.queues.newBatchThreshold",
            0,
            u32::MAX.into(),
            batch_size / 2 * processors,
        )?,
        max_polling_interval,
        retry_delay,
        max_dequeue_count: root.number("extensions.queues.maxDequeueCount", 1, i32::MAX.into())?.unwrap_or(5),
        base64,
    })
}

fn wrong(key: &'static str, problem: &'static str) -> HostJsonError {
    HostJsonError::Value { key, problem }
}

/// Finds a member in any case.
fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Puts an override in its place, making the sections on the way; numbers are places in lists.
fn put(target: &mut Value, path: &[&str], text: &str) {
    let Some((name, rest)) = path.split_first() else {
        *target = Value::String(text.to_owned());
        return;
    };
    if let (Value::Array(items), Ok(index)) = (&mut *target, name.parse::<usize>()) {
        if index >= items.len() {
            items.push(Value::Null);
        }
        let last = items.len() - 1;
        put(&mut items[index.min(last)], rest, text);
        return;
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(members) = target {
        let known = members.keys().find(|known| known.eq_ignore_ascii_case(name)).cloned();
        put(members.entry(known.unwrap_or_else(|| (*name).to_owned())).or_insert(Value::Null), rest, text);
    }
}

struct Section<'a>(&'a Value);

impl Section<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        key.split('.')
            .try_fold(self.0, |value, name| match value {
                Value::Object(members) => member(members, name),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
            })
            .filter(|value| !value.is_null())
    }

    fn text(&self, key: &'static str) -> Result<Option<String>, HostJsonError> {
        match self.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(Value::Bool(flag)) => Ok(Some(flag.to_string())),
            Some(Value::Array(_) | Value::Object(_)) => Err(wrong(key, "must be text")),
        }
    }

    fn flag(&self, key: &'static str) -> Result<Option<bool>, HostJsonError> {
        match self.text(key)? {
            None => Ok(None),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(_) => Err(wrong(key, "must be true or false")),
        }
    }

    fn number(&self, key: &'static str, least: i64, most: i64) -> Result<Option<i64>, HostJsonError> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        match text.trim().parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
            Ok(_) => Err(wrong(key, "is out of range")),
            Err(_) => Err(wrong(key, "must be a whole number")),
        }
    }

    fn span(&self, key: &'static str) -> Result<Option<TimeDelta>, HostJsonError> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        timespan::parse(&text).map(Some).ok_or_else(|| wrong(key, "must be a time span like \"00:05:00\""))
    }

    fn positive_span(&self, key: &'static str) -> Result<Option<Duration>, HostJsonError> {
        let Some(span) = self.span(key)? else { return Ok(None) };
        match span.to_std() {
            Ok(duration) if !duration.is_zero() => Ok(Some(duration)),
            Ok(_) | Err(_) => Err(wrong(key, "must be longer than nothing")),
        }
    }

    fn list(&self, key: &'static str) -> Result<Vec<String>, HostJsonError> {
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| item.as_str().map(str::to_owned).ok_or_else(|| wrong(key, "must hold texts")))
                .collect(),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
                Err(wrong(key, "must be a list of texts"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(mut root: Value, settings: &[(&str, &str)]) -> Result<HostConfig, String> {
        if root.get("customHandler").is_none() {
            root["customHandler"] = json!({"description": {"defaultExecutablePath": "api"}});
        }
        HostConfig::from_json(root, &settings.iter().copied().collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn fills_in_the_defaults() -> Result<(), String> {
        let config = read(json!({"version": "2.0"}), &[])?;
        assert_eq!(config.route_prefix, "api");
        assert_eq!(config.function_timeout, Some(Duration::from_mins(30)));
        assert_eq!(config.custom_handler.forwarding, Forwarding::Envelope);
        assert_eq!(config.custom_handler.initialization_timeout, Duration::from_secs(30));
        assert!(config.custom_handler.stderr_is_for_errors);
        assert_eq!(config.queues.batch_size, 16);
        assert_eq!(config.queues.max_dequeue_count, 5);
        assert_eq!(config.queues.retry_delay, Duration::ZERO);
        assert!(config.queues.base64);
        Ok(())
    }

    #[test]
    fn settings_override_the_file_in_any_case() -> Result<(), String> {
        let file = json!({"extensions": {"queues": {"BatchSize": 4, "messageEncoding": "none"}}, "functionTimeout": "01:00:00"});
        let config = read(
            file,
            &[
                ("AzureFunctionsJobHost__extensions__queues__batchSize", "1"),
                ("azurefunctionsjobhost__Extensions__Queues__visibilityTimeout", "00:00:03"),
                ("AzureFunctionsJobHost__extensions__http__routePrefix", ""),
                ("AzureFunctionsJobHost__functionTimeout", "-1"),
                ("AzureFunctionsJobHost__customHandler__enableForwardingHttpRequest", "True"),
            ],
        )?;
        assert_eq!(config.queues.batch_size, 1);
        assert_eq!(config.queues.retry_delay, Duration::from_secs(3));
        assert!(!config.queues.base64);
        assert_eq!(config.route_prefix, "");
        assert_eq!(config.function_timeout, None);
        assert_eq!(config.custom_handler.forwarding, Forwarding::Forward);
        Ok(())
    }

    #[test]
    fn the_proxy_wins_and_arguments_are_expanded() -> Result<(), String> {
        let config = read(
            json!({"customHandler": {
                "description": {"defaultExecutablePath": "%BIN%/api", "arguments": ["--x", "%NOTHING%"], "defaultWorkerPath": "w", "workerArguments": ["y"]},
                "enableForwardingHttpRequest": true, "enableProxyingHttpRequest": true}}),
            &[("BIN", "/opt")],
        )?;
        assert_eq!(config.custom_handler.executable, "/opt/api");
        assert_eq!(config.custom_handler.arguments, ["--x", "", "w", "y"]);
        assert_eq!(config.custom_handler.forwarding, Forwarding::Proxy);
        Ok(())
    }

    #[test]
    fn says_what_is_wrong() {
        let queues = |key: &str, value: Value| json!({"extensions": {"queues": {key: value}}});
        let texts: Vec<_> = [
            json!({"version": "1.0"}),
            json!({"customHandler": {}}),
            json!({"customHandler": {"description": {"defaultExecutablePath": "x"}, "http": {"routes": []}}}),
            json!({"functionTimeout": "soon"}),
            queues("batchSize", json!(33)),
            queues("batchSize", json!("many")),
            queues("maxPollingInterval", json!("00:00:00.05")),
            queues("visibilityTimeout", json!("24:00:00")),
            queues("messageEncoding", json!("utf8")),
        ]
        .into_iter()
        .map(|root| read(root, &[]).err())
        .collect();
        insta::assert_debug_snapshot!(texts, @r#"
        [
            Some(
                "host.json: version must be \"2.0\"",
            ),
            Some(
                "host.json: customHandler.description.defaultExecutablePath is missing; it names the handler's program",
            ),
            Some(
                "host.json: customHandler.http is not supported; describe HTTP functions in function folders",
            ),
            Some(
                "host.json: functionTimeout must be a time span like \"00:05:00\"",
            ),
            Some(
                "host.json: extensions.queues.batchSize is out of range",
            ),
            Some(
                "host.json: extensions.queues.batchSize must be a whole number",
            ),
            Some(
                "host.json: extensions.queues.maxPollingInterval must be at least 00:00:00.1",
            ),
            Some(
                "host.json: extensions.queues.visibilityTimeout must be at most seven days; \"24:00:00\" means twenty-four days",
            ),
            Some(
                "host.json: extensions.queues.messageEncoding must be \"base64\" or \"none\"",
            ),
        ]
        "#);
    }
}
