//! `dshost run`: a topology until it is told to stop.

use std::io::IsTerminal;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use super::args::RunArgs;
use super::error::CliError;
use super::{failure, load, show};
use crate::control::socket::ControlSocket;
use crate::driver::event::{Event, Mail};
use crate::driver::{Job, JobError, JobOptions};
use crate::observe::status::Status;
use crate::sink::print;

/// Runs a topology until its sources end or a signal comes, then prints a summary to standard
/// error.
pub(super) fn run(args: &RunArgs) -> Result<(), CliError> {
    let plan = load::plan(&args.topology)?;
    if args.once {
        load::can_end(&plan)?;
    }
    let workers = args.workers.unwrap_or(plan.settings.workers);
    info!("nothing survives a restart yet: the journal comes in a later version");
    let options = JobOptions {
        workers,
        once: args.once,
        folder: load::folder(&args.topology),
        console: print::stdout(),
    };
    let job =
        Job::open(plan, options).map_err(|error| failure::describe(&error, &args.topology))?;
    let _reachable = ControlSocket::serve(job.directory(), job.runtime().handle(), job.mail())
        .map_err(|error| CliError::job(&error))?;
    let status =
        run_until_signal(job).map_err(|error| failure::describe(&error, &args.topology))?;
    summarize(&status);
    Ok(())
}

/// Runs a job; the first SIGINT or SIGTERM drains it, the second ends the process.
pub(super) fn run_until_signal(job: Job) -> Result<Status, JobError> {
    let mail = job.mail();
    let signals = {
        let _inside = job.runtime().enter();
        [SignalKind::interrupt(), SignalKind::terminate()].map(signal)
    };
    match signals {
        [Ok(interrupt), Ok(terminate)] => {
            job.runtime().spawn(async move {
                heed(interrupt, terminate, mail).await;
            });
        }
        _ => warn!("cannot listen for signals: a signal stops the job at once"),
    }
    job.run()
}

async fn heed(mut interrupt: Signal, mut terminate: Signal, mail: Mail) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    info!("stopping: what was received is processed; once more stops at once");
    mail.tell(Event::Stop);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    warn!("stopped at once: what was received and not committed is lost");
    std::process::exit(1);
}

/// What went through each operator, to standard error.
pub(super) fn summarize(status: &Status) {
    let seconds = status.uptime_ms as f64 / 1000.0;
    info!(
        batches = status.batches,
        aborted = status.aborted,
        "done after {seconds:.1} s"
    );
    if std::io::stderr().is_terminal() || status.batches > 0 {
        anstream::eprint!("{}", show::operators(&status.operators));
    }
}
