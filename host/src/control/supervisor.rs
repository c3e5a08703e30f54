//! The line between a job and its supervisor (`dshost run --supervise`): a pair of connected
//! sockets, a new one for every start, which the process inherits.
//!
//! The job says one byte when it has got somewhere, three in its life ([`Milestone`]), and the
//! supervisor one byte: stop. When either dies, the other finds the end of the line; a job without
//! its supervisor stops as if it had been told to, because nobody would start it again.
//!
//! **Invariant:** neither waits for the other: what is said in a life always fits into the
//! sockets' buffers.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// The name of the job's end among what the process inherits (`LISTEN_FDNAMES`); no source can be
/// called so.
pub const LINE_NAME: &str = "dshost.supervisor";

/// What the supervisor says.
const STOP: u8 = b's';

/// How far a start of a job has got, each further than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Milestone {
    /// Everything is open, and what earlier starts left is found, or let go of if that was asked
    /// for.
    Opened,
    /// What was to be run again is, and new batches are cut.
    Running,
    /// A batch is committed.
    Committed,
}

impl Milestone {
    const ALL: [Self; 3] = [Self::Opened, Self::Running, Self::Committed];

    const fn byte(self) -> u8 {
        match self {
            Self::Opened => b'o',
            Self::Running => b'r',
            Self::Committed => b'c',
        }
    }
}

/// A new line: the supervisor's end, and the one that the job is to inherit.
///
/// # Errors
///
/// The process has no file descriptor left.
pub fn line() -> io::Result<(JobLine, OwnedFd)> {
    let (mine, other) = UnixStream::pair()?;
    mine.set_nonblocking(true)?;
    let reached = None;
    let line = JobLine {
        stream: mine,
        reached,
    };
    Ok((line, other.into()))
}

/// The supervisor's end.
#[derive(Debug)]
pub struct JobLine {
    stream: UnixStream,
    reached: Option<Milestone>,
}

impl JobLine {
    /// How far the job has got by now, or had when it died; none: nowhere.
    pub fn reached(&mut self) -> Option<Milestone> {
        let mut bytes = [0; 16];
        while let Ok(length @ 1..) = self.stream.read(&mut bytes) {
            let said = |milestone: &Milestone| bytes[..length].contains(&milestone.byte());
            self.reached = self.reached.max(Milestone::ALL.into_iter().rfind(said));
        }
        self.reached
    }

    /// Tells the job to process what it has received, and to end. One that is still opening does
    /// so once it is open.
    pub fn stop(&mut self) {
        // A job that has died has stopped.
        let _ = self.stream.write(&[STOP]);
    }
}

/// The job's end; clones are the same.
#[derive(Clone, Debug)]
pub struct SupervisorLine(Arc<UnixStream>);

impl SupervisorLine {
    /// The end that the process has inherited.
    ///
    /// # Errors
    ///
    /// It is no socket.
    pub fn inherited(end: OwnedFd) -> io::Result<Self> {
        let stream = UnixStream::from(end);
        stream.set_nonblocking(true)?;
        Ok(Self(Arc::new(stream)))
    }

    /// Says how far the job has got.
    pub fn tell(&self, milestone: Milestone) {
        // Nobody may be there to hear it.
        let _ = (&*self.0).write(&[milestone.byte()]);
    }

    /// The same line, to hear what the supervisor says.
    ///
    /// # Errors
    ///
    /// The process has no file descriptor left, or this is not called within a runtime.
    pub fn ear(&self) -> io::Result<SupervisorEar> {
        let stream = self.0.try_clone()?;
        tokio::net::UnixStream::from_std(stream).map(SupervisorEar)
    }
}

/// Hears what the supervisor says.
#[derive(Debug)]
pub struct SupervisorEar(tokio::net::UnixStream);

/// What a job hears of its supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The job is to process what it has received, and to end.
    Stop,
    /// The supervisor is gone.
    Gone,
}

impl SupervisorEar {
    /// Waits until there is something to hear; after [`Heard::Gone`] there is that at once, again
    /// and again. Nothing is lost if it is given up.
    pub async fn next(&mut self) -> Heard {
        loop {
            let mut byte = [0];
            let read = match self.0.readable().await {
                Ok(()) => self.0.try_read(&mut byte),
                Err(error) => Err(error),
            };
            match read {
                Ok(1..) if byte == [STOP] => return Heard::Stop,
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => return Heard::Gone,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends() -> (JobLine, SupervisorLine) {
        let (supervisor, job) = line().unwrap();
        (supervisor, SupervisorLine::inherited(job).unwrap())
    }

    #[test]
    fn what_a_job_said_is_heard_also_after_its_death() {
        let (mut supervisor, job) = ends();
        assert_eq!(supervisor.reached(), None);
        job.tell(Milestone::Opened);
        assert_eq!(supervisor.reached(), Some(Milestone::Opened));
        assert_eq!(supervisor.reached(), Some(Milestone::Opened));
        job.tell(Milestone::Running);
        job.tell(Milestone::Committed);
        drop(job);
        assert_eq!(supervisor.reached(), Some(Milestone::Committed));
        supervisor.stop();
    }

    #[test]
    fn nobody_waits_for_who_does_not_listen() {
        let (mut supervisor, job) = ends();
        for _ in 0..1 << 20 {
            job.tell(Milestone::Committed);
        }
        assert_eq!(supervisor.reached(), Some(Milestone::Committed));
        drop(supervisor);
        job.tell(Milestone::Committed);
    }

    #[test]
    fn a_job_hears_that_it_is_to_stop_and_that_nobody_is_left() {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut supervisor, job) = ends();
            let mut ear = job.ear().unwrap();
            supervisor.stop();
            assert_eq!(ear.next().await, Heard::Stop);
            drop(supervisor);
            assert_eq!(ear.next().await, Heard::Gone);
            assert_eq!(ear.next().await, Heard::Gone);
        });
    }
}
