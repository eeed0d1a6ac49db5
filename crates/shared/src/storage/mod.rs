//! Where the nouns live: tables, queues and blobs of one storage account.
//!
//! Three tiny seams, [`Table`], [`Queue`] and [`BlobStore`], each with an implementation on Azure
//! Storage and one in memory that passes the same conformance suite. Everything above them is
//! concrete, so that tests with the memory versions run the same code as production.

mod access_requests;
mod account;
#[cfg(test)]
mod account_test;
mod audit_filter;
mod audit_index;
mod audit_log;
#[cfg(test)]
mod audit_log_test;
mod audit_retry;
mod azure_blob;
mod azure_blob_read;
#[cfg(test)]
mod azure_blob_test;
mod azure_queue;
mod azure_table;
mod backup_days;
#[cfg(test)]
mod backup_days_test;
mod backup_index;
#[cfg(test)]
mod backup_index_test;
mod backup_pages;
mod backup_rebuild;
mod backup_search;
mod backups;
#[cfg(test)]
mod backups_test;
mod blob;
mod blob_rules;
mod cancel;
#[cfg(test)]
mod cancel_test;
mod claims;
#[cfg(test)]
mod claims_test;
pub mod committed;
mod configurations;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
mod error;
mod failures;
#[cfg(any(test, feature = "testing"))]
mod faulty_blob;
#[cfg(any(test, feature = "testing"))]
mod faulty_queue;
#[cfg(any(test, feature = "testing"))]
mod faulty_table;
pub mod filter;
mod history_table;
mod holdings;
pub mod jobs;
mod leases;
mod locate;
mod marks;
mod memory_blob;
mod memory_table;
#[cfg(any(test, feature = "testing"))]
mod mortal;
mod places;
#[cfg(test)]
mod places_test;
mod prepare;
mod priority;
mod queue;
mod removal;
mod repository;
mod requests;
pub mod restores;
mod rows;
#[cfg(any(test, feature = "testing"))]
mod script;
mod secret_names;
mod signer;
mod slots;
#[cfg(test)]
mod slots_test;
pub mod table;
mod take_over;
mod take_over_config;
#[cfg(test)]
mod take_over_test;
mod tally;
mod users;
#[cfg(test)]
mod users_test;
mod watch;
mod wire;

pub use access_requests::AccessRequests;
pub use account::{OpenError, Storage};
pub use audit_filter::AuditFilter;
pub use audit_index::AuditStats;
pub use audit_log::{AuditLog, AuditPage};
pub use azure_blob::AzureBlobs;
pub use azure_queue::AzureQueue;
pub use azure_table::AzureTable;
pub use backup_pages::{BackupPage, Counts};
pub use backup_rebuild::Rebuilt;
pub use backups::{BackupFilter, Backups, STUCK_AFTER, last_sign_of_life};
pub use blob::{Blob, BlobAddress, BlobListing, BlobProperties, BlobStore, ByteStream, CommitOptions};
pub use blob_rules::check_metadata;
pub use cancel::CancelOutcome;
pub use claims::{Claim, ClaimError, ClaimOutcome, Claims, MOST_RETRIES};
pub use configurations::{Databases, Engines, Policies, Settings};
pub use error::{StorageError, StorageErrorKind};
pub use failures::FailedRun;
#[cfg(any(test, feature = "testing"))]
pub use faulty_blob::{BlobCall, Fault, FaultyBlobs};
#[cfg(any(test, feature = "testing"))]
pub use faulty_queue::{FaultyQueue, QueueCall};
#[cfg(any(test, feature = "testing"))]
pub use faulty_table::{FaultyTable, TableCall};
pub use filter::Filter;
pub use holdings::KnownFiles;
pub use jobs::{InvalidJob, Jobs};
pub use leases::{Lease, Leases};
pub use marks::MarkError;
pub use memory_blob::MemoryBlobs;
pub use memory_table::MemoryTable;
#[cfg(any(test, feature = "testing"))]
pub use mortal::{Life, Mortal};
pub use places::{Place, PlaceOutcome, Places};
pub use priority::Asking;
pub use queue::{LONGEST_MESSAGE, MemoryQueue, Queue};
pub use removal::{RemovalError, Removed};
pub use repository::Versioned;
pub use requests::BackupRequest;
pub use restores::{RestoreClaim, Restores};
pub use rows::UnreadableRow;
pub use signer::{LentKey, SignError, Signer};
pub use slots::{Reservation, SlotState, Slots};
pub use table::Table;
pub use take_over::{LeftAlone, TakenOver};
pub use tally::{Group, Tally};
pub use users::{Leaving, Users};
pub use watch::{Check, HealthReport, LastTick, Watch};
