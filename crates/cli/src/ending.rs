//! How commands end: what the exit code says, and what is printed last.

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::with_causes;

/// The exit code of a wrong command line; the argument parser uses the same.
const USAGE: u8 = 2;

/// The exit code of a command that Ctrl-C ended, as shells have it.
const INTERRUPTED: u8 = 130;

/// Ctrl-C, which from the making of this value on does not end the program any more.
pub(crate) struct ControlC(Option<Signal>);

impl ControlC {
    /// Begins to listen. Where that cannot be done, Ctrl-C ends the program as ever.
    pub(crate) fn listen() -> Self {
        Self(signal(SignalKind::interrupt()).ok())
    }

    /// Waits until it is pressed.
    pub(crate) async fn pressed(&mut self) {
        match &mut self.0 {
            Some(signal) => {
                signal.recv().await;
            }
            None => std::future::pending().await,
        }
    }
}

/// Reports a wrong command line and returns the exit code for it.
pub(crate) fn wrong_usage(error: &dyn Error) -> ExitCode {
    eprintln!("dilux: {}\n\nFor more information, try '--help'.", with_causes(error));
    ExitCode::from(USAGE)
}

/// Says what Ctrl-C has ended, and what it has not, and returns the exit code for it.
pub(crate) fn interrupted(message: &str) -> ExitCode {
    eprintln!("dilux: {message}");
    ExitCode::from(INTERRUPTED)
}

/// Prints a result on standard output. A reader that has seen enough, such as `head`, is fine.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
