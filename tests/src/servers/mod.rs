//! Private database servers, one of a kind for each test process.

#![expect(clippy::unwrap_used, reason = "a server that does not start fails the test")]
#![expect(clippy::disallowed_methods, reason = "tests start real servers")]
#![expect(clippy::missing_panics_doc, reason = "everything here fails the test by a panic")]

mod certificates;
mod guardian;
mod lock;
pub mod mariadb;
pub mod postgresql;

pub use certificates::Certificates;
pub use guardian::assert_same;
pub use lock::Lock;
