//! `dilux`, the command line of the product. Each command has a module of its own; this file only
//! tells them apart and turns their outcome into an exit code.

mod backup;
mod choose;
mod doctor;
mod down;
mod download;
mod ending;
mod list;
mod migrate;
mod progress;
mod prune;
mod restore;
mod rotate_secrets;
mod show;
mod stored;
mod text;
mod up;
mod verify;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Backs up databases into Azure Blob Storage.
#[derive(Debug, Parser)]
#[command(name = "dilux", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts the whole product on this machine, with sample databases, and backs those up
    Up(up::Options),
    /// Stops what `dilux up` started, also after a crash; data is kept
    Down(down::Options),
    /// Backs up a database now and follows the backup to its end
    Backup(backup::Options),
    /// Loads a backup into a database, or writes it to a file as plain SQL
    Restore(restore::Options),
    /// Lists backups, or the configured databases
    List(list::Options),
    /// Shows what is known of a stored backup
    Show(show::Options),
    /// Proves that stored backups are whole, by reading them to their end
    Verify(verify::Options),
    /// Looks at everything that backups need, and says what is wrong and how to mend it
    Doctor(doctor::Options),
    /// Copies a stored backup into a file, as it is stored
    Download(download::Options),
    /// Moves stored passwords to where they are kept now, for instance under a new key
    RotateSecrets(rotate_secrets::Options),
    /// Brings what earlier systems have stored into today's form; says only what, without --apply
    Migrate(migrate::Options),
    /// Deletes the backups that retention does not keep, or shows which
    Prune(prune::Options),
}

fn main() -> ExitCode {
    // Before anything else: a database tool is started by way of this same program.
    dump::launcher::run_if_asked();
    run(Arguments::parse().command).unwrap_or_else(|error| {
        eprintln!("dilux: {}", with_causes(error.as_ref()));
        ExitCode::FAILURE
    })
}

#[tokio::main]
async fn run(command: Command) -> Result<ExitCode, Box<dyn Error>> {
    match command {
        Command::Up(options) => Ok(up::run(options).await?),
        Command::Down(options) => Ok(down::run(options).await?),
        Command::Backup(options) => Ok(backup::run(options).await?),
        Command::Restore(options) => Ok(restore::run(options).await?),
        Command::List(options) => Ok(list::run(options).await?),
        Command::Doctor(options) => Ok(doctor::run(options).await?),
        Command::Show(options) => Ok(show::run(options).await?),
        Command::Verify(options) => Ok(verify::run(options).await?),
        Command::Download(options) => Ok(download::run(options).await?),
        Command::RotateSecrets(options) => Ok(rotate_secrets::run(options).await?),
        Command::Migrate(options) => Ok(migrate::run(options).await?),
        Command::Prune(options) => Ok(prune::run(options).await?),
    }
}

/// Joins an error and everything that caused it into one line.
fn with_causes(error: &dyn Error) -> String {
    std::iter::successors(error.source(), |&cause| cause.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
