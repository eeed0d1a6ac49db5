//! A lock that a client holds in the background.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};

/// A lock on a table. Ends with the value.
pub struct Lock {
    client: Child,
    _stdin: ChildStdin,
}

impl Lock {
    /// Lets a client take the lock; its statements end with a word that it prints once it has it.
    pub(super) fn take(client: &mut Command, statements: &str) -> Self {
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut client = client.spawn().unwrap();
        let mut stdin = client.stdin.take().unwrap();
        writeln!(stdin, "{statements}").unwrap();
        stdin.flush().unwrap();
        let mut line = String::new();
        BufReader::new(client.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "locked\n");
        Self { client, _stdin: stdin }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The server frees the lock when the connection is gone.
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}
