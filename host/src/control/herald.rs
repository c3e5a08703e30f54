//! Tells a job's supervisor and the service manager how the job gets on, as the thread that
//! decides tells it.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use super::service::ServiceManager;
use super::supervisor::{Milestone, SupervisorLine};
use crate::driver::observer::JobObserver;
use crate::observe::status::{BatchStatus, Status};

/// The service manager hears of a batch no more often.
const STATUS_EVERY: Duration = Duration::from_secs(2);

/// Who is told; both may be missing.
pub struct Herald {
    supervisor: Option<SupervisorLine>,
    manager: Option<ServiceManager>,
    /// What holds of the job, which every message to the manager says.
    state: NotifyState<'static>,
    /// What it heard last of a batch, and when.
    status: String,
    said_at: Option<Instant>,
    has_committed: bool,
}

impl Herald {
    /// One that tells these.
    #[must_use]
    pub const fn new(supervisor: Option<SupervisorLine>, manager: Option<ServiceManager>) -> Self {
        Self {
            supervisor,
            manager,
            state: NotifyState::Ready,
            status: String::new(),
            said_at: None,
            has_committed: false,
        }
    }

    fn tell_supervisor(&self, milestone: Milestone) {
        if let Some(supervisor) = &self.supervisor {
            supervisor.tell(milestone);
        }
    }

    fn tell_manager(&self, more: &[NotifyState<'_>]) {
        if let Some(manager) = &self.manager {
            let status = NotifyState::Status(&self.status);
            manager.tell(&[&[self.state.clone(), status], more].concat());
        }
    }
}

impl JobObserver for Herald {
    fn running(&mut self) {
        self.tell_supervisor(Milestone::Running);
        self.status = "running, no batch yet".to_owned();
        self.tell_manager(&[]);
    }

    fn committed(&mut self, status: &Status) {
        if !self.has_committed {
            self.has_committed = true;
            self.tell_supervisor(Milestone::Committed);
        }
        let is_due = |at: Instant| at.elapsed() >= STATUS_EVERY;
        if self.manager.is_some() && self.said_at.is_none_or(is_due) {
            self.said_at = Some(Instant::now());
            self.status = line(status);
            self.tell_manager(&[]);
        }
    }

    fn draining(&mut self) {
        self.state = NotifyState::Stopping;
        self.status = "processing what was received, then the job ends".to_owned();
        self.tell_manager(&[]);
    }

    fn alive(&mut self) {
        self.tell_manager(&[NotifyState::Watchdog]);
    }

    fn alive_every(&self) -> Option<Duration> {
        self.manager.as_ref()?.alive_every()
    }
}

/// How a job is, in one line.
fn line(status: &Status) -> String {
    let last = status.last.unwrap_or_default();
    let BatchStatus {
        time,
        scheduling_delay_us: delay,
        processing_us: processing,
        ..
    } = last;
    format!(
        "batch {time}: {:.0} records/s, {:.1} ms behind the clock, of which {:.1} ms waiting",
        status.recent.records_per_second,
        (delay + processing) as f64 / 1000.0,
        delay as f64 / 1000.0,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchTime;

    #[test]
    fn a_job_is_told_in_one_line() {
        let mut status = Status {
            last: Some(BatchStatus {
                time: BatchTime(3_600_000),
                records: 7,
                scheduling_delay_us: 1500,
                processing_us: 2000,
            }),
            ..Status::default()
        };
        status.recent.records_per_second = 1234.4;
        assert_eq!(
            line(&status),
            "batch 3600000: 1234 records/s, 3.5 ms behind the clock, of which 1.5 ms waiting"
        );
    }
}
