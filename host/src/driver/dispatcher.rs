//! The thread that decides: it takes what happens to a job from the inbox, cuts a batch whenever an
//! interval ends, and answers requests.
//!
//! It never waits for anything else, so a job answers while a batch is stuck, and time goes on for
//! the sources while one runs.
//!
//! Start reading at [`Dispatcher::run`].

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracing::{debug, error, warn};

use super::error::JobError;
use super::event::{Answer, Event, Inbox, Reply, Request};
use super::observer::{JobObserver, Pulse, Unobserved};
use super::recovery::checkpointer::Published;
use super::recovery::entry::LogEntry;
use super::recovery::log::{JobLog, WriterGate};
use super::report;
use super::run::batch::Batch;
use super::run::commit::acknowledge;
use super::run::cutter::{Cutter, LostSource};
use super::run::runner::Runner;
use super::versions::reload::VersionDesk;
use crate::batch::BatchTime;
use crate::observe::fault::{CrashStage, reach};
use crate::observe::metrics::Metric;
use crate::observe::status::{Board, Status};
use crate::sink::lane::SinkLanes;
use crate::topology::plan::Plan;
use crate::topology::problem::with_causes;

/// Batches that may wait to be run. Beyond it the open interval is not cut but grows, so that a
/// batch that hangs does not collect empty batches behind it for ever.
pub const MAX_QUEUED_BATCHES: usize = 1024;

/// A job while it runs.
pub struct Dispatcher {
    plan: Arc<Plan>,
    cutter: Cutter,
    /// None once nothing more is cut.
    queue: Option<Sender<Batch>>,
    /// The thread that runs batches.
    runner: Option<JoinHandle<()>>,
    lanes: Arc<SinkLanes>,
    /// Batches that wait to be run.
    queued: usize,
    ended_sources: usize,
    /// Whether what was received is all that is going to be cut.
    draining: bool,
    board: Board,
    /// Who is told how the job gets on.
    pulse: Pulse,
    /// Where a version is asked for; none where there are no plugins.
    desk: Option<VersionDesk>,
    /// None where nothing survives the process.
    journal: Option<Journal>,
    /// So many batches are still to be cut; none: as many as come.
    left: Option<u64>,
    /// Why the job ends before its time.
    failed: Option<JobError>,
    /// The plugin that goes back when the job is started again.
    take_back: Option<String>,
}

/// How a job has ended in good order.
#[derive(Debug)]
pub struct JobEnd {
    /// The last figures.
    pub status: Status,
    /// It is to be started again, with this plugin's version before the last swap and the state of then.
    pub take_back: Option<String>,
}

/// What a dispatcher does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It cuts.
    Cut,
    /// It waits for an event until then, and cuts.
    Until(Instant),
    /// It waits for an event.
    Event,
}

/// Where it is said what was cut and published, and who waits for that.
pub struct Journal {
    /// Where it is said.
    pub log: JobLog,
    /// Lets it be written.
    pub gate: WriterGate,
    /// Who waits until something is published.
    pub published: Published,
}

impl Journal {
    /// That of a job of which all batches up to one are published.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn open(log: JobLog, upto: Option<BatchTime>) -> std::io::Result<Self> {
        let published = Published::default();
        if let Some(upto) = upto {
            published.reach(upto);
        }
        Ok(Self {
            gate: log.writer()?,
            log,
            published,
        })
    }
}

impl Dispatcher {
    /// Takes over a job of which everything is open.
    #[must_use]
    pub fn new(plan: Arc<Plan>, cutter: Cutter, runner: Runner, board: Board) -> Self {
        Self {
            plan,
            cutter,
            queue: Some(runner.queue),
            runner: runner.thread,
            lanes: runner.lanes,
            queued: 0,
            ended_sources: 0,
            draining: false,
            board,
            pulse: Pulse::new(Box::new(Unobserved)),
            desk: None,
            journal: None,
            left: None,
            failed: None,
            take_back: None,
        }
    }

    /// This one is told how the job gets on.
    #[must_use]
    pub fn with_observer(mut self, observer: Box<dyn JobObserver>) -> Self {
        self.pulse = Pulse::new(observer);
        self
    }

    /// What is published is said in the journal, and acknowledged once checkpoints hold it.
    #[must_use]
    pub fn with_journal(mut self, journal: Option<Journal>) -> Self {
        self.journal = journal;
        self
    }

    /// Versions are asked for there.
    #[must_use]
    pub fn with_desk(mut self, desk: Option<VersionDesk>) -> Self {
        self.desk = desk;
        self
    }

    /// No more than so many batches are cut, if there is a number; those of earlier starts do not count.
    #[must_use]
    pub const fn with_at_most(mut self, batches: Option<u64>) -> Self {
        self.left = batches;
        self
    }

    /// These come first: an earlier start has cut them.
    #[must_use]
    pub fn with_cut_before(mut self, batches: Vec<Batch>) -> Self {
        for batch in batches {
            self.queue(batch);
        }
        self
    }

    /// Until all is cut, run and published, or the job fails.
    ///
    /// # Errors
    ///
    /// Why it fails; what was committed before is published.
    pub fn run(mut self, inbox: &Inbox) -> Result<JobEnd, JobError> {
        self.pulse.observer().running();
        loop {
            self.pulse.beat(Instant::now());
            let event = match self.turn() {
                Turn::Cut => {
                    self.cut_if_there_is_room();
                    continue;
                }
                Turn::Until(_) => self.next(inbox, true),
                Turn::Event => self.next(inbox, false),
            };
            match event {
                None if self.is_time_to_cut() => self.cut_if_there_is_room(),
                // It was time to beat.
                None => {}
                Some(Event::RunEnded(result)) => return self.end(result),
                Some(event) => self.hear(event),
            }
        }
    }

    /// The next event; none once it is time to cut the sources, if they are to be cut, or to beat.
    fn next(&self, inbox: &Inbox, cuts: bool) -> Option<Event> {
        let to_cut = cuts.then(|| self.to_cut().unwrap_or_default());
        let to_beat = self.pulse.left(Instant::now());
        match to_cut.into_iter().chain(to_beat).min() {
            Some(left) => inbox.next_within(left),
            None => inbox.next(),
        }
    }

    /// How long until the open interval ends; none: it has.
    fn to_cut(&self) -> Option<Duration> {
        self.cutter.clock().left(self.cutter.deadline())
    }

    /// Whether the open interval has ended, and is to be cut.
    fn is_time_to_cut(&self) -> bool {
        matches!(self.turn(), Turn::Until(_)) && self.to_cut().is_none()
    }

    /// What it does next.
    pub(super) fn turn(&self) -> Turn {
        match (self.queue.is_some(), self.draining) {
            (true, true) if self.has_room() => Turn::Cut,
            (true, false) => Turn::Until(self.cutter.deadline()),
            _ => Turn::Event,
        }
    }

    const fn has_room(&self) -> bool {
        self.queued < MAX_QUEUED_BATCHES
    }

    /// What follows from an event.
    pub(super) fn hear(&mut self, event: Event) {
        match event {
            Event::SourceEnded => {
                self.ended_sources += 1;
                if self.ended_sources >= self.cutter.sources() {
                    self.drain();
                }
            }
            // One that ends is not started again.
            Event::TakeBack(plugin) if !self.draining => {
                self.take_back = Some(plugin);
                self.stop();
            }
            Event::TakeBack(_) => {}
            Event::Stop => {
                self.take_back = None;
                self.stop();
            }
            Event::Begun(batch) => {
                self.queued -= 1;
                self.cutter.begun(batch);
            }
            Event::Aborted(_) => self.board.status.aborted += 1,
            Event::Committed(batch) => {
                if self.journal.is_some() {
                    self.cutter.durable(batch.batch);
                }
                self.cutter.processed(&batch);
                report::committed(&mut self.board, &self.plan, &batch);
                self.pulse.observer().committed(&self.board.status);
            }
            Event::Published(batch) => {
                self.board.metrics.add(Metric::PublishedBatches, 1);
                match &self.journal {
                    Some(Journal { log, published, .. }) => {
                        log.say(LogEntry::Published { batch });
                        published.reach(batch);
                    }
                    None => acknowledge(&mut self.cutter, batch),
                }
            }
            Event::Covered(batch) => {
                acknowledge(&mut self.cutter, batch);
                self.say_closed(false);
            }
            Event::RootLost(error) => self.fail(JobError::RootLost(error)),
            Event::Failing | Event::RunEnded(_) => self.stop_cutting(),
            Event::Version(event) => {
                report::version(&mut self.board.status, &event);
                report::log_version(&event);
            }
            Event::Request { request, reply } => self.answer(request, reply),
        }
    }

    fn answer(&mut self, request: Request, reply: Reply) {
        self.board.metrics.add(Metric::AnsweredRequests, 1);
        match request {
            Request::Status => reply(Answer::Status(Box::new(self.status()))),
            Request::Rollback { plugin, state } => match &self.desk {
                // It takes as long as compiling does.
                Some(desk) => desk.roll_back(plugin, state, reply),
                None => reply(Answer::Error("the job has no plugins".to_owned())),
            },
            Request::MoveClock {
                elapsed_ms,
                wall_ms,
            } => {
                let elapsed = Duration::from_millis(elapsed_ms);
                reply(match self.cutter.move_clock(elapsed, wall_ms) {
                    Some(open) => Answer::Open(open),
                    None => Answer::Error("the job's clocks run by themselves".to_owned()),
                });
            }
        }
    }

    fn status(&self) -> Status {
        let in_flight = self.lanes.flow().bytes();
        self.board
            .metrics
            .set(Metric::InFlightBytes, in_flight as u64);
        let mut status = self.board.read();
        status.sources = self.cutter.health();
        status.queued = self.queued;
        status
    }

    /// Ends the open interval, or lets it grow.
    pub(super) fn cut_if_there_is_room(&mut self) {
        if self.has_room() {
            return self.cut();
        }
        debug!(
            queued = MAX_QUEUED_BATCHES,
            "the queue is full, the open interval grows"
        );
        self.cutter.skip();
    }

    /// Cuts every source.
    fn cut(&mut self) {
        match self.cutter.cut() {
            Ok((batch, more)) => {
                reach(CrashStage::Received);
                self.say_cut(&batch);
                reach(CrashStage::Cut);
                let heard = self.queue(batch);
                self.left = self.left.map(|left| left.saturating_sub(1));
                if !more || !heard || self.left == Some(0) {
                    self.stop_cutting();
                }
            }
            Err(LostSource { source, error }) => self.fail(JobError::LostSource {
                source_name: source,
                error,
            }),
        }
    }

    /// The job ends for this reason, once all that waits is run.
    fn fail(&mut self, error: JobError) {
        error!("the job fails: {}", with_causes(&error));
        self.failed.get_or_insert(error);
        self.stop_cutting();
    }

    /// Says in the journal of what a batch consists.
    fn say_cut(&self, batch: &Batch) {
        if let Some(Journal { log, gate, .. }) = self.journal.as_ref().filter(|_| batch.has_input())
        {
            let input = self.plan.sources.iter().zip(&batch.input);
            let input = input.filter(|(_, parts)| !parts.is_empty());
            let input = input.map(|(source, parts)| (source.name.clone(), parts.clone()));
            log.cut(batch.time, input.collect());
            gate.knock();
        }
    }

    /// Says in the journal which lanes nobody need know any more.
    fn say_closed(&mut self, at_end: bool) {
        let Some(Journal { log, .. }) = &self.journal else {
            return;
        };
        for (source, lanes) in self.cutter.closed(at_end) {
            log.say(LogEntry::Closed { source, lanes });
        }
    }

    /// Hands a batch to the runner; whether it takes it. One that has failed has said so, or is just
    /// about to.
    fn queue(&mut self, batch: Batch) -> bool {
        self.queued += 1;
        let heard = self.queue.as_ref().map(|queue| queue.send(batch));
        matches!(heard, Some(Ok(())))
    }

    /// Lets the job end once what was received is processed, with an end to waiting for a sink.
    fn stop(&mut self) {
        self.board.status.state = "draining".to_owned();
        self.lanes.stop();
        self.drain();
    }

    /// Stops the sources; what they have received is cut.
    fn drain(&mut self) {
        if self.take_back.is_none() {
            self.pulse.observer().draining();
        }
        self.cutter.stop();
        self.draining = true;
    }

    /// Nothing more is cut; what waits is run.
    fn stop_cutting(&mut self) {
        self.queue = None;
        self.cutter.stop();
    }

    /// Nothing runs any more.
    pub(super) fn end(mut self, result: Result<(), JobError>) -> Result<JobEnd, JobError> {
        if let Some(Err(panic)) = self.runner.take().map(JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
        if self.queued > 0 {
            let batches = self.queued;
            match self.journal {
                Some(_) => warn!(batches, "received and left for the next start"),
                None => warn!(batches, "received and not processed"),
            }
        }
        self.say_closed(true);
        if let Some(Journal { log, .. }) = &self.journal
            && let Err(error) = log.sync()
        {
            // What it says that is not durable is found out again.
            warn!(
                "the last words of the journal are lost: {}",
                with_causes(&error)
            );
        }
        // What it told before its end is heard first, so all of it shows.
        let status = self.status();
        report::ended(&status);
        match self.failed {
            Some(error) => Err(error),
            None => result.map(|()| JobEnd {
                status,
                take_back: self.take_back,
            }),
        }
    }
}
