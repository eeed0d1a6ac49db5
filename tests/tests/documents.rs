//! What the documents say, against the code.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Tells whether a text is the name of a variable, such as `LOG_LEVEL`.
fn is_variable(text: &str) -> bool {
    let upper = text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    (upper && text.contains('_') && text.starts_with(|c: char| c.is_ascii_uppercase()))
        || text == "ENVIRONMENT"
        || text.starts_with("AzureWebJobsStorage__")
}

/// The texts between two of these marks, every second piece being outside of them.
fn between(text: &str, mark: char) -> impl Iterator<Item = &str> {
    text.lines().flat_map(move |line| line.split(mark).skip(1).step_by(2))
}

fn read_variables() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(root().join("crates/shared/src/config")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        found.extend(between(&text, '"').filter(|text| is_variable(text)).map(str::to_owned));
    }
    found
}

/// The variables in the first column of the first table; `__name` continues the one before it.
fn documented_variables() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("docs/CONFIGURATION.md")).unwrap();
    let settings = text.split("\n## ").next().unwrap();
    let mut found = BTreeSet::new();
    for row in settings.lines().filter(|line| line.starts_with("| `")) {
        let column = row.split(" | ").next().unwrap();
        for name in between(column, '`') {
            found.insert(match name.strip_prefix("__") {
                Some(rest) => format!("AzureWebJobsStorage__{rest}"),
                None => name.to_owned(),
            });
        }
    }
    found
}

#[test]
fn every_setting_that_is_read_is_documented_and_the_other_way_round() {
    let (read, documented) = (read_variables(), documented_variables());
    assert!(read.len() > 40, "the settings were found: {read:?}");
    let undocumented: Vec<_> = read.difference(&documented).collect();
    assert!(undocumented.is_empty(), "docs/CONFIGURATION.md lacks {undocumented:?}");
    let unread: Vec<_> = documented.difference(&read).collect();
    assert!(unread.is_empty(), "docs/CONFIGURATION.md has what nobody reads: {unread:?}");
}

#[test]
fn every_variable_of_an_app_folder_is_one_that_is_read() {
    let read = read_variables();
    for app in ["api", "scheduler", "processor"] {
        let path = root().join("host-configs").join(app).join("local.settings.example.json");
        let settings: serde_json::Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let hosts = ["FUNCTIONS_WORKER_RUNTIME", "AzureWebJobsStorage"];
        let unread: Vec<_> = settings["Values"]
            .as_object()
            .unwrap()
            .keys()
            .filter(|name| !hosts.contains(&name.as_str()) && !read.contains(*name))
            .collect();
        assert!(unread.is_empty(), "{app}: {unread:?}");
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut files = vec![root().join("README.md"), root().join("SECURITY.md"), root().join("CHANGELOG.md")];
    files.extend(fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    let mut seen = 0;
    for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "md")) {
        let text = fs::read_to_string(file).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            seen += 1;
            assert!(file.parent().unwrap().join(path).exists(), "{}: {target}", file.display());
        }
    }
    assert!(seen > 10);
}
