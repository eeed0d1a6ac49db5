//! The functions of an app: one folder with a `function.json` each, the folder's name being the
//! function's.
//!
//! Functions come in the order of their names, which decides whose HTTP route is tried first. A
//! function that cannot be understood is reported and left out; the others run.
//! <https://learn.microsoft.com/azure/azure-functions/functions-triggers-bindings>

use std::path::Path;

use chrono::TimeDelta;
use serde_json::Value;

use crate::ncrontab::InvalidNcrontab;
use crate::route::{InvalidRoute, Route};
use crate::timer::schedule::Schedule;
use crate::variables::UnknownSetting;
use crate::{Variables, timespan};

/// Why one function is left out.
#[derive(Debug, thiserror::Error)]
pub enum FunctionError {
    /// The folder's name cannot be a function's name.
    #[error(
        "a function's name begins with a letter and has at most 128 letters, digits, _ and -; rename the folder"
    )]
    Name,
    /// The file cannot be read.
    #[error("function.json cannot be read")]
    Unreadable(#[source] std::io::Error),
    /// The file is not JSON.
    #[error("function.json is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// There is no trigger, or more than one.
    #[error("function.json must have exactly one trigger, this one has {0}")]
    Triggers(usize),
    /// A binding is of a type that this host does not know.
    #[error(
        "the binding type \"{0}\" is unknown here; httpTrigger, timerTrigger, queueTrigger and http are known"
    )]
    UnknownBinding(String),
    /// A member of a binding is missing or wrong.
    #[error("{member} {problem}")]
    Member {
        /// The member's name.
        member: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A `%NAME%` names no setting.
    #[error(transparent)]
    Setting(#[from] UnknownSetting),
    /// The route of an HTTP function is not understood.
    #[error(transparent)]
    Route(#[from] InvalidRoute),
    /// The schedule of a timer is not understood.
    #[error("the schedule \"{text}\" is not valid")]
    Schedule {
        /// The schedule, settings resolved.
        text: String,
        /// What is wrong with it.
        #[source]
        source: InvalidNcrontab,
    },
}

/// One function.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Function {
    /// The folder's name, case kept: it is the path under which the handler is called.
    pub(crate) name: String,
    /// What starts it.
    pub(crate) trigger: Trigger,
    /// Whether the trigger is switched off; it can still be run by hand.
    pub(crate) disabled: bool,
    /// The file, for the admin routes.
    pub(crate) config: Value,
}

/// What starts a function.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Trigger {
    /// A request.
    Http(HttpTrigger),
    /// A schedule.
    Timer(TimerTrigger),
    /// A message.
    Queue(QueueTrigger),
}

/// A trigger by request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HttpTrigger {
    /// The binding's name.
    pub(crate) binding: String,
    /// The name of the output that holds the answer, if there is exactly one.
    pub(crate) output: Option<String>,
    /// The route, prefix included.
    pub(crate) route: Route,
    /// The allowed methods in upper case; `None` allows all.
    pub(crate) methods: Option<Vec<String>>,
}

/// A trigger by schedule.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TimerTrigger {
    /// The binding's name.
    pub(crate) binding: String,
    /// When it fires.
    pub(crate) schedule: Schedule,
    /// Whether it fires at each start of the host as well.
    pub(crate) run_on_startup: bool,
    /// Whether past runs are remembered.
    pub(crate) use_monitor: bool,
    /// What happens after a failed run.
    pub(crate) retry: Option<Retry>,
}

/// A trigger by message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct QueueTrigger {
    /// The binding's name.
    pub(crate) binding: String,
    /// The queue's name.
    pub(crate) queue: String,
    /// The name of the setting that holds the connection string.
    pub(crate) connection: String,
    /// Whether the text is handed over as base64.
    pub(crate) binary: bool,
}

/// How a failed timer is repeated.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Retry {
    /// How often; `None` without end.
    pub(crate) most: Option<u32>,
    /// The first pause.
    pub(crate) first: TimeDelta,
    /// The longest pause; each pause is twice the one before it.
    pub(crate) longest: TimeDelta,
}

/// The functions of an app, and those that had to be left out.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// In the order of names.
    pub(crate) functions: Vec<Function>,
    /// Names and reasons.
    pub(crate) problems: Vec<(String, FunctionError)>,
}

impl Index {
    /// Reads all function folders of an app.
    pub(crate) fn read(app_dir: &Path, prefix: &str, settings: &Variables) -> std::io::Result<Self> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(app_dir)? {
            let entry = entry?;
            if entry.path().join("function.json").is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort_by_key(|name| (name.to_lowercase(), name.clone()));
        let mut index = Self::default();
        for name in names {
            match Function::read(&app_dir.join(&name), &name, prefix, settings) {
                Ok(function) => index.functions.push(function),
                Err(error) => index.problems.push((name, error)),
            }
        }
        Ok(index)
    }
}

impl Function {
    fn read(folder: &Path, name: &str, prefix: &str, settings: &Variables) -> Result<Self, FunctionError> {
        let text =
            std::fs::read_to_string(folder.join("function.json")).map_err(FunctionError::Unreadable)?;
        let config =
            serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(FunctionError::NotJson)?;
        Self::from_json(name, config, prefix, settings)
    }

    fn from_json(
        name: &str,
        config: Value,
        prefix: &str,
        settings: &Variables,
    ) -> Result<Self, FunctionError> {
        if !is_name(name) {
            return Err(FunctionError::Name);
        }
        let Some(Value::Array(bindings)) = config.get("bindings") else {
            return Err(member("bindings", "must be a list"));
        };
        let bindings: Vec<Binding> = bindings.iter().map(|value| Binding { value, settings }).collect();
        let mut trigger = None;
        let mut outputs = Vec::new();
        let mut triggers = 0;
        for binding in &bindings {
            let kind = binding.text("type")?.ok_or_else(|| member("type", "is missing in a binding"))?;
            match kind.to_ascii_lowercase().as_str() {
                "httptrigger" => trigger = Some(Trigger::Http(binding.http_trigger(name, prefix)?)),
                "timertrigger" => {
                    trigger = Some(Trigger::Timer(binding.timer_trigger(retry(config.get("retry"))?)?));
                }
                "queuetrigger" => trigger = Some(Trigger::Queue(binding.queue_trigger()?)),
                "http" => {
                    outputs.push(binding.text("name")?.unwrap_or_else(|| "$return".to_owned()));
                    continue;
                }
                _ => return Err(FunctionError::UnknownBinding(kind)),
            }
            triggers += 1;
        }
        if let (Some(Trigger::Http(http)), [output]) = (&mut trigger, outputs.as_slice()) {
            http.output = Some(output.clone());
        }
        match trigger {
            Some(trigger) if triggers == 1 => Ok(Self {
                name: name.to_owned(),
                trigger,
                disabled: is_disabled(name, &config, settings),
                config,
            }),
            Some(_) | None => Err(FunctionError::Triggers(triggers)),
        }
    }
}

fn is_name(name: &str) -> bool {
    name.len() <= 128
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-')
        && !name.eq_ignore_ascii_case("host")
}

fn is_disabled(name: &str, config: &Value, settings: &Variables) -> bool {
    let by_file = match config.get("disabled") {
        Some(Value::Bool(flag)) => *flag,
        // A text names the setting that decides.
        Some(Value::String(setting)) => settings.is_on(setting.trim_matches('%')),
        Some(Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_)) | None => false,
    };
    by_file
        || settings.is_on(&format!("AzureWebJobs.{name}.Disabled"))
        || settings.is_on(&format!("AzureWebJobs_{name}_Disabled"))
}

fn member(member: &'static str, problem: &'static str) -> FunctionError {
    FunctionError::Member { member, problem }
}

fn retry(value: Option<&Value>) -> Result<Option<Retry>, FunctionError> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(None) };
    let span = |name: &'static str| {
        value
            .get(name)
            .and_then(Value::as_str)
            .and_then(timespan::parse)
            .filter(|span| *span >= TimeDelta::zero())
            .ok_or_else(|| member(name, "must be a time span like \"00:00:10\""))
    };
    let most = value
        .get("maxRetryCount")
        .and_then(Value::as_i64)
        .ok_or_else(|| member("maxRetryCount", "must be a number; -1 is without end"))?;
    let most = u32::try_from(most).ok();
    match value.get("strategy").and_then(Value::as_str) {
        Some("fixedDelay") => {
            let pause = span("delayInterval")?;
            Ok(Some(Retry { most, first: pause, longest: pause }))
        }
        Some("exponentialBackoff") => {
            Ok(Some(Retry { most, first: span("minimumInterval")?, longest: span("maximumInterval")? }))
        }
        Some(_) | None => Err(member("retry.strategy", "must be fixedDelay or exponentialBackoff")),
    }
}

struct Binding<'a> {
    value: &'a Value,
    settings: &'a Variables,
}

impl Binding<'_> {
    fn http_trigger(&self, function: &str, prefix: &str) -> Result<HttpTrigger, FunctionError> {
        let methods = match self.value.get("methods") {
            None | Some(Value::Null) => None,
            Some(Value::Array(methods)) => Some(
                methods
                    .iter()
                    .map(|method| method.as_str().map(str::to_ascii_uppercase))
                    .collect::<Option<Vec<_>>>()
                    .ok_or_else(|| member("methods", "must be a list of texts"))?,
            ),
            Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
                return Err(member("methods", "must be a list of texts"));
            }
        };
        let level = self.text("authLevel")?.unwrap_or_else(|| "function".to_owned());
        if !["anonymous", "function", "admin"].iter().any(|known| level.eq_ignore_ascii_case(known)) {
            return Err(member("authLevel", "must be anonymous, function or admin"));
        }
        let route = self.text("route")?.filter(|route| !route.is_empty());
        Ok(HttpTrigger {
            binding: self.name()?,
            output: None,
            route: Route::parse(prefix, route.as_deref().unwrap_or(function))?,
            methods: methods.filter(|methods| !methods.is_empty()),
        })
    }

    fn timer_trigger(&self, retry: Option<Retry>) -> Result<TimerTrigger, FunctionError> {
        let text = self.text("schedule")?.ok_or_else(|| member("schedule", "is missing"))?;
        let schedule: Schedule = match text.parse() {
            Ok(schedule) => schedule,
            Err(source) => return Err(FunctionError::Schedule { text, source }),
        };
        Ok(TimerTrigger {
            binding: self.name()?,
            run_on_startup: self.flag("runOnStartup", false)?,
            // Runs that come more often than once a minute are never remembered.
            use_monitor: self.flag("useMonitor", true)? && !schedule.is_frequent(),
            schedule,
            retry,
        })
    }

    fn queue_trigger(&self) -> Result<QueueTrigger, FunctionError> {
        let queue = self.text("queueName")?.ok_or_else(|| member("queueName", "is missing"))?.to_lowercase();
        if !is_queue_name(&queue) {
            return Err(member(
                "queueName",
                "must have 3 to 63 lower-case letters, digits and single dashes inside",
            ));
        }
        Ok(QueueTrigger {
            binding: self.name()?,
            queue,
            connection: self
                .text("connection")?
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| "AzureWebJobsStorage".to_owned()),
            binary: self.text("dataType")?.is_some_and(|kind| kind.eq_ignore_ascii_case("binary")),
        })
    }

    fn name(&self) -> Result<String, FunctionError> {
        self.text("name")?
            .filter(|name| !name.is_empty())
            .ok_or_else(|| member("name", "is missing in a binding"))
    }

    fn text(&self, name: &'static str) -> Result<Option<String>, FunctionError> {
        match self.value.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(self.settings.resolve(text)?)),
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                Err(member(name, "must be text"))
            }
        }
    }

    fn flag(&self, name: &'static str, default: bool) -> Result<bool, FunctionError> {
        match self.value.get(name) {
            None | Some(Value::Null) => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
                Err(member(name, "must be true or false"))
            }
        }
    }
}

/// Checks the naming rules of storage queues.
/// <https://learn.microsoft.com/rest/api/storageservices/naming-queues-and-metadata>
fn is_queue_name(name: &str) -> bool {
    (3..=63).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(name: &str, config: Value) -> Result<Function, String> {
        let settings = Variables::from_iter([
            ("QUEUE", "Backup-Jobs"),
            ("AzureWebJobs.off.Disabled", "True"),
            ("AzureWebJobs_off2_Disabled", "1"),
        ]);
        Function::from_json(name, config, "api", &settings).map_err(|error| error.to_string())
    }

    fn queue(queue: &str) -> Value {
        json!({"bindings": [{"type": "queueTrigger", "direction": "in", "name": "msg", "queueName": queue, "connection": ""}]})
    }

    #[test]
    fn reads_a_queue_function() -> Result<(), String> {
        let function = read("backup_processor", queue("%queue%"))?;
        assert_eq!(
            function.trigger,
            Trigger::Queue(QueueTrigger {
                binding: "msg".to_owned(),
                queue: "backup-jobs".to_owned(),
                connection: "AzureWebJobsStorage".to_owned(),
                binary: false,
            })
        );
        assert!(!function.disabled);
        Ok(())
    }

    #[test]
    fn settings_switch_functions_off() -> Result<(), String> {
        assert!(read("off", queue("jobs"))?.disabled);
        assert!(read("off2", queue("jobs"))?.disabled);
        let mut config = queue("jobs");
        config["disabled"] = json!(true);
        assert!(read("x", config)?.disabled);
        Ok(())
    }

    #[test]
    fn an_http_function_needs_exactly_one_output_to_be_forwarded() -> Result<(), String> {
        let trigger = json!({"type": "httpTrigger", "direction": "in", "name": "req", "methods": ["get"]});
        let output = json!({"type": "http", "direction": "out", "name": "res"});
        for (bindings, expected) in [
            (json!([trigger]), None),
            (json!([trigger, output]), Some("res")),
            (json!([trigger, output, output]), None),
        ] {
            let Trigger::Http(http) = read("hello", json!({"bindings": bindings}))?.trigger else {
                return Err("not http".to_owned());
            };
            assert_eq!(http.output.as_deref(), expected);
            assert_eq!(http.methods, Some(vec!["GET".to_owned()]));
            assert!(http.route.matches("/api/hello").is_some());
        }
        Ok(())
    }

    #[test]
    fn frequent_timers_are_not_remembered() -> Result<(), String> {
        for (schedule, expected) in [("0 */15 * * * *", true), ("*/10 * * * * *", false), ("00:00:30", false)]
        {
            let config = json!({"bindings": [{"type": "timerTrigger", "name": "t", "schedule": schedule}]});
            let Trigger::Timer(timer) = read("tick", config)?.trigger else {
                return Err("not a timer".to_owned());
            };
            assert_eq!(timer.use_monitor, expected, "{schedule}");
        }
        Ok(())
    }

    #[test]
    fn says_why_a_function_is_left_out() {
        let one = |binding: Value| json!({"bindings": [binding]});
        let texts: Vec<_> = [
            ("1st", queue("jobs")),
            ("host", queue("jobs")),
            ("x", json!({})),
            ("x", json!({"bindings": []})),
            ("x", queue("a--b")),
            ("x", queue("%missing%")),
            ("x", one(json!({"type": "blobTrigger", "name": "b"}))),
            ("x", one(json!({"type": "queue", "direction": "out", "name": "q"}))),
            ("x", one(json!({"type": "timerTrigger", "name": "t", "schedule": "@daily"}))),
            ("x", one(json!({"type": "httpTrigger", "name": "r", "route": "/x"}))),
            ("x", one(json!({"type": "httpTrigger", "name": "r", "authLevel": "nobody"}))),
        ]
        .into_iter()
        .map(|(name, config)| read(name, config).err())
        .collect();
        insta::assert_debug_snapshot!(texts, @r#"
        [
            Some(
                "a function's name begins with a letter and has at most 128 letters, digits, _ and -; rename the folder",
            ),
            Some(
                "a function's name begins with a letter and has at most 128 letters, digits, _ and -; rename the folder",
            ),
            Some(
                "bindings must be a list",
            ),
            Some(
                "function.json must have exactly one trigger, this one has 0",
            ),
            Some(
                "queueName must have 3 to 63 lower-case letters, digits and single dashes inside",
            ),
            Some(
                "%missing% names no setting; add it to Values in local.settings.json or to the environment",
            ),
            Some(
                "the binding type \"blobTrigger\" is unknown here; httpTrigger, timerTrigger, queueTrigger and http are known",
            ),
            Some(
                "the binding type \"queue\" is unknown here; httpTrigger, timerTrigger, queueTrigger and http are known",
            ),
            Some(
                "the schedule \"@daily\" is not valid",
            ),
            Some(
                "the route \"/x\" is not supported: it must not begin with a slash",
            ),
            Some(
                "authLevel must be anonymous, function or admin",
            ),
        ]
        "#);
    }
}
