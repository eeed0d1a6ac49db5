//! A database as a stream of bytes, and back.
//!
//! The database's own client programs do the work (`mysqldump` and `mysql`, `pg_dump` and `psql`, `sqlcmd`); this
//! crate finds them, starts them so that they are safe to start, and turns what they do into streams and
//! errors. What must stay true:
//!
//! - A [`Dump`] ends without an error only when the program ended with status 0 **and** the closing line of
//!   the dump was seen. Whoever stores the stream can rely on its end.
//! - A password reaches a program by a private option file or by its environment, and never an argument, a
//!   log, a `Debug` text or an error.
//! - Names of hosts, users and databases are data: whatever they hold, no program reads an option, a
//!   connection string or a statement in them.
//! - No program outlives its stream: it is killed with all that it has started when the stream is dropped,
//!   and, with [`launcher`], when this process is killed.
//! - Memory does not grow with the database.
//!
//! A program that uses this crate calls [`launcher::run_if_asked`] first in its `main`, and hands
//! `Tools::standard().with_launcher(std::env::current_exe()?)` to the functions here. These work on any
//! runtime thread: the programs are started from a thread of their own, which lives as long as the process,
//! because Linux would otherwise send the death signal when a thread of the runtime ends.

mod bundled;
mod classify;
mod closing;
mod databases;
mod definers;
mod error;
mod globals;
mod heads;
pub mod launcher;
mod mysql;
mod neutralise;
mod option_file;
mod origin;
mod postgresql;
mod preflight;
mod private;
mod process;
mod reach;
mod redact;
mod remarks;
mod restore;
mod rights;
mod script;
mod server;
mod sqlserver;
mod statements;
mod stream;
mod target;
mod tls;
mod tools;
mod version;

pub use closing::Closing;
pub use databases::{create_database, drop_database, exchange_databases, let_everybody_in, rename_database};
pub use error::{DumpError, RestoreError, TargetState};
pub use globals::restore_globals;
pub use origin::Origin;
pub use preflight::{Plan, preflight};
pub use private::remove_left_behind;
pub use remarks::Remarks;
pub use restore::{Restored, restore};
pub use server::{Probe, discover, probe};
pub use stream::{Dump, dump, dump_globals, dump_with};
pub use target::{Limits, Target};
pub use tools::{Installed, Tools};
