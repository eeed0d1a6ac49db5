//! The folders of the apps against what the Functions host and the Core Tools read: the forms below know
//! every member that may be there, and refuse any other, since the host ignores what it does not know.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Each app, its port, and the source of its routes.
const APPS: [(&str, u16, &str); 3] = [
    ("api", 7071, ""),
    ("scheduler", 7072, include_str!("../../functions/scheduler/src/lib.rs")),
    ("processor", 7073, include_str!("../../functions/processor/src/lib.rs")),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct HostJson {
    version: String,
    function_timeout: String,
    extension_bundle: ExtensionBundle,
    #[serde(default)]
    extensions: Extensions,
    custom_handler: CustomHandler,
    logging: Logging,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExtensionBundle {
    id: String,
    version: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Extensions {
    http: Option<Http>,
    queues: Option<Queues>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Http {
    route_prefix: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Queues {
    batch_size: u32,
    new_batch_threshold: u32,
    max_polling_interval: String,
    visibility_timeout: String,
    max_dequeue_count: u32,
    message_encoding: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CustomHandler {
    description: Description,
    #[serde(default)]
    enable_forwarding_http_request: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Description {
    default_executable_path: String,
    working_directory: String,
    arguments: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Logging {
    log_level: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Function {
    bindings: Vec<Binding>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all_fields = "camelCase", tag = "type", rename_all = "camelCase")]
enum Binding {
    HttpTrigger { direction: In, name: String, auth_level: String, methods: Vec<String>, route: String },
    Http { direction: Out, name: String },
    QueueTrigger { direction: In, name: String, queue_name: String, connection: String },
    TimerTrigger { direction: In, name: String, schedule: String, run_on_startup: bool, use_monitor: bool },
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum In {
    In,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Out {
    Out,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct LocalSettings {
    is_encrypted: bool,
    values: BTreeMap<String, String>,
    host: LocalHost,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LocalHost {
    #[serde(rename = "LocalHttpPort")]
    port: u16,
    #[serde(rename = "CORS")]
    cors: Option<String>,
    #[serde(rename = "CORSCredentials", default)]
    cors_credentials: bool,
}

fn folder(app: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../host-configs").join(app)
}

fn read<T: DeserializeOwned>(path: &Path) -> T {
    let text = fs::read_to_string(path).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The folders with a function.json, by name.
fn functions(app: &str) -> BTreeMap<String, Function> {
    let folders = fs::read_dir(folder(app)).unwrap().map(|entry| entry.unwrap().path());
    let functions = folders.filter(|path| path.is_dir());
    functions
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), read(&path.join("function.json")))
        })
        .collect()
}

/// The text as seconds, if it is hours, minutes and seconds: with 24 hours the host reads days.
fn seconds(text: &str) -> u32 {
    let parts: Vec<u32> = text.split(':').map(|part| part.parse().unwrap()).collect();
    let [hours, minutes, seconds] = parts[..] else { panic!("{text} is no hh:mm:ss") };
    assert!(text.len() == 8 && hours < 24 && minutes < 60 && seconds < 60, "{text}");
    hours * 3600 + minutes * 60 + seconds
}

#[test]
fn host_json_is_what_the_host_reads() {
    for (app, ..) in APPS {
        let host: HostJson = read(&folder(app).join("host.json"));
        assert_eq!(host.version, "2.0");
        assert!(seconds(&host.function_timeout) >= 600, "{app}");
        assert_eq!(host.extension_bundle.id, "Microsoft.Azure.Functions.ExtensionBundle");
        assert_eq!(host.extension_bundle.version, "[4.*, 5.0.0)");
        // By this very text the Core Tools decide which file of a package may be executed.
        assert_eq!(host.custom_handler.description.default_executable_path, app);
        assert_eq!(host.custom_handler.description.working_directory, "");
        assert!(host.custom_handler.description.arguments.is_empty());
        assert_eq!(host.custom_handler.enable_forwarding_http_request, app == "api");
        assert_eq!(host.extensions.http.is_some(), app == "api");
        assert!(host.extensions.http.is_none_or(|http| http.route_prefix == "api"));
        assert_eq!(host.extensions.queues.is_some(), app == "processor");
        if let Some(queues) = host.extensions.queues {
            assert_eq!((queues.batch_size, queues.new_batch_threshold), (1, 0), "one dump at a time");
            assert_eq!(queues.message_encoding, "none");
            assert!((1..=60).contains(&seconds(&queues.max_polling_interval)));
            assert!((1..=3600).contains(&seconds(&queues.visibility_timeout)));
            assert!((1..=10).contains(&queues.max_dequeue_count));
        }
        assert!(host.logging.log_level.contains_key("default"), "{app}");
    }
}

#[test]
fn function_json_is_what_the_host_reads() {
    for (app, ..) in APPS {
        let settings: LocalSettings = read(&folder(app).join("local.settings.example.json"));
        for (name, function) in functions(app) {
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            assert!(name.chars().all(fits) && name.starts_with(|c: char| c.is_ascii_alphabetic()), "{name}");
            assert_ne!(name, "host");
            let mut triggers = 0;
            for binding in &function.bindings {
                match binding {
                    Binding::HttpTrigger { direction: In::In, name, auth_level, methods, route } => {
                        triggers += 1;
                        assert_eq!((name.as_str(), auth_level.as_str()), ("req", "anonymous"));
                        assert_eq!(route, "{*path}");
                        let methods: BTreeSet<&str> = methods.iter().map(String::as_str).collect();
                        let all = ["get", "post", "put", "patch", "delete", "head", "options"];
                        assert_eq!(methods, BTreeSet::from(all));
                    }
                    Binding::Http { direction: Out::Out, name } => assert_eq!(name, "res"),
                    Binding::QueueTrigger { direction: In::In, name, queue_name, connection } => {
                        triggers += 1;
                        assert_eq!(name, "msg");
                        assert!(settings.values.contains_key(connection), "{connection} is not set");
                        if let Some((setting, _)) =
                            queue_name.strip_prefix('%').and_then(|q| q.split_once('%'))
                        {
                            assert!(settings.values.contains_key(setting), "{setting} is not set");
                        }
                    }
                    Binding::TimerTrigger {
                        direction: In::In,
                        name,
                        schedule,
                        run_on_startup,
                        use_monitor,
                    } => {
                        triggers += 1;
                        assert_eq!(name, "timer");
                        assert_eq!(schedule.split_whitespace().count(), 6, "{schedule}");
                        assert!(!run_on_startup && *use_monitor);
                    }
                }
            }
            assert_eq!(triggers, 1, "{app}/{name}");
        }
    }
}

#[test]
fn local_settings_are_what_func_start_reads() {
    for (app, port, _) in APPS {
        let settings: LocalSettings = read(&folder(app).join("local.settings.example.json"));
        assert!(!settings.is_encrypted);
        assert_eq!(settings.host.port, port);
        assert_eq!(settings.values.get("FUNCTIONS_WORKER_RUNTIME").map(String::as_str), Some("custom"));
        assert!(settings.values.contains_key("AzureWebJobsStorage"), "{app}");
        assert_eq!(settings.host.cors.is_some(), app == "api");
        assert!(!settings.host.cors_credentials);
    }
}

#[test]
fn every_function_has_a_route_and_every_route_a_function() {
    for (app, _, source) in APPS {
        let folders: BTreeSet<String> = functions(app).into_keys().collect();
        if app == "api" {
            // One function takes every path; the routes are told apart behind it.
            assert_eq!(folders, BTreeSet::from(["http".to_owned()]));
            continue;
        }
        let routes = source.split(".route(\"/").skip(1).filter_map(|rest| rest.split('"').next());
        assert_eq!(routes.map(str::to_owned).collect::<BTreeSet<_>>(), folders, "{app}");
    }
}
