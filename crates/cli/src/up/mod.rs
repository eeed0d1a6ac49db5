//! `dilux up`: the whole product on one machine, for a developer or for a first look. Starts the storage
//! emulator, two sample database servers and the three function apps, takes a backup of each sample over
//! the api, and prints what came of it.
//!
//! What must stay true: whatever was started is noted before anything is waited for, so that Ctrl-C here,
//! `dilux down` elsewhere, or the next `dilux up` after a crash can stop it; nothing that somebody else
//! started is ever touched; and nothing started here reaches for an account in the cloud.

mod apps;
mod azurite;
mod error;
mod mariadb;
mod notes;
mod options;
mod passwords;
mod place;
mod postgresql;
mod process;
mod programs;
mod report;
mod rest;
mod running;
mod samples;

use std::io;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

pub(crate) use error::UpError;
pub(crate) use notes::Notes;
pub(crate) use options::Options;
pub(crate) use place::Place;
pub(crate) use process::Stopping;

use passwords::Passwords;
use report::Outcome;
use rest::Rest;
use running::Running;

/// Starts everything, backs up the samples, and then either waits for Ctrl-C or leaves all running. The
/// exit code is not zero when a backup did not complete.
pub(crate) async fn run(options: Options) -> Result<ExitCode, UpError> {
    let place = Place::at(&options.root)?;
    let _lock = place.lock()?;
    clear_leftovers(&place).await?;
    let samples = !options.no_samples;
    options.ports.check_free(samples)?;

    let mut stop_request = StopRequest::listen()?;
    let mut running = Running::begin(&place)?;
    let started = tokio::select! {
        started = start(&options, &place, &mut running) => started,
        () = stop_request.comes() => Err(UpError::Interrupted),
    };
    let outcomes = match started {
        Ok(outcomes) => outcomes,
        Err(error) => return Err(stop_after(running, error).await),
    };

    if samples {
        println!("\n{}", report::table(&outcomes));
    }
    println!(
        "{}logs       {}\n",
        report::addresses(&options.ports, samples),
        place.in_local("log").display()
    );
    let code = if outcomes.iter().all(Outcome::is_completed) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if options.detach {
        running.detach()?;
        println!("dilux: everything runs in the background; scripts/down stops it");
        return Ok(code);
    }

    println!("dilux: everything is up; Ctrl-C stops it");
    let unasked_end = tokio::select! {
        error = running.first_end() => Some(error),
        () = stop_request.comes() => None,
    };
    if let Some(error) = unasked_end {
        return Err(stop_after(running, error).await);
    }
    running.stop_all().await?;
    println!("dilux: all stopped; data is kept in {}", place.local().display());
    Ok(code)
}

/// Starts the services one after the other, each when the one before can be used.
async fn start(options: &Options, place: &Place, running: &mut Running) -> Result<Vec<Outcome>, UpError> {
    let ports = &options.ports;
    println!("dilux: starting Azurite");
    azurite::start(place, ports, running).await?;

    let mut servers = Vec::new();
    if !options.no_samples {
        let mut passwords = Passwords::read(place)?;
        println!("dilux: starting MariaDB");
        servers.push(mariadb::start(place, ports.mariadb, &mut passwords, running).await?);
        println!("dilux: starting PostgreSQL");
        servers.push(postgresql::start(place, ports.postgresql, &mut passwords, running).await?);
    }

    println!("dilux: starting the apps api, scheduler, processor");
    let rest = Rest::new(ports.api)?;
    apps::start(place, ports, &rest, running).await?;
    samples::back_up(&rest, &servers).await
}

/// Stops what an earlier run left behind when it crashed. A complete set in the background is no leftover
/// but somebody's work, and is an error.
async fn clear_leftovers(place: &Place) -> Result<(), UpError> {
    let Some(notes) = Notes::read(place)? else { return Ok(()) };
    if let Some(supervisor) = notes.living_supervisor()? {
        return Err(UpError::AlreadyUp { from: format!(" (process {supervisor})") });
    }
    if notes.is_complete_in_background()? {
        return Err(UpError::AlreadyUp { from: " in the background".to_owned() });
    }
    println!("dilux: an earlier run ended without stopping everything; doing that now");
    notes.stop_all(place).await
}

/// Stops everything because of an error, and gives that error back: it matters more than one of the stop.
async fn stop_after(running: Running, error: UpError) -> UpError {
    if let Err(second) = running.stop_all().await {
        eprintln!("dilux: {second}; run scripts/down to stop the rest");
    }
    error
}

/// Ctrl-C in the terminal, or a polite request from another process, `dilux down` for one.
struct StopRequest {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl StopRequest {
    fn listen() -> Result<Self, UpError> {
        let listen = || -> io::Result<Self> {
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
                hang_up: signal(SignalKind::hangup())?,
            })
        };
        listen().map_err(|source| UpError::Process {
            pid: std::process::id(),
            action: "prepared for signals",
            source,
        })
    }

    async fn comes(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
