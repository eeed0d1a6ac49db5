//! The program as the host sees it: a process with a port, two streams and an exit code.

#![expect(clippy::unwrap_used, reason = "tests")]

mod wire;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use wire::{Framing, queue_invocation};

/// Names the example, which cargo builds along with the tests.
#[expect(clippy::disallowed_methods, reason = "the test is about processes")]
fn program() -> Command {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples/handler");
    assert!(program.exists(), "{} is missing: run the tests of the whole crate", program.display());
    Command::new(program)
}

/// A running example. Killed when a test fails half way.
struct Program {
    child: Child,
    address: SocketAddr,
    stdout: BufReader<ChildStdout>,
    stderr: JoinHandle<String>,
}

/// How a program ended.
struct End {
    code: Option<i32>,
    stdout: Vec<serde_json::Value>,
    stderr: String,
}

impl Program {
    fn start() -> Self {
        let mut child = program().arg("0").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        let listening = next_line(&mut stdout);
        let address = listening["address"].as_str().unwrap().parse().unwrap();
        Self { child, address, stdout, stderr }
    }

    fn post(&self, message: &str) -> String {
        wire::post(self.address, "/work", &queue_invocation(message), Framing::Chunked)
    }

    /// Reads on until the program has logged a message.
    fn wait_for(&mut self, message: &str) {
        while next_line(&mut self.stdout)["message"] != message {}
    }

    fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn end(mut self) -> End {
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout).unwrap();
        let code = self.child.wait().unwrap().code();
        let stderr = std::mem::replace(&mut self.stderr, std::thread::spawn(String::new)).join().unwrap();
        let stdout = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        End { code, stdout, stderr }
    }
}

/// Reads a line of the log; fails when there is none.
fn next_line(stdout: &mut BufReader<ChildStdout>) -> serde_json::Value {
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn both_signals_end_it_with_status_0() {
    for signal in [Signal::INT, Signal::TERM] {
        let program = Program::start();
        assert!(wire::get(program.address, "/").starts_with("HTTP/1.1 200 "));
        program.send(signal);
        let end = program.end();
        assert_eq!(end.code, Some(0), "{signal:?}");
        assert_eq!(end.stderr, "");
        assert_eq!(end.stdout.last().unwrap()["message"], "stopped");
    }
}

#[test]
fn a_running_request_is_finished_before_the_end() {
    let mut program = Program::start();
    let address = program.address;
    let running =
        std::thread::spawn(move || wire::post(address, "/work", &queue_invocation("wait"), Framing::Length));
    program.wait_for("working");
    program.send(Signal::TERM);
    assert!(running.join().unwrap().contains("did wait"));
    assert_eq!(program.end().code, Some(0));
}

#[test]
fn a_request_that_hangs_does_not_keep_it_from_ending() {
    let mut program = Program::start();
    let mut hanging = std::net::TcpStream::connect(program.address).unwrap();
    let body = queue_invocation("hang");
    let head = format!("POST /work HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    std::io::Write::write_all(&mut hanging, &[head.as_bytes(), &body].concat()).unwrap();
    program.wait_for("working");
    program.send(Signal::INT);
    let end = program.end();
    assert_eq!(end.code, Some(0));
    assert_eq!(end.stdout.last().unwrap()["message"], "stopped with requests still running");
}

#[test]
fn a_panic_is_one_json_line_on_stderr_and_the_program_goes_on() {
    let program = Program::start();
    assert!(program.post("panic").starts_with("HTTP/1.1 500 "));
    assert!(program.post("next").starts_with("HTTP/1.1 200 "));
    program.send(Signal::TERM);
    let end = program.end();
    assert_eq!(end.code, Some(0));
    let mut panic: serde_json::Value = serde_json::from_str(&end.stderr).unwrap();
    panic["timestamp"] = "-".into();
    panic["place"] = panic["place"].as_str().unwrap().split(':').next().unwrap().into();
    insta::assert_snapshot!(panic.to_string(), @r#"{"level":"ERROR","message":"panic: told to\npanic","place":"crates/custom-handler/examples/handler.rs","spans":[{"invocation_id":"i-42","method":"POST","name":"invocation","path":"/work"}],"target":"panic","timestamp":"-"}"#);
    let next = end.stdout.iter().find(|line| line["text"] == "next").unwrap();
    assert_eq!(next["spans"][0]["invocation_id"], "i-42");
    assert!(end.stdout.iter().all(|line| line["target"] != "panic"));
}

#[test]
fn what_cannot_start_ends_with_status_1_and_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut lines = Vec::new();
    for argument in ["seven", &port] {
        let output = program().arg(argument).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{argument}");
        lines.push(String::from_utf8(output.stderr).unwrap().replace(&port, "PORT"));
    }
    insta::assert_snapshot!(lines.concat(), @"
    stopped by an error: the port cannot be used; give a number from 0 to 65535 as the only argument: invalid digit found in string
    stopped by an error: the handler cannot serve: cannot listen on 127.0.0.1:PORT; stop the program that uses the port or choose another one: Address already in use (os error 98)
    ");
}
