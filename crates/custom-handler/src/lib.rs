//! The Azure Functions custom handler protocol, as axum extractors and answers.
//!
//! The Functions host starts a program, waits for the first HTTP answer on a loopback port, and from
//! then on posts each invocation to `/<function name>`. This crate holds what such a program must
//! do to be understood by the host: it knows the protocol and no domain.
//!
//! What must stay true:
//!
//! - `GET /` is answered before anything else of the app runs: the host takes the first HTTP answer
//!   as "ready" and asks again later to see whether the program lives.
//! - No trigger is ever answered with an empty body. The host waits for the result of such an
//!   invocation until its time limit and then kills the program. An [`Answer`] always has one.
//! - A failure is never answered with a 2xx status: the host would delete the queue message.
//! - Nothing that a caller sends can end the program. What cannot be decoded, and what panics, is
//!   answered as a failure of that one invocation.
//! - The program ends with status 0 only after somebody asked it to stop, because the host does not
//!   start a program again that ended with 0.

mod answer;
mod exit;
mod invocation;
mod serve;
mod shield;
pub mod telemetry;

pub use answer::Answer;
pub use exit::exit_code;
pub use invocation::{InvocationError, QueueInvocation, TimerInvocation};
pub use serve::{ServeError, ServeOptions, serve};
pub use shield::shield;
