//! `dilux restore` with command lines that are wrong: the real program, and no storage to be reached.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::process::{Command, Stdio};

/// A storage account that is not there: nothing listens on this port.
const NOWHERE: &str = "AccountName=a;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:1/a;\
    QueueEndpoint=http://127.0.0.1:1/a;TableEndpoint=http://127.0.0.1:1/a;";

/// Runs the program; returns its exit code and what it said.
#[expect(clippy::disallowed_methods, reason = "the program under test is started as a person would")]
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_dilux"));
    program.arg("restore").args(arguments).env("STORAGE_CONNECTION_STRING", NOWHERE).stdin(Stdio::null());
    let output = program.output().unwrap();
    assert!(output.stdout.is_empty());
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_password_in_the_target_is_refused_and_not_repeated() {
    for target in ["mysql://app:s3cret@db/shop", "app:s3cret@db/shop", "s3cret://app@db/shop"] {
        let (code, said) = run(&["latest:shop", "--to", target]);
        assert_eq!(code, Some(2), "{said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
}

#[test]
fn there_is_exactly_one_place_to_go() {
    assert_eq!(run(&["latest:shop"]).0, Some(2));
    assert_eq!(run(&["latest:shop", "--to", "mysql://app@db/shop", "--output", "-"]).0, Some(2));
    assert_eq!(run(&["--output", "-"]).0, Some(2));
}

#[test]
fn storage_that_is_not_there_is_a_failure_with_advice() {
    let (code, said) = run(&["latest:shop", "--to", "mysql://app@db/shop"]);
    assert_eq!(code, Some(1));
    assert!(said.starts_with("dilux: storage could not be read; check that it runs and that"), "{said}");
    assert!(!said.contains("a2V5"), "{said}");
}
