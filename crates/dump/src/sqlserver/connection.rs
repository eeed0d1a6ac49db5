//! Whether a tool still has its connection.
//!
//! One of the two tools waits for ever when the server goes away in the middle of a result. The kernel knows
//! better: the tool's sockets and their states are in `/proc`.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::sleep;

/// The state of an open TCP connection, as the kernel writes it.
const ESTABLISHED: &str = "01";

/// How often a silent tool is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// A tool that has had no connection for so many looks has lost it.
const LOOKS: u32 = 3;

/// How often a tool that is not silent is looked at before it was seen with a connection.
const FIRST_LOOKS: u32 = 50;

/// Watches a tool for the loss of its connection.
///
/// Only a tool that was seen with one can lose it: what reaches its server in another way is left alone.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    connected: AtomicBool,
    looks: AtomicU32,
}

impl Watch {
    /// Waits until the process has been without its connection for a while; for ever where that cannot be
    /// seen.
    pub(crate) async fn lost(&self, process: Option<u32>) {
        if !self.is_connected() && self.looks.fetch_add(1, Ordering::Relaxed) < FIRST_LOOKS {
            self.look(process);
        }
        let mut without = 0;
        while without < LOOKS {
            sleep(LOOK).await;
            without = if self.look(process) == Some(false) && self.is_connected() { without + 1 } else { 0 };
        }
    }

    fn look(&self, process: Option<u32>) -> Option<bool> {
        let seen = process.and_then(has_connection);
        if seen == Some(true) {
            self.connected.store(true, Ordering::Relaxed);
        }
        seen
    }

    fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }
}

/// Tells whether a process has an open TCP connection; `None` where that cannot be found out.
fn has_connection(process: u32) -> Option<bool> {
    let process = PathBuf::from(format!("/proc/{process}"));
    let sockets = sockets(&process)?;
    let mut read_any = false;
    for table in ["net/tcp", "net/tcp6"] {
        let Ok(text) = fs::read_to_string(process.join(table)) else { continue };
        read_any = true;
        if text.lines().skip(1).filter_map(open_socket).any(|socket| sockets.contains(socket)) {
            return Some(true);
        }
    }
    read_any.then_some(false)
}

/// Returns the numbers of a process's sockets.
fn sockets(process: &Path) -> Option<HashSet<String>> {
    let files = fs::read_dir(process.join("fd")).ok()?;
    Some(
        files
            .filter_map(Result::ok)
            .filter_map(|file| {
                let target = fs::read_link(file.path()).ok()?;
                Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
            })
            .collect(),
    )
}

/// Returns the number of the socket in a line of the kernel's table, if its connection is open.
fn open_socket(line: &str) -> Option<&str> {
    let mut fields = line.split_whitespace();
    let state = fields.nth(3)?;
    (state == ESTABLISHED).then(|| fields.nth(5)).flatten()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

    use std::net::{Shutdown, TcpListener, TcpStream};

    use super::*;

    #[test]
    fn lines_of_the_kernels_table_are_understood() {
        let line = "   0: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 12345 1 0000000000000000";
        assert_eq!(open_socket(line), Some("12345"));
        assert_eq!(open_socket(&line.replace(" 01 ", " 08 ")), None);
        assert_eq!(open_socket("x"), None);
    }

    #[test]
    fn the_connections_of_a_process_are_seen() {
        assert_eq!(has_connection(u32::MAX), None);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (other, _) = listener.accept().unwrap();
        assert_eq!(has_connection(std::process::id()), Some(true));
        // Other tests of this process may have connections of their own, so no more can be said here.
        other.shutdown(Shutdown::Both).unwrap();
        drop(stream);
    }
}
