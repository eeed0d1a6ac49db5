//! What the Functions host would only tell at start-up, or never: that the app folders in `host-configs`
//! fit together. A `%SETTING%` without a value, for one, takes a function out of service with no more than
//! a line in a log.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

const APPS: [&str; 3] = ["api", "processor", "scheduler"];

fn folder(app: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../host-configs").join(app)
}

fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The functions of an app: name and `function.json`.
fn functions(app: &str) -> Vec<(String, Value)> {
    let mut functions: Vec<_> = fs::read_dir(folder(app))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), json(&path.join("function.json")))
        })
        .collect();
    functions.sort_by(|left, right| left.0.cmp(&right.0));
    functions
}

fn settings(app: &str) -> Value {
    json(&folder(app).join("local.settings.example.json"))
}

fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        Value::Object(members) => members.values().flat_map(strings).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

#[test]
fn the_functions_are_these() {
    let names: Vec<_> =
        APPS.map(|app| (app, functions(app).into_iter().map(|(name, _)| name).collect::<Vec<_>>())).into();
    insta::assert_debug_snapshot!(names, @r#"
    [
        (
            "api",
            [
                "http",
            ],
        ),
        (
            "processor",
            [
                "backup_poison",
                "backup_processor",
                "cleanup_old_backups",
                "restore_poison",
                "restore_processor",
            ],
        ),
        (
            "scheduler",
            [
                "dynamic_scheduler",
                "health_monitor",
            ],
        ),
    ]
    "#);
}

#[test]
fn every_setting_that_a_function_names_has_a_value_for_local_runs() {
    for app in APPS {
        let settings = settings(app);
        for (function, definition) in functions(app) {
            for text in strings(&definition) {
                for name in text.split('%').skip(1).step_by(2) {
                    assert!(settings["Values"][name].is_string(), "{app}/{function} needs {name}");
                }
            }
            for binding in definition["bindings"].as_array().unwrap() {
                if let Some(connection) = binding["connection"].as_str() {
                    assert!(
                        settings["Values"][connection].is_string(),
                        "{app}/{function} needs {connection}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_host_starts_the_program_of_the_app() {
    for app in APPS {
        let host = json(&folder(app).join("host.json"));
        // By exact text, since the tool that packs a deployment looks for the file of this very name.
        assert_eq!(host["customHandler"]["description"]["defaultExecutablePath"], app);
        assert_eq!(host["extensionBundle"]["id"], "Microsoft.Azure.Functions.ExtensionBundle");
    }
}

#[test]
fn http_is_forwarded_and_not_wrapped() {
    let host = json(&folder("api").join("host.json"));
    assert_eq!(host["customHandler"]["enableForwardingHttpRequest"], true);
    // Any third binding would change the way requests arrive.
    let functions = functions("api");
    let bindings = functions[0].1["bindings"].as_array().unwrap();
    let types: Vec<_> = bindings.iter().map(|binding| binding["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["httpTrigger", "http"]);
}

#[test]
fn only_the_api_is_reached_by_http_and_by_nothing_else() {
    for app in APPS {
        for (function, definition) in functions(app) {
            let is_http = strings(&definition).contains(&"httpTrigger");
            assert_eq!(is_http, app == "api", "{app}/{function}");
        }
    }
    // All paths are below the prefix, which no function is called.
    let host = json(&folder("api").join("host.json"));
    assert_eq!(host["extensions"]["http"]["routePrefix"], "api");
}

#[test]
fn one_backup_runs_at_a_time_on_an_instance() {
    let queues = &json(&folder("processor").join("host.json"))["extensions"]["queues"];
    assert_eq!(queues["batchSize"], 1);
    assert_eq!(queues["newBatchThreshold"], 0);
    assert_eq!(queues["messageEncoding"], "none");
}

#[test]
fn local_settings_are_what_the_tools_accept() {
    let mut ports = BTreeSet::new();
    for app in APPS {
        let settings = settings(app);
        // Missing counts as true, and the file is then unreadable.
        assert_eq!(settings["IsEncrypted"], false, "{app}");
        assert!(settings["Values"].as_object().unwrap().values().all(Value::is_string), "{app}");
        assert_eq!(settings["Values"]["FUNCTIONS_WORKER_RUNTIME"], "custom", "{app}");
        assert!(ports.insert(settings["Host"]["LocalHttpPort"].as_u64().unwrap()), "{app} shares a port");
    }
}
