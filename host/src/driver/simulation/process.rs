//! A job's process in one thread: what its threads would do is done in steps, in an order that chance
//! chooses.
//!
//! It is put together as [`Job`](crate::driver::Job) does it, of the same parts.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use rand::Rng;
use rand::rngs::SmallRng;

use super::clock::{self, CLOCK};
use super::disk::{FailedSyncs, ProcessDisk};
use super::versions::{PLUGIN, Program};
use super::world::{DIR, World};
use crate::batch::sink::Incarnation;
use crate::dataflow::Stepping;
use crate::driver::PastOptions;
use crate::driver::dispatcher::{Dispatcher, Journal, Turn};
use crate::driver::error::JobError;
use crate::driver::event::{Event, Inbox, Mail};
use crate::driver::job::{find, listener, told_to};
use crate::driver::laws::samples::Keep;
use crate::driver::recovery::checkpointer::{Checkpointer, Keeping, Maker, Published, Written};
use crate::driver::recovery::log::{JobLog, WriterGate};
use crate::driver::recovery::resume::{Resumed, Resuming, resume, settle};
use crate::driver::recovery::start::{JobPlace, Start};
use crate::driver::recovery::versions::{Bound, KeptVersions, Programs};
use crate::driver::report;
use crate::driver::run::cadence::Cadence;
use crate::driver::run::cutter::{Cutter, NamedSources};
use crate::driver::run::executor::{Executor, ExecutorOptions, Past};
use crate::driver::run::runner::{BatchRunner, Runner, Running};
use crate::driver::versions::deployment::{Components, Deployment, Standing};
use crate::driver::versions::load::PluginsError;
use crate::driver::versions::shared::Versions;
use crate::driver::versions::store::ComponentStore;
use crate::journal::Directory;
use crate::journal::disk::Disk;
use crate::observe::metrics::Metrics;
use crate::observe::status::Board;
use crate::sink::lane::testing::Hands;
use crate::sink::lane::{LaneOptions, NamedSink, PublishQueue, SinkLanes};
use crate::topology::plan::Plan;

/// What a thread does next.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// The thread that decides hears of an event.
    Hear,
    /// Time goes on, and it cuts.
    Cut,
    /// A batch is run.
    Run,
    /// A sink publishes.
    Publish,
    /// A checkpoint is written, or counts.
    Checkpoint,
    /// What lies in front of the log is written.
    Write,
    /// Somebody looks at the plugin directory.
    Look,
}

/// How often each thread gets on, as a machine lets it: one in so many steps.
struct Pace(Vec<(Act, u32)>);

impl Pace {
    /// Any: each thread may be slow.
    fn any(random: &mut SmallRng) -> Self {
        let acts = [
            (Act::Hear, 8),
            (Act::Cut, 6),
            (Act::Run, 6),
            (Act::Publish, 6),
            (Act::Checkpoint, 4),
            (Act::Write, 2),
            (Act::Look, 2),
        ];
        let slow = |(act, weight)| match random.random_range(0..4) {
            0 => (act, 1),
            _ => (act, weight),
        };
        Self(acts.map(slow).into())
    }

    fn choose(&self, random: &mut SmallRng) -> Act {
        let all = self.0.iter().map(|(_, weight)| weight).sum();
        let mut left = random.random_range(0..all);
        let mut acts = self.0.iter();
        let chosen = acts.find(|(_, weight)| {
            let is_chosen = left < *weight;
            left = left.saturating_sub(*weight);
            is_chosen
        });
        chosen.expect("one of them is").0
    }
}

/// A process that runs the job.
pub(super) struct Process {
    pace: Pace,
    plan: Arc<Plan>,
    mail: Mail,
    inbox: Inbox,
    /// None once it has ended.
    dispatcher: Option<Dispatcher>,
    /// None once nothing is run any more.
    runner: Option<BatchRunner>,
    hands: Arc<Hands>,
    maker: Maker,
    /// A checkpoint that waits until what it covers is published.
    written: Option<Written>,
    log: JobLog,
    knocks: Receiver<()>,
    versions: Versions,
    store: ComponentStore,
    is_stopping: bool,
    /// Batches that were cut ahead of those that were run.
    ahead: u32,
}

/// So many batches may be cut ahead.
const MAX_AHEAD: u32 = 10;

impl Process {
    /// Starts the job where it was left.
    pub(super) fn start(world: &mut World, random: &mut SmallRng) -> Result<Self, JobError> {
        let plan = Arc::clone(&world.plan);
        let incarnation = world.incarnation();
        world.failed = FailedSyncs::default();
        let disk = ProcessDisk::new(world.disk.clone(), Arc::clone(&world.failed));
        let disk: Arc<dyn Disk> = Arc::new(disk);
        let dir = Path::new(DIR);
        let root = Directory::with_token(Arc::clone(&disk), dir, incarnation.number);
        let place = JobPlace {
            disk,
            dir: dir.to_owned(),
            root: Arc::new(root),
        };
        let start = find(&plan, &place, incarnation, &PastOptions::default())?;
        let mut start = start.expect("the job has a place for checkpoints");
        world.check_committed(start.history.last);
        let store = ComponentStore::new(place.root);
        let program = world.program;
        let loads = |programs: &Programs| load(&store, programs, program);
        let mut kept = KeptVersions::new(&plan, &loads, &start.frozen);
        let bound = Bound::new(&mut start, &mut kept, || {
            let components = load(&store, &Programs::new(), program)?;
            Ok(Standing::first(
                &plan,
                Deployment::compose(&plan, components)?,
            )?)
        })?;
        let (mail, inbox) = Mail::new();
        let told = listener(mail.clone(), Some(start.log.clone()));
        let Bound {
            current,
            resumption,
            restored,
        } = bound;
        let versions = Versions::resumed(Arc::clone(&plan), current, resumption, told);
        let sinks = sinks(world);
        let mut sources = sources(world, &start, incarnation);
        let recovered = settle(Some(&start), &sinks, &mut sources, incarnation)?;
        let options = LaneOptions::default();
        let (lanes, hands) = SinkLanes::by_hand(sinks, options, told_to(mail.clone()));
        let lanes = Arc::new(lanes);
        let options = ExecutorOptions {
            workers: 1,
            stepping: Stepping::Caller,
            keep: Keep::All,
            past: Past {
                log: Some(start.log.clone()),
                at: start.executed(),
                restored,
            },
            clock: CLOCK,
        };
        let (staging, shared, told) = (Arc::clone(&lanes), versions.clone(), mail.clone());
        let executor = Executor::start(Arc::clone(&plan), options, staging, shared, told);
        let mut executor = executor.expect("there are no threads");
        let resuming = Resuming {
            start: Some(&start),
            recovered: &recovered,
            versions: KeptVersions::new(&plan, &loads, &start.frozen),
            executor: &mut executor,
            lanes: &lanes,
        };
        let now = CLOCK.now();
        let cadence = Cadence::start(plan.settings.batch, now);
        let cutter = |sources, newest| Cutter::new(sources, cadence.after(newest), CLOCK);
        let Resumed { cutter, cut_before } = resume(resuming, sources, cutter)?;
        let published = Published::default();
        if let Some(upto) = start.published_upto(recovered.first_lost()) {
            published.reach(upto);
        }
        let (gate, knocks) = WriterGate::new();
        let log = start.log.clone();
        let journal = Journal {
            log: start.log.clone(),
            gate,
            published: published.clone(),
        };
        let keeping = Keeping {
            writer: start.writer,
            log: start.log,
            mail: mail.clone(),
            clock: CLOCK,
        };
        let every = plan.settings.checkpoint_every;
        let (checkpointer, maker) = Checkpointer::new(keeping, every, published, now.instant);
        let metrics = Metrics::default();
        let running = Running {
            executor,
            lanes: Arc::clone(&lanes),
            checkpointer: Some(checkpointer),
            maker: None,
            mail: mail.clone(),
            metrics: metrics.clone(),
            clock: CLOCK,
        };
        let (queue, batches) = channel();
        let runner = BatchRunner::new(Arc::clone(&plan), running, batches);
        let way = Runner {
            queue,
            thread: None,
            lanes,
        };
        let board = Board::new(report::first(&plan, 1), metrics);
        let dispatcher = Dispatcher::new(Arc::clone(&plan), cutter, way, board)
            .with_journal(Some(journal))
            .with_cut_before(cut_before);
        Ok(Self {
            pace: Pace::any(random),
            plan,
            mail,
            inbox,
            dispatcher: Some(dispatcher),
            runner: Some(runner),
            hands,
            maker,
            written: None,
            log,
            knocks,
            versions,
            store,
            is_stopping: false,
            ahead: 0,
        })
    }

    /// Does something of what is to be done; how the process has ended, if it has.
    pub(super) fn step(
        &mut self,
        world: &mut World,
        random: &mut SmallRng,
    ) -> Option<Result<(), JobError>> {
        if world.is_given() {
            self.stop();
        }
        match self.pace.choose(random) {
            // A batch makes several events, and none of them holds up the thread that hears them.
            Act::Hear => return (0..random.random_range(1..8)).find_map(|_| self.hear()),
            Act::Cut => self.let_time_pass(random),
            Act::Run => self.run(),
            Act::Publish => {
                let queue = random.random_range(0..self.hands.queues());
                self.hands.publish(queue);
            }
            Act::Checkpoint => self.make_checkpoint(),
            Act::Write => {
                if self.knocks.try_recv().is_ok() {
                    // What is wrong with the log the next commit will tell.
                    let _ = self.log.write();
                }
            }
            Act::Look => self.look(world),
        }
        None
    }

    /// What it waits for, in words.
    pub(super) fn standing(&self) -> String {
        let turn = self.dispatcher.as_ref().map(Dispatcher::turn);
        let (runs, stops) = (self.runner.is_some(), self.is_stopping);
        let (ahead, waits) = (self.ahead, self.written.is_some());
        format!("{turn:?}, runs {runs}, stops {stops}, {ahead} ahead, a checkpoint waits {waits}")
    }

    /// Tells it to stop, once.
    pub(super) fn stop(&mut self) {
        if !std::mem::replace(&mut self.is_stopping, true) {
            self.mail.tell(Event::Stop);
        }
    }

    /// Whether it was told to.
    pub(super) const fn is_stopping(&self) -> bool {
        self.is_stopping
    }

    /// What the thread that decides does with the next event.
    fn hear(&mut self) -> Option<Result<(), JobError>> {
        match self.inbox.poll()? {
            Event::RunEnded(result) => {
                let ended = self.dispatcher.take()?.end(result);
                Some(ended.map(drop))
            }
            event => {
                self.dispatcher.as_mut()?.hear(event);
                None
            }
        }
    }

    /// Time goes on to the next cut, and a little further.
    fn let_time_pass(&mut self, random: &mut SmallRng) {
        let Some(dispatcher) = &mut self.dispatcher else {
            return;
        };
        match dispatcher.turn() {
            Turn::Cut => dispatcher.cut_if_there_is_room(),
            // However slow the thread that runs them is, a test has an end.
            Turn::Until(_) if self.ahead >= MAX_AHEAD => {}
            Turn::Until(deadline) => {
                self.ahead += 1;
                let now = CLOCK.now().instant;
                let late = random.random_range(0..200);
                clock::pause(deadline.saturating_duration_since(now));
                clock::pause(std::time::Duration::from_millis(late));
                dispatcher.cut_if_there_is_room();
            }
            Turn::Event => {}
        }
    }

    /// What the thread that runs batches does with the next one.
    fn run(&mut self) {
        let Some(mut runner) = self.runner.take() else {
            return;
        };
        let ends = match runner.next() {
            Ok(batch) => {
                self.ahead = self.ahead.saturating_sub(1);
                match runner.run(&batch) {
                    Ok(true) => None,
                    other => Some(other),
                }
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Ok(true)),
        };
        let Some(result) = ends else {
            self.runner = Some(runner);
            return;
        };
        let result = runner.end(result);
        if let Some(written) = self.written.take() {
            self.maker.count(written);
        }
        while let Some(order) = self.maker.next() {
            if let Some(written) = self.maker.write(order) {
                self.maker.count(written);
            }
        }
        self.mail.tell(Event::RunEnded(result));
    }

    /// What the thread that makes checkpoints does, as far as it need not wait.
    fn make_checkpoint(&mut self) {
        match self.written.take() {
            Some(written) if self.maker.may_count(&written) => self.maker.count(written),
            Some(written) => self.written = Some(written),
            None => {
                let order = self.maker.next();
                self.written = order.and_then(|order| self.maker.write(order));
            }
        }
    }

    /// What the thread does that watches the plugin directory.
    fn look(&self, world: &World) {
        let file = world.program.file();
        let digest = file.digest();
        let is_known = self.versions.latest()[PLUGIN].digest() == digest;
        if is_known || self.versions.is_refused(PLUGIN, digest) {
            return;
        }
        self.versions.forget_refusal(PLUGIN);
        if self.store.keep(&file).is_err() {
            return;
        }
        let mut named = self.versions.named();
        named.extend(self.log.programs());
        named.insert(digest);
        self.store.retain(&named);
        let components = Program::components(&file);
        let deployment = Deployment::compose(&self.plan, components).unwrap();
        self.versions.propose(deployment).unwrap();
    }
}

/// The versions that a batch ran, or those of what lies in the plugin directory.
fn load(
    store: &ComponentStore,
    programs: &Programs,
    lies_there: Program,
) -> Result<Components, PluginsError> {
    let file = match programs.get(PLUGIN) {
        Some(digest) => store.get(PLUGIN, *digest),
        None => Ok(lies_there.file()),
    };
    let file = file.map_err(|error| PluginsError::Load(vec![error]))?;
    store.keep(&file)?;
    Ok(Program::components(&file))
}

fn sinks(world: &World) -> Vec<NamedSink> {
    let sinks = world.plan.sinks.iter().zip(&world.shows);
    let sinks = sinks.map(|(sink, show)| NamedSink {
        name: sink.name.clone(),
        sink: Arc::new(show.clone()),
        queue: PublishQueue::Own,
    });
    sinks.collect()
}

fn sources(world: &World, start: &Start, incarnation: Incarnation) -> NamedSources {
    let behind = start.behind();
    let supplies = world.plan.sources.iter().zip(&world.supplies);
    let sources = supplies.map(
        |(source, supply)| -> (String, Box<dyn crate::batch::source::Source>) {
            let behind = behind.get(&source.name).map(Vec::as_slice);
            let source_name = source.name.clone();
            (
                source_name,
                Box::new(supply.open(incarnation.number, behind)),
            )
        },
    );
    sources.collect()
}
