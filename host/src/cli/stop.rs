//! Lets a job end that somebody wants to end: by SIGINT, SIGTERM or SIGHUP, or through its
//! supervisor.
//!
//! The first time it processes what it has received. The second time the process ends at once, but
//! only without a supervisor: a signal to the whole process group comes to both, and the
//! supervisor counts.
//!
//! Who listens does so on a thread of its own from the start of the process on, so that nothing is
//! missed while a job is opened, or opened again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::{info, warn};

use super::error::Fault;
use super::signals::Signals;
use crate::control::supervisor::{Heard, SupervisorEar, SupervisorLine};
use crate::driver::event::{Event, Mail};
use crate::driver::{Job, JobEnd, JobError};

/// Whoever runs jobs that are to end when somebody wants that.
#[derive(Clone, Default)]
pub(super) struct Stopper(Arc<Mutex<Asked>>);

#[derive(Default)]
struct Asked {
    is_asked: bool,
    /// The job that runs.
    mail: Option<Mail>,
}

impl Stopper {
    /// Listens from now on. Where that is not possible a signal ends the process, and that is
    /// told.
    pub(super) fn listen(supervisor: Option<SupervisorLine>) -> Self {
        let stopper = Self::default();
        let listening = stopper.clone();
        let thread = std::thread::Builder::new().name("signals".to_owned());
        let (ready, is_ready) = std::sync::mpsc::channel();
        let spawned = thread.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build()?;
            runtime.block_on(async {
                let signals = Signals::listen()?;
                let supervisor = supervisor.as_ref().map(SupervisorLine::ear).transpose()?;
                let _ = ready.send(());
                listening.heed(signals, supervisor).await;
                std::io::Result::Ok(())
            })
        });
        if spawned.is_err() || is_ready.recv().is_err() {
            warn!("cannot listen for signals: a signal stops the job at once");
        }
        stopper
    }

    /// Runs a job to its end.
    ///
    /// # Errors
    ///
    /// As [`Job::run`].
    pub(super) fn run(&self, job: Job) -> Result<JobEnd, JobError> {
        let mut asked = self.asked();
        if asked.is_asked {
            job.mail().tell(Event::Stop);
        }
        asked.mail = Some(job.mail());
        drop(asked);
        job.run()
    }

    async fn heed(&self, mut signals: Signals, mut supervisor: Option<SupervisorEar>) {
        loop {
            let ear = async {
                match &mut supervisor {
                    Some(ear) => ear.next().await,
                    None => std::future::pending().await,
                }
            };
            let is_gone = tokio::select! {
                () = signals.next() => false,
                heard = ear => heard == Heard::Gone,
            };
            if is_gone {
                warn!("the supervisor is gone");
                supervisor = None;
            }
            let is_first = self.ask();
            if !is_first && !is_gone && supervisor.is_none() {
                warn!("stopped at once");
                std::process::exit(i32::from(Fault::Job.exit_code()));
            }
        }
    }

    /// Lets the job end; false: it was let already.
    fn ask(&self) -> bool {
        let mut asked = self.asked();
        let is_first = !asked.is_asked;
        if is_first {
            asked.is_asked = true;
            info!("stopping: what was received is processed; once more stops at once");
            if let Some(mail) = &asked.mail {
                mail.tell(Event::Stop);
            }
        }
        is_first
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        // Nothing is left half done under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
