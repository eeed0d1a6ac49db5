//! The program as the Functions host starts it.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Storage at a port where nobody listens.
const DEAD: &str = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:1/a;\
                    QueueEndpoint=http://127.0.0.1:1/a;TableEndpoint=http://127.0.0.1:1/a";

/// A running program; killed when the test ends, however it ends.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "the test is about the process")]
fn command(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_api"));
    command.env_clear().envs(variables.iter().copied()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Asks for a path and returns head and body; `None` while nobody listens.
fn get(port: u16, path: &str) -> Option<(String, String)> {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).ok()?;
    connection.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Some((head.to_owned(), body.to_owned()))
}

#[test]
fn is_ready_at_once_and_says_that_storage_is_not() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let variables =
        [("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string()), ("STORAGE_CONNECTION_STRING", DEAD.to_owned())];
    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let _program = Program(command(&variables).spawn().unwrap());
    // The host waits for 30 seconds.
    let end = Instant::now() + Duration::from_secs(30);
    let (head, _) = loop {
        match get(port, "/") {
            Some(answer) => break answer,
            None => assert!(Instant::now() < end, "the program does not answer"),
        }
        std::thread::sleep(Duration::from_millis(25));
    };
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let (head, body) = get(port, "/api/health").unwrap();
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&body["status"], &body["service"]), (&"unhealthy".into(), &"dilux-backup-api".into()));
    assert!(body["error"].is_string());
    let (head, _) = get(port, "/api/version").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
}

#[test]
fn a_wrong_setting_ends_it_with_status_1_and_one_line() {
    for (variables, named) in [
        (vec![("ENVIRONMENT", "staging")], "ENVIRONMENT"),
        (vec![("ENVIRONMENT", "production"), ("AUTH_MODE", "mock")], "AUTH_MODE"),
        (vec![("STORAGE_CONNECTION_STRING", "AccountKey=hunter2")], "STORAGE_CONNECTION_STRING"),
    ] {
        let output = command(&variables).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{named}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains(named) && !stderr.contains("hunter2"), "{stderr}");
    }
}
