//! Everything that happens to a job, as one closed enum, and the inbox through which all of it
//! comes to the thread that decides ([`super::dispatcher`]).

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::JobError;
use super::run::batch::CommittedBatch;
use super::versions::succession::VersionEvent;
use crate::batch::{BatchTime, Digest};
use crate::journal::StorageError;
use crate::observe::status::Status;

/// What can happen to a job.
pub enum Event {
    /// One of the sources has received all it ever will.
    SourceEnded,
    /// A batch has begun to run.
    Begun(BatchTime),
    /// An attempt of a batch was aborted.
    Aborted(BatchTime),
    /// A batch is committed; it is going to be published.
    Committed(Box<CommittedBatch>),
    /// All sinks show a batch and all batches before it.
    Published(BatchTime),
    /// Checkpoints hold what became of a batch and of all before it, so that no start runs them again.
    Covered(BatchTime),
    /// Nothing may be created in the job's root any more.
    RootLost(StorageError),
    /// Nothing more is going to be run: a batch cannot be committed, or a sink is lost.
    Failing,
    /// Nothing runs any more, and what was committed is published as far as that goes.
    RunEnded(Result<(), JobError>),
    /// A plugin version has come, gone, or waits.
    Version(VersionEvent),
    /// Somebody wants the job to process what was received, and to end.
    Stop,
    /// The same, and to be started again with a plugin's version before the last swap and the state of
    /// then.
    TakeBack(String),
    /// Somebody asks.
    Request {
        /// What.
        request: Request,
        /// Where the answer goes.
        reply: Reply,
    },
}

/// What can be asked of a running job: through its control socket, or by the program it runs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Request {
    /// Everything that [`Status`] holds.
    Status,
    /// The version of a plugin that ran before the last swap is to run again, from the next batch on.
    Rollback {
        /// The plugin.
        plugin: String,
        /// With which state.
        #[serde(default)]
        state: RollbackState,
    },
    /// Clocks that a test has stopped move on; where the open interval is over then, it is cut.
    MoveClock {
        /// By so many milliseconds the monotonic one.
        elapsed_ms: u64,
        /// To this time the wall clock, epoch milliseconds.
        wall_ms: i64,
    },
}

/// Which state a plugin goes back with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackState {
    /// What its streams hold.
    #[default]
    OfNow,
    /// What they held before the last swap. The job is started anew for it.
    OfThen,
}

/// What is answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Rollback`]: the version that the next batch takes.
    RolledBack(Digest),
    /// To [`Request::MoveClock`]: the label of the interval that was open until then.
    Open(BatchTime),
    /// The request was not understood, or cannot be answered.
    Error(String),
}

/// Takes an answer, from the thread that decides: it must not wait.
pub type Reply = Box<dyn FnOnce(Answer) + Send>;

/// How long [`Mail::status`] waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// The way into an inbox; clones lead to the same one.
#[derive(Clone, Debug)]
pub struct Mail(Sender<Event>);

impl Mail {
    /// An inbox, and the way into it.
    #[must_use]
    pub fn new() -> (Self, Inbox) {
        let (sender, receiver) = channel();
        (Self(sender), Inbox(receiver))
    }

    /// A way to nowhere: what is told is forgotten.
    #[must_use]
    pub fn nowhere() -> Self {
        Self::new().0
    }

    /// Tells the job; a job that has ended hears nothing any more.
    pub fn tell(&self, event: Event) {
        let _ = self.0.send(event);
    }

    /// Asks the job. Where it has ended, `reply` is dropped.
    pub fn ask(&self, request: Request, reply: Reply) {
        self.tell(Event::Request { request, reply });
    }

    /// The job's status; none if it has ended.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        let (sender, answer) = channel();
        let reply = move |answer| {
            // Who asked may have given up.
            let _ = sender.send(answer);
        };
        self.ask(Request::Status, Box::new(reply));
        match answer.recv_timeout(PATIENCE) {
            Ok(Answer::Status(status)) => Some(*status),
            Ok(_) | Err(_) => None,
        }
    }
}

/// Where all that happens to a job arrives, in order.
#[derive(Debug)]
pub struct Inbox(Receiver<Event>);

impl Inbox {
    /// The next event; none if there is none within so much time. Where that is over already, none
    /// comes however much waits, so that a flood of events does not keep a job from its batches.
    pub fn next_within(&self, left: Duration) -> Option<Event> {
        if left.is_zero() {
            return None;
        }
        match self.0.recv_timeout(left) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
            // Nobody is left who could tell anything: only time goes on.
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::sleep(left);
                None
            }
        }
    }

    /// The next event, if there is one.
    #[cfg(test)]
    pub(super) fn poll(&self) -> Option<Event> {
        self.0.try_recv().ok()
    }

    /// The next event, however long it takes; none if nobody is left who could tell anything.
    pub fn next(&self) -> Option<Event> {
        self.0.recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_has_passed_comes_before_what_waits() {
        let (mail, inbox) = Mail::new();
        mail.tell(Event::Stop);
        assert!(inbox.next_within(Duration::ZERO).is_none());
        let event = inbox.next_within(Duration::from_secs(60));
        assert!(matches!(event, Some(Event::Stop)));
    }

    #[test]
    fn a_job_that_has_ended_has_no_status() {
        assert!(Mail::nowhere().status().is_none());
    }
}
