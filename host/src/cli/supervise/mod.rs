//! `dshost run --supervise`: keeps a job alive.
//!
//! The job runs in a process of its own, the same program with the same arguments. A process that
//! crashes is started again: killed, panicked, or ended with the exit code that says so. Meanwhile
//! its clients wait in the backlogs of the sockets, which are open here ([`sockets`]). An end that
//! another start would not change is the supervisor's own end ([`ends`]).
//!
//! The supervisor has one thread and takes no part in what the job does. What it must know,
//! whether the job got anywhere, the job says on a line between them
//! ([`crate::control::supervisor`]).
//!
//! **Invariant:** one process of the job at a time: the next is started when the end of the one
//! before is known.
//!
//! Start reading at [`Supervisor::supervise`].

mod arguments;
mod ends;
mod sockets;

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use sd_notify::NotifyState;
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior};
use tracing::{info, warn};

use self::ends::{Ends, Limit, Next};
use self::sockets::Sockets;
use super::args::{GlobalArgs, RunArgs, SuperviseArgs};
use super::error::{CliError, Fault};
use super::inherited::Inherited;
use super::load;
use super::signals::Signals;
use super::tell::Teller;
use crate::control::service::ServiceManager;
use crate::control::supervisor::{JobLine, LINE_NAME, Milestone, line};
use crate::source::SourceConnectors;

/// The first descriptor that is handed over (`SD_LISTEN_FDS_START`).
const FIRST_DESCRIPTOR: i32 = 3;

/// Keeps a job alive until it ends for good; its exit code.
pub(super) fn supervise(
    run: RunArgs,
    keeper: &SuperviseArgs,
    global: GlobalArgs,
    inherited: Inherited,
    teller: &Teller,
) -> Result<ExitCode, CliError> {
    let failed = |error: io::Error| {
        CliError::new(Fault::Again, "cannot supervise the job").cause(error.to_string())
    };
    if run.topology.metadata().is_ok_and(|found| !found.is_file()) {
        let topology = run.topology.display();
        let message = format!("`--supervise` reads `{topology}` at every start, and it is no file");
        return Err(CliError::new(Fault::Usage, message));
    }
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        // Where who started this process ignores the ends of children, nobody would hear of them.
        let _heard = signal(SignalKind::child()).map_err(failed)?;
        let manager = ServiceManager::from_environment();
        let alive_every = manager.as_ref().and_then(ServiceManager::alive_every);
        let supervisor = Supervisor {
            program: std::env::current_exe().map_err(failed)?,
            run,
            global,
            teller: teller.clone(),
            sockets: Sockets::new(inherited.listeners),
            ends: Ends::none(Limit {
                ends: keeper.give_up_after,
                within: keeper.give_up_within,
            }),
            signals: Signals::listen().map_err(failed)?,
            alive: alive_every.map(interval),
            manager,
        };
        supervisor.supervise().await
    })
}

struct Supervisor {
    program: PathBuf,
    /// How the job is started next.
    run: RunArgs,
    global: GlobalArgs,
    teller: Teller,
    sockets: Sockets,
    ends: Ends,
    signals: Signals,
    manager: Option<ServiceManager>,
    /// When the service manager is to hear that it need not wait in vain; none: never.
    alive: Option<Interval>,
}

/// A start of the job.
struct Process {
    child: Child,
    line: JobLine,
}

/// How a start of the job ended.
struct End {
    /// Its exit, or why it could not be started.
    exit: io::Result<ExitStatus>,
    /// How far it had got.
    reached: Option<Milestone>,
    /// Whether it had been asked to end.
    was_asked: bool,
}

impl End {
    /// Its exit code, if another start would not change it.
    fn code_for_good(&self) -> Option<u8> {
        ends::for_good(*self.exit.as_ref().ok()?)
    }

    fn told(&self) -> String {
        match &self.exit {
            Ok(status) => status.to_string(),
            Err(error) => format!("it cannot be started: {error}"),
        }
    }
}

impl Supervisor {
    /// Starts the job, again and again, until an end is for good or somebody asks for it.
    async fn supervise(mut self) -> Result<ExitCode, CliError> {
        loop {
            let end = match self.start() {
                Ok(process) => self.watch(process).await?,
                Err(error) => End {
                    exit: Err(error),
                    reached: None,
                    was_asked: false,
                },
            };
            if let Some(code) = end.code_for_good() {
                return Ok(ExitCode::from(code));
            }
            if end.was_asked {
                return asked_end(&end);
            }
            if end.reached.is_some() {
                self.run = arguments::going_on(&self.run);
            }
            let has_committed = end.reached == Some(Milestone::Committed);
            let pause = match self.ends.add(Instant::now(), has_committed) {
                Next::Start(pause) => pause,
                Next::GiveUp => return Err(self.given_up(&end)),
            };
            let told = end.told();
            warn!(end = told, ?pause, "the job ended, it is started again");
            self.tell_manager(&format!("the job ended ({told}), it is started again"));
            if !self.sleep(pause).await {
                return asked_end(&end);
            }
        }
    }

    /// Starts a process of the job, which takes over the sockets.
    fn start(&mut self) -> io::Result<Process> {
        // What is wrong with the topology the job tells.
        if let Ok(parsed) = load::parse(&self.run.topology, &self.teller) {
            let connectors = SourceConnectors::default();
            self.sockets.follow(&parsed.plan, &connectors);
        }
        let (line, end) = line()?;
        let (mut names, mut descriptors) = (vec![LINE_NAME], vec![end]);
        for (source, socket) in self.sockets.iter() {
            names.push(source);
            descriptors.push(socket.as_fd().try_clone_to_owned()?);
        }
        let mut command = Command::new(&self.program);
        command
            .args(arguments::arguments(&self.global, &self.run))
            .env("LISTEN_FDS", names.len().to_string())
            .env("LISTEN_FDNAMES", names.join(":"))
            .env_remove("LISTEN_PID");
        if self.alive.is_some() {
            // It is the job that must not get stuck, and not who keeps it alive.
            command.env_remove("WATCHDOG_PID");
        }
        let descriptors = (FIRST_DESCRIPTOR..).zip(descriptors);
        let mappings = descriptors.map(|(child_fd, parent_fd)| FdMapping {
            parent_fd,
            child_fd,
        });
        command
            .fd_mappings(mappings.collect())
            .map_err(io::Error::other)?;
        let child = tokio::process::Command::from(command).spawn()?;
        Ok(Process { child, line })
    }

    /// Waits for the end of the job, which the first signal asks for. The second kills it.
    async fn watch(&mut self, process: Process) -> Result<End, CliError> {
        let Process {
            mut child,
            mut line,
        } = process;
        let mut was_asked = false;
        loop {
            tokio::select! {
                exit = child.wait() => {
                    let lost = |error: io::Error| {
                        CliError::new(Fault::Again, "cannot hear of the end of the job")
                            .cause(error.to_string())
                    };
                    let exit = Ok(exit.map_err(lost)?);
                    return Ok(End { exit, reached: line.reached(), was_asked });
                }
                () = self.signals.next() => {
                    if was_asked {
                        // It loses nothing that it has acknowledged.
                        let _ = child.start_kill();
                        let _ = child.wait().await;
                        return Err(CliError::new(Fault::Job, "stopped at once"));
                    }
                    was_asked = true;
                    line.stop();
                }
                // Recovery takes as long as it takes; from then on the job speaks for itself.
                () = due(&mut self.alive) => {
                    if line.reached() < Some(Milestone::Running) {
                        self.tell_alive();
                    }
                }
            }
        }
    }

    /// Waits; false: a signal came.
    async fn sleep(&mut self, pause: Duration) -> bool {
        let over = tokio::time::sleep(pause);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = self.signals.next() => return false,
                () = &mut over => return true,
                () = due(&mut self.alive) => self.tell_alive(),
            }
        }
    }

    fn tell_alive(&self) {
        if let Some(manager) = &self.manager {
            manager.tell(&[NotifyState::Watchdog]);
        }
    }

    fn tell_manager(&self, status: &str) {
        if let Some(manager) = &self.manager {
            manager.tell(&[NotifyState::Status(status)]);
        }
    }

    fn given_up(&self, end: &End) -> CliError {
        let Limit { ends, within } = self.ends.limit();
        let message = format!(
            "gave up: the job ended {ends} times within {within:?} without a commit between"
        );
        CliError::new(Fault::Job, message)
            .cause(format!("the last time: {}", end.told()))
            .hint("what it said stands above; `--give-up-after` and `--give-up-within` bound the tries")
    }
}

fn interval(every: Duration) -> Interval {
    let mut interval = tokio::time::interval(every);
    // After a pause of the whole process nothing is made up for.
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// When the service manager is to hear next that the process is alive.
async fn due(alive: &mut Option<Interval>) {
    match alive {
        Some(alive) => drop(alive.tick().await),
        None => std::future::pending().await,
    }
}

/// The end of a job that somebody asked for, and that has not ended well.
fn asked_end(end: &End) -> Result<ExitCode, CliError> {
    let is_killed = matches!(&end.exit, Ok(exit) if exit.signal().is_some());
    if end.was_asked && end.reached.is_none() && is_killed {
        // A signal to the whole group kills a job that has not begun to listen for it.
        info!("stopped before the job was open");
        return Ok(ExitCode::SUCCESS);
    }
    let message = "stopped before all that was received was processed";
    Err(CliError::new(Fault::Again, message)
        .cause(format!("the job ended: {}", end.told()))
        .hint("the next start goes on where it ended"))
}
