//! A whole job in one thread, on a simulated disk and a clock of its own, killed wherever it may be, and
//! started again: nothing is lost, nothing doubled, nothing out of order, and the state is that of a run
//! that was never killed.
//!
//! What decides and what makes durable is the real code: the dispatcher, the runner, the executor and its
//! engine, the lanes of the sinks, the log, checkpoints, recovery. Its threads are not started; a step of
//! one of them at a time is chosen by chance ([`process`]). Sources and sinks account for what they give
//! and show ([`source`], [`sink`]), and outlive the processes, as the disk does ([`world`]).
//!
//! All chance comes from a seed, so a run can be had again: `DSHOST_SEED=S`. `DSHOST_SEEDS=N` runs so many.

mod clock;
mod disk;
mod oracle;
mod process;
mod sink;
mod source;
mod text;
mod versions;
mod world;

use std::io::ErrorKind;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::driver::error::JobError;
use crate::journal::disk::simulated::Fault;
use crate::observe::fault::CrashStage;
use crate::observe::fault::simulated::{self, Death, Reached};
use crate::topology::problem::with_causes;
use process::Process;
use sink::NOT_NOW;
use versions::Program;
use world::{Shape, World};

/// Seeds that are run where nothing else is said.
const SEEDS: u64 = 200;

/// Seeds that have found a fault of dshost.
const FOUND: [u64; 3] = [660, 1111, 2649];

/// Steps after which a process does not get on.
const MAX_STEPS: u64 = 20_000;

/// The most starts that end badly, before one that does not.
const MAX_BAD_STARTS: u32 = 4;

/// Starts without a doom, of which one ends well.
const MAX_STUMBLES: usize = 1;

/// How a process ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doom {
    /// At the `n`th time that it is at a stage.
    Stage(CrashStage, u64),
    /// With the `n`th operation of the disk that changes something, of which a part is done.
    Disk(u64),
    /// Before its `n`th step.
    Step(u64),
    /// In good order: it is told to stop before its `n`th step.
    Stop(u64),
    /// A sink never works again after its `n`th publication.
    Sink(u32),
    /// It need not: the `n`th operation of the disk fails.
    Error(u64, ErrorKind),
    /// Not at all.
    None,
}

/// How a process ended.
#[derive(Debug)]
enum End {
    /// As it should.
    Good,
    /// It gave up, because the disk has failed.
    Error,
    /// It died.
    Death,
}

/// What came of a run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    /// Processes.
    starts: u64,
    /// Processes that died, gave up, or met an error of the disk.
    hurt: u64,
    /// Batches that are shown.
    batches: u64,
    /// Operations of the disk that changed something.
    operations: u64,
    /// How often any process was at each stage.
    reached: Reached,
    /// How often a process died at each stage.
    died: Reached,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.starts += other.starts;
        self.hurt += other.hurt;
        self.batches += other.batches;
        self.operations += other.operations;
        self.note(&other.reached);
        let died = self.died.iter_mut().zip(&other.died);
        died.for_each(|(mine, theirs)| *mine += theirs);
    }

    fn note(&mut self, reached: &Reached) {
        let reached = self.reached.iter_mut().zip(reached);
        reached.for_each(|(mine, theirs)| *mine += theirs);
    }
}

/// A run of a job, from its first start to the one that ends well.
struct Run {
    random: SmallRng,
    /// How often out of a hundred calls a sink fails for the moment.
    fails: u32,
    /// Whether something of the checkpoints is still to be damaged, once.
    damages: bool,
    world: World,
    tally: Tally,
}

impl Run {
    /// One in which nothing has run.
    fn new(seed: u64) -> Self {
        clock::begin();
        let mut random = SmallRng::seed_from_u64(seed);
        let shape = Shape::ALL[random.random_range(0..Shape::ALL.len())];
        let most = [15, 15, 15, 60][random.random_range(0..4)];
        let lines = random.random_range(5..most);
        let world = World::new(&mut random, shape, lines);
        Self {
            random,
            fails: 0,
            damages: false,
            world,
            tally: Tally::default(),
        }
    }

    /// Starts the job with these dooms, one after the other, then without; what is shown is right in
    /// the end.
    fn complete(mut self, dooms: &[Doom]) -> Tally {
        for doom in dooms.iter().copied().chain([Doom::None; MAX_STUMBLES]) {
            if matches!(self.live(doom), End::Good) && self.world.is_given() {
                oracle::check(&self.world);
                self.tally.starts = self.world.starts;
                self.tally.operations = self.world.disk.operations();
                self.tally.batches = self.world.lines().len() as u64;
                return self.tally;
            }
        }
        panic!("the job never ends well");
    }

    /// A process, from its start to its end.
    fn live(&mut self, doom: Doom) -> End {
        let due = match doom {
            Doom::Stage(stage, number) => Some((stage, number)),
            _ => None,
        };
        match doom {
            Doom::Disk(number) => self.world.disk.fail_after(number, Fault::Death),
            Doom::Error(number, kind) => self.world.disk.fail_after(number, Fault::Error(kind)),
            Doom::Sink(number) => self.world.shows[0].break_after(number),
            _ => {}
        }
        // Where it is to end well, sinks do not stumble.
        let fails = match doom {
            Doom::None => 0,
            _ => self.fails,
        };
        self.world
            .shows
            .iter()
            .for_each(|show| show.set_fails(fails));
        simulated::begin(due);
        let lived = catch_unwind(AssertUnwindSafe(|| self.run(doom)));
        let reached = simulated::end();
        self.tally.note(&reached);
        let is_hurt = self.world.disk.has_failed();
        let end = match lived {
            Ok(Ok(())) => {
                let has_lost = self.world.has_lost_names();
                assert!(!has_lost, "a process ends well whose sync has failed");
                End::Good
            }
            Ok(Err(error)) => {
                let told = with_causes(&error);
                let is_sink = told.contains(NOT_NOW) && doom != Doom::None;
                assert!(is_hurt || is_sink, "the job ends: {told}");
                End::Error
            }
            Err(panic) if panic.is::<Death>() => End::Death,
            Err(panic) => resume_unwind(panic),
        };
        if let (Doom::Stage(stage, number), End::Death) = (doom, &end) {
            self.tally.died[stage as usize] += u64::from(reached[stage as usize] == number);
        }
        self.tally.hurt += u64::from(is_hurt || !matches!(end, End::Good));
        self.world.orphan();
        match self.random.random() {
            true => self.world.disk.crash(),
            false => self.world.disk.kill(),
        }
        // Behind an end in good order the newest checkpoint alone is enough, by intention.
        if self.damages && !self.world.was_stopped && self.random.random() {
            self.damages = !self.world.damage(&mut self.random);
        }
        end
    }

    fn run(&mut self, doom: Doom) -> Result<(), JobError> {
        let mut process = Process::start(&mut self.world, &mut self.random)?;
        for step in 0..MAX_STEPS {
            match doom {
                Doom::Step(last) if step == last => simulated::die(),
                Doom::Stop(last) if step == last => process.stop(),
                _ => {}
            }
            self.change_world();
            self.world.was_stopped |= process.is_stopping();
            if let Some(end) = process.step(&mut self.world, &mut self.random) {
                let may_end = matches!(doom, Doom::None | Doom::Stop(_));
                if !may_end && !self.world.disk.has_failed() {
                    // Its doom has not come, so it is the last moment.
                    simulated::die();
                }
                return end;
            }
        }
        panic!("the process does not get on: {}", process.standing());
    }

    /// Things happen that nobody asked for.
    fn change_world(&mut self) {
        match self.random.random_range(0..500) {
            0..4 => {
                // What traps is no version to begin with.
                let mut shown = self.world.lines().into_values();
                let is_shown = shown.any(|shown| !shown.rows.is_empty());
                self.world.program = Program {
                    number: self.world.program.number + 1,
                    traps: is_shown && self.random.random_range(0..3) == 0,
                };
            }
            4 => clock::set_by(-3_600_000),
            5 => clock::set_by(self.random.random_range(0..20_000)),
            6 => clock::set_by(86_400_000),
            _ => {}
        }
    }

    /// How its starts end; other things go wrong as well.
    fn dooms(&mut self) -> Vec<Doom> {
        self.fails = self.random.random_range(0..5);
        let count = self.random.random_range(1..=MAX_BAD_STARTS);
        let mut dooms: Vec<Doom> = (0..count).map(|_| self.doom()).collect();
        while matches!(dooms[0], Doom::Stop(_)) {
            // Every run has one that ends badly.
            dooms[0] = self.doom();
        }
        for doom in &mut dooms[1..] {
            // Only where something is run again it can end with that.
            if self.random.random_range(0..6) == 0 {
                let number = self.random.random_range(1..4);
                *doom = Doom::Stage(CrashStage::MidRecovery, number);
            }
        }
        self.damages = self.random.random();
        dooms
    }

    fn doom(&mut self) -> Doom {
        let random = &mut self.random;
        match random.random_range(0..12) {
            0..5 => {
                let stage = CrashStage::ALL[random.random_range(0..CrashStage::ALL.len())];
                // Some are reached once or twice, others at every batch.
                let most = [1, 3, 20][random.random_range(0..3)];
                Doom::Stage(stage, random.random_range(1..=most))
            }
            5..7 => Doom::Disk(random.random_range(0..120)),
            7 => Doom::Step(random.random_range(0..400)),
            8 => Doom::Stop(random.random_range(0..200)),
            9 => Doom::Sink(random.random_range(0..15)),
            10 => Doom::Error(random.random_range(0..120), ErrorKind::StorageFull),
            _ => Doom::Error(random.random_range(0..120), ErrorKind::Other),
        }
    }
}

/// Runs a seed; a claim that does not hold is told with how to have the run again.
fn run(seed: u64) -> Tally {
    let mut run = Run::new(seed);
    let dooms = run.dooms();
    let complete = AssertUnwindSafe(|| run.complete(&dooms));
    catch_unwind(complete).unwrap_or_else(|panic| {
        eprintln!("its starts: {dooms:?}");
        eprintln!("again: DSHOST_SEED={seed} cargo test -p dshost --lib simulation");
        resume_unwind(panic)
    })
}

fn asked(variable: &str) -> Option<u64> {
    let asked = std::env::var(variable).ok()?;
    Some(asked.parse().expect("a number"))
}

#[test]
fn nothing_is_lost_or_doubled_wherever_a_job_dies() {
    if let Some(seed) = asked("DSHOST_SEED") {
        tracing_subscriber::fmt().with_test_writer().init();
        println!("{:?}", run(seed));
        return;
    }
    for seed in FOUND {
        run(seed);
    }
    let seeds = asked("DSHOST_SEEDS").unwrap_or(SEEDS);
    let (next, all) = (AtomicU64::new(0), Mutex::new(Tally::default()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(|| {
                while let Some(seed) = Some(next.fetch_add(1, Relaxed)).filter(|seed| *seed < seeds)
                {
                    let tally = run(seed);
                    assert!(tally.hurt > 0, "seed {seed} has no crash");
                    all.lock().unwrap().add(&tally);
                }
            });
        }
    });
    println!("{seeds} seeds: {:?}", all.lock().unwrap());
}

#[test]
fn a_seed_is_one_run() {
    for seed in 0..5 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}

/// A run without a crash that is at every stage but those of a recovery; its seed.
fn eventful() -> (u64, Tally) {
    let runs = (0..).map(|seed| (seed, Run::new(seed).complete(&[])));
    let is_eventful = |(_, tally): &(u64, Tally)| {
        let reached = CrashStage::ALL.iter().zip(&tally.reached);
        let mut missed = reached.filter(|(_, reached)| **reached == 0);
        missed.all(|(stage, _)| *stage == CrashStage::MidRecovery)
    };
    let mut eventful = runs.filter(is_eventful);
    eventful.next().expect("there are many seeds")
}

#[test]
fn nothing_is_lost_or_doubled_at_any_stage_and_any_operation_of_the_disk() {
    // All of them take minutes.
    let step = if asked("DSHOST_SEEDS").is_some() {
        1
    } else {
        9
    };
    let (seed, whole) = eventful();
    let mut dooms = Vec::new();
    for stage in CrashStage::ALL {
        let reached = 1..=whole.reached[stage as usize];
        dooms.extend(reached.map(|number| vec![Doom::Stage(stage, number)]));
    }
    for number in (0..whole.operations).step_by(step) {
        dooms.push(vec![Doom::Disk(number)]);
        for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
            dooms.push(vec![Doom::Error(number, kind)]);
        }
    }
    // The start after a crash dies, too.
    let crash = Doom::Stage(CrashStage::Committed, 6);
    for number in 1..6 {
        dooms.push(vec![crash, Doom::Stage(CrashStage::MidRecovery, number)]);
    }
    for number in (0..40).step_by(step) {
        dooms.push(vec![crash, Doom::Disk(number), Doom::Disk(number)]);
    }
    let mut all = Tally::default();
    for dooms in dooms {
        let run = || Run::new(seed).complete(&dooms);
        let tally = catch_unwind(run).unwrap_or_else(|panic| {
            eprintln!("seed {seed} with {dooms:?}");
            resume_unwind(panic)
        });
        assert!(tally.hurt > 0, "{dooms:?}");
        all.add(&tally);
    }
    println!("{all:?}");
    for stage in CrashStage::ALL {
        assert!(all.died[stage as usize] > 0, "nothing dies at {stage:?}");
    }
}
