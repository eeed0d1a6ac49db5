//! Invocations as the host posts them, decoded leniently.
//!
//! The host sends `{"Data": {"<binding>": …}, "Metadata": {…}}`, by length or in chunks. Both maps
//! hold more, or less, than one would think: see the modules of the two triggers.

mod envelope;
mod queue;
mod timer;

pub use envelope::InvocationError;
pub use queue::QueueInvocation;
pub use timer::TimerInvocation;
