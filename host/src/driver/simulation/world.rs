//! What outlives a process: the disk, what its sources have and its sinks show, and the plan.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rand::Rng;
use rand::rngs::SmallRng;

use super::disk::FailedSyncs;
use super::sink::{Memory, Show, Visible};
use super::source::{Kind, Supply};
use super::versions::Program;
use crate::batch::BatchTime;
use crate::batch::sink::{Incarnation, JobId};
use crate::driver::recovery::entry::{LogEntry, decode};
use crate::driver::recovery::start::JOURNAL;
use crate::journal::disk::Disk;
use crate::journal::disk::simulated::SimulatedDisk;
use crate::journal::{LocalLog, LogPosition};
use crate::topology::plan::Plan;
use crate::topology::{self, Options};

/// Where the job lies.
pub(super) const DIR: &str = "/job";

/// The job.
pub(super) const JOB: JobId = JobId(7);

/// What a job is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Nothing is kept from batch to batch.
    Stateless,
    /// A sum by key.
    Keyed,
    /// A window.
    Windowed,
    /// All of it.
    All,
}

impl Shape {
    /// All of them.
    pub(super) const ALL: [Self; 4] = [Self::Stateless, Self::Keyed, Self::Windowed, Self::All];

    const fn sums(self) -> bool {
        matches!(self, Self::Keyed | Self::All)
    }

    const fn holds(self) -> bool {
        matches!(self, Self::Windowed | Self::All)
    }
}

/// What outlives a process.
pub(super) struct World {
    pub(super) plan: Arc<Plan>,
    pub(super) disk: SimulatedDisk,
    /// Of the last process.
    pub(super) failed: FailedSyncs,
    /// In the order of the plan.
    pub(super) supplies: Vec<Supply>,
    /// In the order of the plan.
    pub(super) shows: Vec<Show>,
    /// What lies in the plugin directory.
    pub(super) program: Program,
    /// How often the job was started.
    pub(super) starts: u64,
    /// Whether any process was told to stop.
    pub(super) was_stopped: bool,
}

/// How much the window holds, in milliseconds.
pub(super) const WINDOW_MS: i64 = 4000;

/// The time between two firings of the window, in milliseconds.
pub(super) const SLIDE_MS: i64 = 2000;

const SOURCES: [(&str, Kind); 3] = [
    ("files", Kind::Files),
    ("senders", Kind::Senders),
    ("resuming", Kind::Resuming),
];

impl World {
    /// One in which nothing has run, with so many lines of each source.
    pub(super) fn new(random: &mut SmallRng, shape: Shape, lines: u64) -> Self {
        let disk = SimulatedDisk::new(random.random());
        let plan = plan(shape, random.random_range(1..4));
        let supplies = SOURCES.iter();
        let supplies =
            supplies.map(|(name, kind)| Supply::new(name, *kind, lines, random.random()));
        let supplies = supplies.collect();
        let commits = DurableCommits::default();
        let shows = plan.sinks.iter().map(|sink| {
            let memory = match random.random() {
                true => Memory::Durable,
                false => Memory::Volatile,
            };
            let (disk, commits) = (disk.clone(), commits.clone());
            Show::new(&sink.name, memory, random.random(), move |batch| {
                commits.hold(&disk, batch)
            })
        });
        let shows = shows.collect();
        Self {
            plan,
            disk,
            failed: FailedSyncs::default(),
            supplies,
            shows,
            program: Program {
                number: 1,
                traps: false,
            },
            starts: 0,
            was_stopped: false,
        }
    }

    /// The next start of the job.
    pub(super) fn incarnation(&mut self) -> Incarnation {
        self.starts += 1;
        Incarnation {
            job: JOB,
            number: self.starts,
        }
    }

    /// Whatever is shown was committed, as a start finds it.
    ///
    /// # Panics
    ///
    /// If it was not.
    pub(super) fn check_committed(&self, last: Option<BatchTime>) {
        for (sink, show) in self.plan.sinks.iter().zip(&self.shows) {
            let visible = show.visible();
            let shown = visible.iter().filter(|(_, shown)| !shown.rows.is_empty());
            let newest = shown.map(|(batch, _)| *batch).max();
            let name = &sink.name;
            assert!(
                newest <= last,
                "sink `{name}` shows {newest:?}, the log ends at {last:?}"
            );
        }
    }

    /// Whether the last process could not make a name durable that checkpoints need.
    pub(super) fn has_lost_names(&self) -> bool {
        let failed = self.failed.lock().unwrap();
        let needed = ["checkpoints", "parts", "copies"].map(|folder| Path::new(DIR).join(folder));
        needed.iter().any(|folder| failed.contains(folder))
    }

    /// The process is gone.
    pub(super) fn orphan(&self) {
        self.supplies.iter().for_each(Supply::orphan);
        self.shows.iter().for_each(Show::orphan);
    }

    /// What a sink shows, by name; none: the shape has no such sink.
    pub(super) fn show(&self, name: &str) -> Option<&Show> {
        let sinks = self.plan.sinks.iter().zip(&self.shows);
        let mut sinks = sinks.filter(|(sink, _)| sink.name == name);
        sinks.next().map(|(_, show)| show)
    }

    /// The lines that are shown.
    pub(super) fn lines(&self) -> Visible {
        self.show("shown-lines")
            .expect("every shape has it")
            .visible()
    }

    /// Damages the newest checkpoint, or any file of any; whether there is one.
    pub(super) fn damage(&self, random: &mut SmallRng) -> bool {
        let files = |folder: &str| -> Vec<PathBuf> {
            let folder = Path::new(DIR).join(folder);
            let found = self.disk.list(&folder).unwrap_or_default().into_iter();
            let names = found.map(|file| file.name);
            let names = names.filter(|name| !name.starts_with('.'));
            names.map(|name| folder.join(name)).collect()
        };
        let mut objects: Vec<PathBuf> =
            files("checkpoints").into_iter().max().into_iter().collect();
        objects.extend(["parts", "copies"].into_iter().flat_map(files));
        if objects.is_empty() {
            return false;
        }
        objects.sort();
        self.disk
            .flip(&objects[random.random_range(0..objects.len())], 100);
        true
    }

    /// Whether sources have given all.
    pub(super) fn is_given(&self) -> bool {
        self.supplies.iter().all(Supply::is_given)
    }
}

/// The commits that were found in what the disk would keep if the machine went down; clones are the same.
#[derive(Clone, Default)]
struct DurableCommits(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    commits: BTreeSet<BatchTime>,
    /// Of the log, what was looked at.
    upto: LogPosition,
}

impl DurableCommits {
    /// Whether the commit of a batch is there.
    fn hold(&self, disk: &SimulatedDisk, batch: BatchTime) -> bool {
        let mut known = self.0.lock().unwrap();
        if !known.commits.contains(&batch) {
            known.look(disk);
        }
        known.commits.contains(&batch)
    }
}

impl Known {
    fn look(&mut self, disk: &SimulatedDisk) {
        let dir = Path::new(DIR).join(JOURNAL);
        let kept = Arc::new(disk.durable(&dir));
        let incarnation = Incarnation {
            job: JOB,
            number: u64::MAX,
        };
        let Ok((_, groups)) = LocalLog::open(kept, &dir, incarnation) else {
            return;
        };
        for group in groups.iter().filter(|group| group.position > self.upto) {
            for entry in decode(group.position.0, &group.entries).unwrap() {
                if let LogEntry::Commit(record) = entry {
                    self.commits.insert(record.plan.batch);
                }
            }
        }
        let last = groups.last().map(|last| last.position);
        self.upto = last.unwrap_or(self.upto);
    }
}

/// A job with a checkpoint every so many seconds.
fn plan(shape: Shape, checkpoint_every: u32) -> Arc<Plan> {
    let mut text = format!(
        r#"
        [topology]
        name = "job"
        batch = "1s"
        partitions = 2
        checkpoint = "{DIR}"
        checkpoint_every = "{checkpoint_every}s"
        [plugins]
        dir = "plugins"
        [stream.all]
        from = ["files", "senders", "resuming"]
        op = "union"
        [stream.tagged]
        from = "all"
        op = "map"
        function = "p/tag"
        [sink.shown-lines]
        from = "tagged"
        type = "print"
    "#
    );
    for (name, _) in SOURCES {
        text += &format!("[source.{name}]\ntype = \"generate\"\ncount = 1\n");
    }
    if shape.sums() {
        text += r#"
            [stream.pairs]
            from = "tagged"
            op = "map"
            function = "p/pair"
            [stream.sums]
            from = "pairs"
            op = "update_state_by_key"
            function = "p/sum"
            [sink.shown-sums]
            from = "sums"
            type = "print"
        "#;
    }
    if shape.holds() {
        text += r#"
            [stream.held]
            from = "tagged"
            op = "count_by_window"
            window = "4s"
            slide = "2s"
            [sink.shown-held]
            from = "held"
            type = "print"
        "#;
    }
    let options = Options {
        environment: &|_| None,
        workers: 1,
        observe: &[],
    };
    let parsed = topology::parse("t.toml".as_ref(), &text, &options);
    let mut plan = parsed.unwrap_or_else(|problems| panic!("{problems}")).plan;
    plan.settings.checkpoint = Some(PathBuf::from(DIR));
    Arc::new(plan)
}
