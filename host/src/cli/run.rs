//! `dshost run`: a topology until it is told to stop.

use std::io::IsTerminal;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use super::args::RunArgs;
use super::error::CliError;
use super::tell::Teller;
use super::{failure, load};
use crate::control::socket::ControlSocket;
use crate::driver::event::{Event, Mail};
use crate::driver::{Connectors, Job, JobEnd, JobError, JobOptions, PastOptions};
use crate::observe::status::Status;
use crate::sink::print;
use crate::topology::problem::with_causes;

/// Runs a topology until its sources end or a signal comes, then prints a summary to standard
/// error.
pub(super) fn run(args: &RunArgs, teller: &Teller) -> Result<(), CliError> {
    let plan = load::plan(&args.topology, teller)?;
    if args.once {
        load::can_end(&plan)?;
    }
    let workers = args.workers.unwrap_or(plan.settings.workers);
    if plan.settings.checkpoint.is_none() {
        info!("nothing survives the end of the process: `checkpoint = false`");
    }
    let options = |past: PastOptions| JobOptions {
        workers,
        once: args.once,
        folder: load::folder(&args.topology),
        console: print::stdout(),
        connectors: Connectors::default(),
        past,
        stop_after: args.stop_after,
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
        let reachable = ControlSocket::serve(
            job.directory(),
            job.runtime().handle(),
            job.mail(),
            teller.masks().clone(),
        );
        let reachable = reachable.map_err(|error| CliError::job(&error))?;
        let JobEnd { status, take_back } = run_until_signal(job).map_err(describe)?;
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

/// Runs a job; the first SIGINT, SIGTERM or SIGHUP drains it, the second ends the process.
pub(super) fn run_until_signal(job: Job) -> Result<JobEnd, JobError> {
    let mail = job.mail();
    let signals = {
        let _inside = job.runtime().enter();
        Signals::listen()
    };
    match signals {
        Ok(signals) => drop(job.runtime().spawn(heed(signals, mail))),
        Err(_) => warn!("cannot listen for signals: a signal stops the job at once"),
    }
    job.run()
}

async fn heed(mut signals: Signals, mail: Mail) {
    signals.next().await;
    info!("stopping: what was received is processed; once more stops at once");
    mail.tell(Event::Stop);
    signals.next().await;
    warn!("stopped at once");
    std::process::exit(1);
}

/// The signals that end a job.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// A terminal that went away; none where the job is to outlive it (`nohup`).
    hangup: Option<Signal>,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        let hangup = match is_ignored(libc::SIGHUP) {
            true => None,
            false => Some(signal(SignalKind::hangup())?),
        };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup,
        })
    }

    /// The next of any of them.
    async fn next(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hangup => {}
        }
    }
}

/// Whether who started the process asked for a signal to be ignored.
fn is_ignored(signal: libc::c_int) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: no new action is given, so nothing is changed; the old one is written to `action`,
    // which is as large as it must be and zeroed, a valid value, before.
    let action = unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
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
