//! `dshost run`: a topology until it is told to stop.

use std::io::IsTerminal;
use std::sync::Arc;

use tracing::{error, info, warn};

use super::args::RunArgs;
use super::error::CliError;
use super::inherited::Inherited;
use super::stop::Stopper;
use super::tell::Teller;
use super::{failure, load};
use crate::control::herald::Herald;
use crate::control::service::ServiceManager;
use crate::control::socket::ControlSocket;
use crate::control::supervisor::{Milestone, SupervisorLine};
use crate::driver::{Connectors, Job, JobEnd, JobError, JobOptions, PastOptions};
use crate::observe::status::Status;
use crate::sink::print;
use crate::topology::plan::{Plan, SourcePlan};
use crate::topology::problem::with_causes;

/// Runs a topology until its sources end or a signal comes, then prints a summary to standard
/// error.
pub(super) fn run(args: &RunArgs, inherited: Inherited, teller: &Teller) -> Result<(), CliError> {
    let Inherited {
        listeners,
        supervisor,
    } = inherited;
    let stopper = Stopper::listen(supervisor.clone());
    let plan = load::plan(&args.topology, teller)?;
    if args.once {
        load::can_end(&plan)?;
    }
    let workers = args.workers.unwrap_or(plan.settings.workers);
    if plan.settings.checkpoint.is_none() {
        info!("nothing survives the end of the process: `checkpoint = false`");
    }
    let connectors = Connectors {
        listeners: Arc::new(listeners),
        ..Connectors::default()
    };
    tell_untaken(&connectors, &plan);
    let options = |past: PastOptions| JobOptions {
        workers,
        once: args.once,
        folder: load::folder(&args.topology),
        console: print::stdout(),
        connectors: connectors.clone(),
        past,
        stop_after: args.stop_after,
        profiling: args.profile_guests.into(),
    };
    let describe = |error: JobError| failure::describe(&error, &args.topology);
    let mut past = PastOptions {
        fresh: args.fresh,
        reset: args.reset_state.clone(),
        retry: args.retry,
        take_back: None,
    };
    loop {
        let goes_back = past.take_back.is_some();
        let job = match Job::open(plan.clone(), options(past)) {
            Err(error) if goes_back => {
                error!("the job goes on as it was: {}", with_causes(&error));
                past = PastOptions::default();
                continue;
            }
            opened => opened.map_err(describe)?,
        };
        let job = observed(job, supervisor.as_ref());
        let reachable = ControlSocket::serve(
            job.directory(),
            job.runtime().handle(),
            job.mail(),
            teller.masks().clone(),
        );
        let reachable = reachable.map_err(|error| failure::control(&error))?;
        let JobEnd { status, take_back } = stopper.run(job).map_err(describe)?;
        drop(reachable);
        if take_back.is_none() {
            summarize(&status, teller);
            return Ok(());
        }
        past = PastOptions {
            take_back,
            ..PastOptions::default()
        };
    }
}

/// A job that tells its supervisor and the service manager how it gets on.
fn observed(job: Job, supervisor: Option<&SupervisorLine>) -> Job {
    if let Some(line) = supervisor {
        line.tell(Milestone::Opened);
    }
    let herald = Herald::new(supervisor.cloned(), ServiceManager::from_environment());
    job.with_observer(Box::new(herald))
}

/// Tells of sockets that listen for sources which are none, or do not listen: who connects there
/// is not served.
fn tell_untaken(connectors: &Connectors, plan: &Plan) {
    for (name, socket) in connectors.listeners.iter() {
        let mut sources = plan.sources.iter();
        let takes = |source: &SourcePlan| {
            source.name == name && connectors.sources.listens_on(source).is_some()
        };
        if !sources.any(takes) {
            let address = socket
                .local_addr()
                .map_or_else(|_| "?".to_owned(), |at| at.to_string());
            warn!(
                socket = name,
                address, "nobody takes over a socket: no source of this name listens"
            );
        }
    }
}

/// What went through each operator, to standard error.
pub(super) fn summarize(status: &Status, teller: &Teller) {
    let seconds = status.uptime_ms as f64 / 1000.0;
    info!(
        batches = status.batches,
        aborted = status.aborted,
        "done after {seconds:.1} s"
    );
    if std::io::stderr().is_terminal() || status.batches > 0 {
        teller.operators(&status.operators);
    }
}
