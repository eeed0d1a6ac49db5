//! How the program ends, in the numbers that the host reads.
//!
//! The host starts a program again after any status but 0, gives up after the third such end within
//! half an hour, and shows the last three lines of stderr. After status 0 it does nothing: each
//! later invocation fails until the host itself is started again.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

/// Turns how the app ended into an exit code, and tells stderr about a failure in one line.
///
/// `Ok` is status 0 and must only be there because the program was told to stop, which is when
/// [`serve`](crate::serve()) returns it. Every error is status 1, wrong configuration included: the
/// host then tries again and in the end shows the line.
///
/// The line is written without the tracing subscriber, which may not be there yet.
pub fn exit_code<E: Error + 'static>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A closed stderr leaves the exit code as the only message, which is still sent.
            let _ = writeln!(std::io::stderr(), "{}", one_line(&error));
            ExitCode::FAILURE
        }
    }
}

/// Joins an error and its sources into one line: the host treats each line as an entry of its own.
fn one_line(error: &(dyn Error + 'static)) -> String {
    let texts = std::iter::successors(Some(error), |&error| error.source()).map(ToString::to_string);
    let chain = texts.collect::<Vec<_>>().join(": ");
    let words: Vec<_> = chain.split_whitespace().collect();
    format!("stopped by an error: {}", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the storage settings\n cannot be used")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn tells_the_whole_chain_in_one_line() {
        let error = Outer(std::io::Error::other("bad\r\nnumber"));
        insta::assert_snapshot!(one_line(&error), @"stopped by an error: the storage settings cannot be used: bad number");
    }

    #[test]
    fn a_failure_is_status_1_and_a_stop_is_status_0() {
        assert_eq!(exit_code(Err(Outer(std::io::Error::other("x")))), ExitCode::from(1));
        assert_eq!(exit_code(Ok::<(), Outer>(())), ExitCode::from(0));
    }
}
