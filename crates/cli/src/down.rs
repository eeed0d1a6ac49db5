//! `dilux down`: stops what `dilux up` started from this checkout. Works from the notes that `up` keeps,
//! so it also cleans up after a crash, and touches no process that the notes do not prove to be ours.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::up::{Notes, Place, Stopping, UpError};

/// How long a `dilux up` in another terminal may take to stop everything by itself.
const PATIENCE_WITH_SUPERVISOR: Duration = Duration::from_mins(2);

/// The command line of `dilux down`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The checkout whose processes are meant
    #[arg(long, value_name = "DIR", default_value = ".")]
    root: PathBuf,
}

/// Stops everything in the order opposite to the start. Nothing running is a success.
pub(crate) async fn run(options: Options) -> Result<ExitCode, UpError> {
    let place = Place::at(&options.root)?;
    let Some(notes) = Notes::read(&place)? else {
        println!("dilux: nothing is running here");
        return Ok(ExitCode::SUCCESS);
    };
    if let Some(supervisor) = notes.living_supervisor()? {
        println!("dilux: asking `dilux up` (process {supervisor}) to stop");
        supervisor.stop(Stopping::Terminate, PATIENCE_WITH_SUPERVISOR).await?;
    }
    // A supervisor that did its work has removed its notes; after a crash they are still there.
    if let Some(notes) = Notes::read(&place)? {
        notes.stop_all(&place).await?;
    }
    println!("dilux: all stopped; data is kept in {}", place.local().display());
    Ok(ExitCode::SUCCESS)
}
