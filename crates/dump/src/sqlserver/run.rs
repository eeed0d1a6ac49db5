//! A run of `sqlcmd` over a script, line by line.
//!
//! What must stay true: memory is bounded, whatever the tool prints; the tool is watched, since it may print
//! half a result and wait for ever when the server goes away, or when it stumbles over what the server sends;
//! and a run counts as good only when the tool ended with 0 and said nothing that looks like an error,
//! wherever it said it.

use std::process::Stdio;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::process::ChildStdout;
use tokio::time::{Instant, sleep_until};

use super::command::{self, OnError};
use super::connection::Watch;
use super::transfer::MARK;
use crate::classify::failure;
use crate::error::DumpError;
use crate::process::{Ending, Running};
use crate::redact::{Said, Tail};
use crate::target::{Limits, Target};
use crate::tools::{Tool, Tools};

/// The longest line that is taken; ours stay far below.
const LONGEST_LINE: usize = 64 * 1024 * 1024;

/// A run.
pub(crate) struct Session {
    running: Running,
    stdout: ChildStdout,
    target: Target,
    tool: &'static str,
    limits: Limits,
    deadline: Instant,
    buffer: BytesMut,
    /// How much of the buffer holds no line end.
    searched: usize,
    at_end: bool,
    watch: Arc<Watch>,
    /// What was printed between our own lines: some errors are.
    stray: Tail,
    strays: u32,
}

impl Session {
    /// Starts the tool.
    pub(crate) async fn start(
        tools: &Tools,
        tool: &Tool,
        target: &Target,
        limits: &Limits,
        deadline: Instant,
        script: String,
        on_error: OnError,
    ) -> Result<Self, DumpError> {
        let invocation = command::run(tool, target, limits, script, on_error);
        let mut running = Running::start(tools, &invocation, Stdio::null(), Stdio::piped()).await?;
        let Some(stdout) = running.stdout.take() else {
            return Err(DumpError::Truncated { tool: tool.name, problem: "its output was not connected" });
        };
        Ok(Self {
            running,
            stdout,
            target: target.clone(),
            tool: tool.name,
            limits: *limits,
            deadline,
            buffer: BytesMut::new(),
            searched: 0,
            at_end: false,
            watch: Arc::default(),
            stray: Tail::new(Some(&target.password)),
            strays: 0,
        })
    }

    /// Returns the next line of ours; `None` at the end of the output.
    pub(crate) async fn line(&mut self) -> Result<Option<String>, DumpError> {
        loop {
            while let Some(line) = self.taken()? {
                let line = line.strip_suffix(b"\r").unwrap_or(&line);
                if line.first() == Some(&(MARK as u8)) {
                    let text = String::from_utf8(line.to_vec());
                    return text.map(Some).map_err(|_| self.truncated("it printed bytes that are no text"));
                }
                let said = String::from_utf8_lossy(line);
                if is_end(&said) {
                    self.running.kill();
                    self.stray.push(line);
                    let said = self.stray.said().shown();
                    let detail = format!("the client could not read what the server sent: {said}");
                    return Err(DumpError::ConnectionFailed { server: self.target.server(), detail });
                }
                if !line.trim_ascii().is_empty() && !is_harmless(&said) {
                    self.strays += 1;
                    self.stray.push(line);
                    self.stray.push(b"\n");
                }
            }
            if self.at_end {
                return Ok(None);
            }
            self.read().await?;
        }
    }

    /// Takes a whole line out of the buffer, and at the end what is left of it.
    fn taken(&mut self) -> Result<Option<Vec<u8>>, DumpError> {
        let found = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
        if let Some(at) = found {
            let line = self.buffer.split_to(self.searched + at + 1);
            self.searched = 0;
            return Ok(Some(line[..line.len() - 1].to_vec()));
        }
        self.searched = self.buffer.len();
        if self.buffer.len() > LONGEST_LINE {
            return Err(self.truncated("it printed a line that is longer than any of ours"));
        }
        if self.at_end && !self.buffer.is_empty() {
            self.searched = 0;
            return Ok(Some(self.buffer.split().to_vec()));
        }
        Ok(None)
    }

    async fn read(&mut self) -> Result<(), DumpError> {
        self.buffer.reserve(64 * 1024);
        let patience = self.deadline.min(Instant::now() + self.limits.stall);
        let (watch, process) = (Arc::clone(&self.watch), self.running.id());
        let lost = watch.lost(process);
        tokio::pin!(lost);
        let mut ended = false;
        loop {
            tokio::select! {
                biased;
                read = self.stdout.read_buf(&mut self.buffer) => {
                    let read = read
                        .map_err(|source| DumpError::Local { doing: "reading from a database tool", source })?;
                    self.at_end = read == 0;
                    return Ok(());
                }
                () = sleep_until(patience) => return Err(self.too_long()),
                // What it has written before its end is still in the pipe; waiting for the end kills what it
                // may have left behind, which would keep the pipe open.
                result = self.running.ended(), if !ended => {
                    result?;
                    ended = true;
                }
                () = &mut lost, if !ended => {
                    self.running.kill();
                    return Err(connection_lost(&self.target));
                }
            }
        }
    }

    /// Decides, after the end of the output, whether the run was good. `doing` says what was done at the
    /// end; it stands before the words of the tool.
    pub(crate) async fn verdict(&mut self, doing: &str) -> Result<Option<String>, DumpError> {
        let ending = self.ending().await?;
        let said = self.said(doing).await;
        if ending != Ending::SUCCESS {
            return Err(failure(&self.target, self.tool, ending, &said));
        }
        if self.strays > 0 || said.raw().lines().any(is_error) {
            return Err(failure(&self.target, self.tool, Ending::Exited(0), &said));
        }
        let remarks =
            said.raw().lines().any(|line| !line.trim().is_empty() && line != doing && !is_harmless(line));
        Ok(remarks.then(|| said.shown()))
    }

    /// Ends a run whose errors count for nothing, once its last line has come: it fails only when that did
    /// not.
    pub(crate) async fn failure(&mut self) -> DumpError {
        match self.ending().await {
            Ok(ending) => {
                let said = self.said("").await;
                if ending == Ending::SUCCESS && said.is_empty() {
                    return self.truncated("the last line is missing");
                }
                failure(&self.target, self.tool, ending, &said)
            }
            Err(error) => error,
        }
    }

    async fn ending(&mut self) -> Result<Ending, DumpError> {
        let patience = self.deadline.min(Instant::now() + self.limits.stall);
        tokio::select! {
            ending = self.running.ended() => ending,
            () = sleep_until(patience) => Err(self.too_long()),
        }
    }

    /// Returns what was said on both streams.
    async fn said(&mut self, doing: &str) -> Said {
        let mut all = Tail::new(Some(&self.target.password));
        if !doing.is_empty() {
            all.push(doing.as_bytes());
            all.push(b"\n");
        }
        all.push(self.stray.said().raw().as_bytes());
        all.push(self.running.said().await.raw().as_bytes());
        all.said()
    }

    /// Makes the error of a run whose answers are wrong, and kills the tool.
    pub(crate) fn truncated(&mut self, problem: &'static str) -> DumpError {
        self.running.kill();
        DumpError::Truncated { tool: self.tool, problem }
    }

    /// Kills the tool.
    pub(crate) fn kill(&mut self) {
        self.running.kill();
    }

    /// Makes the error of an answer that cannot be understood. When it is the last thing that the tool has
    /// printed, the tool's own reason is the better one.
    pub(crate) async fn blame(&mut self, problem: &'static str) -> DumpError {
        if self.buffer.is_empty() && !self.at_end {
            // Whatever comes next tells whether this was the end.
            let _ = self.read().await;
        }
        if self.at_end
            && let Ok(ending) = self.ending().await
            && ending != Ending::SUCCESS
        {
            let said = self.said("").await;
            return failure(&self.target, self.tool, ending, &said);
        }
        self.truncated(problem)
    }

    /// Kills the tool and says which limit has passed.
    fn too_long(&mut self) -> DumpError {
        self.running.kill();
        if Instant::now() >= self.deadline {
            DumpError::Timeout { tool: self.tool, after: self.limits.deadline }
        } else {
            DumpError::Stalled { tool: self.tool, after: self.limits.stall }
        }
    }
}

/// Makes the error of a tool that goes on waiting without a connection.
pub(crate) fn connection_lost(target: &Target) -> DumpError {
    DumpError::ConnectionFailed {
        server: target.server(),
        detail: "the connection was lost, and the client went on waiting".to_owned(),
    }
}

/// Tells whether a line reports an error: a message of a level above 10, or the tool's own.
fn is_error(line: &str) -> bool {
    if line.starts_with("Sqlcmd: Error") || line.starts_with("Sqlcmd: Warning") || line.starts_with("mssql: ")
    {
        return true;
    }
    let level = line.strip_prefix("Msg ").and_then(|rest| rest.split_once(", Level "));
    let level = level.and_then(|(_, rest)| rest.split([',', ' ']).next()?.parse::<u32>().ok());
    level.is_some_and(|level| level > 10)
}

/// Tells whether a line is the last one that comes: the newer program tells so of a mistake of its own, which
/// an answer that is not in the protocol leads it into, and then waits for ever. Messages of the server are
/// on the error stream.
fn is_end(line: &str) -> bool {
    line.starts_with("runtime error: ")
}

/// Tells whether a line is one of those that servers send without being asked.
fn is_harmless(line: &str) -> bool {
    let line = line.trim();
    line.starts_with("Changed database context to ")
        || line.starts_with("Changed language setting to ")
        || line.starts_with("Warning: Null value is eliminated")
        || (line.starts_with('(') && (line.ends_with("rows affected)") || line.ends_with("row affected)")))
        || (line.starts_with("Msg 5701,") || line.starts_with("Msg 5703,"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_from_remarks() {
        for line in
            ["Msg 208, Level 16, State 1, Server x, Line 1", "Sqlcmd: Error: x", "mssql: login error: x"]
        {
            assert!(is_error(line), "{line}");
        }
        for line in ["Msg 5701, Level 10, State 2, Server x, Line 1", "Level 16", "", "Msg x, Level y"] {
            assert!(!is_error(line), "{line}");
        }
        assert!(is_end("runtime error: slice bounds out of range [:4472] with capacity 4000"));
        assert!(!is_end("~R|=runtime error: ") && !is_end("(1 row affected)"));
        for line in ["Changed database context to 'shop'.", "(1 row affected)", "(25 rows affected)"] {
            assert!(is_harmless(line), "{line}");
        }
        assert!(!is_harmless(
            "Sqlcmd: Warning: The last operation was terminated because the user pressed CTRL+C."
        ));
    }
}
